//! What follows from a usage line: how many arguments a command takes, where its keys stand, and the argument tree
//! of COMMAND DOCS.
//!
//! The language: a lower-case word is a value, an upper-case one stands for itself; `[...]` may be left out, `<...>`
//! groups; `|` separates alternatives inside either; `...` behind a group says that it may repeat, as does a `...`
//! at the end of a group's content (`key [key ...]`). `name=` at the beginning of a group names the argument that it
//! is in COMMAND DOCS; people do not see it. `name:double` is a value that is a number which need not be whole, where its name
//! does not tell it; people see the name alone.
//!
//! `numkeys` says how many of the words right behind it are keys.

mod arguments;

pub use arguments::{Argument, Kind as ArgumentKind, arguments};

/// An element of a usage line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub shape: Shape,
    pub optional: bool,
    pub repeats: bool,
    /// What COMMAND DOCS calls it, where that does not follow from its parts.
    pub name: Option<String>,
}

/// What an element is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A word that stands for itself.
    Token(String),
    /// A value with this name.
    Value(String),
    /// One of these sequences.
    OneOf(Vec<Vec<Element>>),
    /// All of these.
    Block(Vec<Element>),
}

/// Where the keys stand, counted as COMMAND INFO does: the command's name is 0, `last` counts from the end when it
/// is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPositions {
    pub first: usize,
    pub last: isize,
    pub step: usize,
}

/// Parses a usage line.
pub fn parse(usage: &str) -> Vec<Element> {
    let spaced: String = usage
        .chars()
        .map(|c| if matches!(c, '[' | ']' | '<' | '>' | '|') { format!(" {c} ") } else { c.to_string() })
        .collect();
    let mut words = spaced.split_whitespace().peekable();
    let mut sequences = alternatives(&mut words);
    assert!(words.next().is_none() && sequences.len() == 1, "a usage line that does not nest: {usage}");
    sequences.remove(0)
}

/// A usage line as people read it, without the names of groups.
pub fn shown(usage: &str) -> String {
    let mut shown = String::new();
    let usage = usage.replace(DOUBLE, "");
    let mut rest = &usage[..];
    while let Some((before, after)) = rest.split_once("= ") {
        shown.push_str(before.trim_end_matches(|letter: char| letter.is_ascii_lowercase() || "-_".contains(letter)));
        rest = after;
    }
    shown + rest
}

/// What stands behind the name of a value that is a number which need not be whole.
const DOUBLE: &str = ":double";
/// The value that says how many of the words behind it are keys.
const COUNT_OF_KEYS: &str = "numkeys";

/// The arity as COMMAND INFO gives it: the command's name (`names` words) included, negative when there may be more.
pub fn arity(elements: &[Element], names: usize) -> i32 {
    let required = (names + fewest(elements)) as i32;
    if elements.iter().any(varies) { -required } else { required }
}

/// Where the word stands that says how many keys there are behind it, if the command has such a word.
pub fn count_position(elements: &[Element], names: usize) -> Option<usize> {
    count_at(elements).map(|at| names + at)
}

fn count_at(elements: &[Element]) -> Option<usize> {
    let at =
        elements.iter().position(|element| matches!(&element.shape, Shape::Value(name) if name == COUNT_OF_KEYS))?;
    let counted = match &elements.get(at + 1)?.shape {
        Shape::Block(block) => &block.first()?.shape,
        shape => shape,
    };
    matches!(counted, Shape::Value(name) if is_key_name(name)).then_some(at)
}

/// Where the keys stand that are not counted by a word before them, if the command has any; `names` is how many words its
/// name has.
pub fn key_positions(elements: &[Element], names: usize) -> Option<KeyPositions> {
    let elements = count_at(elements).map_or(elements, |at| &elements[..at]);
    let is_key = |element: &Element| matches!(&element.shape, Shape::Value(name) if is_key_name(name));
    let at = elements.iter().position(|element| is_key(element) && !element.optional)?;
    let first = names + at;
    let repeated = elements[at..].iter().find(|element| element.repeats);
    if let Some(Element { shape: Shape::Block(block), .. }) = repeated
        && block.first().is_some_and(is_key)
    {
        let behind = elements.iter().rev().take_while(|element| !element.repeats).count();
        return Some(KeyPositions { first, last: -1 - behind as isize, step: block.len() });
    }
    let in_a_row = elements[at..].iter().take_while(|element| is_key(element)).count();
    Some(KeyPositions { first, last: (first + in_a_row - 1) as isize, step: 1 })
}

/// Whether a value of this name is a key.
pub fn is_key_name(name: &str) -> bool {
    matches!(name, "key" | "key1" | "key2" | "newkey" | "source" | "destination")
}

type Words<'a, 'b> = &'a mut std::iter::Peekable<std::str::SplitWhitespace<'b>>;

fn alternatives(words: Words<'_, '_>) -> Vec<Vec<Element>> {
    let mut all = vec![Vec::new()];
    while let Some(word) = words.next_if(|word| !matches!(*word, "]" | ">")) {
        let sequence: &mut Vec<Element> = all.last_mut().expect("never empty");
        match word {
            "|" => all.push(Vec::new()),
            "..." => sequence.last_mut().expect("`...` follows something").repeats = true,
            "[" | "<" => {
                let name = words.next_if(|word| word.ends_with('=')).map(|name| name.trim_end_matches('=').to_owned());
                let group = Element { name, ..group(alternatives(words), word == "[") };
                words.next();
                sequence.push(group);
            }
            word => sequence.push(Element { shape: word_shape(word), optional: false, repeats: false, name: None }),
        }
    }
    all
}

/// A group's element; `[key ...]` and `[key value ...]` repeat as a whole.
fn group(mut sequences: Vec<Vec<Element>>, optional: bool) -> Element {
    if sequences.len() > 1 {
        return Element { shape: Shape::OneOf(sequences), optional, repeats: false, name: None };
    }
    let mut block = sequences.remove(0);
    let last = block.last_mut().expect("a group is never empty");
    // What `[key ...]` at the end repeats is its own.
    let is_group = last.optional && matches!(last.shape, Shape::Block(_));
    let repeats = !is_group && std::mem::take(&mut last.repeats);
    Element { shape: Shape::Block(block), optional, repeats, name: None }
}

fn word_shape(word: &str) -> Shape {
    if word.chars().any(|c| c.is_ascii_lowercase()) { Shape::Value(word.into()) } else { Shape::Token(word.into()) }
}

fn fewest(elements: &[Element]) -> usize {
    let of = |element: &Element| match &element.shape {
        _ if element.optional => 0,
        Shape::Token(_) | Shape::Value(_) => 1,
        Shape::Block(block) => fewest(block),
        Shape::OneOf(all) => all.iter().map(|sequence| fewest(sequence)).min().unwrap_or(0),
    };
    elements.iter().map(of).sum()
}

fn varies(element: &Element) -> bool {
    element.optional
        || element.repeats
        || match &element.shape {
            Shape::Token(_) | Shape::Value(_) => false,
            Shape::Block(block) => block.iter().any(varies),
            Shape::OneOf(all) => {
                all.iter().flatten().any(varies) || all.iter().any(|one| fewest(one) != fewest(&all[0]))
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups_are_not_shown() {
        let rows = [
            ("key value", "key value"),
            ("key [condition= NX | XX] [GET]", "key [NX | XX] [GET]"),
            ("<args= host port | NO ONE>", "<host port | NO ONE>"),
            ("[TO <target= host port [FORCE]>] [ABORT]", "[TO <host port [FORCE]>] [ABORT]"),
            ("[x_y= A | B]", "[A | B]"),
            ("key timeout:double <by= A | B>", "key timeout <A | B>"),
        ];
        for (usage, expected) in rows {
            assert_eq!(shown(usage), expected);
        }
    }

    #[test]
    fn arity_and_keys_follow_from_usage() {
        let keys = |first, last, step| Some(KeyPositions { first, last, step });
        let rows = [
            ("", 1, 1, None),
            ("key", 1, 2, keys(1, 1, 1)),
            ("key value", 1, 3, keys(1, 1, 1)),
            ("key [key ...]", 1, -2, keys(1, -1, 1)),
            ("key value [key value ...]", 1, -3, keys(1, -1, 2)),
            ("key [key ...] timeout", 1, -3, keys(1, -2, 1)),
            ("key newkey", 1, 3, keys(1, 2, 1)),
            ("source destination [DB destination-db] [REPLACE]", 1, -3, keys(1, 2, 1)),
            ("key value [NX | XX] [GET] [EX seconds | KEEPTTL]", 1, -3, keys(1, 1, 1)),
            ("cursor [MATCH pattern]", 1, -2, None),
            ("key", 2, 3, keys(2, 2, 1)),
            ("[message]", 1, -1, None),
            ("<ON | OFF>", 2, 3, None),
            ("key1 key2 [LEN]", 1, -3, keys(1, 2, 1)),
        ];
        for (usage, names, expected, positions) in rows {
            let elements = parse(usage);
            assert_eq!((arity(&elements, names), key_positions(&elements, names)), (expected, positions), "{usage}");
        }
    }

    #[test]
    fn keys_may_be_counted_by_a_word_before_them() {
        let rows = [
            ("numkeys key [key ...] [COUNT count]", None, Some(1), -3),
            ("timeout:double numkeys key [key ...]", None, Some(2), -4),
            ("destination numkeys key [key ...]", Some(KeyPositions { first: 1, last: 1, step: 1 }), Some(2), -4),
            ("key [key ...]", Some(KeyPositions { first: 1, last: -1, step: 1 }), None, -2),
            ("script numkeys [key [key ...]]", None, Some(2), -3),
            ("script numkeys [arg ...]", None, None, -3),
        ];
        for (usage, positions, counted, expected) in rows {
            let elements = parse(usage);
            let found = (key_positions(&elements, 1), count_position(&elements, 1), arity(&elements, 1));
            assert_eq!(found, (positions, counted, expected), "{usage}");
        }
    }
}
