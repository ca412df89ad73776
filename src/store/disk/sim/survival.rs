//! What survives a loss of power: the ways in which unsynced changes may have reached the disk, each repeatable.

use super::inode::Fate;

/// One way the unsynced changes may have gone. Synced ones survive in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing unsynced survives.
    Durable,
    /// Everything written survives.
    Written,
    /// Names and lengths survive, data does not: files have grown with zeros.
    Hollow,
    /// Data and lengths survive, changes of the directory do not.
    Nameless,
    /// What was written up to some moment survives, the write of that moment in part.
    Prefix(u64),
    /// Any subset of the written sectors, of the changes of length, and of the changes of the directory.
    Random(u64),
}

impl Survival {
    /// Every fixed way, and `seeds` each of the ways that take one.
    pub fn variants(seeds: u64) -> impl Iterator<Item = Survival> {
        let fixed = [Self::Durable, Self::Written, Self::Hollow, Self::Nameless];
        fixed.into_iter().chain((0..seeds).flat_map(|seed| [Self::Prefix(seed), Self::Random(seed)]))
    }

    /// The fate of changes made by the calls from `oldest` up to `calls`.
    pub(super) fn fate(self, oldest: u64, calls: u64) -> Box<dyn Fate> {
        match self {
            Self::Durable => Box::new(Fixed { data: false, growth: false, names: false, lengths: false }),
            Self::Written => Box::new(Fixed { data: true, growth: true, names: true, lengths: true }),
            Self::Hollow => Box::new(Fixed { data: false, growth: true, names: true, lengths: true }),
            Self::Nameless => Box::new(Fixed { data: true, growth: true, names: false, lengths: true }),
            Self::Prefix(seed) => {
                let mut random = Random(seed);
                let moment = oldest + random.below(calls.saturating_sub(oldest) + 1);
                Box::new(Prefix { moment, sectors: random.below(4) })
            }
            Self::Random(seed) => {
                let mut random = Random(!seed);
                // A rate of its own for each, so that all-but-one and none-but-one come up as well as halves.
                let rates = [random.below(9), random.below(9), random.below(9)];
                Box::new(Subset { random, rates })
            }
        }
    }
}

struct Fixed {
    data: bool,
    growth: bool,
    names: bool,
    lengths: bool,
}

impl Fate for Fixed {
    fn data(&mut self, _: u64, _: u64) -> bool {
        self.data
    }
    fn growth(&mut self, _: u64) -> bool {
        self.growth
    }
    fn length(&mut self, _: u64) -> bool {
        self.lengths
    }
    fn name(&mut self, _: u64) -> bool {
        self.names
    }
}

struct Prefix {
    moment: u64,
    sectors: u64,
}

impl Fate for Prefix {
    fn data(&mut self, call: u64, sector: u64) -> bool {
        call < self.moment || (call == self.moment && sector < self.sectors)
    }
    fn growth(&mut self, call: u64) -> bool {
        call == self.moment && self.sectors % 2 == 1
    }
    fn length(&mut self, call: u64) -> bool {
        call < self.moment
    }
    fn name(&mut self, call: u64) -> bool {
        call < self.moment
    }
}

struct Subset {
    random: Random,
    /// Of data, growth and metadata: how many in eight survive.
    rates: [u64; 3],
}

impl Subset {
    fn survives(&mut self, rate: usize) -> bool {
        self.random.below(8) < self.rates[rate]
    }
}

impl Fate for Subset {
    fn data(&mut self, _: u64, _: u64) -> bool {
        self.survives(0)
    }
    fn growth(&mut self, _: u64) -> bool {
        self.survives(1)
    }
    fn length(&mut self, _: u64) -> bool {
        self.survives(2)
    }
    fn name(&mut self, _: u64) -> bool {
        self.survives(2)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers from the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
