//! What compaction leaves of elements, and what it takes away.

use super::*;
use crate::store::Planted;
use crate::store::disk::sim::CallKind;

#[test]
fn what_is_newest_stays_and_all_else_goes() {
    let all = Collections::new();
    all.root(b"hash", 1 << 32);
    for round in 0..20u32 {
        for number in 0..30u32 {
            all.set(1 << 32, &number.to_le_bytes(), format!("value {round} of {number}").as_bytes(), None);
        }
        (0..5u32).for_each(|number| all.remove(1 << 32, &number.to_le_bytes()));
    }
    all.agrees();
    let before = all.values();
    assert_eq!(before.len(), 25);
    all.compact();
    assert_eq!(all.values(), before);
    let records = all.records();
    assert!(records.len() < 60, "{}", records.len());
    let again = all.again();
    assert_eq!(again.values(), before);
    assert_eq!(again.keys(), BTreeMap::from([(b"hash".to_vec(), Some(1 << 32))]));
    again.agrees();
    again.compact();
    assert_eq!(again.again().values(), before);
}

/// Set, removed and set again, each in a segment of its own.
#[test]
fn a_slot_over_several_segments_is_what_it_was_last() {
    let all = Collections::new();
    all.root(b"set", 7);
    for round in 0..3 {
        all.set(7, b"element", format!("{round}").as_bytes(), None);
        all.fill("filler", false);
        all.remove(7, b"element");
        all.fill("filler", false);
    }
    for sets in [false, true] {
        if sets {
            all.set(7, b"element", b"at last", None);
        }
        let expected = if sets { vec![b"at last".to_vec()] } else { Vec::new() };
        let values = |all: &Collections| all.values().into_values().collect::<Vec<_>>();
        assert_eq!(values(&all.again()), expected);
        all.compact();
        assert_eq!(values(&all), expected);
        assert_eq!(values(&all.again()), expected);
    }
    all.fill("filler", false);
    all.compact();
    let ops = all.ops(b"element");
    assert!(ops.ends_with(&[Op::SetElement]) && ops.iter().filter(|op| **op == Op::SetElement).count() == 1, "{ops:?}");
}

#[test]
fn a_removal_stays_as_long_as_an_older_segment_may_have_the_element() {
    let all = Collections::new();
    all.root(b"set", 7);
    all.set(7, b"element", b"", None);
    // This segment is nearly full of what lives: no pass takes it away.
    all.fill("stays", true);
    all.remove(7, b"element");
    all.remove(7, b"that never was");
    all.remove(8, b"element");
    all.fill("goes", false);
    all.compact();
    let removed = |all: &Collections| -> Vec<_> {
        let records = all.records().into_iter();
        records.filter(|(_, op, ..)| *op == Op::RemoveElement).map(|(.., object, name)| (object, name)).collect()
    };
    assert_eq!(all.ops(b"element"), [Op::SetElement, Op::RemoveElement]);
    assert_eq!(removed(&all), [(7, b"element".to_vec())], "of another object, or never set: it hides nothing");
    assert!(all.again().values().is_empty());
    // Now nothing older is left.
    all.empty("stays");
    all.fill("goes", false);
    all.compact();
    all.compact();
    assert!(all.records().is_empty(), "{:?}", all.records());
    assert!(all.again().values().is_empty());
}

/// The test above would notice.
#[test]
fn a_removal_that_is_dropped_too_early_is_noticed() {
    let all = Collections::new();
    all.root(b"set", 7);
    all.set(7, b"element", b"", None);
    all.fill("stays", true);
    all.remove(7, b"element");
    all.fill("goes", false);
    all.store.plant(Some(Planted::TombstonesDropped));
    all.compact();
    assert_eq!(all.again().values().len(), 1);
}

/// What was taken out long ago is copied while somebody is at its object: it may come back. The removal stays for that copy.
#[test]
fn a_removal_stays_for_what_is_copied_in_the_middle_of_a_change() {
    for (planted, left) in [(None, 0), (Some(Planted::UnsettledTrusted), 1)] {
        let all = Collections::new();
        all.root(b"set", 7);
        all.set(7, b"element", b"", None);
        all.put(b"gone", &[b'v'; 900], None, None);
        all.fill("stays", true);
        all.delete(b"gone");
        all.remove(7, b"element");
        all.fill("more", true);
        all.store.plant(planted);
        all.known.unsettled.store(true, Ordering::Relaxed);
        all.store.tick().unwrap();
        assert!(all.store.compact_once(&all.known, true).unwrap());
        all.agrees();
        assert_eq!(all.ops(b"element"), [Op::SetElement, Op::RemoveElement]);
        all.known.unsettled.store(false, Ordering::Relaxed);
        // Now the segment of the removal is worth a pass, and the one of the copy is not.
        all.empty("more");
        all.fill("goes", false);
        all.compact();
        assert_eq!(all.ops(b"element").len(), 2 - left, "{planted:?}");
        assert_eq!(all.again().values().len(), left, "{planted:?}");
    }
}

#[test]
fn of_a_dead_object_nothing_stays() {
    for replaced in [false, true] {
        let all = Collections::new();
        all.root(b"hash", 7);
        all.root(b"other", 8);
        for number in 0..200u32 {
            all.set(7, &number.to_le_bytes(), &[b'v'; 50], (number % 3 == 0).then_some(START + 1));
            all.set(8, &number.to_le_bytes(), &[b'o'; 50], None);
            all.remove(7, &(number / 2).to_le_bytes());
            all.remove(8, &(number / 2).to_le_bytes());
        }
        let others = all.values();
        if replaced {
            all.put(b"hash", b"a value without elements", None, None);
        } else {
            all.delete(b"hash");
        }
        all.pass(10);
        all.agrees();
        all.compact();
        all.fill("filler", false);
        all.compact();
        let records = all.records();
        assert!(records.iter().all(|(_, _, object, _)| *object == 8));
        let of_other = |(name, value): (Name, Vec<u8>)| (name.0 == 8).then_some((name, value));
        assert_eq!(all.again().values(), others.into_iter().filter_map(of_other).collect());
    }
}

#[test]
fn an_object_with_another_key_keeps_its_elements() {
    let all = Collections::new();
    all.root(b"old", 7);
    all.set(7, b"element", b"value", None);
    all.rename(b"old", b"new");
    all.fill("filler", false);
    let before = all.values();
    all.compact();
    assert_eq!(all.values(), before);
    let again = all.again();
    assert_eq!(again.values(), before);
    assert_eq!(again.keys()[&b"new"[..]], Some(7), "a copy of a root names its object still");
    all.delete(b"new");
    all.fill("filler", false);
    all.compact();
    assert!(all.records().is_empty());
    assert!(all.again().values().is_empty());
}

/// It is a removal from then on, with the number it had.
#[test]
fn an_expired_element_hides_what_is_older() {
    let all = Collections::new();
    all.root(b"hash", 7);
    all.set(7, b"field", b"older", None);
    all.fill("stays", true);
    all.set(7, b"field", &[b'n'; 2_000], Some(START + 1_000));
    all.set(7, b"lasting", b"value", Some(START + 1_000_000));
    all.fill("goes", false);
    let number = all.records()[1].0;
    all.compact();
    assert_eq!(all.ops(b"field"), [Op::SetElement, Op::SetElement]);
    all.pass(2_000);
    all.fill("goes", false);
    all.compact();
    assert_eq!(all.ops(b"field"), [Op::SetElement, Op::RemoveElement]);
    assert_eq!(all.records()[1].0, number);
    assert_eq!(all.ops(b"lasting"), [Op::SetElement]);
    let again = all.again();
    assert_eq!(again.values(), BTreeMap::from([((7, b"lasting".to_vec()), b"value".to_vec())]));
    again.agrees();
}

#[test]
fn the_elements_of_an_expired_key_go_with_it() {
    let all = Collections::new();
    all.put(b"hash", b"", Some(7), Some(START + 1_000));
    (0..20u32).for_each(|number| _ = all.set(7, &number.to_le_bytes(), b"value", None));
    all.fill("filler", false);
    all.compact();
    assert_eq!(all.again().values().len(), 20);
    all.pass(2_000);
    all.fill("filler", false);
    all.compact();
    assert!(all.records().is_empty(), "{:?}", all.records());
    assert!(!all.again().keys().contains_key(&b"hash"[..]));
}

/// The copies are written and synced before anything refers to them: then somebody is faster.
#[test]
fn an_element_that_is_set_while_it_is_copied_stays_what_it_was_set_to() {
    let all = Collections::new();
    all.root(b"hash", 7);
    (0..20u32).for_each(|number| _ = all.set(7, &number.to_le_bytes(), b"old", None));
    all.fill("filler", false);
    all.store.tick().unwrap();
    let hold = all.disk.hold(CallKind::SyncData);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| all.store.compact_once(&all.known, true));
        hold.wait_for(1);
        let set = |number: u32| {
            let name = number.to_le_bytes();
            let at = all.store.append(&Draft::set_element(7, 32, &name, b"new", None)).unwrap().location;
            let mut state = all.known.state.lock();
            let entry = state.elements.get_mut(&(7, name.to_vec())).unwrap();
            all.store.retire(std::mem::replace(&mut entry.at, at));
        };
        (0..10).for_each(set);
        drop(hold);
        compacting.join().unwrap().unwrap();
    });
    all.agrees();
    for all in [&all, &all.again()] {
        let values: Vec<Vec<u8>> = all.values().into_values().collect();
        assert_eq!((values.len(), values.iter().filter(|value| *value == b"new").count()), (20, 10));
    }
}
