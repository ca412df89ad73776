//! Collections in the model: what a change makes of one, and how one is told by bytes.
//!
//! Always true: in a state, a collection is a value whose bytes tell its type and all of its elements, so that it is copied,
//! moved, lost and compared as any other value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Access, End, Halt, Keyspace, Mode};
use super::model::{Value, value};
use super::runner::{START, open, options};
use crate::store::Fsync;
use crate::store::disk::SimDisk;
use crate::types::kind::{Kind, Type};

/// What is done to a collection; it is made where there is none, and does nothing to a value of another type.
#[derive(Clone, Debug)]
pub(super) enum Change {
    SetField(&'static str, usize),
    /// The same with a time to live, in milliseconds.
    SetFieldEx(&'static str, usize, u64),
    RemoveField(&'static str),
    AddMember(&'static str),
    RemoveMember(&'static str),
    SetScore(&'static str, i8),
    RemoveScored(&'static str),
    Push(End, usize),
    Pop(End),
    /// Before the element of this rank, counted round.
    Insert(usize, usize),
    SetAt(usize, usize),
    Cut(usize, usize),
}

/// A collection in the model.
enum Model {
    Hash(BTreeMap<Vec<u8>, Field>),
    Set(BTreeSet<Vec<u8>>),
    ZSet(BTreeMap<Vec<u8>, i8>),
    List(Vec<Vec<u8>>),
}

/// A value and a deadline.
type Field = (Vec<u8>, Option<u64>);

impl Change {
    fn of(&self) -> u8 {
        match self {
            Self::SetField(..) | Self::SetFieldEx(..) | Self::RemoveField(_) => b'h',
            Self::AddMember(_) | Self::RemoveMember(_) => b's',
            Self::SetScore(..) | Self::RemoveScored(_) => b'z',
            _ => b'l',
        }
    }

    /// What becomes of a value, and whether anything was done; the change is that of the step of this number.
    pub fn apply(&self, before: Option<&Value>, number: usize, now: u64) -> (Option<Value>, bool) {
        let mut model = match before {
            Some((bytes, _)) if bytes.first() != Some(&self.of()) => return (before.cloned(), false),
            Some((bytes, _)) => Model::read(bytes),
            None => Model::empty(self.of()),
        };
        let did = model.change(self, number, now);
        let expiry = before.and_then(|(_, expiry)| *expiry);
        (model.write().map(|bytes| (bytes, expiry)), did)
    }

    /// Does it to a keyspace; whether anything was done.
    pub fn perform(&self, access: &mut Access<'_>, key: &str, number: usize) -> Result<bool, Halt> {
        match self.try_to(access, key.as_bytes(), number) {
            Err(Halt::WrongType) => Ok(false),
            done => done,
        }
    }

    fn try_to(&self, access: &mut Access<'_>, key: &[u8], number: usize) -> Result<bool, Halt> {
        // Half of them have immediate effect, where they can.
        let alone = number.is_multiple_of(2);
        let did = match self {
            Self::SetField(field, length) => {
                let mut hash = access.edit_hash(key)?;
                if alone {
                    hash.alone();
                }
                hash.set(field.as_bytes(), &value(number, *length), None);
                hash.finish()?;
                true
            }
            Self::SetFieldEx(field, length, ttl) => {
                let deadline = access.now() + ttl;
                let mut hash = access.edit_hash(key)?;
                if alone {
                    hash.alone();
                }
                hash.set(field.as_bytes(), &value(number, *length), Some(deadline));
                hash.finish()?;
                true
            }
            Self::RemoveField(field) => {
                let mut hash = access.edit_hash(key)?;
                if alone {
                    hash.alone();
                }
                let did = hash.remove(field.as_bytes());
                hash.finish()?;
                did
            }
            Self::AddMember(member) => {
                let mut set = access.edit_set(key)?;
                if alone {
                    set.alone();
                }
                let did = set.add(member.as_bytes());
                set.finish()?;
                did
            }
            Self::RemoveMember(member) => {
                let mut set = access.edit_set(key)?;
                if alone {
                    set.alone();
                }
                let did = set.remove(member.as_bytes());
                set.finish()?;
                did
            }
            Self::SetScore(member, score) => {
                let mut zset = access.edit_zset(key)?;
                if alone {
                    zset.alone();
                }
                zset.set(member.as_bytes(), f64::from(*score));
                zset.finish()?;
                true
            }
            Self::RemoveScored(member) => {
                let mut zset = access.edit_zset(key)?;
                if alone {
                    zset.alone();
                }
                let did = zset.remove(member.as_bytes());
                zset.finish()?;
                did
            }
            Self::Push(end, length) => {
                let mut list = access.edit_list(key)?;
                if alone {
                    list.alone();
                }
                list.push(*end, &value(number, *length));
                list.finish()?;
                true
            }
            Self::Pop(end) => {
                let mut list = access.edit_list(key)?;
                let did = if alone && !list.is_empty() {
                    list.alone();
                    list.pop_to(*end, |_, _| ())?;
                    true
                } else {
                    list.pop(*end)?.is_some()
                };
                list.finish()?;
                did
            }
            Self::Insert(rank, length) => {
                let mut list = access.edit_list(key)?;
                let rank = rank % (list.len() + 1);
                if alone {
                    list.alone();
                }
                list.insert(rank, &value(number, *length));
                list.finish()?;
                true
            }
            Self::SetAt(rank, length) => {
                let mut list = access.edit_list(key)?;
                let rank = rank % list.len().max(1);
                let did = list.set(rank, &value(number, *length));
                list.finish()?;
                did
            }
            Self::Cut(rank, count) => {
                let mut list = access.edit_list(key)?;
                let rank = rank % list.len().max(1);
                let did = rank < list.len() && *count > 0;
                list.remove(rank..rank + count);
                list.finish()?;
                did
            }
        };
        Ok(did)
    }
}

impl Model {
    fn empty(of: u8) -> Self {
        match of {
            b'h' => Self::Hash(BTreeMap::new()),
            b's' => Self::Set(BTreeSet::new()),
            b'z' => Self::ZSet(BTreeMap::new()),
            _ => Self::List(Vec::new()),
        }
    }

    fn change(&mut self, change: &Change, number: usize, now: u64) -> bool {
        match (self, change) {
            (Self::Hash(fields), Change::SetField(field, length)) => {
                fields.insert(field.as_bytes().to_vec(), (value(number, *length), None));
                true
            }
            (Self::Hash(fields), Change::SetFieldEx(field, length, ttl)) => {
                fields.insert(field.as_bytes().to_vec(), (value(number, *length), Some(now + ttl)));
                true
            }
            (Self::Hash(fields), Change::RemoveField(field)) => fields.remove(field.as_bytes()).is_some(),
            (Self::Set(members), Change::AddMember(member)) => members.insert(member.as_bytes().to_vec()),
            (Self::Set(members), Change::RemoveMember(member)) => members.remove(member.as_bytes()),
            (Self::ZSet(members), Change::SetScore(member, score)) => {
                members.insert(member.as_bytes().to_vec(), *score);
                true
            }
            (Self::ZSet(members), Change::RemoveScored(member)) => members.remove(member.as_bytes()).is_some(),
            (Self::List(list), Change::Push(End::Left, length)) => {
                list.insert(0, value(number, *length));
                true
            }
            (Self::List(list), Change::Push(End::Right, length)) => {
                list.push(value(number, *length));
                true
            }
            (Self::List(list), Change::Pop(end)) => {
                let rank = if *end == End::Left { 0 } else { list.len().saturating_sub(1) };
                !list.is_empty() && !list.remove(rank).is_empty()
            }
            (Self::List(list), Change::Insert(rank, length)) => {
                let rank = rank % (list.len() + 1);
                list.insert(rank, value(number, *length));
                true
            }
            (Self::List(list), Change::SetAt(rank, length)) => {
                let rank = rank % list.len().max(1);
                list.get_mut(rank).map(|element| *element = value(number, *length)).is_some()
            }
            (Self::List(list), Change::Cut(rank, count)) => {
                let rank = rank % list.len().max(1);
                let end = (rank + count).min(list.len());
                rank < list.len() && list.drain(rank..end).count() > 0
            }
            _ => unreachable!("the type was compared"),
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let mut words = Vec::new();
        let mut rest = &bytes[1..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (word, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
            words.push(word.to_vec());
            rest = behind;
        }
        let pairs = words.chunks(2).map(|pair| (pair[0].clone(), pair[pair.len() - 1].clone()));
        match bytes[0] {
            b'h' => Self::Hash(pairs.map(|(name, field)| (name, field_of(&field))).collect()),
            b's' => Self::Set(words.into_iter().collect()),
            b'z' => Self::ZSet(pairs.map(|(name, score)| (name, score[0] as i8)).collect()),
            _ => Self::List(words),
        }
    }

    /// Nothing where there are no elements.
    fn write(&self) -> Option<Vec<u8>> {
        let mut words: Vec<&[u8]> = Vec::new();
        let (scores, fields_written): (Vec<[u8; 1]>, Vec<Vec<u8>>);
        let of = match self {
            Self::Hash(fields) => {
                fields_written = fields.values().map(bytes_of).collect();
                fields.keys().zip(&fields_written).for_each(|(name, field)| words.extend([&name[..], field]));
                b'h'
            }
            Self::Set(members) => {
                words.extend(members.iter().map(|member| &member[..]));
                b's'
            }
            Self::ZSet(members) => {
                scores = members.values().map(|score| [*score as u8]).collect();
                members.keys().zip(&scores).for_each(|(name, score)| words.extend([&name[..], score]));
                b'z'
            }
            Self::List(list) => {
                words.extend(list.iter().map(|element| &element[..]));
                b'l'
            }
        };
        let mut bytes = vec![of];
        for word in &words {
            bytes.extend((word.len() as u32).to_le_bytes());
            bytes.extend(*word);
        }
        (!words.is_empty()).then_some(bytes)
    }
}

fn field_of(bytes: &[u8]) -> Field {
    let (deadline, value) = bytes.split_first_chunk().expect("a field begins with its deadline");
    (value.to_vec(), Some(u64::from_le_bytes(*deadline)).filter(|deadline| *deadline > 0))
}

fn bytes_of((value, deadline): &Field) -> Vec<u8> {
    [&deadline.unwrap_or(0).to_le_bytes()[..], value].concat()
}

/// A value without the fields whose time is over at `now`, and whether there were any; nothing where no field is left.
pub(super) fn visible(value: &Value, now: u64) -> (Option<Value>, bool) {
    let (bytes, expiry) = value;
    if bytes.first() != Some(&b'h') {
        return (Some(value.clone()), false);
    }
    let Model::Hash(mut fields) = Model::read(bytes) else { return (Some(value.clone()), false) };
    let count = fields.len();
    fields.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
    let hidden = fields.len() < count;
    (Model::Hash(fields).write().map(|bytes| (bytes, *expiry)), hidden)
}

/// The hashes of a database that have nothing to be seen, since the time of all of their fields is over, and theirs is not.
pub(super) fn hidden(keyspace: &Keyspace, database: u32) -> BTreeSet<String> {
    let (keydir, now) = (keyspace.bound.databases[database as usize].load(), keyspace.now());
    let mut hidden = BTreeSet::new();
    keydir.each_root(|key, object| {
        let object = keyspace.bound.objects.get(object).expect("a key's object is there");
        let meta = keydir.meta(&keyspace.slot(key), key).expect("it is there");
        let is_alive = meta.expiry.is_none_or(|deadline| deadline > now);
        if is_alive && object.is_over(now) {
            hidden.insert(String::from_utf8_lossy(key).into_owned());
        }
    });
    hidden
}

/// The value of a key as the model tells it.
pub(super) fn shown(access: &mut Access<'_>, key: &[u8]) -> Result<Option<Value>, Halt> {
    let Some(found) = access.value(key)? else { return Ok(None) };
    let kind = Kind(found.kind).of();
    let mut model = match kind {
        Type::String | Type::Unknown => return Ok(Some((found.bytes.to_vec(), found.expiry))),
        Type::Hash => Model::empty(b'h'),
        Type::Set => Model::empty(b's'),
        Type::ZSet => Model::empty(b'z'),
        Type::List => Model::empty(b'l'),
    };
    let mut count = 0;
    let length = match &mut model {
        Model::Hash(fields) => {
            // The time of all of its fields may be over.
            let Some(hash) = access.hash(key)? else { return Ok(None) };
            hash.each(access, true, |field, value, _| {
                count += 1;
                fields.insert(field.to_vec(), (value.to_vec(), None));
            })?;
            for (name, (_, deadline)) in fields.iter_mut() {
                *deadline = hash.deadline(access, name).expect("it was there just now");
            }
            hash.len(access)
        }
        Model::Set(members) => {
            let set = access.set(key)?.expect("it is there");
            set.each(access, |member| {
                count += 1;
                members.insert(member.to_vec());
            })?;
            set.len()
        }
        Model::ZSet(members) => {
            let zset = access.zset(key)?.expect("it is there");
            let mut last = (f64::NEG_INFINITY, Vec::new());
            zset.range(0..usize::MAX, false, |member, score| {
                count += 1;
                assert!(last < (score, member.to_vec()), "members are in order");
                assert_eq!(zset.rank(member), Some((count - 1, score)));
                last = (score, member.to_vec());
                members.insert(member.to_vec(), score as i8);
            });
            zset.len(access)
        }
        Model::List(list) => {
            let elements = access.list(key)?.expect("it is there");
            elements.range(access, 0..usize::MAX, false, |value, _| {
                count += 1;
                list.push(value.to_vec());
            })?;
            elements.len(access)
        }
    };
    assert_eq!(count, length, "elements are counted");
    let bytes = model.write().expect("a collection without elements is no key");
    Ok(Some((bytes, found.expiry)))
}

#[test]
fn values_of_elements_refuse_no_writes_as_they_can_leave_memory() {
    let keyspace = open(Arc::new(SimDisk::new()), START, options(Fsync::Everysec)).unwrap();
    let mut access = keyspace.access_one(0, b"k", Mode::Exclusive, keyspace.now(), false);
    let mut hash = access.edit_hash(b"k").unwrap();
    for field in 0..40u8 {
        hash.set(&[field], &[b'v'; 5000], None);
    }
    hash.finish().unwrap();
    drop(access);
    let limit = keyspace.memory_use().tables + 20_000;
    keyspace.set_memory_limit(limit);
    // They are not written yet, and have to stay for a moment.
    keyspace.govern(0);
    assert!(keyspace.memory_use().total() > limit && !keyspace.is_out_of_memory());
    keyspace.store().sync().unwrap();
    keyspace.govern(0);
    assert!(keyspace.memory_use().total() <= limit && !keyspace.is_out_of_memory());
    // What the elements themselves take cannot go.
    keyspace.set_memory_limit(keyspace.memory_use().tables + 500);
    keyspace.govern(0);
    assert!(keyspace.is_out_of_memory());
}
