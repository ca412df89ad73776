//! Which segments are worth compacting: a pure decision.
//!
//! The score is that of log-structured file systems (Rosenblum and Ousterhout 1992): the space that is won, times the age of
//! what is there, by the cost of reading and writing again what lives: `(1 - u) * age / (1 + u)`.

use super::super::manifest::SegmentKind;

/// A segment of which more than this stays is left alone, counting as its own the deletions elsewhere that stay for it.
///
/// So where none is worth it, at most this part of all bytes and all deletions that stay is alive or a deletion that stays; which
/// makes, with u for the part, all bytes less than u / (2 u - 1) times those alive: 1.095.
const UTILISATION_MAX: f64 = 0.92;
/// The most segments of one pass.
const VICTIMS_MAX: usize = 16;
/// That many segments that are far too small are merged into one.
const SMALL_MAX: usize = 8;
/// A segment is far too small if that many of it would fit into one.
const SMALL_PARTS: u64 = 8;

/// A segment that could be compacted.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Candidate {
    pub id: u32,
    pub kind: SegmentKind,
    /// Of all its records.
    pub bytes: u64,
    /// Of values that something refers to.
    pub live: u64,
    /// Of deletions and the like that must be taken for alive.
    pub kept: u64,
    /// Of deletions and the like of which only a pass can tell whether they stay.
    pub open: u64,
    /// Of deletions in other segments that may go once this one has gone.
    pub gain: u64,
    /// How many records were written since its last one.
    pub age: u64,
}

impl Candidate {
    fn stays(&self) -> u64 {
        (self.live + self.kept + self.open).min(self.bytes)
    }

    fn utilisation(&self) -> f64 {
        self.stays() as f64 / (self.bytes + self.gain).max(1) as f64
    }

    fn score(&self) -> f64 {
        let utilisation = self.utilisation();
        (1.0 - utilisation) * self.age.max(1) as f64 / (1.0 + utilisation)
    }

    /// As it is if nothing stays that need not.
    fn hopeful(&self) -> Self {
        Self { open: 0, ..*self }
    }
}

/// What is allowed, in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Budget {
    /// What the directory takes.
    pub total: u64,
    /// What it may take.
    pub total_max: u64,
    /// How large a segment is to become.
    pub segment: u64,
}

impl Budget {
    pub(super) fn is_exceeded(&self) -> bool {
        self.total > self.total_max
    }
}

/// The segments of the next pass, all of one kind, the best first; none if nothing is to be done. What nothing refers to any
/// more always goes; otherwise, only `forced` or over the budget is anything done.
pub(super) fn choose(candidates: &[Candidate], budget: &Budget, forced: bool) -> Vec<u32> {
    let dead: Vec<u32> = candidates.iter().filter(|candidate| candidate.stays() == 0).map(|dead| dead.id).collect();
    if !dead.is_empty() {
        return dead.into_iter().take(VICTIMS_MAX).collect();
    }
    let crowd = |kind| {
        let small = |candidate: &&Candidate| candidate.kind == kind && candidate.bytes < budget.segment / SMALL_PARTS;
        candidates.iter().filter(small).map(|small| small.id).collect::<Vec<_>>()
    };
    for kind in [SegmentKind::Compacted, SegmentKind::Foreground] {
        let small = crowd(kind);
        if small.len() >= SMALL_MAX {
            return small.into_iter().take(VICTIMS_MAX).collect();
        }
    }
    if !forced && !budget.is_exceeded() {
        return Vec::new();
    }
    let is_worth = |candidate: &Candidate| candidate.utilisation() <= UTILISATION_MAX;
    let mut worth: Vec<Candidate> = candidates.iter().copied().filter(is_worth).collect();
    if worth.is_empty() {
        // What deletions hide goes first, or they would be written again with nothing won.
        worth = candidates.iter().map(Candidate::hopeful).filter(is_worth).collect();
    }
    worth.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.id.cmp(&b.id)));
    let Some(kind) = worth.first().map(|best| best.kind) else { return Vec::new() };
    let mut stays = 0;
    let mut victims = Vec::new();
    for candidate in worth.into_iter().filter(|candidate| candidate.kind == kind) {
        if victims.len() == VICTIMS_MAX || !victims.is_empty() && stays + candidate.stays() > budget.segment {
            break;
        }
        stays += candidate.stays();
        victims.push(candidate.id);
    }
    victims
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn candidate(id: u32, live: u64, age: u64) -> Candidate {
        Candidate {
            id,
            kind: SegmentKind::Foreground,
            bytes: 16 * MIB,
            live: live * MIB,
            kept: 0,
            open: 0,
            gain: 0,
            age,
        }
    }

    fn budget(total: u64) -> Budget {
        Budget { total: total * MIB, total_max: 100 * MIB, segment: 16 * MIB }
    }

    #[test]
    fn within_the_budget_only_the_dead_go() {
        let candidates = [candidate(1, 8, 9), candidate(2, 0, 1), candidate(3, 2, 5), candidate(4, 0, 7)];
        assert_eq!(choose(&candidates, &budget(100), false), [2, 4]);
        assert_eq!(choose(&candidates[..1], &budget(100), false), Vec::<u32>::new());
        assert_eq!(choose(&candidates[..1], &budget(100), true), [1]);
    }

    #[test]
    fn over_it_the_best_go_as_far_as_one_segment_takes_what_lives() {
        // Scores: 1 is young, 2 is as empty and old, 3 nearly full and very old, 4 too full.
        let candidates = [candidate(1, 8, 10), candidate(2, 7, 100), candidate(3, 13, 9_000), candidate(4, 15, 90_000)];
        assert_eq!(choose(&candidates, &budget(101), false), [3]);
        assert_eq!(choose(&candidates[..2], &budget(101), false), [2, 1]);
        assert_eq!(
            choose(&candidates[3..], &budget(101), false),
            Vec::<u32>::new(),
            "nothing is won by moving what lives"
        );
    }

    #[test]
    fn kinds_are_kept_apart() {
        let compacted = Candidate { kind: SegmentKind::Compacted, ..candidate(2, 1, 90) };
        assert_eq!(choose(&[candidate(1, 1, 100), compacted, candidate(3, 1, 80)], &budget(101), false), [1, 3]);
    }

    #[test]
    fn many_small_ones_are_merged() {
        let small = |id| Candidate { bytes: MIB, live: MIB, ..candidate(id, 1, 1) };
        let seven: Vec<Candidate> = (1..=7).map(small).collect();
        let eight: Vec<Candidate> = (1..=8).map(small).collect();
        assert_eq!(choose(&seven, &budget(50), false), Vec::<u32>::new());
        assert_eq!(choose(&eight, &budget(50), false), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    /// Written again before what they hide has gone, they would stay, and nothing would be won.
    #[test]
    fn deletions_go_after_what_they_may_hide() {
        let deletions = Candidate { open: 16 * MIB, ..candidate(2, 0, 1) };
        assert_eq!(choose(&[candidate(1, 8, 9), deletions], &budget(101), false), [1]);
        assert_eq!(choose(&[candidate(1, 15, 9), deletions], &budget(101), false), [2], "nothing else is worth it");
        assert_eq!(choose(&[deletions], &budget(100), false), Vec::<u32>::new());
    }

    #[test]
    fn a_segment_goes_for_the_deletions_that_wait_for_it() {
        let full = candidate(1, 15, 9);
        assert_eq!(choose(&[full], &budget(101), true), Vec::<u32>::new());
        assert_eq!(choose(&[Candidate { gain: MIB, ..full }], &budget(101), true), [1]);
    }

    #[test]
    fn deletions_that_must_stay_count_as_alive() {
        let kept = Candidate { kept: 16 * MIB, ..candidate(1, 0, 5) };
        assert_eq!(choose(&[kept], &budget(101), true), Vec::<u32>::new());
    }
}
