//! The elements of a large collection, each of which follows from its number, and what all of them come to.
//!
//! Always true: two numbers never have the same name; a digest is the same in whatever order its elements come.

use std::fmt::Write as _;

/// The types of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Hash,
    Set,
    List,
    SortedSet,
}

/// What has happened to a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every element was put in once.
    Filled,
    /// Half of them were taken away, half of the others have another value.
    Changed,
}

/// Elements of one collection.
#[derive(Clone, Copy, Debug)]
pub struct Elements {
    pub of: Type,
    pub count: u64,
}

impl Elements {
    /// Whether the element of this number is there.
    pub fn has(&self, number: u64, phase: Phase) -> bool {
        number < self.count && (phase == Phase::Filled || !self.is_removed(number))
    }

    /// Whether it is taken away in the end. Of a list, both ends are.
    pub fn is_removed(&self, number: u64) -> bool {
        match self.of {
            Type::List => number < self.count / 4 || number >= self.count / 4 * 3,
            _ => number % 2 == 1,
        }
    }

    /// Whether it is there in the end, with another value.
    pub fn is_changed(&self, number: u64) -> bool {
        !self.is_removed(number) && number.is_multiple_of(4)
    }

    /// How often the element's value was set.
    pub fn version(&self, number: u64, phase: Phase) -> u64 {
        u64::from(phase == Phase::Changed && self.is_changed(number))
    }

    /// The numbers of all that are there.
    pub fn numbers(self, phase: Phase) -> impl Iterator<Item = u64> {
        (0..self.count).filter(move |&number| self.has(number, phase))
    }

    pub fn len(self, phase: Phase) -> u64 {
        self.numbers(phase).count() as u64
    }

    /// What all that are there come to.
    pub fn digest(self, phase: Phase) -> Digest {
        let mut digest = Digest::default();
        for number in self.numbers(phase) {
            let version = self.version(number, phase);
            match self.of {
                Type::Hash => digest.add(&name(number), &value(number, version)),
                Type::Set => digest.add(&name(number), b""),
                Type::List => digest.add(b"", &value(number, version)),
                Type::SortedSet => digest.add(&name(number), &score(number, version).to_bits().to_le_bytes()),
            }
        }
        digest
    }
}

/// The sum over elements; and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    pub count: u64,
    sum: u64,
}

impl Digest {
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        let both = fold(fold(name.len() as u64, name), value);
        self.sum = self.sum.wrapping_add(mixed(both));
    }
}

fn fold(seed: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(seed, |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (state.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// 16 bytes.
pub fn name(number: u64) -> [u8; 16] {
    let bytes = mixed(number).to_be_bytes();
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
    std::array::from_fn(|index| {
        let byte = bytes[index / 2];
        digit(if index % 2 == 0 { byte >> 4 } else { byte & 15 })
    })
}

/// A name that no element has.
pub fn no_name(number: u64) -> [u8; 16] {
    let mut name = name(number);
    name[0] = b'x';
    name
}

/// 20 to 100 bytes, of which the first say whose they are.
pub fn value(number: u64, version: u64) -> Vec<u8> {
    let random = mixed(number ^ (version + 1) << 56);
    let length = 20 + (random % 81) as usize;
    let mut text = String::with_capacity(112);
    let _ = write!(text, "{number}.{version}:");
    while text.len() < length {
        let _ = write!(text, "{random:016x}");
    }
    text.truncate(length);
    text.into_bytes()
}

/// 51 bits, so that hardly two are the same; of its shortest forms there is only one.
pub fn score(number: u64, version: u64) -> f64 {
    (mixed(number ^ (version + 1) << 56) >> 13) as f64 / 2.0 - 5e14
}

/// One of all 64-bit numbers for each of them.
fn mixed(number: u64) -> u64 {
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[test]
fn a_digest_tells_elements_apart() {
    let all = [Type::Hash, Type::Set, Type::List, Type::SortedSet].map(|of| Elements { of, count: 1_000 });
    for elements in all {
        let [filled, changed] = [Phase::Filled, Phase::Changed].map(|phase| elements.digest(phase));
        assert_eq!((filled.count, changed.count), (1_000, 500), "{elements:?}");
        let mut other = Digest::default();
        elements.numbers(Phase::Filled).for_each(|number| other.add(&name(number), &value(number, 1)));
        assert_ne!(other, filled, "{elements:?}");
    }
    assert!((0..10_000).all(|number| (20..=100).contains(&value(number, number % 2).len())));
    assert_eq!(value(7, 0)[..4], *b"7.0:");
}
