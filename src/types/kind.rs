//! The byte that says what a value is: its type, and the encoding that OBJECT ENCODING names.
//!
//! The encoding is a statement for clients, following Redis's thresholds; how a value is stored does not depend
//! on it. The byte is part of the log: numbers are never given another meaning.

use super::number;

/// Type in the upper four bits, encoding in the lower four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Bytes.
    String,
    /// Fields with values.
    Hash,
    /// Members in no order.
    Set,
    /// Elements in the order they were put in.
    List,
    /// Members in the order of their scores.
    ZSet,
    /// Written by a version that knows more types.
    Unknown,
}

/// The longest string that Redis keeps beside its key.
pub const EMBSTR_BYTES_MAX: usize = 44;

/// The longest decimal integer.
const INT_BYTES_MAX: usize = 20;

impl Kind {
    /// A string that is an integer.
    pub const INT: Self = Self(0);
    /// A short string.
    pub const EMBSTR: Self = Self(1);
    /// A long string, or one that was changed in place.
    pub const RAW: Self = Self(2);

    /// A hash that Redis would keep as one block.
    pub const HASH_LISTPACK: Self = Self(0x10);
    /// A hash that Redis would keep as a table.
    pub const HASH_TABLE: Self = Self(0x11);
    /// A set of integers that Redis would keep as an array.
    pub const SET_INTSET: Self = Self(0x20);
    /// A set that Redis would keep as one block.
    pub const SET_LISTPACK: Self = Self(0x21);
    /// A set that Redis would keep as a table.
    pub const SET_TABLE: Self = Self(0x22);
    /// A list that Redis would keep as one block.
    pub const LIST_LISTPACK: Self = Self(0x30);
    /// A list that Redis would keep as a chain of blocks.
    pub const LIST_QUICKLIST: Self = Self(0x31);
    /// A sorted set that Redis would keep as one block.
    pub const ZSET_LISTPACK: Self = Self(0x40);
    /// A sorted set that Redis would keep as a table and a skip list.
    pub const ZSET_SKIPLIST: Self = Self(0x41);

    /// The kind of a string that was just set.
    #[inline]
    pub fn of_string(value: &[u8]) -> Self {
        if value.len() <= INT_BYTES_MAX && number::parse_i64(value).is_some() {
            Self::INT
        } else {
            Self::of_text(value)
        }
    }

    /// The kind of a string that is not looked at as a number.
    pub fn of_text(value: &[u8]) -> Self {
        if value.len() <= EMBSTR_BYTES_MAX { Self::EMBSTR } else { Self::RAW }
    }

    /// The type.
    #[inline]
    pub fn of(self) -> Type {
        match self.0 >> 4 {
            0 => Type::String,
            1 => Type::Hash,
            2 => Type::Set,
            3 => Type::List,
            4 => Type::ZSet,
            _ => Type::Unknown,
        }
    }

    /// Whether Redis would keep it as one block of memory, which commands walk over at once.
    pub fn is_one_block(self) -> bool {
        matches!(
            self,
            Self::HASH_LISTPACK | Self::SET_INTSET | Self::SET_LISTPACK | Self::LIST_LISTPACK | Self::ZSET_LISTPACK
        )
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::INT => "int",
            Self::EMBSTR => "embstr",
            Self::RAW => "raw",
            Self::HASH_LISTPACK | Self::SET_LISTPACK | Self::LIST_LISTPACK | Self::ZSET_LISTPACK => "listpack",
            Self::HASH_TABLE | Self::SET_TABLE => "hashtable",
            Self::SET_INTSET => "intset",
            Self::LIST_QUICKLIST => "quicklist",
            Self::ZSET_SKIPLIST => "skiplist",
            _ => "unknown",
        }
    }
}

impl Type {
    /// As TYPE names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::List => "list",
            Self::ZSet => "zset",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_encoded_as_redis_would() {
        let long = [b'x'; 45];
        let rows: [(&[u8], &str); 8] = [
            (b"", "embstr"),
            (b"12", "int"),
            (b"-9223372036854775808", "int"),
            (b"9223372036854775808", "embstr"),
            (b"012", "embstr"),
            (b"1.5", "embstr"),
            (&long[..44], "embstr"),
            (&long, "raw"),
        ];
        for (value, encoding) in rows {
            assert_eq!(Kind::of_string(value).encoding(), encoding, "{}", value.escape_ascii());
        }
    }
}
