//! Whatever is done to elements in any order, they are what a map says, and the store counts what lives.

use super::*;

const OBJECTS: u64 = 3;
const NAMES: u32 = 12;

/// What is there, as a map says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    keys: BTreeMap<Vec<u8>, u64>,
    /// With the expiry.
    elements: BTreeMap<Name, (Vec<u8>, Option<u64>)>,
}

impl Model {
    fn values(&self, now: u64) -> BTreeMap<Name, Vec<u8>> {
        let is_there = |name: &Name, expiry: &Option<u64>| {
            self.keys.values().any(|object| *object == name.0) && expiry.is_none_or(|deadline| deadline > now)
        };
        let there = self.elements.iter().filter(|(name, (_, expiry))| is_there(name, expiry));
        there.map(|(name, (value, _))| (name.clone(), value.clone())).collect()
    }
}

fn run(seed: u64) {
    let (mut rng, mut all, mut model) = (fastrand::Rng::with_seed(seed), Collections::new(), Model::default());
    let mut unused = 0;
    for step in 0..400 {
        let key = format!("key {}", rng.u64(..OBJECTS)).into_bytes();
        let object = model.keys.get(&key).copied();
        let name = rng.u32(..NAMES).to_le_bytes();
        match (rng.u32(..100), object) {
            (0..60, None) | (60..63, _) => {
                unused += 1;
                let object = u64::from(all.store.run_id()) << 32 | unused;
                all.root(&key, object);
                model.keys.insert(key, object);
            }
            (0..40, Some(object)) => {
                let value = vec![step as u8; rng.usize(..20) * rng.usize(..20)];
                let expiry = (rng.u8(..4) == 0).then(|| all.store.now() + rng.u64(1..2_000));
                all.set(object, &name, &value, expiry);
                model.elements.insert((object, name.to_vec()), (value, expiry));
            }
            (40..60, Some(object)) => {
                all.remove(object, &name);
                model.elements.remove(&(object, name.to_vec()));
            }
            (63..66, _) => {
                all.delete(&key);
                model.keys.remove(&key);
            }
            (66..69, Some(object)) => {
                let to = format!("key {}", rng.u64(..OBJECTS)).into_bytes();
                if to != key {
                    all.rename(&key, &to);
                    model.keys.remove(&key);
                    model.keys.insert(to, object);
                }
            }
            (69..80, _) => all.pass(rng.u64(..1_000)),
            (80..90, _) => {
                all.store.tick().unwrap();
                all.store.compact_once(&all.known, rng.bool()).unwrap();
            }
            (90..93, _) => all.compact(),
            (93..96, _) => all = all.again(),
            (96..98, _) => {
                // Without hints, all segments are read.
                let disk = all.disk.after_kill();
                let names = disk.list().unwrap();
                names.iter().filter(|name| name.ends_with(".hint")).for_each(|name| disk.remove(name).unwrap());
                all = Collections::open(&disk, all.store.now()).unwrap();
            }
            _ => all.fill("filler", rng.bool()),
        }
        all.agrees();
        assert_eq!(all.values(), model.values(all.store.now()), "seed {seed}, step {step}");
    }
    let again = all.again();
    assert_eq!(again.values(), model.values(again.store.now()), "seed {seed}");
}

#[test]
fn elements_are_what_a_map_says() {
    (0..60).for_each(run);
}
