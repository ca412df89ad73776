//! What a record does.

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Sets a key's value and its expiry (no [`Draft::expiry`](super::Draft::expiry): it never expires).
    Put = 1,
    /// Removes a key.
    Delete = 2,
    /// Sets a key's expiry only, or takes it away.
    Expire = 3,
    /// Binds a database number to a keyspace: the key is the number, `u32` little-endian.
    Bind = 4,
    /// States the durable position and the wall clock; the store's own.
    Mark = 5,
    /// As a mark, and the last record of its segment; the store's own.
    Seal = 6,
    /// Makes the value that the key has in another keyspace its value here, with this record's expiry; it has none there
    /// any more. The value is the other keyspace's id, `u32` little-endian.
    Move = 7,
    /// Sets the value of an element of an object, and its expiry; the key is the element's name.
    SetElement = 8,
    /// Removes an element of an object; the key is the element's name.
    RemoveElement = 9,
}

impl Op {
    const ALL: [Self; 9] = [
        Self::Put,
        Self::Delete,
        Self::Expire,
        Self::Bind,
        Self::Mark,
        Self::Seal,
        Self::Move,
        Self::SetElement,
        Self::RemoveElement,
    ];

    pub(super) fn read(byte: u8) -> Option<Self> {
        // They are numbered from 1.
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }

    /// Whether such a record may use the reserve when the disk is full: it takes data away or bounds its life.
    pub(super) fn uses_reserve(self) -> bool {
        !matches!(self, Self::Put | Self::Move | Self::SetElement)
    }

    /// Whether such a record has a value that something may refer to.
    pub fn sets_value(self) -> bool {
        matches!(self, Self::Put | Self::SetElement)
    }

    /// Whether such a record takes a value away for good.
    pub(super) fn removes_value(self) -> bool {
        matches!(self, Self::Delete | Self::RemoveElement)
    }

    /// Whether such a record is about an element of an object, and not about a key.
    pub fn is_of_element(self) -> bool {
        matches!(self, Self::SetElement | Self::RemoveElement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_from_its_number() {
        for op in Op::ALL {
            assert_eq!(Op::read(op as u8), Some(op));
        }
        let known = (0..=u8::MAX).filter(|byte| Op::read(*byte).is_some()).count();
        assert_eq!(known, Op::ALL.len());
    }
}
