//! Several sets and sorted sets as one: what is in any, in all, or in the first alone.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Args, Context, Outcome, send_head, send_member, store};
use crate::commands::{Stop, text};
use crate::keyspace::{Access, Halt, Name, Set, ZSet};
use crate::protocol::Reply;
use crate::types::number;

/// How keys are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What becomes of the scores of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

/// What is done with the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Answer,
    Store,
    Count,
}

/// What a key is, and what its scores are multiplied with.
struct Source {
    value: Value,
    length: usize,
    weight: f64,
}

enum Value {
    Nothing,
    Set(Set),
    ZSet(ZSet),
}

/// What a command asks for beside its keys.
struct Options {
    aggregate: Aggregate,
    with_scores: bool,
    /// Of ZINTERCARD; 0 for none.
    limit: usize,
}

type Members = Vec<(Name, f64)>;

pub(super) fn zunion(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, "zunion", Operation::Union)
}

pub(super) fn zinter(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, "zinter", Operation::Inter)
}

pub(super) fn zdiff(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, "zdiff", Operation::Diff)
}

fn answer(ctx: &mut Context<'_, '_>, args: Args<'_>, name: &str, operation: Operation) -> Outcome {
    let (sources, options) = read(ctx, args, name, operation, Purpose::Answer)?;
    let (access, out) = ctx.keys_and_out()?;
    let members = combine(access, sources, operation, options.aggregate)?;
    send_head(out, members.len(), options.with_scores);
    members.iter().for_each(|(member, score)| send_member(out, member, options.with_scores.then_some(*score)));
    Err(Stop::Written)
}

pub(super) fn zunionstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store_combined(ctx, args, "zunionstore", Operation::Union)
}

pub(super) fn zinterstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store_combined(ctx, args, "zinterstore", Operation::Inter)
}

pub(super) fn zdiffstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store_combined(ctx, args, "zdiffstore", Operation::Diff)
}

fn store_combined(ctx: &mut Context<'_, '_>, mut args: Args<'_>, name: &'static str, operation: Operation) -> Outcome {
    let destination = args.word()?;
    let (sources, options) = read(ctx, args, name, operation, Purpose::Store)?;
    let members = combine(ctx.keys()?, sources, operation, options.aggregate)?;
    store(ctx, destination, &members, name)
}

pub(super) fn zintercard(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let (mut sources, options) = read(ctx, args, "zintercard", Operation::Inter, Purpose::Count)?;
    let access = ctx.keys()?;
    sources.sort_by_key(|source| source.length);
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let [first, others @ ..] = &sources[..] else { return Ok(Reply::from(0usize)) };
    let members = first.members(access)?;
    let is_in_all = |member: &Name| others.iter().all(|source| source.score(access, member).is_some());
    Ok(Reply::from(members.iter().filter(|(member, _)| is_in_all(member)).take(limit).count()))
}

/// Reads the keys and the options. Redis looks at what the keys are before it reads the options.
fn read(
    ctx: &mut Context<'_, '_>,
    mut args: Args<'_>,
    name: &str,
    operation: Operation,
    purpose: Purpose,
) -> Result<(Vec<Source>, Options), Stop> {
    let number = args.integer()?;
    let number = usize::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| text::no_input_keys(name))?;
    if number > args.left() {
        return Err(text::SYNTAX.into());
    }
    let access = ctx.keys()?;
    let mut sources = Vec::with_capacity(number);
    let mut cold = Vec::new();
    for key in args.rest().take(number) {
        match Source::of(access, key) {
            Ok(source) => sources.push(source),
            // All that is on the disk is asked for together.
            Err(Halt::Cold(more)) => cold.extend(more),
            Err(halt) => return Err(halt.into()),
        }
        args.optional();
    }
    if !cold.is_empty() {
        return Err(Stop::Cold(cold));
    }
    let mut options = Options { aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
    let weighs = operation != Operation::Diff && purpose != Purpose::Count;
    while !args.is_empty() {
        match () {
            () if weighs && args.left() > number && args.keyword("WEIGHTS") => {
                for source in &mut sources {
                    source.weight = number::parse_f64(args.word()?).ok_or(text::WEIGHT_NOT_A_FLOAT)?;
                }
            }
            () if weighs && args.left() > 1 && args.keyword("AGGREGATE") => {
                options.aggregate = match () {
                    () if args.keyword("SUM") => Aggregate::Sum,
                    () if args.keyword("MIN") => Aggregate::Min,
                    () if args.keyword("MAX") => Aggregate::Max,
                    () => return Err(text::SYNTAX.into()),
                };
            }
            () if purpose == Purpose::Answer && args.keyword("WITHSCORES") => options.with_scores = true,
            () if purpose == Purpose::Count && args.left() > 1 && args.keyword("LIMIT") => {
                let limit = number::parse_i64(args.word()?).filter(|limit| *limit >= 0);
                options.limit = usize::try_from(limit.ok_or(text::LIMIT_NEGATIVE)?).unwrap_or(usize::MAX);
            }
            () => return Err(text::SYNTAX.into()),
        }
    }
    Ok((sources, options))
}

impl Source {
    fn of(access: &mut Access<'_>, key: &[u8]) -> Result<Self, Halt> {
        access.counts = true;
        let value = match access.zset(key) {
            Ok(zset) => zset.map_or(Value::Nothing, Value::ZSet),
            Err(Halt::WrongType) => {
                // It has been counted.
                access.counts = false;
                access.set(key)?.map_or(Value::Nothing, Value::Set)
            }
            Err(halt) => return Err(halt),
        };
        let length = match &value {
            Value::Nothing => 0,
            Value::Set(set) => set.len(),
            Value::ZSet(zset) => zset.len(access),
        };
        Ok(Self { value, length, weight: 1.0 })
    }

    /// The score of a member; those of a set have the score 1.
    fn score(&self, _: &Access<'_>, member: &[u8]) -> Option<f64> {
        match &self.value {
            Value::Nothing => None,
            Value::Set(set) => set.contains(member).then_some(1.0),
            Value::ZSet(zset) => zset.score(member),
        }
    }

    fn each(&self, access: &mut Access<'_>, mut visit: impl FnMut(&[u8], f64)) -> Result<(), Halt> {
        match &self.value {
            Value::Nothing => {}
            Value::Set(set) => set.each(access, |member| visit(member, 1.0))?,
            Value::ZSet(zset) => zset.range(0..self.length, false, visit),
        }
        Ok(())
    }

    fn members(&self, access: &mut Access<'_>) -> Result<Members, Halt> {
        let mut members = Vec::with_capacity(self.length);
        self.each(access, |member, score| members.push((Name::from_slice(member), score)))?;
        Ok(members)
    }

    /// A score times the weight; nothing times infinity is nothing.
    fn weighed(&self, score: f64) -> f64 {
        let weighed = self.weight * score;
        if weighed.is_nan() { 0.0 } else { weighed }
    }
}

/// The members of the result, in the order of a sorted set.
fn combine(
    access: &mut Access<'_>,
    mut sources: Vec<Source>,
    operation: Operation,
    aggregate: Aggregate,
) -> Result<Members, Halt> {
    if operation != Operation::Diff {
        // The smallest first, as the order of additions shows in their sum.
        sources.sort_by_key(|source| source.length);
    }
    let mut members = match operation {
        Operation::Union => union(access, &sources, aggregate)?,
        Operation::Inter => inter(access, &sources, aggregate)?,
        Operation::Diff => diff(access, &sources)?,
    };
    members.sort_unstable_by(|(name, score), (other, of_other)| {
        score.partial_cmp(of_other).unwrap_or(Ordering::Equal).then_with(|| name.cmp(other))
    });
    Ok(members)
}

fn union(access: &mut Access<'_>, sources: &[Source], aggregate: Aggregate) -> Result<Members, Halt> {
    let longest = sources.last().map_or(0, |source| source.length);
    let mut found: HashMap<Name, f64, RandomState> = HashMap::with_capacity_and_hasher(longest, RandomState::default());
    for source in sources {
        source.each(access, |member, score| {
            let score = source.weighed(score);
            match found.get_mut(member) {
                Some(so_far) => *so_far = aggregate.of(*so_far, score),
                None => _ = found.insert(Name::from_slice(member), score),
            }
        })?;
    }
    Ok(found.into_iter().collect())
}

fn inter(access: &mut Access<'_>, sources: &[Source], aggregate: Aggregate) -> Result<Members, Halt> {
    let [first, others @ ..] = sources else { return Ok(Vec::new()) };
    let mut members = first.members(access)?;
    members.retain_mut(|(member, score)| {
        let mut sum = first.weighed(*score);
        for source in others {
            let Some(score) = source.score(access, member) else { return false };
            sum = aggregate.of(sum, score * source.weight);
        }
        *score = sum;
        true
    });
    Ok(members)
}

fn diff(access: &mut Access<'_>, sources: &[Source]) -> Result<Members, Halt> {
    let [first, others @ ..] = sources else { return Ok(Vec::new()) };
    let mut members = first.members(access)?;
    members.retain(|(member, _)| others.iter().all(|source| source.score(access, member).is_none()));
    Ok(members)
}

impl Aggregate {
    fn of(self, first: f64, second: f64) -> f64 {
        match self {
            Self::Sum => {
                let sum = first + second;
                // Both infinities together are nothing.
                if sum.is_nan() { 0.0 } else { sum }
            }
            Self::Min => {
                if second < first {
                    second
                } else {
                    first
                }
            }
            Self::Max => {
                if second > first {
                    second
                } else {
                    first
                }
            }
        }
    }
}
