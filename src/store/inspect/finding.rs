//! What a check finds: in which file, at which byte, and what it costs.

/// Something that is not as it should be, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Bytes from its start, where there is such a place.
    pub offset: Option<u64>,
    /// What is there.
    pub what: String,
    /// The key or the element it concerns, where that can be told.
    pub key: Option<KeyOf>,
    /// What it costs.
    pub cost: Cost,
}

/// A key in its keyspace, or an element of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOf {
    /// The id of the keyspace.
    pub keyspace: u32,
    /// The id of the object that it is an element of, if it is one.
    pub object: Option<u64>,
    /// The key, or the name of the element.
    pub key: Vec<u8>,
}

/// What a finding costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// As it may be: it is only told.
    Nothing,
    /// A cache: what it says is said elsewhere, too.
    Cache,
    /// An earlier moment cannot be brought back as it was.
    Past,
    /// Something else says the same.
    Spare,
    /// Reading the key, or the element, is an error.
    Key,
    /// The next start removes the file, with what may be data.
    Removal,
    /// The store does not open.
    Start,
}

impl Cost {
    /// Whether anything is damaged.
    pub fn is_damage(self) -> bool {
        self != Self::Nothing
    }
}

impl Finding {
    /// Something in a file.
    pub(super) fn new(file: impl Into<String>, offset: Option<u64>, cost: Cost, what: impl Into<String>) -> Self {
        Self { file: file.into(), offset, what: what.into(), key: None, cost }
    }

    /// The same, about a key or an element.
    pub(super) fn of_key(mut self, key: KeyOf) -> Self {
        self.key = Some(key);
        self
    }
}
