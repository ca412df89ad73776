//! Sessions that clients may resume.
//!
//! Always true: there are no more than `tls-session-cache-size`, and none is older than `tls-session-cache-timeout`; new
//! certificates begin with none.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::server::StoresServerSessions;

use crate::config::Settings;

pub(super) struct Sessions {
    /// 0 for no limit.
    count_max: usize,
    lifetime: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<Vec<u8>, Session>,
    /// Oldest first; those that were taken or replaced still stand here, and count.
    order: VecDeque<(u64, Vec<u8>)>,
    number: u64,
}

struct Session {
    number: u64,
    since: Instant,
    secrets: Vec<u8>,
}

impl Sessions {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            count_max: settings.tls_session_cache_size,
            lifetime: Duration::from_secs(u64::from(settings.tls_session_cache_timeout)),
            kept: Mutex::default(),
        }
    }
}

impl Kept {
    /// Takes the oldest away, if it was not taken before.
    fn drop_oldest(&mut self) {
        if let Some((number, key)) = self.order.pop_front()
            && self.by_key.get(&key).is_some_and(|session| session.number == number)
        {
            self.by_key.remove(&key);
        }
    }

    fn oldest_is(&self, over: impl Fn(&Session) -> bool) -> bool {
        self.order.front().is_some_and(|(number, key)| match self.by_key.get(key) {
            Some(session) if session.number == *number => over(session),
            _ => true,
        })
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, secrets: Vec<u8>) -> bool {
        let mut kept = self.kept.lock();
        let since = Instant::now();
        while kept.oldest_is(|session| since.duration_since(session.since) >= self.lifetime)
            || self.count_max > 0 && kept.order.len() >= self.count_max
        {
            kept.drop_oldest();
        }
        kept.number += 1;
        let number = kept.number;
        kept.order.push_back((number, key.clone()));
        kept.by_key.insert(key, Session { number, since, secrets });
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock();
        let session = kept.by_key.get(key).filter(|session| session.since.elapsed() < self.lifetime);
        session.map(|session| session.secrets.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.kept.lock().by_key.remove(key).filter(|session| session.since.elapsed() < self.lifetime);
        session.map(|session| session.secrets)
    }

    fn can_cache(&self) -> bool {
        !self.lifetime.is_zero()
    }
}

/// Without the secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("count_max", &self.count_max).field("lifetime", &self.lifetime).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(count_max: usize, seconds: u64) -> Sessions {
        Sessions { count_max, lifetime: Duration::from_secs(seconds), kept: Mutex::default() }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let sessions = sessions(3, 300);
        for number in 0..5_u8 {
            sessions.put(vec![number], vec![number; 2]);
        }
        let found: Vec<bool> = (0..5_u8).map(|number| sessions.get(&[number]).is_some()).collect();
        assert_eq!(found, [false, false, true, true, true]);
        assert_eq!(sessions.take(&[4]), Some(vec![4, 4]));
        assert_eq!((sessions.take(&[4]), sessions.kept.lock().order.len()), (None, 3));
    }

    #[test]
    fn what_is_replaced_is_not_taken_away_for_the_older_one() {
        let sessions = sessions(2, 300);
        for (key, secrets) in [(1, 1), (1, 2), (3, 3)] {
            sessions.put(vec![key], vec![secrets]);
        }
        assert_eq!((sessions.get(&[1]), sessions.get(&[3])), (Some(vec![2]), Some(vec![3])));
    }

    #[test]
    fn without_time_nothing_is_resumed() {
        let sessions = sessions(0, 0);
        assert!(!sessions.can_cache());
        for number in 0..5_u8 {
            sessions.put(vec![number], vec![number]);
        }
        assert_eq!((sessions.get(&[4]), sessions.kept.lock().order.len()), (None, 1));
    }
}
