//! The same of the store inside this process: no sockets, no event loop, as many threads as there are tasks.

use std::sync::Arc;

use caskade::database::Database;
use caskade::keyspace::{Access, Keyspace, Mode};
use caskade::store::Options;
use caskade::store::clock::SystemClock;
use caskade::store::disk::OsDisk;
use caskade::types::kind::Kind;
use tempfile::TempDir;

use super::linear::{Ask, check_histories};
use super::{Working, together};

const TASKS: usize = 1_000;
const EACH: usize = 10;

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("caskade-test-").tempdir().expect("a temporary directory")
}

fn open(directory: &TempDir) -> Keyspace {
    let disk = OsDisk::open(directory.path()).expect("a disk");
    let clock = Arc::new(SystemClock::new());
    let opened = Keyspace::open(Arc::new(disk), clock, Options::default(), 1, &mut |_, _| {});
    let (keyspace, _) = opened.expect("a keyspace");
    keyspace.start_threads().expect("threads");
    keyspace
}

/// Does something with keys at one moment, and waits until it is acknowledged.
fn at_once<R>(keyspace: &Keyspace, keys: &[&str], mode: Mode, act: impl FnOnce(&mut Access<'_>) -> R) -> R {
    let mut access = keyspace.access_several(0, keys.iter().map(|key| key.as_bytes()), mode, keyspace.now());
    access.may_block = true;
    let result = act(&mut access);
    let (position, _) = access.commit().expect("to commit");
    keyspace.store().wait_acknowledged(position).expect("to be acknowledged");
    result
}

fn get(access: &mut Access<'_>, key: &str) -> Option<i64> {
    let value = access.value(key.as_bytes()).expect("to read");
    // Between reading and writing, others get every chance to come in between, if the latches let them.
    std::thread::yield_now();
    let value = value?;
    Some(std::str::from_utf8(&value.bytes).expect("text").parse().expect("a number"))
}

fn set(access: &mut Access<'_>, key: &str, value: i64) {
    let value = value.to_string();
    access.put(key.as_bytes(), Kind::of_string(value.as_bytes()).0, value.as_bytes(), None).expect("to write");
}

#[test]
fn a_thousand_tasks_count_on_one_key() {
    let directory = directory();
    let keyspace = open(&directory);
    together(TASKS, |_| {
        for _ in 0..EACH {
            at_once(&keyspace, &["n"], Mode::Exclusive, |access| {
                let before = get(access, "n").unwrap_or(0);
                set(access, "n", before + 1);
            });
        }
    });
    drop(keyspace);
    let found = at_once(&open(&directory), &["n"], Mode::Shared, |access| get(access, "n"));
    assert_eq!(found, Some((TASKS * EACH) as i64), "after opening it again");
}

#[test]
fn a_thousand_tasks_write_a_key_each() {
    let directory = directory();
    let database = Database::open(directory.path(), Options::default()).expect("a database");
    together(TASKS, |task| {
        let (mine, next) = (format!("key:{task}"), format!("key:{}", (task + 1) % TASKS));
        for round in 0..EACH {
            let value = format!("{task}.{round}");
            database.put(&mine, &value, None).expect("to write");
            assert_eq!(database.get(&mine).expect("to read").as_deref(), Some(value.as_bytes()));
            if let Some(other) = database.get(&next).expect("to read") {
                assert!(other.starts_with(format!("{}.", (task + 1) % TASKS).as_bytes()), "{next} holds {other:?}");
            }
        }
        if task % 2 == 0 {
            assert!(database.delete(&mine).expect("to delete"), "{mine} was there");
        }
    });
    database.close().expect("to close");
    let database = Database::open(directory.path(), Options::default()).expect("a database");
    assert_eq!(database.len(), TASKS / 2);
    for task in 0..TASKS {
        let expected = (task % 2 == 1).then(|| format!("{task}.{}", EACH - 1));
        let found = database.get(format!("key:{task}")).expect("to read");
        assert_eq!(found.as_deref(), expected.as_deref().map(str::as_bytes), "key:{task}");
    }
}

#[test]
fn transfers_keep_the_sum() {
    const ACCOUNTS: usize = 10;
    const WRITERS: usize = 8;
    let names: Vec<String> = (0..ACCOUNTS).map(|account| format!("account:{account}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let directory = directory();
    let keyspace = open(&directory);
    at_once(&keyspace, &names, Mode::Exclusive, |access| names.iter().for_each(|name| set(access, name, 100)));
    let sum = |keyspace: &Keyspace| {
        at_once(keyspace, &names, Mode::Shared, |access| names.iter().filter_map(|name| get(access, name)).sum::<i64>())
    };
    let writers = Working::new(WRITERS);
    together(WRITERS + 4, |task| {
        let mut random = fastrand::Rng::with_seed(task as u64);
        if task >= WRITERS {
            while writers.goes_on() {
                assert_eq!(sum(&keyspace), 100 * ACCOUNTS as i64);
            }
            return;
        }
        let _at_work = writers.one();
        for _ in 0..1_000 {
            let from = random.usize(0..ACCOUNTS);
            let to = (from + random.usize(1..ACCOUNTS)) % ACCOUNTS;
            let (from, to) = (names[from], names[to]);
            at_once(&keyspace, &[from, to], Mode::Exclusive, |access| {
                let (less, more) = (get(access, from).unwrap_or(0) - 1, get(access, to).unwrap_or(0) + 1);
                set(access, from, less);
                set(access, to, more);
            });
        }
    });
    drop(keyspace);
    assert_eq!(sum(&open(&directory)), 100 * ACCOUNTS as i64, "after opening it again");
}

#[test]
fn every_history_of_a_key_is_linearizable() {
    let directory = directory();
    let keyspace = open(&directory);
    check_histories(
        150,
        || (),
        |(), key, ask| {
            let mode = if matches!(ask, Ask::Get) { Mode::Shared } else { Mode::Exclusive };
            at_once(&keyspace, &[key], mode, |access| {
                let before = get(access, key);
                match ask {
                    Ask::Get => before,
                    Ask::Set(value) => {
                        set(access, key, value);
                        None
                    }
                    Ask::SetIfAbsent(value) => {
                        before.is_none().then(|| set(access, key, value));
                        Some(i64::from(before.is_none()))
                    }
                    Ask::Swap(value) => {
                        set(access, key, value);
                        before
                    }
                    Ask::Delete => Some(i64::from(access.delete(key.as_bytes()).expect("to delete"))),
                    Ask::Take => {
                        access.delete(key.as_bytes()).expect("to delete");
                        before
                    }
                }
            })
        },
    );
}
