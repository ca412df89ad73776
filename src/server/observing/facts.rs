//! INFO's fields as numbers; whether the server is ready.

use std::collections::HashMap;
use std::fmt;

use crate::commands::{Registry, info_fields};
use crate::node::Node;

/// The fields of INFO at one moment.
pub(super) struct Facts(HashMap<String, String>);

impl Facts {
    pub(super) fn now(node: &Node, registry: &Registry) -> Self {
        Self(info_fields(node, registry).into_iter().collect())
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// The field as a number, as redis_exporter understands it: `ok` is 1 and `err` 0.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        match self.text(field)? {
            "ok" => Some(1.0),
            "err" => Some(0.0),
            text => text.parse().ok(),
        }
    }

    /// The field as a whole number; 0 where it is absent, as while keys are loaded.
    pub(super) fn whole(&self, field: &str) -> u64 {
        self.text(field).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Whether the server can do its work; displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Bytes read so far, and all that are to be read.
    Loading(u64, u64),
    /// The log takes no writes; the text says why.
    Refusing(String),
    Ready,
}

impl Readiness {
    pub(super) fn of(node: &Node) -> Self {
        let Some(keyspace) = node.keyspace() else {
            let (done, total) = node.loading().progress();
            return Self::Loading(done, total);
        };
        keyspace.store().status().refused.map_or(Self::Ready, |refused| Self::Refusing(refused.to_string()))
    }

    /// In one word, for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Loading(..) => "loading",
            Self::Refusing(_) => "refusing",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading(done, total) => write!(f, "loading: {} of {} MB read", done >> 20, total >> 20),
            Self::Refusing(reason) => write!(f, "no writes are taken: {reason}"),
            Self::Ready => f.write_str("ready"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::config::{Config, Settings};
    use crate::keyspace::{Keyspace, Mode};
    use crate::node::{Host, ShutdownRequest};
    use crate::store::clock::TestClock;
    use crate::store::disk::SimDisk;

    struct Nobody;

    impl Host for Nobody {
        fn shut_down(&self, _: ShutdownRequest) {}

        fn settings_changed(&self) {}
    }

    #[test]
    fn who_loads_or_has_a_full_disk_is_not_ready() {
        let (disk, clock) = (SimDisk::new(), Arc::new(TestClock::new(1_700_000_000_000)));
        let registry = Registry::new();
        let config = Config::new(Settings::default(), None);
        let node = Node::new(config, clock.clone(), Box::new(Nobody), registry.catalogue());
        node.loading().note(3 << 20, 7 << 20);
        assert_eq!(Readiness::of(&node).to_string(), "loading: 3 of 7 MB read");
        let opened = Keyspace::open(Arc::new(disk.clone()), clock, Default::default(), 1, &mut |_, _| {});
        node.set_keyspace(opened.unwrap().0);
        assert_eq!(Readiness::of(&node), Readiness::Ready);
        disk.set_capacity(Some(disk.used()));
        let keyspace = node.keyspace().unwrap();
        let put = |number: usize, bytes: usize| {
            let key = format!("key:{number}");
            let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
            let put = access.put(key.as_bytes(), 0, &vec![b'v'; bytes], None);
            drop(access);
            put.is_ok() && keyspace.store().sync().is_ok()
        };
        let taken = (0..10_000).take_while(|number| put(*number, 100_000)).count();
        assert!(taken < 10_000, "the disk takes everything");
        assert_eq!(Readiness::of(&node), Readiness::Ready, "a small change is taken still");
        assert!((taken..20_000).any(|number| !put(number, 100)), "the disk takes everything");
        assert_eq!(Readiness::of(&node).word(), "refusing");
        assert!(Readiness::of(&node).to_string().starts_with("no writes are taken: the disk is full"));
        let facts = Facts::now(&node, &registry);
        assert_eq!((facts.number("aof_last_write_status"), facts.text("loading")), (Some(0.0), Some("0")));
        disk.set_capacity(None);
        // As the log's thread does once a second, though nobody writes.
        keyspace.store().tick().unwrap();
        assert_eq!(Readiness::of(&node), Readiness::Ready);
    }
}
