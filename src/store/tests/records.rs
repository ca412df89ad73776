//! What single records say, and what is no record.

use super::*;
use crate::store::disk::Disk;
use crate::store::manifest::hint_file_name;
use crate::store::record::{Fault, HEADER_BYTES, resalt};
use crate::store::{Op, Record};

const SALT: u32 = 0x5a17_0001;
const OP_AT: usize = 16;

fn bytes_of(draft: &Draft<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    draft.write(&draft.measure().unwrap(), SALT, 7, &mut bytes);
    bytes
}

/// A sound record that says something else.
fn with_op(draft: &Draft<'_>, op: u8) -> Vec<u8> {
    let mut bytes = bytes_of(draft);
    bytes[OP_AT] = op;
    resalt(&mut bytes, SALT);
    bytes
}

#[test]
fn every_record_says_what_was_written() {
    let source = 70_000u32.to_le_bytes();
    let drafts = [
        Draft::put(1, 16, b"key", b"value"),
        Draft { expiry: Some(5), object: Some(6), ..Draft::put(1, 16, b"", b"") },
        Draft::delete(2, b"key"),
        Draft::expire(3, b"key", Some(u64::MAX)),
        Draft::expire(3, b"key", None),
        Draft::bind(&[1, 2, 3, 4], 65_536),
        Draft::move_key(4, &source, 16, b"key", None),
        Draft::move_key(4, &source, 0, b"", Some(8)),
        Draft::set_element(u64::MAX, 32, b"name", b"value", None),
        Draft::set_element(0, 32, b"", b"", Some(9)),
        Draft::remove_element(1 << 32, b"name"),
    ];
    for draft in drafts {
        let bytes = bytes_of(&draft);
        let record = Record::read(&bytes, SALT).unwrap();
        assert_eq!((record.sequence, record.op, record.kind), (7, draft.op, draft.kind), "{draft:?}");
        assert_eq!((record.keyspace, record.key, record.value), (draft.keyspace, draft.key, draft.value));
        assert_eq!((record.expiry, record.object, record.length()), (draft.expiry, draft.object, bytes.len()));
        assert_eq!(record.source(), (draft.op == Op::Move).then_some(70_000));
        assert_eq!(record.element_of(), draft.object.filter(|_| draft.op != Op::Put));
        assert_eq!(Record::read(&bytes, SALT + 1).err(), Some(Fault::Guard));
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let known = [Op::Put, Op::Delete, Op::Expire, Op::Bind, Op::Mark, Op::Seal, Op::Move].map(|op| op as u8);
    for op in 0..=u8::MAX {
        let bytes = with_op(&Draft::put(1, 0, b"key", &[0; 4]), op);
        let read = Record::read(&bytes, SALT);
        assert_eq!(read.is_ok(), known.contains(&op), "{op}: {read:?}");
        assert!(read.is_ok() || read.err() == Some(Fault::Unknown), "{op}");
    }
    for length in [0, 3, 5, 8, 100] {
        let bytes = with_op(&Draft::put(1, 0, b"key", &vec![0; length]), Op::Move as u8);
        assert_eq!(Record::read(&bytes, SALT).err(), Some(Fault::Unknown), "a move of {length} bytes");
    }
}

/// Whatever stands behind the key: the lengths are verified with it.
#[test]
fn elements_that_there_cannot_be_are_not_known() {
    let put = Draft { object: Some(7), ..Draft::put(0, 32, b"name", b"") };
    let with_value = Draft { value: b"value", ..put };
    let (set, remove) = (Op::SetElement as u8, Op::RemoveElement as u8);
    let cases = [
        (set, put, true),
        (set, with_value, true),
        (set, Draft { expiry: Some(1), ..put }, true),
        (set, Draft { object: None, ..put }, false),
        (set, Draft { keyspace: 1, ..put }, false),
        (remove, put, true),
        (remove, with_value, false),
        (remove, Draft { expiry: Some(1), ..put }, false),
        (remove, Draft { object: None, ..put }, false),
        (remove, Draft { keyspace: 1, ..put }, false),
    ];
    for (op, draft, known) in cases {
        let bytes = with_op(&draft, op);
        for read in [Record::read(&bytes, SALT), Record::read_head(&bytes, SALT)] {
            assert_eq!(read.err(), (!known).then_some(Fault::Unknown), "{op} {draft:?}");
        }
    }
}

/// Of a put whose value is damaged, the key is known. Of a move nobody could tell which keyspace has lost the key.
#[test]
fn a_damaged_move_is_no_record_at_all() {
    let (put, source) = (Draft::put(1, 0, b"key", &[0; 4]), [0; 4]);
    let element = Draft::set_element(9, 0, b"key", &[0; 4], None);
    for (draft, named) in [(put, true), (element, true), (Draft::move_key(1, &source, 0, b"key", Some(9)), false)] {
        let whole = bytes_of(&draft);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::read(&bytes, SALT).is_err(), "bit {bit}");
            let in_value = bit / 8 < 4 || bit / 8 >= whole.len() - 4;
            assert_eq!(Record::read_head(&bytes, SALT).is_ok(), in_value && named, "bit {bit}");
        }
    }
}

#[test]
fn a_store_with_a_damaged_move_is_not_opened() {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::Everysec).unwrap();
    opened.put("key", 100);
    let location = opened.store.append(&Draft::move_key(1, &[0; 4], 0, b"key", None)).unwrap().location;
    opened.store.close().unwrap();
    drop(opened);
    assert_eq!(open(&disk.after_kill(), Fsync::Everysec).unwrap().keys(), ["key"]);
    // With its hint, nobody would look at it.
    disk.remove(&hint_file_name(location.segment)).unwrap();
    let value_at = location.offset as usize + HEADER_BYTES + b"key".len();
    overwrite(&disk, location.segment, value_at..value_at + 1, 1);
    let error = open(&disk, Fsync::Everysec).err().unwrap().to_string();
    assert!(error.starts_with(&format!("0000000001.log is damaged at byte {}", location.offset)), "{error}");
}
