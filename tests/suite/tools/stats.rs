//! `caskade stats`.

use super::{Left, files, run};
use std::fs;

/// The numbers of a row that begins with these words.
fn numbers(out: &str, beginning: &str) -> Vec<u64> {
    let row = out.lines().find(|line| line.trim_start().starts_with(beginning));
    let row = row.unwrap_or_else(|| panic!("no line of {beginning} in {out}"));
    row.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn what_is_there_is_counted() {
    let left = Left::usual();
    let said = left.look(&["stats", "--top", "2"]);
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
    // 199 keys and the two of the batch, and one that expires in eleven days.
    assert!(said.out.contains("       0  string             202             1  "), "{}", said.out);
    assert_eq!(numbers(&said.out, "expiry:"), [201, 0, 0, 0, 1, 0], "{}", said.out);
    assert!(said.out.contains("\n        1035  string           0  \"key:001\"\n"), "{}", said.out);
    assert_eq!(said.out.matches("1035  string").count(), 2, "{}", said.out);
    assert!(said.out.ends_with("segments, nothing was changed\n"), "{}", said.out);
    // Every segment has its row, with its bytes as they are on the disk.
    let segments: Vec<_> = files(&left.data()).into_iter().filter(|(name, _)| name.ends_with(".log")).collect();
    let mut records = 0;
    for (name, bytes) in &segments {
        let row = numbers(&said.out, name.trim_end_matches(".log"));
        // The bar has no digits: live, dead, age.
        let (live, dead) = (row[1], row[2]);
        assert!(live + dead == 0 || live + dead == bytes.len() as u64 - 64, "{name}: {}", said.out);
        records += live + dead;
    }
    let totals = numbers(&said.out, "bytes of records:");
    assert_eq!((totals[0], totals[1] + totals[2]), (records, records), "{}", said.out);
    // All values but the deleted one.
    assert_eq!(totals[1], 199 * 1035 + 2 * (28 + 7 + 1) + 28 + 8 + 8 + 1, "{}", said.out);
}

#[test]
fn what_was_compacted_and_moved_is_where_it_is_now() {
    let left = Left::compacted();
    let said = left.look(&["stats"]);
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.contains("  compacted   [#"), "{}", said.out);
    assert!(said.out.contains("       0  string             197             1  "), "{}", said.out);
    assert!(said.out.contains("       1  string               1             0  "), "{}", said.out);
    let totals = numbers(&said.out, "bytes of records:");
    assert_eq!(totals[1], 197 * 1036 + 28 + 7 + 3, "{}", said.out);
}

#[test]
fn what_is_damaged_is_told() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    // Without its hint the segment itself is read.
    fs::remove_file(left.data().join(name.replace(".log", ".hint"))).unwrap();
    left.flip(&name, key + 500);
    let said = left.look(&["stats"]);
    assert_eq!((said.code, said.error.as_str()), (Some(1), ""), "{}", said.out);
    let told =
        format!("DAMAGED: 1 values cannot be read: `caskade check --dir {}` says which\n", left.data().display());
    assert!(said.out.ends_with(&told), "{}", said.out);
    left.flip(&name, key);
    let said = left.look(&["stats"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.error.starts_with(&format!("caskade: {name} is damaged at byte ")), "{}", said.error);
    left.flip("MANIFEST", 40);
    let said = left.look(&["stats"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.error.starts_with("caskade: the file MANIFEST is damaged"), "{}", said.error);
    let said = run(&["stats", "--top", "1000001"], &left.data());
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.error);
}
