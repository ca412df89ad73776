//! A collection that is changed, in either form.
//!
//! Always true: nothing of it takes effect before `finish`, unless the caller has said that it is `alone`; who drops an edit
//! instead has done nothing. A packed one that grows
//! beyond what is packed becomes a large one within the same change; an empty one is no key.

use std::ops::Range;
use std::sync::Arc;

use super::super::access::{Access, Halt};
use super::super::footprint::Footprints;
use super::found::{Form, Found, Lent, Wanted, shape_of};
use super::object::{Content, Logged, Object};
use crate::store::{Refused, Store};
use crate::types::kind::{Kind, Type};
use crate::types::packed::{Pack, Packed};

/// What has become of a key whose collection was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited {
    /// There was such a key before.
    pub existed: bool,
    /// There is one now.
    pub exists: bool,
    /// Anything has changed.
    pub changed: bool,
}

impl Edited {
    /// Whether the last element has gone, and the key with it.
    pub fn emptied(&self) -> bool {
        self.existed && !self.exists
    }
}

/// See the module.
pub(super) struct Edit<'a, 'k> {
    pub(super) access: &'a mut Access<'k>,
    key: &'a [u8],
    of: Type,
    form: EditForm,
    /// What OBJECT ENCODING is to say.
    pub(super) kind: Kind,
    expiry: Option<u64>,
    existed: bool,
    /// The value takes the place of whatever the key was.
    replaces: bool,
    changed: bool,
    alone: bool,
    /// What has come of a change that took effect at once.
    done: Option<Result<(), Halt>>,
}

enum EditForm {
    Packed(Pack),
    Large(Large),
}

/// A large collection that is being changed.
struct Large {
    object: Arc<Object>,
    /// Changes that were in the journal before.
    mark: usize,
    /// The earliest deadline of any field, before.
    before: Option<u64>,
    /// How many elements it had, and what has taken effect at once.
    elements: usize,
    /// The kind its root says, if there is one.
    root: Option<Kind>,
    finished: bool,
}

impl Drop for Large {
    fn drop(&mut self) {
        if !self.finished {
            self.object.undo(self.mark);
        }
    }
}

impl<'a, 'k> Edit<'a, 'k> {
    /// Begins to change the value of `key`, which must be of this type if there is one; where there is none it begins with an
    /// empty one of this kind.
    pub(super) fn begin(access: &'a mut Access<'k>, key: &'a [u8], empty: Kind) -> Result<Self, Halt> {
        let of = empty.of();
        let Some(Found { form, kind, expiry }) = access.collection(key, of)? else {
            return Ok(Self::fresh(access, key, empty, false));
        };
        // Where the time of all fields was over, there is no key any more.
        let mut changed = false;
        let form = match form {
            Form::Packed(bytes) => EditForm::Packed(Pack::of(&bytes, shape_of(of))),
            Form::Large(object) => {
                access.expire_fields(key, &object);
                let mark = object.mark();
                changed = mark.elements == 0;
                EditForm::Large(Large {
                    object,
                    mark: mark.changes,
                    before: mark.deadline,
                    elements: mark.elements,
                    root: Some(Kind(kind)),
                    finished: false,
                })
            }
        };
        let (kind, existed) = (Kind(kind), true);
        let (replaces, alone, done) = (false, false, None);
        Ok(Self { access, key, of, form, kind, expiry, existed, replaces, changed, alone, done })
    }

    /// Begins with an empty value that takes the place of whatever the key is, once it is finished; an empty one is no key.
    pub(super) fn replace(access: &'a mut Access<'k>, key: &'a [u8], empty: Kind) -> Self {
        let existed = access.exists_quietly(key);
        let mut edit = Self::fresh(access, key, empty, true);
        (edit.existed, edit.changed) = (existed, existed);
        edit
    }

    fn fresh(access: &'a mut Access<'k>, key: &'a [u8], kind: Kind, replaces: bool) -> Self {
        let of = kind.of();
        let form = EditForm::Packed(Pack::new(shape_of(of)));
        let (expiry, existed, changed, alone, done) = (None, false, false, false, None);
        Self { access, key, of, form, kind, expiry, existed, replaces, changed, alone, done }
    }

    /// Says that the next change is the only one, of one element, and that `finish` comes after it whatever happens: it may
    /// take effect at once then.
    pub(super) fn alone(&mut self) {
        self.alone = true;
    }

    /// Has the only change take effect at once, where it can: `change` makes it together with its record.
    fn at_once(
        &mut self,
        change: impl FnOnce(&Object, &Store, &Footprints) -> Option<Result<Logged, Refused>>,
    ) -> Option<Logged> {
        let kind = self.kind;
        // One that has changed its kind, or may do so when it grows, needs a record of its key as well.
        if !self.alone || self.changed || kind.is_one_block() || self.access.overlay().is_some() {
            return None;
        }
        let EditForm::Large(large) = &mut self.form else { return None };
        if large.mark > 0 || large.root != Some(kind) {
            return None;
        }
        let keyspace = self.access.keyspace();
        match change(&large.object, &keyspace.store, keyspace.bound.objects.counter())? {
            Ok(logged) => {
                self.access.changed_at_once(self.key, &large.object, large.before, &logged);
                self.done = Some(Ok(()));
                Some(logged)
            }
            Err(refused) => {
                self.done = Some(Err(refused.into()));
                Some(Logged { end: 0, before: None, deadline: None })
            }
        }
    }

    /// Counts elements that have come or gone at once.
    fn count_at_once(&mut self, come: usize, gone: usize) {
        if let EditForm::Large(large) = &mut self.form {
            large.elements = large.elements + come - gone;
        }
    }

    /// Puts an element into a large list before the one of this rank, or at the end.
    pub(super) fn insert(&mut self, rank: usize, kind: u8, value: &[u8]) {
        let at_once = self.at_once(|object, store, all| Some(object.insert_logged(store, all, rank, kind, value)));
        if at_once.is_some() {
            self.count_at_once(1, 0);
        } else if let EditForm::Large(large) = &self.form {
            large.object.insert(rank, kind, value);
            self.changed = true;
        }
    }

    /// Takes the first or the last element out of a large list at once, and lends its value to `look`; `false` if it cannot, and
    /// nothing has happened then. What is left must weigh so much.
    pub(super) fn pop_at_once(
        &mut self,
        first: bool,
        weight_min: usize,
        look: impl FnOnce(&[u8], Option<&bytes::Bytes>),
    ) -> bool {
        let popped = self.at_once(|object, store, all| object.pop_logged(store, all, first, weight_min, look));
        if popped.is_some() {
            self.count_at_once(0, 1);
        }
        popped.is_some()
    }

    /// Takes all elements out at once, whatever they are; the key keeps its expiry.
    pub(super) fn begin_anew(&mut self, kind: Kind) {
        (self.form, self.kind, self.changed) = (EditForm::Packed(Pack::new(shape_of(self.of))), kind, true);
    }

    /// The elements where they are packed.
    pub(super) fn packed(&self) -> Option<Packed<'_>> {
        if let EditForm::Packed(pack) = &self.form { Some(pack.read()) } else { None }
    }

    /// The elements where they are large.
    pub(super) fn large(&self) -> Option<&Arc<Object>> {
        if let EditForm::Large(large) = &self.form { Some(&large.object) } else { None }
    }

    /// The same value to be read.
    pub(super) fn found(&self) -> Found {
        let form = match &self.form {
            EditForm::Packed(pack) => Form::Packed(bytes::Bytes::copy_from_slice(pack.bytes())),
            EditForm::Large(large) => Form::Large(large.object.clone()),
        };
        Found { form, kind: self.kind.0, expiry: self.expiry }
    }

    pub(super) fn len(&self) -> usize {
        match &self.form {
            EditForm::Packed(pack) => pack.len(),
            EditForm::Large(large) if self.changed => large.object.len(),
            EditForm::Large(large) => large.elements,
        }
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        match &self.form {
            EditForm::Packed(pack) => pack.read().find(name).is_some(),
            EditForm::Large(large) => large.object.read(|inner| inner.elements.get(name).is_some()),
        }
    }

    /// Lends the element of this name.
    pub(super) fn find<R>(
        &mut self,
        name: &[u8],
        wanted: Wanted,
        look: impl FnOnce(Lent<'_>) -> R,
    ) -> Result<Option<R>, Halt> {
        match &self.form {
            EditForm::Packed(pack) => Ok(pack.read().find(name).map(|item| {
                let (name, value, score) = (item.name, item.value, item.score);
                look(Lent { name, value, shared: None, score, expiry: None })
            })),
            EditForm::Large(large) => self.access.find_in(&large.object, name, wanted, look),
        }
    }

    /// Puts an element in, or gives it another value; returns whether it is new.
    pub(super) fn put(&mut self, name: &[u8], content: &Content<'_>) -> bool {
        let kind = self.kind.0;
        if let Some(logged) =
            self.at_once(|object, store, all| Some(object.put_logged(store, all, name, kind, content)))
        {
            let is_new = logged.before.is_none();
            self.count_at_once(usize::from(is_new), 0);
            return is_new;
        }
        self.changed = true;
        let (value, score, has_deadline) = match *content {
            Content::Value(value, expiry) => (value, 0.0, expiry.is_some()),
            Content::Score(score) => (&[][..], score, false),
        };
        if let EditForm::Packed(pack) = &self.form
            && (has_deadline || pack.is_full_with(name, value))
        {
            self.unpack();
        }
        match &mut self.form {
            EditForm::Large(large) => large.object.put(name, self.kind.0, content),
            EditForm::Packed(pack) => {
                let at = pack.read().find(name).map(|item| item.at);
                let is_new = at.is_none();
                if self.of == Type::ZSet {
                    if let Some(at) = at {
                        pack.remove(at);
                    }
                    let behind = pack.read().iter().find(|item| (item.score, item.name) > (score, name));
                    let place = behind.map(|item| item.at.start);
                    pack.insert(place, name, value, score);
                } else {
                    match at {
                        Some(at) => pack.replace(at, name, value, score),
                        None => pack.insert(None, name, value, score),
                    }
                }
                is_new
            }
        }
    }

    /// Puts an element of a set or a hash in, which is known not to be there.
    pub(super) fn put_new(&mut self, name: &[u8], content: &Content<'_>) {
        match (&mut self.form, content) {
            (EditForm::Packed(pack), Content::Value(value, None)) if !pack.is_full_with(name, value) => {
                pack.insert(None, name, value, 0.0);
                self.changed = true;
            }
            _ => _ = self.put(name, content),
        }
    }

    /// Removes an element; returns whether there was one.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        if self.at_once(|object, store, all| object.remove_logged(store, all, name)).is_some() {
            self.count_at_once(0, 1);
            return true;
        }
        let removed = match &mut self.form {
            EditForm::Large(large) => large.object.remove(name),
            EditForm::Packed(pack) => match pack.read().find(name).map(|item| item.at) {
                Some(at) => {
                    pack.remove(at);
                    true
                }
                None => false,
            },
        };
        self.changed |= removed;
        removed
    }

    /// Changes packed elements by their places, which a large collection does not have.
    pub(super) fn pack_mut(&mut self) -> Option<&mut Pack> {
        self.changed = true;
        if let EditForm::Packed(pack) = &mut self.form { Some(pack) } else { None }
    }

    /// Whether one more such element makes a packed collection too large.
    pub(super) fn is_full_with(&self, name: &[u8]) -> bool {
        if let EditForm::Packed(pack) = &self.form { pack.is_full_with(name, &[]) } else { false }
    }

    /// Where an element of a packed list or set stands.
    pub(super) fn place(&self, index: usize) -> Option<Range<usize>> {
        self.packed()?.iter().nth(index).map(|item| item.at)
    }

    /// Makes a large collection of a packed one.
    pub(super) fn unpack(&mut self) -> &Arc<Object> {
        if let EditForm::Packed(pack) = &self.form {
            let object = self.access.create_object(self.of);
            let before = object.earliest_deadline();
            for (index, item) in pack.read().iter().enumerate() {
                match self.of {
                    Type::List => {
                        let name = super::position::position(index as i64);
                        object.put(&name, super::listpack::kind_of(item.name), &Content::Value(item.name, None));
                    }
                    Type::ZSet => _ = object.put(item.name, self.kind.0, &Content::Score(item.score)),
                    _ => _ = object.put(item.name, self.kind.0, &Content::Value(item.value, None)),
                }
            }
            let large = Large { object, mark: 0, before, elements: pack.len(), root: None, finished: false };
            self.form = EditForm::Large(large);
        }
        match &self.form {
            EditForm::Large(large) => &large.object,
            EditForm::Packed(_) => unreachable!("it was made large above"),
        }
    }

    /// Says that something has changed.
    pub(super) fn note_change(&mut self) {
        self.changed = true;
    }

    /// Lets the changes take effect.
    pub(super) fn finish(mut self) -> Result<Edited, Halt> {
        if let Some(done) = self.done.take() {
            if let EditForm::Large(large) = &mut self.form {
                large.finished = true;
            }
            return done.map(|()| Edited { existed: true, exists: true, changed: true });
        }
        let exists = self.len() > 0;
        let Self { access, key, form, kind, mut expiry, existed, replaces, changed, .. } = self;
        let edited = Edited { existed, exists, changed };
        if !changed {
            return Ok(edited);
        }
        if replaces {
            expiry = None;
        }
        match form {
            _ if !exists => {
                // What is left of it is undone, and goes with the key.
                drop(form);
                if existed {
                    access.delete(key)?;
                }
            }
            EditForm::Packed(pack) => access.put(key, kind.0, pack.bytes(), expiry)?,
            EditForm::Large(mut large) => {
                let root = (large.root != Some(kind)).then_some((kind.0, expiry));
                large.finished = true;
                access.put_elements(key, &large.object, large.before, root)?;
            }
        }
        Ok(edited)
    }
}
