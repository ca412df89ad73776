//! Listeners to all changes: what they are told, and that no writer ever waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::super::{Change, Event, SUBSCRIPTION_EVENTS_MAX, Subscription};
use super::runner::options;
use crate::database::{Batch, Database};
use crate::store::Fsync;

fn told(subscription: &Subscription) -> Vec<(String, Change)> {
    let events = std::iter::from_fn(|| subscription.try_next());
    events.map(|event| (String::from_utf8(event.key.to_vec()).unwrap(), event.change)).collect()
}

#[test]
fn a_listener_is_told_of_every_kind_of_change() {
    use Change::{Created, Deleted, Expired, Updated};
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), options(Fsync::Everysec)).unwrap();
    database.put("before", "1", None).unwrap();
    let changes = database.watch();
    database.put("a", "1", None).unwrap();
    database.put("a", "2", None).unwrap();
    assert!(database.delete("a").unwrap());
    assert!(!database.delete("a").unwrap());
    database.get("before").unwrap();
    database.put("short", "1", Some(Duration::ZERO)).unwrap();
    assert_eq!(database.get("short").unwrap(), None);
    let expected = [("a", Created), ("a", Updated), ("a", Deleted), ("short", Created), ("short", Expired)];
    let expected: Vec<_> = expected.into_iter().map(|(key, change)| (key.to_owned(), change)).collect();
    assert_eq!(told(&changes), expected);

    let mut batch = Batch::default();
    batch.put("b", "1", None);
    batch.put("before", "2", None);
    batch.rollback();
    assert_eq!(told(&changes), []);
    let mut batch = Batch::default();
    batch.put("b", "1", None);
    batch.put("before", "2", None);
    batch.delete("nothing");
    database.commit(&batch).unwrap();
    let mut expected = vec![("b".to_owned(), Created), ("before".to_owned(), Updated)];
    let mut found = told(&changes);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    assert_eq!(changes.next(Duration::from_millis(1)), None);
    assert_eq!(changes.lost(), 0);
}

#[test]
fn a_listener_that_sleeps_loses_events_and_is_told_how_many() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), options(Fsync::No)).unwrap();
    let (sleeping, gone) = (database.watch(), database.watch());
    drop(gone);
    let (mut batch, more) = (Batch::default(), 100);
    (0..SUBSCRIPTION_EVENTS_MAX + more).for_each(|index| batch.put(format!("{index}"), "v", None));
    database.commit(&batch).unwrap();
    assert_eq!(sleeping.lost(), more as u64);
    assert_eq!(told(&sleeping).len(), SUBSCRIPTION_EVENTS_MAX);
    database.put("again", "v", None).unwrap();
    assert_eq!(told(&sleeping), [("again".to_owned(), Change::Created)]);
}

/// Of one key the events come in the order of its changes, from however many writers, while listeners come and go.
#[test]
fn listeners_and_writers_do_not_wait_for_each_other() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 400;
    let directory = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(directory.path(), options(Fsync::Everysec)).unwrap());
    let (listening, sleeping) = (database.watch(), database.watch());
    let (writing, events) = (AtomicUsize::new(WRITERS), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let heard = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (database, writing, events) = (&database, &writing, &events);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (own, shared) = (format!("own {writer}"), format!("shared {}", round % 7));
                    database.put(&own, round.to_string(), None).unwrap();
                    database.put(&shared, round.to_string(), None).unwrap();
                    events.fetch_add(2 + usize::from(database.delete(&own).unwrap()), Ordering::Relaxed);
                    events.fetch_add(usize::from(database.delete(&shared).unwrap()), Ordering::Relaxed);
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                drop(database.watch());
            }
        });
        let mut heard: Vec<Event> = Vec::new();
        loop {
            let last = writing.load(Ordering::SeqCst) == 0;
            heard.extend(std::iter::from_fn(|| listening.try_next()));
            if last {
                break;
            }
            heard.extend(listening.next(Duration::from_millis(10)));
        }
        done.store(true, Ordering::SeqCst);
        heard
    });
    assert_eq!(heard.len() as u64 + listening.lost(), events.load(Ordering::Relaxed) as u64);
    assert_eq!(told(&sleeping).len() as u64 + sleeping.lost(), events.load(Ordering::Relaxed) as u64);
    if listening.lost() > 0 {
        return;
    }
    // Created, then updates, then deleted, and so on, for each key.
    let mut there: HashMap<Bytes, bool> = HashMap::new();
    for Event { key, change, .. } in heard {
        let is_there = there.entry(key.clone()).or_default();
        assert_eq!(*is_there, change != Change::Created, "{key:?} {change:?}");
        *is_there = change != Change::Deleted;
    }
    assert!(there.values().all(|is_there| !is_there), "the last writer has deleted each key");
}

/// A writer tells its listeners while it holds a latch; a listener may use the keyspace meanwhile.
#[test]
fn a_listener_may_ask_for_what_it_was_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), options(Fsync::Everysec)).unwrap();
    let changes = database.watch();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..500).for_each(|index| database.put("key", index.to_string(), None).unwrap()));
        for _ in 0..500 {
            let event = changes.next(Duration::from_secs(60)).expect("a change");
            assert!(database.get(&event.key).unwrap().is_some());
            database.put("answer", "x", None).unwrap();
            while changes.try_next().is_some_and(|event| event.key == "key") {}
            if database.get("key").unwrap().unwrap() == "499" {
                break;
            }
        }
    });
    assert_eq!(database.get("key").unwrap().unwrap(), "499");
}
