//! What happens when the disk fails a write or a sync.
//!
//! After a failed sync nothing that was unsynced in that file can be trusted, and a second sync of it would lie. So
//! everything from the durable position on is written to a fresh segment at the same positions: from memory or, under
//! `no`, read back record by record. The old segments are cut in the manifest, by the same edit that adds the new one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::{Syncer, Writer};
use super::error::LogFailed;
use super::log::{Active, Log, capacity_for, is_full};
use super::manifest::{Edit, SegmentKind, SegmentState, segment_file_name};
use super::record::{HEADER_BYTES, Op, Raw, Record, resalt};
use super::segment::{Count, FIRST_OFFSET, Position, Segment};

impl Log {
    /// Rewrites everything that is not durable to a fresh segment; when that fails as well, the log is read-only.
    pub(super) fn repair(&self, syncer: &mut Syncer) -> Result<(), LogFailed> {
        let mut writer = self.writer.lock();
        // Appenders wait: what they append must have a place that does not move again.
        let mut active = self.active.lock();
        let from = self.durable.load(Ordering::SeqCst);
        let (to, sequence) = (active.position, active.sequence);
        let rewritten = self.unsynced(&active, from).and_then(|pieces| self.rewrite(pieces, from, to, sequence));
        match rewritten {
            Ok((segment, left)) => {
                self.go_on(syncer, &mut writer, &mut active, from, segment, &left);
                drop(active);
                self.made_durable(to);
                drop(writer);
                if self.waiters.any_beyond(to) {
                    self.signals.ask_to_write();
                }
                Ok(())
            }
            Err(error) => {
                let cause = self.counters.last_error.lock().clone().unwrap_or_default();
                let reason = if is_full(&error) {
                    "the disk is full".to_owned()
                } else {
                    format!("a write failed ({cause}), and so did moving on to another file ({error})")
                };
                self.note_error(&error);
                self.fail_holding(&mut active, &reason, is_full(&error));
                Err(LogFailed { reason: reason.into() })
            }
        }
    }

    /// Everything from `from` on, in pieces of whole records.
    fn unsynced(&self, active: &Active, from: Position) -> io::Result<Vec<Vec<u8>>> {
        let (mut kept, mut next) = (Vec::new(), from);
        let mut keep = |start: Position, bytes: &[u8]| {
            let end = start + bytes.len() as u64;
            // A block's front may have become durable before its end.
            if end > next {
                let start = start.max(next);
                kept.push((start, bytes[bytes.len() - (end - start) as usize..].to_vec()));
                next = end;
            }
        };
        for block in &self.window.lock().blocks {
            keep(block.start(), &block.bytes);
        }
        for chunk in self.in_flight.lock().iter() {
            keep(chunk.start(), &chunk.bytes);
        }
        for chunk in &active.pending {
            keep(chunk.start(), &chunk.bytes);
        }
        if !active.buffer.is_empty() {
            keep(active.segment().position(active.buffer_offset), &active.buffer);
        }
        kept.push((active.position, Vec::new()));
        let (mut pieces, mut next) = (Vec::new(), from);
        for (start, bytes) in kept {
            // What was written under `no` is not kept.
            if start > next {
                pieces.append(&mut self.read_back(next, start)?);
            }
            next = start + bytes.len() as u64;
            if !bytes.is_empty() {
                pieces.push(bytes);
            }
        }
        Ok(pieces)
    }

    /// What was written between two positions, as the kernel still has it. After a failed sync it may have thrown
    /// some away; so each record has to verify, and all must be there.
    fn read_back(&self, from: Position, to: Position) -> io::Result<Vec<Vec<u8>>> {
        let lost = || io::Error::other("what was not yet synced cannot be read any more");
        let mut segments: Vec<_> = self.table.load().all().filter(|old| old.moved().is_none()).cloned().collect();
        segments.retain(|segment| self.reaches_beyond(segment, from) && segment.base() < to);
        segments.sort_by_key(|segment| segment.base());
        let (mut pieces, mut next) = (Vec::new(), from);
        for segment in segments {
            let end = if segment.is_left() { to.min(segment.base() + segment.bytes()) } else { to };
            let mut bytes = vec![0; end.checked_sub(next).ok_or_else(lost)? as usize];
            let read = segment.file.read_at(&mut bytes, segment.offset(next))?;
            let mut at = 0;
            while at < read {
                at += Record::read(&bytes[at..read], segment.salt).map_err(|_| lost())?.length();
            }
            if at < bytes.len() {
                return Err(lost());
            }
            pieces.push(bytes);
            next = end;
        }
        if next == to { Ok(pieces) } else { Err(lost()) }
    }

    /// Writes the pieces to a fresh segment that takes the place of all others from `from` on.
    fn rewrite(
        &self,
        pieces: Vec<Vec<u8>>,
        from: Position,
        to: Position,
        next_sequence: u64,
    ) -> io::Result<(Arc<Segment>, Vec<Arc<Segment>>)> {
        let left: Vec<_> = self
            .table
            .load()
            .all()
            .filter(|old| old.moved().is_none() && self.reaches_beyond(old, from))
            .cloned()
            .collect();
        let capacity = capacity_to_move(to - from, self.segment_bytes(0))?;
        let new = self.create_file(SegmentKind::Foreground, capacity)?;
        let sequence = pieces.first().map_or(next_sequence, |piece| Raw::read(piece).sequence);
        new.begin(from, sequence);
        let written = write_pieces(&new, pieces)
            .and_then(|()| new.write_header(self.dataset, self.now()))
            .and_then(|()| new.file.sync_data());
        if let Err(error) = written {
            // Unlisted, it is removed at the next opening at the latest.
            let _ = self.disk.remove(&segment_file_name(new.id));
            return Err(error);
        }
        let mut edit = Edit::new().add(new.listed(SegmentState::Active));
        for old in &left {
            let bytes = from.saturating_sub(old.base());
            let cut = SegmentState::Cut(bytes + u64::from(FIRST_OFFSET));
            edit = if bytes > 0 { edit.replace(old.listed(cut)) } else { edit.remove(old.id) };
        }
        // Where this fails, the new file stays: after a crash the edit may be found to have been made.
        self.manifest.edit(&edit)?;
        Ok((new, left))
    }

    /// Whether a segment in use has records at or behind `from`.
    fn reaches_beyond(&self, segment: &Segment, from: Position) -> bool {
        let begun = segment.base_sequence() > 0 && segment.kind == SegmentKind::Foreground;
        begun && (!segment.is_left() || segment.base() + segment.bytes() > from)
    }

    /// Continues in `new`, which has everything from `from` on.
    fn go_on(
        &self,
        syncer: &mut Syncer,
        writer: &mut Writer,
        active: &mut Active,
        from: Position,
        new: Arc<Segment>,
        left: &[Arc<Segment>],
    ) {
        let mut whole = Count::default();
        left.iter().filter(|old| old.base() >= from).for_each(|old| whole.add(old.placed()));
        for old in left {
            let bytes = from.saturating_sub(old.base());
            if bytes == 0 {
                new.retire(old.retired());
                old.set_counts(Count::default(), Count::default());
            } else {
                // Which of the moved are dead is not known one by one; that they live is the safe side.
                let stayed = old.placed().without(new.placed().without(whole));
                old.set_counts(stayed, stayed);
            }
            // Somebody may have counted a value as dead where it was a moment ago.
            old.set_uncertain();
            old.leave(bytes);
        }
        new.set_uncertain();
        self.table.rcu(|table| table.with(new.clone()));
        for old in left {
            old.move_to(from.max(old.base()), new.clone());
            if old.base() >= from {
                // No longer listed; where removing fails, the next opening does it.
                let _ = self.disk.remove(&segment_file_name(old.id));
            }
        }
        syncer.unsealed.retain(|segment| !left.iter().any(|old| Arc::ptr_eq(old, segment)));
        writer.unwritten.clear();
        self.in_flight.lock().clear();
        {
            let mut window = self.window.lock();
            window.blocks.clear();
            window.dirty.clear();
        }
        active.pending.clear();
        active.buffer.clear();
        active.offset = new.offset(active.position);
        active.buffer_offset = active.offset as u32;
        active.look_ahead(new.capacity);
        active.segment = Some(new);
        self.written.store(active.position, Ordering::SeqCst);
        self.broken.store(false, Ordering::Release);
        self.recover_holding(active);
    }
}

/// Bytes of the segment that takes in what was unsynced. Under `no` that has no limit, but offsets have 32 bits.
fn capacity_to_move(length: u64, capacity_min: u64) -> io::Result<u64> {
    let capacity = capacity_for(length).max(capacity_min);
    let fits = capacity <= u64::from(u32::MAX);
    fits.then_some(capacity).ok_or_else(|| io::Error::other("what was not yet synced is more than one file takes"))
}

/// Gives whole records the salt of the segment, and writes them to it.
fn write_pieces(new: &Segment, pieces: Vec<Vec<u8>>) -> io::Result<()> {
    let mut offset = u64::from(FIRST_OFFSET);
    for mut bytes in pieces {
        let mut at = 0;
        while at + HEADER_BYTES <= bytes.len() {
            let raw = Raw::read(&bytes[at..]);
            let length = raw.length as usize;
            if raw.op().is_some_and(Op::sets_value) {
                new.place(Count::one(raw.length));
            }
            resalt(&mut bytes[at..at + length], new.salt);
            at += length;
        }
        new.file.write_at(&bytes, offset)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_offsets_can_tell_is_not_moved() {
        assert_eq!(capacity_to_move(100, 4096).unwrap(), 4096);
        assert!(capacity_to_move(2 << 30, 4096).unwrap() > 2 << 30);
        assert!(capacity_to_move((4 << 30) - 100, 4096).is_err());
        assert!(capacity_to_move(5 << 30, 4096).is_err());
    }
}
