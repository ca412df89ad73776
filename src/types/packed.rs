//! A small collection as one value: its elements one behind the other.
//!
//! ```text
//! count u8 | elements
//! ```
//!
//! An element is its name and what its [`Shape`] adds to it: the length of the name as a varint (seven bits in each byte, the
//! lowest first, the eighth bit where more follow) and the name; of a hash then the value in the same way; of a sorted set
//! the score as the eight bytes of an f64, little-endian. Elements keep the order in which they were put in; those of a sorted
//! set stand in the order of their scores, and of their names where these are equal.

use std::ops::Range;

use smallvec::SmallVec;

/// The most elements of a packed collection; fewer where tests are to see many that are not packed.
pub const PACKED_ELEMENTS_MAX: usize = if cfg!(any(test, feature = "fuzzing")) { 4 } else { 128 };
/// The most bytes of a packed collection.
pub const PACKED_BYTES_MAX: usize = if cfg!(any(test, feature = "fuzzing")) { 128 } else { 1024 };

const HEADER_BYTES: usize = 1;

/// What an element has beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing: sets and lists.
    Members,
    /// A value: hashes.
    Fields,
    /// A score: sorted sets.
    Scores,
}

/// An element, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    pub name: &'a [u8],
    /// Of a field.
    pub value: &'a [u8],
    /// Of a member of a sorted set.
    pub score: f64,
    pub at: Range<usize>,
}

/// Elements to be read. Whatever the bytes are, reading them ends, and stays inside them.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    shape: Shape,
}

impl<'a> Packed<'a> {
    /// The elements in `bytes`; none where there are no bytes.
    #[inline]
    pub fn new(bytes: &'a [u8], shape: Shape) -> Self {
        Self { bytes, shape }
    }

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.first().map_or(0, |count| usize::from(*count))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All elements in their order.
    #[inline]
    pub fn iter(&self) -> Items<'a> {
        Items { bytes: self.bytes, at: HEADER_BYTES.min(self.bytes.len()), shape: self.shape }
    }

    /// The element with this name.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Item<'a>> {
        self.iter().find(|item| item.name == name)
    }
}

/// See [`Packed::iter`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
    shape: Shape,
}

impl<'a> Items<'a> {
    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let text = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(text)
    }

    fn word(&mut self) -> Option<[u8; 8]> {
        let word = self.bytes.get(self.at..self.at + 8)?;
        self.at += 8;
        word.try_into().ok()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let start = self.at;
        let mut item = Item { name: self.text()?, value: &[], score: 0.0, at: start..start };
        match self.shape {
            Shape::Members => {}
            Shape::Fields => item.value = self.text()?,
            Shape::Scores => item.score = f64::from_le_bytes(self.word()?),
        }
        item.at.end = self.at;
        Some(item)
    }
}

/// A packed collection that is being changed.
#[derive(Clone, Debug)]
pub struct Pack {
    bytes: Vec<u8>,
    shape: Shape,
}

impl Pack {
    /// An empty one.
    pub fn new(shape: Shape) -> Self {
        Self::of(&[], shape)
    }

    /// A copy of one that may be changed.
    pub fn of(bytes: &[u8], shape: Shape) -> Self {
        const ROOM: usize = 64;
        let mut copy = Vec::with_capacity(bytes.len().max(HEADER_BYTES) + ROOM);
        copy.extend_from_slice(bytes);
        copy.resize(bytes.len().max(HEADER_BYTES), 0);
        Self { bytes: copy, shape }
    }

    /// The elements.
    #[inline]
    pub fn read(&self) -> Packed<'_> {
        Packed::new(&self.bytes, self.shape)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it may not be packed any more with this element on top.
    pub fn is_full_with(&self, name: &[u8], value: &[u8]) -> bool {
        const OVERHEAD: usize = 16;
        self.len() >= PACKED_ELEMENTS_MAX || self.bytes.len() + name.len() + value.len() + OVERHEAD > PACKED_BYTES_MAX
    }

    /// Puts an element before the one that begins at `at`, or at the end.
    pub fn insert(&mut self, at: Option<usize>, name: &[u8], value: &[u8], score: f64) {
        let at = at.unwrap_or(self.bytes.len());
        self.put(at..at, name, value, score);
        self.bytes[0] += 1;
    }

    /// Puts an element in the place of one.
    pub fn replace(&mut self, at: Range<usize>, name: &[u8], value: &[u8], score: f64) {
        self.put(at, name, value, score);
    }

    /// Removes an element.
    pub fn remove(&mut self, at: Range<usize>) {
        self.remove_some(at, 1);
    }

    /// Removes so many elements that stand one behind the other.
    pub fn remove_some(&mut self, at: Range<usize>, count: u8) {
        self.bytes.drain(at);
        self.bytes[0] -= count;
    }

    fn put(&mut self, at: Range<usize>, name: &[u8], value: &[u8], score: f64) {
        let mut bytes = SmallVec::<[u8; 128]>::new();
        text(&mut bytes, name);
        match self.shape {
            Shape::Members => {}
            Shape::Fields => text(&mut bytes, value),
            Shape::Scores => bytes.extend_from_slice(&score.to_le_bytes()),
        }
        self.bytes.splice(at, bytes);
    }
}

fn text(bytes: &mut SmallVec<[u8; 128]>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pack: &Pack) -> Vec<&[u8]> {
        pack.read().iter().map(|item| item.name).collect()
    }

    #[test]
    fn elements_stand_in_the_order_they_were_put_in() {
        let mut pack = Pack::new(Shape::Members);
        for name in [b"b".as_slice(), b"", &[b'x'; 300]] {
            pack.insert(None, name, b"", 0.0);
        }
        assert_eq!((pack.len(), names(&pack)), (3, vec![b"b".as_slice(), b"", &[b'x'; 300]]));
        let mut fewer = pack.clone();
        let (first, last) = (fewer.read().find(b"b").unwrap().at, fewer.read().find(b"").unwrap().at);
        fewer.remove_some(first.start..last.end, 2);
        assert_eq!((fewer.len(), names(&fewer)), (1, vec![&[b'x'; 300][..]]));
        let second = pack.read().find(b"").unwrap().at;
        pack.insert(Some(second.start), b"a", b"", 0.0);
        pack.remove(pack.read().find(b"b").unwrap().at);
        assert_eq!(names(&pack), [b"a".as_slice(), b"", &[b'x'; 300]]);
    }

    #[test]
    fn fields_have_values() {
        let mut pack = Pack::new(Shape::Fields);
        pack.insert(None, b"f", b"1", 0.0);
        pack.insert(None, b"g", b"2", 0.0);
        let plain = pack.bytes().len();
        let g = pack.read().find(b"g").unwrap().at;
        pack.replace(g, b"g", b"22", 0.0);
        assert_eq!(pack.bytes().len(), plain + 1);
        let fields: Vec<_> = pack.read().iter().map(|item| (item.name, item.value)).collect();
        assert_eq!(fields, [(b"f".as_slice(), b"1".as_slice()), (b"g", b"22")]);
        assert_eq!(pack.read().find(b"h"), None);
    }

    #[test]
    fn members_have_scores() {
        let mut pack = Pack::new(Shape::Scores);
        pack.insert(None, b"m", b"", -1.5);
        let m = pack.read().find(b"m").unwrap();
        assert_eq!((m.score, pack.bytes().len()), (-1.5, 1 + 2 + 8));
    }

    #[test]
    fn any_bytes_can_be_read() {
        let mut state = 1u64;
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 56) as u8
                })
                .collect();
            for shape in [Shape::Members, Shape::Fields, Shape::Scores] {
                for item in Packed::new(&bytes, shape).iter() {
                    assert!(item.at.end <= bytes.len());
                }
            }
        }
    }
}
