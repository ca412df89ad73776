//! What a start says of elements, whatever has become of their segments.

use super::*;
use crate::store::manifest::hint_file_name;

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| name.ends_with(".hint")).collect()
}

/// Elements of many objects in many segments, closed.
fn written() -> (SimDisk, State, BTreeMap<Name, Vec<u8>>) {
    let all = Collections::new();
    for object in 0..40u64 {
        all.root(format!("key {object}").as_bytes(), object << 33);
        for number in 0..10u32 {
            let expiry = (number % 4 == 0).then_some(START + 1_000_000);
            all.set(object << 33, &number.to_le_bytes(), &vec![b'v'; (number as usize % 6) * 3], expiry);
        }
        all.remove(object << 33, &3u32.to_le_bytes());
    }
    all.store.close().unwrap();
    let values = all.values();
    (all.disk, all.known.state.into_inner(), values)
}

fn without_told(all: &Collections) -> State {
    let mut state = all.known.state.lock().clone();
    state.elements.values_mut().for_each(|entry| entry.told = None);
    state
}

#[test]
fn hints_say_of_elements_what_the_segments_say() {
    let (disk, state, values) = written();
    assert!(names(&disk).len() > 5);
    for hints_kept in [usize::MAX, 0, 3] {
        let disk = disk.after_kill();
        names(&disk).iter().skip(hints_kept).for_each(|name| disk.remove(name).unwrap());
        let all = Collections::open(&disk, START).unwrap();
        assert_eq!(all.recovered.without_hint > 0, hints_kept != usize::MAX);
        assert_eq!(without_told(&all), state);
        assert_eq!(all.values(), values);
        all.agrees();
        // What is short is told without asking for it.
        for ((object, name), entry) in &all.known.state.lock().elements {
            let value = &values[&(*object, name.clone())];
            assert_eq!(entry.told.as_ref(), (value.len() <= 8).then_some(value));
        }
    }
}

#[test]
fn a_value_that_is_damaged_is_told_as_such_and_without_it() {
    let all = Collections::new();
    all.root(b"zset", 7);
    let at = all.set(7, b"member", &1.5f64.to_le_bytes(), None);
    let other = all.set(7, b"other", &2.5f64.to_le_bytes(), None);
    let removed = {
        all.set(7, b"removed", b"value", None);
        all.append(&Draft::remove_element(7, b"removed"))
    };
    all.store.close().unwrap();
    let disk = all.disk.after_kill();
    // In the value of the one, and in the checksum of the last, which has none.
    disk.flip_bit(&segment_file_name(at.segment), u64::from(at.offset + at.length - 1), 3);
    disk.flip_bit(&segment_file_name(removed.segment), u64::from(removed.offset), 3);
    let hinted = Collections::open(&disk.after_kill(), START).unwrap();
    assert_eq!(hinted.recovered.damaged, 0);
    let told = |all: &Collections, name: &[u8]| all.known.state.lock().elements[&(7, name.to_vec())].clone();
    assert_eq!(told(&hinted, b"member").told.unwrap(), 1.5f64.to_le_bytes(), "the hint has it still");
    disk.remove(&hint_file_name(at.segment)).unwrap();
    let read = Collections::open(&disk, START).unwrap();
    assert_eq!(read.recovered.damaged, 2);
    let member = told(&read, b"member");
    assert_eq!((member.damaged, member.told, member.at), (true, None, at));
    assert!(read.store.read(at, b"member").is_err());
    let sound = told(&read, b"other");
    assert_eq!((sound.damaged, sound.told.unwrap(), sound.at), (false, 2.5f64.to_le_bytes().to_vec(), other));
    assert!(!read.known.state.lock().elements.contains_key(&(7, b"removed".to_vec())));
}

#[test]
fn an_element_is_read_by_its_name() {
    let all = Collections::new();
    all.root(b"hash", 7);
    let at = all.set(7, b"field", b"value", Some(START + 1_000));
    let removed = all.append(&Draft::remove_element(7, b"field"));
    for settled in [false, true] {
        if settled {
            all.store.close().unwrap();
        }
        assert_eq!(&all.store.read(at, b"field").unwrap()[..], b"value");
        assert_eq!(all.store.read_nowait(at, b"field").unwrap().as_deref(), Some(&b"value"[..]));
        assert!(all.store.read(at, b"hash").is_err());
        assert!(all.store.read(removed, b"field").is_err(), "it has no value");
    }
}

/// Of what was written in one run, nothing has the number of another, whatever the last one came to.
#[test]
fn no_two_runs_have_one_number() {
    let disk = SimDisk::new();
    let mut seen = BTreeSet::new();
    for round in 0..6u8 {
        let all = Collections::open(&disk, START).unwrap();
        let run = all.store.run_id();
        if round % 2 == 0 {
            let at = all.put(&[round], b"value", None, None);
            assert!(at.segment >= run);
            assert!(seen.insert(run), "{run} again");
            all.compact();
        }
        all.store.close().unwrap();
    }
    assert_eq!(seen.len(), 3);
}
