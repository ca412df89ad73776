//! The classes of events that `notify-keyspace-events` chooses among.

use super::field::Field;

/// Some classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u16);

/// One class.
pub type EventClass = EventClasses;

impl EventClasses {
    /// Events on channels of keys, which tell the event.
    pub const KEYSPACE: Self = Self(1);
    /// Events on channels of events, which tell the key.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// Commands of no type.
    pub const GENERIC: Self = Self(1 << 2);
    pub const STRING: Self = Self(1 << 3);
    /// A key's time was over.
    pub const EXPIRED: Self = Self(1 << 4);
    /// A key that was looked for is not there.
    pub const MISS: Self = Self(1 << 5);
    /// A key is there that was not.
    pub const NEW: Self = Self(1 << 6);
    pub const LIST: Self = Self(1 << 7);
    pub const SET: Self = Self(1 << 8);
    pub const HASH: Self = Self(1 << 9);
    pub const ZSET: Self = Self(1 << 10);
    /// There was no memory for a key.
    pub const EVICTED: Self = Self(1 << 11);

    /// The classes that exist so far, by their letters; the others have no events yet.
    const LETTERS: &[(char, Self)] = &[
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('m', Self::MISS),
        ('n', Self::NEW),
    ];

    /// Whether anybody is to be told of events of a class.
    #[inline]
    pub const fn has(self, class: Self) -> bool {
        self.0 & class.0 != 0
    }

    /// Whether nobody is to be told of anything.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Field for EventClasses {
    fn read(text: &str) -> Option<Self> {
        let is_chosen = |letter: char| text.contains(letter) || text.contains('A') && !"KEmn".contains(letter);
        let chosen = Self::LETTERS.iter().filter(|(letter, _)| is_chosen(*letter));
        let all = Self(chosen.fold(0, |bits, (_, class)| bits | class.0));
        // Without a channel, there is nobody to tell.
        Some(if all.has(Self(Self::KEYSPACE.0 | Self::KEYEVENT.0)) { all } else { Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_choose_classes() {
        let read = |text| EventClasses::read(text).unwrap();
        assert!(read("").is_empty() && read("A").is_empty() && read("g$x").is_empty());
        let all = read("AE");
        assert!(all.has(EventClass::GENERIC) && all.has(EventClass::EXPIRED) && all.has(EventClass::KEYEVENT));
        assert!(!all.has(EventClass::NEW) && !all.has(EventClass::MISS) && !all.has(EventClass::KEYSPACE));
        let some = read("$Kn");
        assert!(some.has(EventClass::STRING) && some.has(EventClass::NEW) && !some.has(EventClass::GENERIC));
    }
}
