//! The words of SORT.

use super::{Args, Context, Pattern, text};
use crate::commands::Stop;
use crate::commands::arguments::Words;
use crate::commands::permissions;
use crate::commands::table::Reach;
use crate::protocol::Arguments;

const BY_DENIED: &str = "ERR BY option of SORT denied due to insufficient ACL permissions.";
const GET_DENIED: &str = "ERR GET option of SORT denied due to insufficient ACL permissions.";

/// What is asked for.
pub(super) struct Options<'a> {
    pub(super) key: &'a [u8],
    pub(super) by: By<'a>,
    pub(super) descending: bool,
    /// Sorted as bytes and not as numbers.
    pub(super) alpha: bool,
    /// How many elements are left out at the beginning; none where it is negative.
    pub(super) skipped: i64,
    /// How many are wanted behind these; all where it is negative.
    pub(super) count: i64,
    /// What is answered instead of each element, if anything.
    pub(super) answered: Vec<Pattern<'a>>,
    pub(super) destination: Option<&'a [u8]>,
}

/// What elements are sorted by.
pub(super) enum By<'a> {
    Elements,
    Values(Pattern<'a>),
    Nothing,
}

impl<'a> Options<'a> {
    pub(super) fn read(ctx: &Context<'_, '_>, mut args: Args<'a>, name: &str) -> Result<Self, Stop> {
        let words = args;
        let mut options = Self {
            key: args.word()?,
            by: By::Elements,
            descending: false,
            alpha: false,
            skipped: 0,
            count: -1,
            answered: Vec::new(),
            destination: None,
        };
        while !args.is_empty() {
            let left = args.left() - 1;
            match () {
                () if args.keyword("ASC") => options.descending = false,
                () if args.keyword("DESC") => options.descending = true,
                () if args.keyword("ALPHA") => options.alpha = true,
                () if left >= 2 && args.keyword("LIMIT") => {
                    (options.skipped, options.count) = (args.integer()?, args.integer()?);
                }
                () if left >= 1 && name == "sort" && args.keyword("STORE") => options.destination = args.optional(),
                () if left >= 1 && args.keyword("BY") => {
                    let pattern = Pattern::new(args.word()?);
                    if !pattern.has_star() {
                        options.by = By::Nothing;
                    } else if may_read_all(ctx, words, name) {
                        options.by = match options.by {
                            // As in Redis, where this is never taken back.
                            By::Nothing => By::Nothing,
                            _ => By::Values(pattern),
                        };
                    } else {
                        return Err(BY_DENIED.into());
                    }
                }
                () if left >= 1 && args.keyword("GET") => {
                    if !may_read_all(ctx, words, name) {
                        return Err(GET_DENIED.into());
                    }
                    options.answered.push(Pattern::new(args.word()?));
                }
                () => return Err(text::SYNTAX.into()),
            }
        }
        Ok(options)
    }

    /// Whether elements stay in the order they have.
    pub(super) fn is_unsorted(&self) -> bool {
        matches!(self.by, By::Nothing)
    }

    pub(super) fn sort_by_elements(&mut self) {
        (self.by, self.alpha) = (By::Elements, true);
    }
}

/// Whether the user may read every key there is, by rules that let this request run.
fn may_read_all(ctx: &Context<'_, '_>, args: Args<'_>, name: &str) -> bool {
    let account = &ctx.session.account;
    if account.is_unlimited() {
        return true;
    }
    let words = Words::copied(std::iter::once(name.as_bytes()).chain(args.rest()));
    let row = ctx.registry.find(name.as_bytes());
    row.is_some_and(|row| permissions::reads_all_keys(account, row, words.arguments()))
}

/// Where the key is among the words of a request that the result is stored at.
pub(in super::super) fn destination(words: Arguments<'_>) -> Option<usize> {
    scan(words).destination
}

/// Whether a request looks at keys that it does not name, and whether it changes none.
pub(in super::super) fn reach(words: Arguments<'_>) -> Reach {
    let scanned = scan(words);
    Reach { all: scanned.has_patterns, only_reads: scanned.destination.is_none() }
}

#[derive(Default)]
struct Scanned {
    has_patterns: bool,
    destination: Option<usize>,
}

/// Goes over the words as [`Options::read`] does; what that refuses may be taken for anything.
fn scan(words: Arguments<'_>) -> Scanned {
    let stores = words.get(0).is_some_and(|name| name.eq_ignore_ascii_case(b"sort"));
    let mut scanned = Scanned::default();
    let mut at = 2;
    while let Some(word) = words.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("LIMIT") {
            at += 2;
        } else if is("BY") || is("GET") {
            at += 1;
            scanned.has_patterns |= words.get(at).is_some_and(|pattern| Pattern::new(pattern).has_star());
        } else if stores && is("STORE") && at + 1 < words.len() {
            at += 1;
            scanned.destination = Some(at);
        }
        at += 1;
    }
    scanned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_first_follow_from_the_words() {
        let rows = [
            ("SORT k", false, None),
            ("sort k store d", false, Some(3)),
            ("SORT k STORE store ALPHA", false, Some(3)),
            ("SORT k STORE a STORE b", false, Some(5)),
            ("SORT k GET STORE STORE by BY w*", true, Some(5)),
            ("SORT k BY nosort GET #", false, None),
            ("SORT k GET v*->f LIMIT 0 STORE", true, None),
            ("SORT k LIMIT STORE 1 store d", false, Some(6)),
            ("SORT k STORE", false, None),
            ("SORT_RO k STORE d", false, None),
            ("SORT_RO k BY *", true, None),
        ];
        for (line, all, place) in rows {
            let words = Words::copied(line.split(' ').map(str::as_bytes));
            let reached = reach(words.arguments());
            let found = (reached.all, reached.only_reads, destination(words.arguments()));
            assert_eq!(found, (all, place.is_none(), place), "{line}");
        }
    }
}
