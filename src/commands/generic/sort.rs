//! SORT and SORT_RO: the elements of a list, a set or a sorted set in another order.
//!
//! Always true: what is sorted by, and what is answered instead of the elements, are values of keys that no key spec tells
//! of; whoever is to look them up may look at any key (see [`reach`]), and must be allowed to read all of them.

mod options;
mod values;

use std::cmp::Ordering;

use bytes::Bytes;

use self::options::Options;
pub(super) use self::options::{destination, reach};
use self::values::Pattern;
use super::{Args, Context, Outcome, Reply, text};
use crate::commands::Stop;
use crate::keyspace::{Access, End};
use crate::node::notify::EventClass;
use crate::types::kind::{Kind, Type};

pub(super) fn sort(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    run(ctx, args, "sort")
}

pub(super) fn sort_ro(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    run(ctx, args, "sort_ro")
}

fn run(ctx: &mut Context<'_, '_>, args: Args<'_>, name: &str) -> Outcome {
    let mut options = Options::read(ctx, args, name)?;
    let access = ctx.keys()?;
    // Whatever it does with them, these are keys that it reads.
    access.counts = true;
    let elements = elements(access, &mut options)?;
    let elements = values::sorted(access, elements, &options)?;
    match options.destination {
        None => send(ctx, &elements, &options),
        Some(destination) => store(ctx, elements, &options, destination),
    }
}

/// Which of so many elements, in their new order, are wanted.
fn wanted(options: &Options<'_>, length: usize) -> std::ops::Range<usize> {
    let start = usize::try_from(options.skipped).unwrap_or(0).min(length);
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    start..start.saturating_add(count).min(length)
}

/// The elements that are to be sorted, or those that are wanted where they are not sorted but have an order.
fn elements(access: &mut Access<'_>, options: &mut Options<'_>) -> Result<Vec<Bytes>, Stop> {
    let mut elements = Collected::default();
    let kind = access.meta(options.key).map(|meta| Kind(meta.kind).of());
    access.counts = false;
    match kind {
        None => {}
        Some(Type::List) => {
            if let Some(list) = access.list(options.key)? {
                let (ranks, reverse) = ordered(options, list.len(access));
                list.range(access, ranks, reverse, |value, shared| elements.add(value, shared))?;
            }
        }
        Some(Type::ZSet) => {
            if let Some(zset) = access.zset(options.key)? {
                let (ranks, reverse) = ordered(options, zset.len(access));
                zset.range(ranks, reverse, |member, _| elements.add(member, None));
            }
        }
        Some(Type::Set) => {
            if options.is_unsorted() && options.destination.is_some() {
                // What is stored must not depend on an order that means nothing.
                options.sort_by_elements();
            }
            if let Some(set) = access.set(options.key)? {
                set.each(access, |member| elements.add(member, None))?;
            }
        }
        Some(Type::String | Type::Hash | Type::Unknown) => return Err(text::WRONG_TYPE.into()),
    }
    access.counts = true;
    Ok(elements.finish())
}

/// The ranks of those elements that have to be looked at, and whether from the last to the first.
fn ordered(options: &mut Options<'_>, length: usize) -> (std::ops::Range<usize>, bool) {
    if !options.is_unsorted() {
        return (0..length, false);
    }
    let wanted = wanted(options, length);
    (options.skipped, options.count) = (0, -1);
    if options.descending { (length - wanted.end..length - wanted.start, true) } else { (wanted, false) }
}

/// Elements, copied together where they are not shared.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    elements: Vec<Element>,
}

enum Element {
    Copied(std::ops::Range<usize>),
    Shared(Bytes),
}

impl Collected {
    fn add(&mut self, value: &[u8], shared: Option<&Bytes>) {
        self.elements.push(match shared {
            Some(shared) => Element::Shared(shared.clone()),
            None => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                Element::Copied(start..self.bytes.len())
            }
        });
    }

    fn finish(self) -> Vec<Bytes> {
        let bytes = Bytes::from(self.bytes);
        let one = |element| match element {
            Element::Copied(at) => bytes.slice(at),
            Element::Shared(shared) => shared,
        };
        self.elements.into_iter().map(one).collect()
    }
}

fn send(ctx: &mut Context<'_, '_>, elements: &[Bytes], options: &Options<'_>) -> Outcome {
    let (access, out) = ctx.keys_and_out()?;
    out.array(elements.len() * options.answered.len().max(1));
    if options.answered.is_empty() {
        elements.iter().for_each(|element| out.bulk_shared(element.clone()));
        return Err(Stop::Written);
    }
    let mut cold = Vec::new();
    for element in elements {
        for pattern in &options.answered {
            match pattern.value(access, element, &mut cold)? {
                Some(value) => out.bulk_shared(value),
                None => out.null(),
            }
        }
    }
    if cold.is_empty() { Err(Stop::Written) } else { Err(Stop::Cold(cold)) }
}

fn store(ctx: &mut Context<'_, '_>, elements: Vec<Bytes>, options: &Options<'_>, destination: &[u8]) -> Outcome {
    let access = ctx.keys()?;
    let mut stored = elements;
    if !options.answered.is_empty() {
        let mut cold = Vec::new();
        let mut values = Vec::with_capacity(stored.len() * options.answered.len());
        for element in &stored {
            for pattern in &options.answered {
                values.push(pattern.value(access, element, &mut cold)?.unwrap_or_default());
            }
        }
        if !cold.is_empty() {
            return Err(Stop::Cold(cold));
        }
        stored = values;
    }
    access.counts = false;
    let mut list = access.replace_list(destination);
    for (at, value) in stored.iter().enumerate() {
        /// What Redis adds to the length of an element when it asks whether a block has room for it.
        const ESTIMATED_OVERHEAD: usize = 8;
        list.reserve(if at == 0 { 0 } else { value.len() + ESTIMATED_OVERHEAD });
        list.push(End::Right, value);
    }
    list.reserve(0);
    let edited = list.finish()?;
    if edited.exists {
        ctx.notify(EventClass::LIST, "sortstore", destination);
    } else if edited.emptied() {
        ctx.notify(EventClass::GENERIC, "del", destination);
    }
    Ok(Reply::from(stored.len()))
}
