//! The argument tree of COMMAND DOCS, from a usage line.
//!
//! Always true: a token stands with what follows it in its brackets; what repeats behind itself (`key [key ...]`) is
//! one argument that may be given several times.

use super::{Element, Shape, is_key_name};

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub kind: Kind,
    /// The word in front of it.
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    /// Each time it is given, the token stands before it again.
    pub multiple_token: bool,
    /// The alternatives of [`Kind::OneOf`], the parts of [`Kind::Block`].
    pub inner: Vec<Argument>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Key,
    Text,
    Integer,
    Double,
    UnixTime,
    Pattern,
    Token,
    OneOf,
    Block,
}

impl Kind {
    /// As COMMAND DOCS names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::UnixTime => "unix-time",
            Self::Pattern => "pattern",
            Self::Token => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// The arguments that a usage line tells of.
pub fn arguments(elements: &[Element]) -> Vec<Argument> {
    let mut all: Vec<Argument> = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        match repeated(&elements[..at], element) {
            Some(1) => all.last_mut().expect("what repeats stands before it").multiple = true,
            Some(length) => {
                let inner = all.split_off(all.len() - length);
                all.push(Argument { multiple: true, ..group("data", Kind::Block, inner) });
            }
            None => all.push(one(element)),
        }
    }
    all
}

/// How many of the elements before this one it repeats, if it does nothing else.
fn repeated(before: &[Element], element: &Element) -> Option<usize> {
    let Shape::Block(block) = &element.shape else { return None };
    (element.optional && element.repeats && before.ends_with(block)).then_some(block.len())
}

fn one(element: &Element) -> Argument {
    let mut argument = match &element.shape {
        Shape::Token(token) => token_alone(token),
        Shape::Value(name) => value(name),
        Shape::Block(elements) => body(elements),
        Shape::OneOf(sequences) => {
            let inner: Vec<Argument> = sequences.iter().map(|sequence| body(sequence)).collect();
            let names: Vec<&str> = inner.iter().map(|argument| argument.name.as_str()).collect();
            group(&names.join("-or-"), Kind::OneOf, inner)
        }
    };
    if let Some(name) = &element.name {
        argument.name.clone_from(name);
    }
    argument.optional |= element.optional;
    argument.multiple |= element.repeats;
    argument
}

/// What stands in one pair of brackets, or between two bars.
fn body(elements: &[Element]) -> Argument {
    if let [before @ .., last] = elements
        && matches!(before.first(), Some(Element { shape: Shape::Token(_), .. }))
        && repeated(before, last) == Some(before.len())
    {
        return Argument { multiple: true, multiple_token: true, ..body(before) };
    }
    if elements.len() > 1 && elements.iter().all(|element| matches!(element.shape, Shape::Token(_))) {
        let inner = arguments(elements);
        let names: Vec<&str> = inner.iter().map(|argument| argument.name.as_str()).collect();
        return group(&names.join("-"), Kind::Block, inner);
    }
    if let [Element { shape: Shape::Token(token), .. }, rest @ ..] = elements
        && !rest.is_empty()
    {
        let mut inner = arguments(rest);
        let is_alone = inner.len() == 1 && inner[0].token.is_none() && !inner[0].optional;
        let argument = if is_alone { inner.remove(0) } else { group(&token.to_lowercase(), Kind::Block, inner) };
        return Argument { token: Some(token.clone()), ..argument };
    }
    let mut inner = arguments(elements);
    if inner.len() == 1 { inner.remove(0) } else { group("arguments", Kind::Block, inner) }
}

fn group(name: &str, kind: Kind, inner: Vec<Argument>) -> Argument {
    Argument { name: name.into(), kind, token: None, optional: false, multiple: false, multiple_token: false, inner }
}

fn token_alone(token: &str) -> Argument {
    Argument { token: Some(token.into()), ..group(&token.to_lowercase(), Kind::Token, Vec::new()) }
}

fn value(name: &str) -> Argument {
    if let Some((name, kind)) = name.split_once(':') {
        let kind = match kind {
            "double" => Kind::Double,
            "integer" => Kind::Integer,
            _ => Kind::Text,
        };
        return group(name, kind, Vec::new());
    }
    let kind = match name {
        name if is_key_name(name) => Kind::Key,
        "pattern" | "by-pattern" | "get-pattern" => Kind::Pattern,
        "decimal" => Kind::Double,
        "seconds" | "milliseconds" | "offset" | "start" | "end" | "increment" | "decrement" | "cursor" | "count"
        | "bits" | "index" | "index1" | "index2" | "db" | "port" | "version" | "destination-db" | "min-match-len"
        | "protover" | "client-id" | "timeout" | "numreplicas" | "numlocal" | "numkeys" | "numfields" | "limit"
        | "stop" | "weight" | "rank" | "num-matches" | "len" => Kind::Integer,
        name if name.starts_with("unix-time") => Kind::UnixTime,
        _ => Kind::Text,
    };
    group(name, kind, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// `name:kind`, with the token before and `?` and `*` behind.
    fn shown(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let token = argument.token.as_ref().map_or(String::new(), |token| format!("{token} "));
            let inner = if argument.inner.is_empty() { String::new() } else { format!("({})", shown(&argument.inner)) };
            let flags = [(argument.optional, "?"), (argument.multiple, "*"), (argument.multiple_token, "*")];
            let flags: String = flags.into_iter().filter(|(set, _)| *set).map(|(_, sign)| sign).collect();
            format!("{token}{}:{}{inner}{flags}", argument.name, argument.kind.name())
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn arguments_follow_from_usage() {
        let rows = [
            ("", ""),
            ("key [key ...]", "key:key*"),
            ("key value [key value ...]", "data:block(key:key, value:string)*"),
            ("[section [section ...]]", "section:string?*"),
            ("command [arg ...]", "command:string, arg:string?*"),
            ("[MATCH pattern]", "MATCH pattern:pattern?"),
            ("[LEN]", "LEN len:pure-token?"),
            ("min:double start:string [COUNT count:double]", "min:double, start:string, COUNT count:double?"),
            ("[NX | XX]", "nx-or-xx:oneof(NX nx:pure-token, XX xx:pure-token)?"),
            (
                "[EX seconds | PXAT unix-time-milliseconds]",
                "seconds-or-unix-time-milliseconds:oneof(EX seconds:integer, PXAT unix-time-milliseconds:unix-time)?",
            ),
            ("[AUTH username password]", "AUTH auth:block(username:string, password:string)?"),
            ("[condition= NX | XX]", "condition:oneof(NX nx:pure-token, XX xx:pure-token)?"),
            ("[FILTERBY <by= A | PATTERN pattern>]", "FILTERBY by:oneof(A a:pure-token, PATTERN pattern:pattern)?"),
            ("[TO <target= host port>]", "TO target:block(host:string, port:integer)?"),
            ("[GET pattern [GET pattern ...]]", "GET pattern:pattern?**"),
            ("timeout:double numkeys key [key ...]", "timeout:double, numkeys:integer, key:key*"),
            ("[CONFIG name value [CONFIG name value ...]]", "CONFIG config:block(name:string, value:string)?**"),
            (
                "<host port | NO ONE>",
                "arguments-or-no-one:oneof(arguments:block(host:string, port:integer), \
                 no-one:block(NO no:pure-token, ONE one:pure-token))",
            ),
            ("[ID client-id [client-id ...]]", "ID client-id:integer?*"),
            (
                "<ID client-id | USER username> ...",
                "client-id-or-username:oneof(ID client-id:integer, USER username:string)*",
            ),
            (
                "[FILTERBY <MODULE module-name | PATTERN pattern>]",
                "FILTERBY module-name-or-pattern:oneof(MODULE module-name:string, PATTERN pattern:pattern)?",
            ),
        ];
        for (usage, expected) in rows {
            assert_eq!(shown(&arguments(&parse(usage))), expected, "{usage}");
        }
    }
}
