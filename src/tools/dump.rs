//! `caskade dump`: every record of the log as a line of JSON, in the order of their sequence numbers.

use std::io::{self, IsTerminal, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::moment::{Moment, time_text};
use super::progress::Progress;
use super::{Failed, Outcome, open};
use crate::store::inspect::{Entry, Inspection, Named, What};
use crate::store::{Op, OpenError, Record, command};
use crate::types::kind::Kind;

/// What is dumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// From this moment on.
    pub from: Option<Moment>,
    /// Up to this moment.
    pub to: Option<Moment>,
    /// Without the values.
    pub keys_only: bool,
}

/// Writes records to `out`, and what has come of it to `summary`. Nothing is changed.
///
/// # Errors
/// When the directory is in use, or cannot be read, or `out` cannot be written.
pub fn dump(directory: &Path, dump: &Dump, out: &mut dyn Write, summary: &mut dyn Write) -> Result<Outcome, Failed> {
    let inspection = open(directory)?;
    let sequences = sequences(&inspection, dump).map_err(|error| Failed::opening(&error, directory))?;
    if sequences.is_empty() {
        return Err(Failed::new("there is nothing between --from and --to: the first is the later moment"));
    }
    // A bar in the middle of the lines would be in their way.
    let progress = (!io::stdout().is_terminal()).then(|| Progress::new("dumping"));
    let (mut line, mut records, mut damaged, mut written) = (Line::default(), 0u64, 0u64, Ok(()));
    let read = inspection.records(
        sequences,
        &mut |entry| {
            records += 1;
            damaged += u64::from(!matches!(entry.what, What::Record(_)));
            written = out.write_all(line.of(entry, dump.keys_only));
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
        &mut |done, total| {
            if let Some(progress) = &progress {
                progress.show(done, total);
            }
        },
    );
    drop(progress);
    written?;
    read.map_err(|error| Failed::opening(&error, directory))?;
    // A reader that has gone must be noticed before all is said to be well.
    out.flush()?;
    if damaged == 0 {
        writeln!(summary, "dumped: {records} records, nothing was changed")?;
        return Ok(Outcome::Sound);
    }
    let check = command("check", directory);
    writeln!(summary, "DAMAGED: {damaged} of {records} lines tell of damage: {check} says what it costs")?;
    Ok(Outcome::Damaged)
}

/// The sequence numbers of what is asked for.
fn sequences(inspection: &Inspection, dump: &Dump) -> Result<RangeInclusive<u64>, OpenError> {
    let from = match dump.from {
        None => 0,
        Some(Moment::Sequence(sequence)) => sequence,
        Some(Moment::Time(time)) => inspection.around(time)?.from,
    };
    let to = match dump.to {
        None => u64::MAX,
        Some(Moment::Sequence(sequence)) => sequence,
        Some(Moment::Time(time)) => inspection.around(time)?.to,
    };
    Ok(from..=to)
}

/// One line of JSON, whose memory is used again for the next.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    fn of(&mut self, entry: &Entry<'_>, keys_only: bool) -> &[u8] {
        self.0.clear();
        self.0.push(b'{');
        if let Some(sequence) = entry.sequence() {
            self.number("sequence", sequence);
        }
        self.number("segment", u64::from(entry.segment));
        self.number("offset", entry.offset);
        self.number("length", entry.length);
        match entry.what {
            What::Record(record) => self.record(record, keys_only),
            What::Damaged(record) => {
                self.record(record, true);
                self.damage("the value of the record is damaged");
            }
            What::Named(named) => {
                self.named(named, keys_only);
                self.damage("the record cannot be made out; the hint of the segment says what it was");
            }
            What::Lost => self.damage("nothing can be made out here"),
        }
        self.0.extend_from_slice(b"}\n");
        &self.0
    }

    fn record(&mut self, record: &Record<'_>, without_value: bool) {
        self.text("op", name_of(record.op));
        if matches!(record.op, Op::Mark | Op::Seal) {
            if let Some((durable, wall)) = record.mark() {
                self.number("durable", durable);
                self.text("time", &time_text(wall));
            }
            return;
        }
        self.subject(record.op, record.object, record.keyspace, record.key, record.source());
        self.properties(record.op, record.kind, record.expiry);
        if record.op.sets_value() && !without_value {
            self.bytes("value", record.value);
        }
        if record.starts_batch() {
            self.flag("batch_start");
        }
        if record.batch_goes_on() {
            self.flag("batch_more");
        }
    }

    fn named(&mut self, named: &Named, without_value: bool) {
        self.text("op", name_of(named.op));
        self.subject(named.op, named.object, named.keyspace, &named.key, named.source);
        self.properties(named.op, named.kind, named.expiry);
        if let Some(value) = named.value.as_ref().filter(|_| !without_value) {
            self.bytes("value", value);
        }
    }

    /// What a record is about: a key, an element, or a database.
    fn subject(&mut self, op: Op, object: Option<u64>, keyspace: u32, key: &[u8], source: Option<u32>) {
        if op.is_of_element() {
            object.into_iter().for_each(|object| self.number("object", object));
            return self.bytes("name", key);
        }
        let database = key.try_into().map(u32::from_le_bytes);
        if let (Op::Bind, Ok(database)) = (op, database) {
            self.number("database", u64::from(database));
        }
        if let Some(source) = source {
            self.number("source", u64::from(source));
        }
        self.number("keyspace", u64::from(keyspace));
        if op != Op::Bind {
            self.bytes("key", key);
        }
        object.into_iter().for_each(|object| self.number("object", object));
    }

    /// What its value is, and how long.
    fn properties(&mut self, op: Op, kind: u8, expiry: Option<u64>) {
        if op.sets_value() || op == Op::Move {
            self.kind(kind);
        }
        expiry.into_iter().for_each(|expiry| self.text("expiry", &time_text(expiry)));
    }

    fn kind(&mut self, kind: u8) {
        self.number("kind", u64::from(kind));
        self.text("type", Kind(kind).of().name());
    }

    fn damage(&mut self, what: &str) {
        self.flag("damaged");
        self.text("error", what);
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn flag(&mut self, name: &str) {
        self.name(name);
        self.0.extend_from_slice(b"true");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        serde_json::to_writer(&mut self.0, text).expect("a text can be written to memory");
    }

    /// Bytes as text, or, where they are none, by another name in base64.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(name, text),
            Err(_) => self.text(&format!("{name}_base64"), &BASE64.encode(bytes)),
        }
    }
}

fn name_of(op: Op) -> &'static str {
    match op {
        Op::Put => "put",
        Op::Delete => "delete",
        Op::Expire => "expire",
        Op::Bind => "bind",
        Op::Mark => "mark",
        Op::Seal => "seal",
        Op::Move => "move",
        Op::SetElement => "set-element",
        Op::RemoveElement => "remove-element",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;
    use crate::store::fuzzing::disk_of;
    use crate::store::inspect::Inspection;

    /// The lines of a log with elements.
    fn lines(keys_only: bool) -> Vec<String> {
        let drafts = [
            Draft { object: Some(1 << 32), ..Draft::put(0, 0, b"hash", b"") },
            Draft::set_element(1 << 32, 0, b"field", b"value", Some(1_700_000_000_000)),
            Draft::set_element(1 << 32, 0, b"\xff", b"\xfe", None),
            Draft::remove_element(1 << 32, b"field"),
        ];
        let (disk, mut line, mut lines) = (disk_of(&drafts), Line::default(), Vec::new());
        let inspection = Inspection::open(std::sync::Arc::new(disk)).unwrap().unwrap();
        let visit = &mut |entry: &Entry<'_>| {
            lines.push(String::from_utf8(line.of(entry, keys_only).to_vec()).unwrap());
            ControlFlow::Continue(())
        };
        inspection.records(0..=u64::MAX, visit, &mut |_, _| {}).unwrap();
        lines
    }

    #[test]
    fn elements_are_told_with_their_objects_and_names() {
        let behind = |line: &String| line[line.find("\"op\"").unwrap()..].trim_end().to_owned();
        let told: Vec<String> = lines(false).iter().map(behind).collect();
        assert_eq!(
            told,
            [
                r#""op":"put","keyspace":0,"key":"hash","object":4294967296,"kind":0,"type":"string","value":""}"#,
                concat!(
                    r#""op":"set-element","object":4294967296,"name":"field","kind":0,"type":"string","#,
                    r#""expiry":"2023-11-14T22:13:20.000Z","value":"value"}"#
                ),
                concat!(
                    r#""op":"set-element","object":4294967296,"name_base64":"/w==","kind":0,"type":"string","#,
                    r#""value_base64":"/g=="}"#
                ),
                r#""op":"remove-element","object":4294967296,"name":"field"}"#,
            ]
        );
        assert!(lines(true).iter().all(|line| !line.contains("value")));
    }
}
