//! What a command has changed so far, before it takes effect: who waits for keys is served within the same batch.

use bytes::Bytes;

use super::Access;
use super::watch::Change;

/// Changes of one command, up to some moment.
#[derive(Debug, Default)]
pub struct Changes {
    /// The databases and keys, in the order of their latest changes.
    pub keys: Vec<(u32, Bytes)>,
    /// Databases that have other keys now.
    pub databases: Vec<u32>,
}

impl Access<'_> {
    /// Whether this command has changed `key` already, which takes effect later.
    pub fn has_pending(&self, key: &[u8]) -> bool {
        self.overlay().is_some_and(|overlay| overlay.get(self.keydir().id, key).is_some())
    }

    /// What has changed since this was last asked; nothing where changes take effect at once. `seen` is where that was, at
    /// first 0.
    pub fn changes_since(&mut self, seen: &mut usize) -> Changes {
        let Some(overlay) = self.overlay_mut() else { return Changes::default() };
        let changes = Changes { keys: overlay.changed_since(*seen), databases: overlay.take_rebound() };
        *seen = overlay.count();
        changes
    }

    /// Says to whoever watches or caches `key` that it was changed, as a command may where it has left everything as it was.
    pub fn signal(&mut self, key: &[u8]) {
        self.signal_in(self.database(), key);
    }

    /// The same for a key of another database.
    pub fn signal_in(&mut self, database: u32, key: &[u8]) {
        self.keyspace().watchers.changed(database, key, Change::Updated);
    }
}
