//! What several sets have in common, together, or apart.
//!
//! Always true: all keys are looked at, and refused where one of them is no set, before anything is answered or changed; what
//! is stored is known as a whole before, since the destination may be one of the sources.

use std::collections::HashSet;

use super::{Args, Context, Outcome, Reply, Stop, text};
use crate::keyspace::{Access, Name, Set, SetKind};
use crate::node::notify::EventClass;
use crate::types::number;

/// How many members are looked at before it is seen whether there are enough.
const COUNTED_TOGETHER: usize = 64;

/// Members, and what Redis would keep them as.
struct Members {
    names: Vec<Name>,
    kind: SetKind,
}

/// From the sets of some keys to the members that are asked for.
type Operation = fn(&mut Access<'_>, Vec<Option<Set>>) -> Result<Members, Stop>;

pub(super) fn sinter(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, intersection)
}

pub(super) fn sunion(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, union)
}

pub(super) fn sdiff(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, difference)
}

pub(super) fn sinterstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store(ctx, args, intersection, "sinterstore")
}

pub(super) fn sunionstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store(ctx, args, union, "sunionstore")
}

pub(super) fn sdiffstore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    store(ctx, args, difference, "sdiffstore")
}

pub(super) fn sintercard(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let number = number::parse_i64(args.word()?).filter(|number| (1..=i64::MAX).contains(number));
    let number = usize::try_from(number.ok_or(text::NUMKEYS_NOT_POSITIVE)?).unwrap_or(usize::MAX);
    if number > args.left() {
        return Err(text::TOO_MANY_KEYS.into());
    }
    let keys: Vec<&[u8]> = args.rest().take(number).collect();
    for _ in 0..number {
        args.word()?;
    }
    let mut limit = 0;
    while !args.is_empty() {
        if args.left() < 2 || !args.keyword("LIMIT") {
            return Err(text::SYNTAX.into());
        }
        let most = number::parse_i64(args.word()?).and_then(|most| usize::try_from(most).ok());
        limit = most.ok_or(text::LIMIT_NEGATIVE)?;
    }
    let access = ctx.keys()?;
    let sets = look_up(access, keys.into_iter())?;
    let Some((smallest, others)) = by_size(sets) else { return Ok(Reply::Integer(0)) };
    let limit = if limit == 0 { usize::MAX } else { limit };
    let (mut count, mut cursor) = (0, 0);
    loop {
        cursor = smallest.scan(access, cursor, COUNTED_TOGETHER, |member| {
            count += usize::from(others.iter().all(|other| other.contains(member)));
        })?;
        if cursor == 0 || count >= limit {
            return Ok(Reply::from(count.min(limit)));
        }
    }
}

fn answer(ctx: &mut Context<'_, '_>, args: Args<'_>, operation: Operation) -> Outcome {
    let (access, out) = ctx.keys_and_out()?;
    let sets = look_up(access, args.rest())?;
    if let [Some(only)] = &sets[..] {
        out.set(only.len());
        only.each(access, |member| out.bulk(member))?;
        return Err(Stop::Written);
    }
    let members = operation(access, sets)?;
    out.set(members.names.len());
    members.names.iter().for_each(|member| out.bulk(member));
    Err(Stop::Written)
}

fn store(ctx: &mut Context<'_, '_>, mut args: Args<'_>, operation: Operation, event: &'static str) -> Outcome {
    let destination = args.word()?;
    let access = ctx.keys()?;
    access.counts = true;
    let sets = look_up(access, args.rest())?;
    access.counts = false;
    let members = operation(access, sets)?;
    let mut set = access.replace_set(destination, members.kind);
    members.names.iter().for_each(|member| _ = set.add(member));
    let edited = set.finish()?;
    if edited.exists {
        ctx.notify(EventClass::SET, event, destination);
    } else if edited.existed {
        ctx.notify(EventClass::GENERIC, "del", destination);
    }
    Ok(Reply::from(members.names.len()))
}

fn look_up<'a>(access: &mut Access<'_>, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Option<Set>>, Stop> {
    keys.map(|key| Ok(access.set(key)?)).collect()
}

/// The smallest set and the others, smaller ones first; none where one of them is missing.
fn by_size(sets: Vec<Option<Set>>) -> Option<(Set, Vec<Set>)> {
    let mut all = sets.into_iter().collect::<Option<Vec<Set>>>()?;
    all.sort_by_key(Set::len);
    let others = all.split_off(1);
    all.pop().map(|smallest| (smallest, others))
}

fn intersection(access: &mut Access<'_>, sets: Vec<Option<Set>>) -> Result<Members, Stop> {
    let mut members = Members::none();
    if let Some((smallest, others)) = by_size(sets) {
        smallest.each(access, |member| {
            if others.iter().all(|other| other.contains(member)) {
                members.add(member);
            }
        })?;
    }
    Ok(members)
}

fn union(access: &mut Access<'_>, sets: Vec<Option<Set>>) -> Result<Members, Stop> {
    let mut members = Members::none();
    let mut sets = sets.into_iter().flatten();
    let Some(first) = sets.next() else { return Ok(members) };
    first.each(access, |member| members.add(member))?;
    let mut seen: HashSet<Name> = HashSet::new();
    for set in sets {
        set.each(access, |member| {
            if !first.contains(member) && !seen.contains(member) {
                seen.insert(member.into());
                members.add(member);
            }
        })?;
    }
    Ok(members)
}

fn difference(access: &mut Access<'_>, sets: Vec<Option<Set>>) -> Result<Members, Stop> {
    let mut members = Members::none();
    let [Some(first), others @ ..] = &sets[..] else { return Ok(members) };
    let mut others: Vec<&Set> = others.iter().flatten().collect();
    // As Redis weighs it: for each member a look into the others, or all members of all sets.
    let looks = first.len() * (others.len() + 1) / 2;
    let all = first.len() + others.iter().map(|other| other.len()).sum::<usize>();
    if looks <= all {
        others.sort_by_key(|other| std::cmp::Reverse(other.len()));
        first.each(access, |member| {
            if !others.iter().any(|other| other.contains(member)) {
                members.add(member);
            }
        })?;
        return Ok(members);
    }
    let mut left: HashSet<Name> = HashSet::with_capacity(first.len());
    // It is kept as what all of them are, although some go.
    first.each(access, |member| {
        members.kind.add(member);
        left.insert(member.into());
    })?;
    for other in others {
        other.each(access, |member| _ = left.remove(member))?;
    }
    members.names = left.into_iter().collect();
    Ok(members)
}

impl Members {
    fn none() -> Self {
        Self { names: Vec::new(), kind: SetKind::EMPTY }
    }

    fn add(&mut self, member: &[u8]) {
        self.kind.add(member);
        self.names.push(member.into());
    }
}
