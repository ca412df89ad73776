//! Options that say when a value, or a field, expires: EX, PX, EXAT, PXAT.

use super::Args;
use super::error::{Stop, text};
use crate::types::number;
use crate::types::time::{self, Basis, Unit};

/// What becomes of a deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry<'a> {
    /// There is none.
    Clear,
    /// It stays what it is.
    Keep,
    /// A number, still to be checked: it is read only when it is needed.
    At(&'a [u8], Unit, Basis),
}

/// Reads an option that says when, unless only so many words are left behind its name; with anything else it is an error.
pub(super) fn option<'a>(args: &mut Args<'a>, expiry: &mut Option<Expiry<'a>>, end: usize) -> Result<(), Stop> {
    let (unit, basis) = match () {
        () if args.keyword("EX") => (Unit::Seconds, Basis::Relative),
        () if args.keyword("PX") => (Unit::Milliseconds, Basis::Relative),
        () if args.keyword("EXAT") => (Unit::Seconds, Basis::Absolute),
        () if args.keyword("PXAT") => (Unit::Milliseconds, Basis::Absolute),
        () => return Err(text::SYNTAX.into()),
    };
    // The same option may be given twice; the last one counts.
    let fits = match expiry {
        None => true,
        Some(Expiry::At(_, other_unit, other_basis)) => (*other_unit, *other_basis) == (unit, basis),
        Some(_) => false,
    };
    if !fits || args.left() <= end {
        return Err(text::SYNTAX.into());
    }
    *expiry = Some(Expiry::At(args.word()?, unit, basis));
    Ok(())
}

/// The deadline of so many units, at least `least`, in milliseconds since the Unix epoch.
pub(super) fn deadline(
    now: u64,
    (amount, unit, basis): (&[u8], Unit, Basis),
    least: i64,
    name: &'static str,
) -> Result<u64, Stop> {
    let amount = number::parse_i64(amount).ok_or(text::NOT_AN_INTEGER)?;
    let deadline = if amount >= least { time::deadline(now, amount, unit, basis).ok() } else { None };
    deadline.and_then(|deadline| u64::try_from(deadline).ok()).ok_or_else(|| text::invalid_expire(name))
}
