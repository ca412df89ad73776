//! What follows from a usage line: how many arguments a command takes, where its keys stand, and the argument tree
//! of COMMAND DOCS.
//!
//! The language: a lower-case word is a value, an upper-case one stands for itself; `[...]` may be left out, `<...>`
//! groups; `|` separates alternatives inside either; `...` behind a group says that it may repeat, as does a `...`
//! at the end of a group's content (`key [key ...]`). `name=` at the beginning of a group names the argument that it
//! is in COMMAND DOCS, and `:double` behind a value says of what kind it is where its name does not; people see neither.

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
/// is negative. Where all keys are counted by one of the words, all three are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPositions {
    pub first: usize,
    pub last: isize,
    pub step: usize,
    /// The word that says how many keys follow it (`numkeys key [key ...]`), beside those that always stand in the same place.
    pub counted_by: Option<usize>,
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

/// A usage line as people read it, without the names of groups and the kinds of values.
pub fn shown(usage: &str) -> String {
    let usage = KINDS.iter().fold(usage.to_owned(), |usage, kind| usage.replace(kind, ""));
    let mut shown = String::new();
    let mut rest = &usage[..];
    while let Some((before, after)) = rest.split_once("= ") {
        shown.push_str(before.trim_end_matches(|letter: char| letter.is_ascii_lowercase() || "-_".contains(letter)));
        rest = after;
    }
    shown + rest
}

/// The arity as COMMAND INFO gives it: the command's name (`names` words) included, negative when there may be more.
pub fn arity(elements: &[Element], names: usize) -> i32 {
    let required = (names + fewest(elements)) as i32;
    if elements.iter().any(varies) { -required } else { required }
}

/// Where the keys stand, if the command has any; `names` is how many words its name has.
pub fn key_positions(elements: &[Element], names: usize) -> Option<KeyPositions> {
    let is_key = |element: &Element| matches!(&element.shape, Shape::Value(name) if is_key_name(name));
    let at = elements.iter().position(|element| is_key(element) && !element.optional)?;
    let first = names + at;
    let is_count = |element: &Element| matches!(&element.shape, Shape::Value(name) if name == "numkeys");
    if let Some(count) = elements.windows(2).position(|pair| is_count(&pair[0]) && is_key(&pair[1])) {
        let counted_by = Some(names + count);
        return Some(match at < count {
            true => KeyPositions { first, last: first as isize, step: 1, counted_by },
            false => KeyPositions { first: 0, last: 0, step: 0, counted_by },
        });
    }
    let repeated = elements[at..].iter().find(|element| element.repeats);
    if let Some(Element { shape: Shape::Block(block), .. }) = repeated
        && block.first().is_some_and(is_key)
    {
        let behind = elements.iter().rev().take_while(|element| !element.repeats).count();
        return Some(KeyPositions { first, last: -1 - behind as isize, step: block.len(), counted_by: None });
    }
    let in_a_row = elements[at..].iter().take_while(|element| is_key(element)).count();
    Some(KeyPositions { first, last: (first + in_a_row - 1) as isize, step: 1, counted_by: None })
}

/// Where the first element of a collection stands that a request names, if no option comes before it.
pub fn element_position(elements: &[Element], names: usize) -> Option<usize> {
    let mut words = elements.iter().flat_map(|element| match &element.shape {
        Shape::Block(block) if !element.optional => block.iter().collect(),
        _ => vec![element],
    });
    let is_element = |name: &str| matches!(name, "field" | "member");
    let mut place = names;
    words.find_map(|element| match &element.shape {
        Shape::Value(name) if is_element(name) && !element.optional => Some(place),
        _ => {
            place += usize::from(!element.optional);
            None
        }
    })
}

/// Whether a value of this name is a key.
pub fn is_key_name(name: &str) -> bool {
    matches!(name, "key" | "key1" | "key2" | "newkey" | "source" | "destination" | "src" | "dst")
}

/// Kinds of values that a usage line may name.
const KINDS: [&str; 3] = [":double", ":integer", ":string"];

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
            ("key min:double max:double [c= A | B]", "key min max [A | B]"),
        ];
        for (usage, expected) in rows {
            assert_eq!(shown(usage), expected);
        }
    }

    #[test]
    fn arity_and_keys_follow_from_usage() {
        let keys = |first, last, step| Some(KeyPositions { first, last, step, counted_by: None });
        let counted = |first, last, step, by| Some(KeyPositions { first, last, step, counted_by: Some(by) });
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
            ("destination key [key ...]", 1, -3, keys(1, -1, 1)),
            ("numkeys key [key ...] [LIMIT limit]", 1, -3, counted(0, 0, 0, 1)),
            ("timeout numkeys key [key ...] <LEFT | RIGHT>", 1, -5, counted(0, 0, 0, 2)),
            ("destination numkeys key [key ...]", 1, -4, counted(1, 1, 1, 2)),
        ];
        for (usage, names, expected, positions) in rows {
            let elements = parse(usage);
            assert_eq!((arity(&elements, names), key_positions(&elements, names)), (expected, positions), "{usage}");
        }
    }
}
