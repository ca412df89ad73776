//! What elements are sorted by, and what stands for them in the answer.

use memchr::{memchr, memmem};

use super::options::{By, Options};
use super::{Access, Bytes, Kind, Ordering, Type, wanted};
use crate::commands::Stop;
use crate::keyspace::{Cold, Halt};
use crate::types::number;

const NOT_A_NUMBER: &str = "ERR One or more scores can't be converted into double";

/// The name of a key with a place for an element in it, and of a field if that key is a hash; or `#`, the element itself.
pub(super) struct Pattern<'a> {
    is_element: bool,
    /// What stands before and behind the element, if it has a place.
    around: Option<(&'a [u8], &'a [u8])>,
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Self {
        // As Redis reads it, nothing behind a zero byte has a meaning.
        let meant = memchr(0, pattern).unwrap_or(pattern.len());
        let Some(star) = memchr(b'*', &pattern[..meant]) else {
            return Self { is_element: pattern == b"#", around: None, field: None };
        };
        let arrow = memmem::find(&pattern[star + 1..meant], b"->").map(|at| star + 1 + at);
        let arrow = arrow.filter(|arrow| arrow + 2 < meant);
        let end = arrow.unwrap_or(pattern.len());
        let around = Some((&pattern[..star], &pattern[star + 1..end]));
        Self { is_element: false, around, field: arrow.map(|arrow| &pattern[arrow + 2..]) }
    }

    /// Whether it has a place for an element.
    pub(super) fn has_star(&self) -> bool {
        self.around.is_some()
    }

    /// The value that it means for an element. What would have to be fetched from the disk first is added to `cold`.
    pub(super) fn value(
        &self,
        access: &mut Access<'_>,
        element: &Bytes,
        cold: &mut Vec<Cold>,
    ) -> Result<Option<Bytes>, Stop> {
        if self.is_element {
            return Ok(Some(element.clone()));
        }
        let Some((before, behind)) = self.around else { return Ok(None) };
        let key = [before, element, behind].concat();
        match self.look_up(access, &key) {
            Ok(value) => Ok(value),
            Err(Halt::WrongType) => Ok(None),
            Err(Halt::Cold(more)) => {
                cold.extend(more);
                Ok(None)
            }
            Err(halt) => Err(halt.into()),
        }
    }

    fn look_up(&self, access: &mut Access<'_>, key: &[u8]) -> Result<Option<Bytes>, Halt> {
        let copied =
            |value: &[u8], shared: Option<&Bytes>| shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(value));
        let Some(field) = self.field else {
            let is_string = |kind| Kind(kind).of() == Type::String;
            let value = access.view(key, |view| is_string(view.kind).then(|| copied(view.value, view.shared)))?;
            return Ok(value.flatten());
        };
        let Some(hash) = access.hash(key)? else { return Ok(None) };
        hash.get(access, field, copied)
    }
}

/// What an element is compared by.
enum Weight {
    Number(f64),
    /// Nothing is less than everything else.
    Text(Option<Bytes>),
}

/// Those of the elements that are wanted, in the order that is wanted.
pub(super) fn sorted(
    access: &mut Access<'_>,
    mut elements: Vec<Bytes>,
    options: &Options<'_>,
) -> Result<Vec<Bytes>, Stop> {
    let ranks = wanted(options, elements.len());
    if options.is_unsorted() {
        elements.truncate(ranks.end);
        elements.drain(..ranks.start);
        return Ok(elements);
    }
    let mut cold = Vec::new();
    let mut is_number = true;
    let mut weighed = Vec::with_capacity(elements.len());
    for (at, element) in elements.into_iter().enumerate() {
        let by = match &options.by {
            By::Values(pattern) => pattern.value(access, &element, &mut cold)?,
            By::Elements | By::Nothing => Some(element.clone()),
        };
        let weight = if options.alpha {
            Weight::Text(by)
        } else {
            let number = by.map_or(Some(0.0), |by| number_of(&by));
            is_number &= number.is_some();
            Weight::Number(number.unwrap_or(0.0))
        };
        weighed.push((weight, at, element));
    }
    if !cold.is_empty() {
        return Err(Stop::Cold(cold));
    }
    if !is_number {
        return Err(NOT_A_NUMBER.into());
    }
    // Whatever is equal stays in the order it has.
    let order = |a: &(Weight, usize, Bytes), b: &(Weight, usize, Bytes)| {
        let order = compare((&a.0, &a.2), (&b.0, &b.2));
        let order = if options.descending { order.reverse() } else { order };
        order.then(a.1.cmp(&b.1))
    };
    if ranks.end < weighed.len() {
        weighed.select_nth_unstable_by(ranks.end, order);
        weighed.truncate(ranks.end);
    }
    weighed.sort_unstable_by(order);
    Ok(weighed.into_iter().skip(ranks.start).map(|(_, _, element)| element).collect())
}

fn compare((a, element): (&Weight, &Bytes), (b, other): (&Weight, &Bytes)) -> Ordering {
    match (a, b) {
        (Weight::Number(a), Weight::Number(b)) => {
            a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| element.cmp(other))
        }
        (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// A number as C reads it: white space before it does not matter, nothing is zero, and nothing behind a zero byte counts.
fn number_of(text: &[u8]) -> Option<f64> {
    let text = &text[..memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    number::parse_f64(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_redis_reads_them() {
        type Case<'a> = (&'a [u8], Option<(&'a [u8], &'a [u8])>, Option<&'a [u8]>);
        let cases: &[Case<'_>] = &[
            (b"w_*", Some((b"w_", b"")), None),
            (b"*", Some((b"", b"")), None),
            (b"a*b*c", Some((b"a", b"b*c")), None),
            (b"w_*->f", Some((b"w_", b"")), Some(b"f")),
            (b"w_*_x->f->g", Some((b"w_", b"_x")), Some(b"f->g")),
            (b"w_*->", Some((b"w_", b"->")), None),
            (b"a->b*", Some((b"a->b", b"")), None),
            (b"none", None, None),
            (b"no\0*", None, None),
            (b"*->\0f", Some((b"", b"->\0f")), None),
            (b"*->f\0g", Some((b"", b"")), Some(b"f\0g")),
        ];
        for (text, around, field) in cases {
            let pattern = Pattern::new(text);
            assert_eq!((pattern.around, pattern.field), (*around, *field), "{}", text.escape_ascii());
            assert!(!pattern.is_element);
        }
        assert!(Pattern::new(b"#").is_element && !Pattern::new(b"##").is_element);
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        let rows: &[(&[u8], Option<f64>)] = &[
            (b"", Some(0.0)),
            (b"\0x", Some(0.0)),
            (b" \n1.5", Some(1.5)),
            (b"1.5 ", None),
            (b" ", None),
            (b"0x10", Some(16.0)),
            (b"-inf", Some(f64::NEG_INFINITY)),
            (b"nan", None),
            (b"1e999", None),
            (b"5\0x", Some(5.0)),
            (b"x", None),
        ];
        for (text, expected) in rows {
            assert_eq!(number_of(text), *expected, "{}", text.escape_ascii());
        }
    }
}
