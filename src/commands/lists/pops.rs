//! Taking elements off an end.

use super::{Args, Context, End, EventClass, Outcome, Reply, ReplyBuffer, Stop, end, send, text};

pub(super) fn lpop(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Left)
}

pub(super) fn rpop(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Right)
}

fn pop(ctx: &mut Context<'_, '_>, mut args: Args<'_>, end: End) -> Outcome {
    if args.left() > 2 {
        return Err(text::wrong_arity(if end == End::Left { "lpop" } else { "rpop" }));
    }
    let key = args.word()?;
    let count = if args.is_empty() { None } else { Some(args.at_least(0, text::NOT_POSITIVE)?) };
    let was_there = ctx.take(key, end, count.unwrap_or(1), |out, taken| {
        if count.is_some() {
            out.array(taken);
        }
    })?;
    match (was_there, count) {
        (true, _) => Err(Stop::Written),
        (false, None) => Ok(Reply::Null),
        (false, Some(_)) => Ok(Reply::NullArray),
    }
}

pub(super) fn lmpop(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    Pops::read(&mut args)?.run(ctx)?;
    Ok(Reply::NullArray)
}

/// What LMPOP and BLMPOP are to take, and from where.
pub(super) struct Pops<'a> {
    /// The first of them are the keys.
    words: Args<'a>,
    numkeys: usize,
    end: End,
    count: usize,
}

impl<'a> Pops<'a> {
    /// Reads everything from the number of keys on.
    pub(super) fn read(args: &mut Args<'a>) -> Result<Self, Stop> {
        let numkeys = args.at_least(1, text::NUMKEYS_NOT_POSITIVE)?;
        if args.left() <= numkeys {
            return Err(text::SYNTAX.into());
        }
        let words = *args;
        for _ in 0..numkeys {
            args.word()?;
        }
        let end = end(args)?;
        let mut count = None;
        while !args.is_empty() {
            if count.is_some() || !args.keyword("COUNT") {
                return Err(text::SYNTAX.into());
            }
            count = Some(args.at_least(1, text::COUNT_NOT_POSITIVE)?);
        }
        Ok(Self { words, numkeys, end, count: count.unwrap_or(1) })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.words.rest().take(self.numkeys)
    }

    /// Takes elements off the first list that there is; [`Stop::Written`] then.
    pub(super) fn run(&self, ctx: &mut Context<'_, '_>) -> Result<(), Stop> {
        for key in self.keys() {
            let open = |out: &mut ReplyBuffer, taken| {
                out.array(2);
                out.bulk(key);
                out.array(taken);
            };
            if ctx.take(key, self.end, self.count, open)? {
                return Err(Stop::Written);
            }
        }
        Ok(())
    }
}

impl Context<'_, '_> {
    /// Takes so many elements off an end of the list at `key`, as far as it has them, and sends them behind what `open` writes
    /// when told how many there are; false where there is no list.
    pub(super) fn take(
        &mut self,
        key: &[u8],
        end: End,
        count: usize,
        open: impl FnOnce(&mut ReplyBuffer, usize),
    ) -> Result<bool, Stop> {
        let (access, out) = self.keys_and_out()?;
        let mut list = access.edit_list(key)?;
        let length = list.len();
        if length == 0 {
            return Ok(false);
        }
        let count = count.min(length);
        open(out, count);
        if count == 1 {
            list.alone();
            list.pop_to(end, |value, shared| send(out, value, shared))?;
        } else {
            let ranks = if end == End::Left { 0..count } else { length - count..length };
            list.range(ranks.clone(), end == End::Right, |value, shared| send(out, value, shared))?;
            list.remove(ranks);
        }
        let edited = list.finish()?;
        if count > 0 {
            self.notify(EventClass::LIST, if end == End::Left { "lpop" } else { "rpop" }, key);
            self.tell_emptied(key, edited);
        }
        Ok(true)
    }
}
