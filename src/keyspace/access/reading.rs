//! Values, wherever they are: in the overlay, in memory, or on the disk.
//!
//! Always true: a value that would have to be waited for ends the command, unless the access may block; what was fetched for it
//! before is used first, whatever has become of the value in memory since.

use std::sync::Arc;

use bytes::Bytes;

use super::super::cold::Cold;
use super::super::entry::{Cached, Meta};
use super::super::keydir::{Keydir, Seen, Slot};
use super::super::overlay::State;
use super::{Access, Halt, Source, View, is_expired};
use crate::store::{Location, ReadError};

impl Access<'_> {
    pub(super) fn view_overlaid<R>(
        &mut self,
        slot: &Slot,
        key: &[u8],
        look: impl FnOnce(View<'_>) -> R,
    ) -> Result<Option<R>, Halt> {
        let pending = self.overlay.as_ref().and_then(|overlay| overlay.get(self.keydir.id, key)).cloned();
        match pending {
            None | Some(State::Touched) => self.view_stored(slot, key, None, None, look),
            Some(State::Expiry(expiry)) => self.view_stored(slot, key, None, Some(expiry), look),
            Some(State::Moved { source, expiry, .. }) => self.view_stored(slot, key, Some(&source), Some(expiry), look),
            Some(State::Gone) => {
                self.count(key, false);
                Ok(None)
            }
            Some(State::Present { kind, expiry, value, object, .. }) => {
                let alive = expiry.is_none_or(|deadline| deadline > self.now) && !self.is_over(object);
                self.count(key, alive);
                let view = View { value: &value, shared: Some(&value), kind, expiry, object };
                Ok(alive.then(|| look(view)))
            }
        }
    }

    /// Looks at the value that a keydir knows: `home` where it is not this one. With `expiry_now`, its expiry is that.
    #[inline]
    pub(super) fn view_stored<R>(
        &mut self,
        slot: &Slot,
        key: &[u8],
        home: Option<&Arc<Keydir>>,
        expiry_now: Option<Option<u64>>,
        look: impl FnOnce(View<'_>) -> R,
    ) -> Result<Option<R>, Halt> {
        enum Met<R, F> {
            Nothing,
            Expired(Meta),
            Done(R, Location),
            /// Its elements are this object's.
            Root(Meta, u64, F),
            Cold(Meta, F),
            Damaged,
        }
        let now = self.now;
        let current = |meta: Meta| Meta { expiry: expiry_now.unwrap_or(meta.expiry), ..meta };
        let touch = self.touches.then(|| self.now_seconds());
        let met = home.unwrap_or(&self.keydir).read(
            slot,
            key,
            touch,
            |at| self.pins.get(at).is_some(),
            |seen| match seen {
                None => Met::Nothing,
                Some(Seen::Hot(meta, _) | Seen::Cold(meta) | Seen::Damaged(meta))
                    if is_expired(&current(meta), now) =>
                {
                    Met::Expired(meta)
                }
                Some(Seen::Damaged(_)) => Met::Damaged,
                Some(Seen::Cold(meta)) => Met::Cold(current(meta), look),
                Some(Seen::Hot(meta, Cached::Root(object))) => Met::Root(current(meta), object, look),
                Some(Seen::Hot(meta, cached)) => {
                    let shared = if let Cached::Shared(bytes) = cached { Some(bytes) } else { None };
                    let value = cached.bytes().unwrap_or_default();
                    let (kind, expiry) = (meta.kind, current(meta).expiry);
                    Met::Done(look(View { value, shared, kind, expiry, object: None }), meta.location)
                }
            },
        );
        match met {
            Met::Nothing => {
                self.missing(slot);
                self.count(key, false);
                Ok(None)
            }
            Met::Expired(stored) => {
                if expiry_now.is_none() {
                    self.expire(slot, key, &stored);
                }
                self.count(key, false);
                Ok(None)
            }
            Met::Done(result, location) => {
                self.count(key, true);
                // It has come back because this command has asked for it.
                if self.pins.get(location).is_some() {
                    self.came_from(Source::Disk);
                }
                Ok(Some(result))
            }
            Met::Root(_, object, _) if self.is_over(Some(object)) => {
                self.remove_over(key, object);
                self.count(key, false);
                Ok(None)
            }
            Met::Root(meta, object, look) => {
                self.count(key, true);
                self.elements_came_back();
                let (kind, expiry) = (meta.kind, meta.expiry);
                Ok(Some(look(View { value: &[], shared: None, kind, expiry, object: Some(object) })))
            }
            Met::Damaged => Err(Halt::Damaged),
            Met::Cold(meta, look) => {
                let Some((value, source)) = self.fetch(slot, key, home, &meta)? else {
                    self.missing(slot);
                    self.count(key, false);
                    return Ok(None);
                };
                self.count(key, true);
                self.came_from(source);
                let (kind, expiry) = (meta.kind, meta.expiry);
                Ok(Some(look(View { value: &value, shared: Some(&value), kind, expiry, object: None })))
            }
        }
    }

    /// What has to be fetched from the disk before the value of `key` can be looked at, if anything has.
    pub fn cold(&mut self, key: &[u8]) -> Option<Cold> {
        match self.view(key, |_| ()) {
            Err(Halt::Cold(cold)) => cold.into_iter().next(),
            _ => None,
        }
    }

    /// The value that stands there, and from where it came; none if the key is gone since it was looked at: another reader, who came a moment later,
    /// may have found that its time is over.
    fn fetch(
        &self,
        slot: &Slot,
        key: &[u8],
        home: Option<&Arc<Keydir>>,
        meta: &Meta,
    ) -> Result<Option<(Bytes, Source)>, Halt> {
        if let Some(pinned) = self.pins.get(meta.location) {
            return pinned.clone().map(|value| Some((value, Source::Disk))).map_err(Halt::Unreadable);
        }
        let (store, keydir) = (&self.keyspace.store, home.unwrap_or(&self.keydir));
        let read = match store.read_nowait(meta.location, key) {
            Ok(None) if self.may_block => store.read(meta.location, key).map(|value| Some((value, Source::Disk))),
            other => other.map(|value| value.map(|value| (value, Source::PageCache))),
        };
        match read {
            Err(ReadError::Gone(_))
                if let Some(now) = keydir.meta(slot, key).filter(|now| now.location != meta.location)
                    && self.looks_again() =>
            {
                // Compaction has moved it since the key was looked at.
                self.fetch(slot, key, home, &now)
            }
            Err(ReadError::Gone(_)) if keydir.meta(slot, key).is_none() => Ok(None),
            Ok(Some((value, source))) => {
                if self.touches {
                    let room = self.keyspace.memory.room();
                    keydir.warm(slot, key, meta.location, &value, room, self.now_seconds());
                }
                Ok(Some((value, source)))
            }
            Ok(None) => Err(Halt::Cold(vec![Cold::key(keydir, slot, key, meta.location)])),
            Err(ReadError::Damaged(_) | ReadError::Gone(_)) => {
                keydir.set_damaged(slot, key, meta.location);
                Err(Halt::Damaged)
            }
            Err(ReadError::Io(error)) => Err(Halt::Unreadable(error.to_string())),
        }
    }

    /// Whether what has moved is looked for: no planted fault says otherwise.
    fn looks_again(&self) -> bool {
        #[cfg(test)]
        return !self.keyspace.store.has_planted(crate::store::Planted::NoSecondLook);
        #[cfg(not(test))]
        true
    }
}
