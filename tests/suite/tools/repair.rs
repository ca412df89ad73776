//! `caskade repair`.

use super::{Left, Said, files, run};
use crate::server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The keys that a repair says are lost.
fn lost(said: &Said) -> BTreeSet<String> {
    let keys = said.out.lines().filter_map(|line| line.strip_prefix("lost: \"")?.split('"').next());
    keys.map(str::to_owned).collect()
}

/// Says what would be done, and changes nothing; then does it.
fn repair(left: &Left, at: &str) -> Said {
    let said = left.look(&["repair"]);
    assert_eq!((said.code, said.error.as_str()), (Some(1), ""), "{at}: {}", said.out);
    let dir = left.data();
    let command = format!("`caskade repair --dir {} --yes`\n", dir.display());
    let told = " steps would repair it; nothing was changed: copy the directory, and run ";
    assert!(said.out.contains(told) && said.out.ends_with(&command), "{at}: {}", said.out);
    let planned: Vec<&str> = said.out.lines().filter_map(|line| line.strip_prefix("would ")).collect();
    assert!(!planned.is_empty(), "{at}: {}", said.out);
    let repaired = run(&["repair", "--yes"], &left.data());
    assert_eq!((repaired.code, repaired.error.as_str()), (Some(0), ""), "{at}: {}", repaired.out);
    let done: Vec<&str> = repaired.out.lines().filter_map(|line| line.strip_prefix("did ")).collect();
    assert_eq!(done, planned, "{at}");
    assert!(repaired.out.contains("\nrepaired: a server starts on it, with "), "{at}: {}", repaired.out);
    let again = left.look(&["repair"]);
    assert_eq!(again.code, Some(0), "{at}: {}", again.out);
    assert_eq!(again.out, "sound: there is nothing to repair, and nothing was changed\n", "{at}");
    let checked = left.look(&["check"]);
    assert_eq!(checked.code, Some(0), "{at}: {}", checked.out);
    repaired
}

/// Every key of `left` that is not lost has its value; the others have none.
fn expect_values(left: &Left, lost: &BTreeSet<String>, value_of: impl Fn(usize) -> Option<String>, at: &str) {
    let server = Server::start_on(&left.data(), &[]).unwrap_or_else(|log| panic!("{at}: {log}"));
    let mut client = server.connect();
    for number in 0..200 {
        let key = format!("key:{number:03}");
        let expected = value_of(number).filter(|_| !lost.contains(&key));
        let found = client.ask(&["GET", &key]);
        assert_eq!(found.bytes(), expected.as_deref().map(str::as_bytes), "{at}: {key}");
    }
}

/// The values of [`Left::usual`].
fn usual(number: usize) -> Option<String> {
    (number != 0).then(|| "v".repeat(1000))
}

/// The values that [`Left::compacted`] has in database 0.
fn compacted(number: usize) -> Option<String> {
    match number {
        0 | 1 | 4 => None,
        2 => Some("new".to_owned()),
        number => Some(format!("{}{}", "v".repeat(1000), 1 - number % 2)),
    }
}

#[test]
fn what_is_sound_needs_no_repair() {
    for left in [Left::usual(), Left::compacted()] {
        for arguments in [&["repair"][..], &["repair", "--yes"]] {
            let said = left.look(arguments);
            assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
            assert_eq!(said.out, "sound: there is nothing to repair, and nothing was changed\n");
        }
    }
}

#[test]
fn a_damaged_value_is_given_up_and_the_rest_is_there() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    left.flip(&name, key + 500);
    let damaged = fs::read(left.data().join(&name)).unwrap();
    let said = repair(&left, "a value");
    assert!(said.out.contains(&format!("did replace {name} by its ")), "{}", said.out);
    assert!(said.out.contains("; 1 values are lost, whose keys are known\n"), "{}", said.out);
    assert!(said.out.contains("lost: \"key:007\" in database 0\n"), "{}", said.out);
    assert!(said.out.ends_with("; 1 keys are lost\n"), "{}", said.out);
    assert!(!left.data().join(&name).exists());
    assert!(fs::read(left.data().join("set-aside-1").join(&name)).unwrap() == damaged);
    assert!(left.look(&["check"]).out.contains("note: set-aside-1: what a repair has set aside"));
    expect_values(&left, &lost(&said), usual, "a value");
}

#[test]
fn a_damaged_key_is_named_by_the_hint_and_without_it_is_not() {
    for with_hint in [true, false] {
        let left = Left::usual();
        let (name, key) = left.find(b"key:007");
        left.flip(&name, key);
        if !with_hint {
            fs::remove_file(left.data().join(name.replace(".log", ".hint"))).unwrap();
        }
        let said = repair(&left, "a key");
        let told = said.out.contains("nobody knows what was in 1035 bytes at byte ");
        assert_eq!(
            (told, said.out.contains("and others that nobody can name")),
            (!with_hint, !with_hint),
            "{}",
            said.out
        );
        let expected: BTreeSet<String> = with_hint.then(|| "key:007".to_owned()).into_iter().collect();
        assert_eq!(lost(&said), expected, "{}", said.out);
        // Nothing older of it is there.
        expect_values(&left, &BTreeSet::from(["key:007".to_owned()]), usual, "a key");
    }
}

#[test]
fn a_lost_manifest_costs_no_key() {
    for missing in [true, false] {
        let left = Left::compacted();
        if missing {
            fs::remove_file(left.data().join("MANIFEST")).unwrap();
        } else {
            left.flip("MANIFEST", 40);
        }
        let said = repair(&left, "MANIFEST");
        assert!(said.out.contains("did make MANIFEST anew from the headers of "), "{}", said.out);
        assert!(said.out.contains("a deletion may come undone"), "{}", said.out);
        assert!(said.out.ends_with("; 0 keys are lost\n"), "{}", said.out);
        assert_eq!(left.data().join("set-aside-1/MANIFEST").exists(), !missing);
        expect_values(&left, &BTreeSet::new(), compacted, "MANIFEST");
    }
}

/// Damages a file in some way; returns what was done.
fn damage(left: &Left, random: &mut fastrand::Rng) -> String {
    let names: Vec<String> = files(&left.data()).into_keys().filter(|name| name != "LOCK").collect();
    let [name, other] = [(); 2].map(|()| names[random.usize(..names.len())].clone());
    let (path, other_path) = (left.data().join(&name), left.data().join(&other));
    let mut bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let at = random.usize(..used);
    match random.u8(..6) {
        0 | 1 => {
            bytes[at] ^= 1 << random.u8(..8);
            fs::write(path, bytes).unwrap();
            format!("a bit of byte {at} of {name} has flipped")
        }
        2 => {
            let start = at / 512 * 512;
            let end = bytes.len().min(start + 512);
            bytes[start..end].fill(0);
            fs::write(path, bytes).unwrap();
            format!("the sector at byte {start} of {name} is zero")
        }
        3 => {
            fs::write(path, &bytes[..at]).unwrap();
            format!("{name} has been cut to {at} bytes")
        }
        4 => {
            fs::remove_file(path).unwrap();
            format!("{name} is gone")
        }
        _ => {
            let aside = left.data().join("x");
            fs::rename(&path, &aside).unwrap();
            if name != other {
                fs::rename(&other_path, &path).unwrap();
            }
            fs::rename(aside, other_path).unwrap();
            format!("{name} and {other} have been exchanged")
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    files(from).into_iter().for_each(|(name, bytes)| fs::write(to.join(name), bytes).unwrap());
}

#[test]
fn whatever_is_damaged_all_is_there_that_is_not_told_to_be_lost() {
    const DAMAGES: usize = 24;
    let original = Left::compacted();
    let mut random = fastrand::Rng::with_seed(8);
    let (mut repairs, mut with_losses) = (0, 0);
    for number in 0..DAMAGES {
        let left = Left { home: tempfile::tempdir().unwrap() };
        copy(&original.data(), &left.data());
        let at = format!("{number}: {}", damage(&left, &mut random));
        let is_needed = left.look(&["repair"]).code == Some(1);
        assert_eq!(is_needed, left.look(&["check"]).code == Some(1), "{at}");
        let mut gone = BTreeSet::new();
        if is_needed {
            gone = lost(&repair(&left, &at));
            repairs += 1;
            with_losses += usize::from(!gone.is_empty());
        }
        expect_values(&left, &gone, compacted, &at);
    }
    assert!(repairs > DAMAGES / 2 && with_losses > 0, "{repairs} repairs, {with_losses} with losses");
}

#[test]
fn a_start_that_is_refused_says_what_to_do() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    left.flip(&name, key);
    fs::remove_file(left.data().join(name.replace(".log", ".hint"))).unwrap();
    let expect = |what: &str| {
        let Err(log) = Server::start_on(&left.data(), &[]) else { panic!("it has started") };
        let dir = fs::canonicalize(left.data()).unwrap();
        let commands = format!(
            "restore a backup, or see what `caskade check --dir {0}` finds and `caskade repair --dir {0}` can save",
            dir.display()
        );
        assert!(log.contains(what) && log.contains(&commands), "{log}");
    };
    expect(&format!("{name} is damaged at byte {}", key - 28));
    fs::remove_file(left.data().join(name)).unwrap();
    expect("listed in MANIFEST, is missing; nothing was changed");
    left.flip("MANIFEST", 40);
    expect("the file MANIFEST is damaged: its checksum does not match; nothing was changed");
    fs::remove_file(left.data().join("MANIFEST")).unwrap();
    expect("the file MANIFEST is missing although there is data");
}

#[test]
fn directories_of_tools_are_no_damage() {
    let left = Left::usual();
    for name in ["backups", "set-aside-1", "set-aside-20"] {
        fs::create_dir(left.data().join(name)).unwrap();
        fs::write(left.data().join(name).join("0000000001.log"), "something").unwrap();
    }
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(!said.out.contains("backups"), "{}", said.out);
    assert!(said.out.contains("note: set-aside-20: what a repair has set aside; no server needs it\n"), "{}", said.out);
    // What is set aside now goes to a directory of its own.
    let (name, key) = left.find(b"key:007");
    left.flip(&name, key + 500);
    let said = repair(&left, "the next");
    assert!(said.out.contains("set-aside-21\n"), "{}", said.out);
}

/// Names that files have while a repair gives others theirs, though there was none.
#[test]
fn a_directory_called_renaming_is_nobodys_and_such_a_file_is_set_aside() {
    let left = Left::usual();
    fs::create_dir(left.data().join("renaming-1")).expect("a directory");
    fs::write(left.data().join("renaming-1/kept"), "kept").expect("a file in it");
    for tool in ["check", "repair"] {
        let said = left.look(&[tool]);
        assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{tool}: {}", said.out);
    }
    expect_values(&left, &BTreeSet::new(), usual, "beside a directory");
    fs::write(left.data().join("renaming-7"), "whatever").expect("a file");
    let refused = Server::start_on(&left.data(), &[]).err().expect("it has started");
    for told in ["the file renaming-7 has a name", "if none was, it sets the file aside", "`caskade repair --dir "] {
        assert!(refused.contains(told), "{told:?} is not in: {refused}");
    }
    let checked = left.look(&["check"]);
    assert_eq!(checked.code, Some(1), "{}", checked.out);
    assert!(checked.out.contains("renaming-7"), "{}", checked.out);
    let repaired = repair(&left, "a file called so");
    assert!(repaired.out.contains("did set renaming-7 aside: "), "{}", repaired.out);
    assert_eq!(fs::read(left.data().join("set-aside-1/renaming-7")).expect("what was set aside"), b"whatever");
    expect_values(&left, &BTreeSet::new(), usual, "after the repair");
    assert_eq!(fs::read(left.data().join("renaming-1/kept")).expect("it is left alone"), b"kept");
}
