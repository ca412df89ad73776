//! What a client asks for next of its own collections: small ones, such as cross the limits up to which they are packed,
//! and large ones.

use super::collections::{Edit, End, Score};
use super::model::Change;
use super::writer::{FAR, Writer, deadline, token};

/// Collections of each type.
const COLLECTIONS: u32 = 4;

/// How large the collections of one number get.
struct Size {
    /// Names of fields and members; lists are cut to so many elements.
    names: u32,
    value_bytes: usize,
    /// Elements of one command.
    together: usize,
}

/// Up to 128 elements and 1 KiB stay packed.
const SIZES: [Size; COLLECTIONS as usize] = [
    Size { names: 12, value_bytes: 8, together: 3 },
    Size { names: 30, value_bytes: 50, together: 3 },
    Size { names: 180, value_bytes: 2, together: 30 },
    Size { names: 600, value_bytes: 150, together: 40 },
];

impl Writer {
    /// A change of one of its own collections. Of a set that something was popped of, nothing else is asked before the
    /// answer is there: after a crash only the set itself tells what it was.
    pub(super) fn collection_change(&mut self) -> Change {
        let which = self.random.u32(0..COLLECTIONS);
        let kind = ["hash", "set", "list", "sorted"][self.random.usize(0..4)];
        let key = self.collection(kind, which);
        let change = match self.random.u32(0..100) {
            0..2 => Change::Delete { key },
            2..5 => Change::ExpireAt { key, deadline: deadline(FAR) + self.sequence },
            5..10 => Change::Deadline { key },
            10..15 => {
                let other = (which + self.random.u32(1..COLLECTIONS)) % COLLECTIONS;
                let to = self.collection(kind, other);
                Change::Edit { key, edit: if self.random.bool() { Edit::Rename(to) } else { Edit::Copy(to) } }
            }
            _ => {
                let size = &SIZES[which as usize];
                let edit = match kind {
                    "hash" => self.hash_edit(size),
                    "set" => self.set_edit(size),
                    "list" => self.list_edit(size),
                    _ => self.sorted_edit(size),
                };
                Change::Edit { key, edit }
            }
        };
        if change.keys().iter().any(|key| self.popped.contains(*key)) {
            return Change::Get { key: format!("own:{}:text:0", self.number) };
        }
        if let Change::Edit { key, edit: Edit::SetPop(_) } = &change {
            self.popped.insert(key.clone());
        }
        change
    }

    fn hash_edit(&mut self, size: &Size) -> Edit {
        match self.random.u32(0..10) {
            0..5 => {
                let pairs = (0..self.some(size)).map(|_| (self.name(size), self.item(size)));
                Edit::HashSet(pairs.collect())
            }
            5..8 => Edit::HashRemove(self.names(size)),
            _ => Edit::HashAdd(format!("n{}", self.random.u32(0..5)).into_bytes(), self.random.i64(-100..100)),
        }
    }

    fn set_edit(&mut self, size: &Size) -> Edit {
        match self.random.u32(0..10) {
            0..5 => Edit::SetAdd(self.names(size)),
            5..8 => Edit::SetRemove(self.names(size)),
            _ => Edit::SetPop(self.some(size)),
        }
    }

    fn list_edit(&mut self, size: &Size) -> Edit {
        let end = self.end();
        match self.random.u32(0..10) {
            0..4 => Edit::Push(end, (0..self.some(size)).map(|_| self.item(size)).collect()),
            4..6 => Edit::Pop(end, self.some(size)),
            6 => {
                let to = self.random.u32(0..COLLECTIONS);
                Edit::Move { to: self.collection("list", to), from_end: end, to_end: self.end() }
            }
            7..9 => {
                let most = i64::from(size.names);
                Edit::ListSet(self.random.i64(-most / 2..most / 2), self.item(size))
            }
            _ => match end {
                End::Left => Edit::Trim(-i64::from(size.names), -2),
                End::Right => Edit::Trim(1, i64::from(size.names)),
            },
        }
    }

    fn sorted_edit(&mut self, size: &Size) -> Edit {
        match self.random.u32(0..10) {
            0..5 => {
                let members = (0..self.some(size)).map(|_| (self.name(size), self.score()));
                Edit::SortedAdd(members.collect())
            }
            5..7 => Edit::SortedRemove(self.names(size)),
            7 => Edit::SortedPop(self.some(size)),
            _ => Edit::SortedIncrement(self.name(size), self.score()),
        }
    }

    fn collection(&self, kind: &str, which: u32) -> String {
        format!("own:{}:{kind}:{which}", self.number)
    }

    /// How many elements.
    fn some(&mut self, size: &Size) -> usize {
        self.random.usize(1..=size.together)
    }

    fn name(&mut self, size: &Size) -> Vec<u8> {
        format!("f{}", self.random.u32(0..size.names)).into_bytes()
    }

    fn names(&mut self, size: &Size) -> Vec<Vec<u8>> {
        (0..self.some(size)).map(|_| self.name(size)).collect()
    }

    /// Of all items of one client hardly two are the same.
    fn item(&mut self, size: &Size) -> Vec<u8> {
        let mut item = token(self.number, self.sequence).into_bytes();
        let filling = self.random.usize(0..=size.value_bytes);
        item.resize(item.len() + filling, self.random.alphanumeric() as u8);
        item
    }

    fn score(&mut self) -> Score {
        Score(self.random.i64(-40..400))
    }

    fn end(&mut self) -> End {
        if self.random.bool() { End::Left } else { End::Right }
    }
}
