//! An entry is what was put into it, in every form of its block.

use proptest::prelude::*;

use super::*;

fn at(offset: u32) -> Location {
    Location { segment: 7, offset, length: 9 }
}

fn value_of(entry: &Entry) -> Option<Vec<u8>> {
    entry.value().bytes().map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is done to an entry, it says what was last put into it.
    #[test]
    fn an_entry_is_what_was_put(
        key_length in prop_oneof![0usize..40, Just(65534usize), Just(65535), Just(70000)],
        steps in proptest::collection::vec((0u8..5, proptest::option::of(any::<u64>()), 0usize..9000), 0..12),
    ) {
        let key = vec![b'k'; key_length];
        let mut meta = Meta { location: at(1), kind: 3, expiry: None };
        let mut entry = Entry::new(0xbeef, &key, &meta, Cached::Cold);
        let mut value: Option<Vec<u8>> = None;
        for (turn, (step, expiry, length)) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => {
                    let new = vec![turn as u8; length];
                    meta = Meta { location: at(turn as u32), kind: turn as u8, expiry };
                    entry.replace(&meta, Cached::hot(&new, &mut None));
                    value = Some(new);
                }
                2 => {
                    entry.set_expiry(expiry);
                    meta.expiry = expiry;
                }
                3 => {
                    prop_assert_eq!(entry.demote(), value.is_some());
                    value = None;
                }
                _ => entry.touch(turn as u32),
            }
            prop_assert!(entry.is(0xbeef, &key));
            prop_assert!(!entry.is(0xbeee, &key));
            prop_assert_eq!(entry.meta(), meta);
            prop_assert_eq!(value_of(&entry), value.clone());
            let bytes = value.as_ref().map(Vec::len);
            let extent = Extent { bytes: entry.bytes(), kind: meta.kind, value: bytes, is_damaged: false };
            prop_assert_eq!(entry.extent(), extent);
        }
    }
}

#[test]
fn a_cold_key_of_16_bytes_takes_32() {
    let meta = Meta { location: at(0), kind: 0, expiry: None };
    assert_eq!(Entry::new(0, b"0123456789abcdef", &meta, Cached::Cold).bytes(), 32);
}

#[test]
fn uses_are_counted_to_three_and_forgotten_one_by_one() {
    let meta = Meta { location: at(0), kind: 0, expiry: None };
    let entry = Entry::new(0, b"k", &meta, Cached::Inline(b"v"));
    (0..5).for_each(|now| entry.touch(now));
    assert_eq!((entry.uses(), entry.last_use()), (3, Some(4)));
    (0..5).for_each(|_| entry.forget_use());
    assert_eq!(entry.uses(), 0);
}
