//! Caches as the literature describes them, of so many values that are all of one size: what the hand is measured by.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Says of each request whether its value was there, and takes it in where it was not.
pub(super) trait Cache {
    fn get(&mut self, key: u32) -> bool;
}

/// What was not used for longest goes.
pub(super) struct Lru {
    most: usize,
    now: u64,
    used: HashMap<u32, u64>,
    order: BTreeMap<u64, u32>,
}

impl Lru {
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: 0, used: HashMap::new(), order: BTreeMap::new() }
    }
}

impl Cache for Lru {
    fn get(&mut self, key: u32) -> bool {
        self.now += 1;
        let before = self.used.insert(key, self.now);
        if let Some(before) = before {
            self.order.remove(&before);
        }
        self.order.insert(self.now, key);
        if self.used.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}

/// What was used least often since it came goes; of several, what was used first.
pub(super) struct Lfu {
    most: usize,
    now: u64,
    used: HashMap<u32, (u64, u64)>,
    order: BTreeSet<(u64, u64, u32)>,
}

impl Lfu {
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: 0, used: HashMap::new(), order: BTreeSet::new() }
    }
}

impl Cache for Lfu {
    fn get(&mut self, key: u32) -> bool {
        self.now += 1;
        let before = self.used.get(&key).copied();
        match before {
            Some((uses, when)) => {
                self.order.remove(&(uses, when, key));
            }
            None if self.used.len() == self.most => {
                if let Some((.., rarest)) = self.order.pop_first() {
                    self.used.remove(&rarest);
                }
            }
            None => {}
        }
        let uses = before.map_or(1, |(uses, _)| uses + 1);
        self.used.insert(key, (uses, self.now));
        self.order.insert((uses, self.now, key));
        before.is_some()
    }
}

/// A hand goes round in the order in which values came; what was used since it passed stays.
pub(super) struct Clock {
    most: usize,
    used: HashMap<u32, bool>,
    order: VecDeque<u32>,
}

impl Clock {
    pub(super) fn new(most: usize) -> Self {
        Self { most, used: HashMap::new(), order: VecDeque::new() }
    }
}

impl Cache for Clock {
    fn get(&mut self, key: u32) -> bool {
        if let Some(used) = self.used.get_mut(&key) {
            *used = true;
            return true;
        }
        while self.used.len() >= self.most
            && let Some(next) = self.order.pop_front()
        {
            if self.used.insert(next, false) == Some(true) {
                self.order.push_back(next);
            } else {
                self.used.remove(&next);
            }
        }
        self.used.insert(key, false);
        self.order.push_back(key);
        false
    }
}

/// [S3-FIFO](https://dl.acm.org/doi/10.1145/3600006.3613147): a small queue for what is new, a main one for what was used more than
/// once there or comes back soon after it had to go.
pub(super) struct S3Fifo {
    most: usize,
    small_most: usize,
    uses: HashMap<u32, u8>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    /// Keys that had to go, with the number of that; a key that came back has another number or none.
    gone: HashMap<u32, u64>,
    ghosts: VecDeque<(u32, u64)>,
    now: u64,
}

impl S3Fifo {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            small_most: most / 10,
            uses: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            gone: HashMap::new(),
            ghosts: VecDeque::new(),
            now: 0,
        }
    }

    fn make_room(&mut self) {
        if self.small.len() < self.small_most {
            return self.make_room_in_main();
        }
        while let Some(next) = self.small.pop_front() {
            if self.uses[&next] > 1 {
                self.uses.insert(next, 0);
                self.main.push_back(next);
                continue;
            }
            self.uses.remove(&next);
            self.now += 1;
            self.gone.insert(next, self.now);
            self.ghosts.push_back((next, self.now));
            while self.gone.len() > self.most - self.small_most
                && let Some((ghost, when)) = self.ghosts.pop_front()
            {
                if self.gone.get(&ghost) == Some(&when) {
                    self.gone.remove(&ghost);
                }
            }
            return;
        }
        self.make_room_in_main();
    }

    fn make_room_in_main(&mut self) {
        while let Some(next) = self.main.pop_front() {
            match self.uses[&next] {
                0 => {
                    self.uses.remove(&next);
                    return;
                }
                uses => {
                    self.uses.insert(next, uses - 1);
                    self.main.push_back(next);
                }
            }
        }
    }
}

impl Cache for S3Fifo {
    fn get(&mut self, key: u32) -> bool {
        if let Some(uses) = self.uses.get_mut(&key) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.uses.len() >= self.most {
            self.make_room();
        }
        let queue = if self.gone.remove(&key).is_some() { &mut self.main } else { &mut self.small };
        queue.push_back(key);
        self.uses.insert(key, 0);
        false
    }
}
