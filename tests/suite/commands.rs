//! The command tables as COMMAND tells them: the same facts as Redis's, and every command and option is tested.
//!
//! Always true: what the server says of its commands is read from the server; a difference from redis-server 7.0 that
//! is right in 7.2 is listed here with its reason. Summaries are our own words and are not compared.

use crate::connection::Connection;
use crate::differential::generated;
use crate::reply::Reply;
use crate::server::{Program, Server};
use crate::transcripts;
use std::collections::{BTreeMap, BTreeSet};

/// What 7.2 changed after 7.0, and what is not as in Redis.
const DIFFERENT: &[(&str, &str)] = &[
    // A name alone is a command, too.
    ("command|getkeys", "arity"),
    ("command|getkeysandflags", "arity"),
    // They have WITHSCORE now.
    ("zrank", "arity"),
    ("zrevrank", "arity"),
    // Its subcommands have no rows, as each of them is refused.
    ("cluster", "kinds"),
];

/// Arguments that 7.2 documents in another form, as we do.
const ARGUMENTS_SINCE_7_2: &[(&str, &str)] = &[
    ("command|getkeys", "7.0 documents none"),
    ("command|getkeysandflags", "7.0 documents none"),
    ("module|loadex", "ARGS repeats without a block"),
    ("config|get", "a parameter repeats without a block"),
    ("client|list", "client-id stands behind its token without a block"),
    ("psubscribe", "a pattern repeats without a block"),
    ("hscan", "it has NOVALUES"),
    ("zrank", "it has WITHSCORE"),
    ("zrevrank", "it has WITHSCORE"),
    ("client|kill", "SKIPME takes YES or NO, and ID is no block"),
];

#[test]
fn rows_are_those_of_redis() {
    let Some(oracle) = Program::oracle() else { return };
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    let (ours, theirs) = (rows(&mut ours.connect_with(3)), rows(&mut theirs.connect_with(3)));
    let mut differences = Vec::new();
    for (name, row) in &ours {
        let Some(other) = theirs.get(name) else {
            assert!(is_new(name), "{name} is no command of Redis 7.0");
            continue;
        };
        for (field, value) in row {
            if *value != other[field] && !DIFFERENT.contains(&(name, field)) {
                differences.push(format!("{name}, {field}: {value:?}, in Redis {:?}", other[field]));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(ours.len() > 90, "{} rows", ours.len());
}

#[test]
fn documentation_is_that_of_redis() {
    let Some(oracle) = Program::oracle() else { return };
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    let (ours, theirs) = (documents(&mut ours.connect_with(3)), documents(&mut theirs.connect_with(3)));
    let mut differences = Vec::new();
    for (name, document) in &ours {
        let Some(other) = theirs.get(name) else {
            assert!(is_new(name), "{name} is no command of Redis 7.0");
            continue;
        };
        for field in ["since", "group"] {
            if document.get(field) != other.get(field) {
                differences.push(format!("{name}, {field}: {:?}", document.get(field)));
            }
        }
        // 7.2 says of more commands that they are deprecated.
        for field in ["deprecated_since", "doc_flags"] {
            if other.contains_key(field) && document.get(field) != other.get(field) {
                differences.push(format!("{name}, {field}: {:?}", document.get(field)));
            }
        }
        let shape = |of: &BTreeMap<String, Reply>| of.get("arguments").map_or(String::new(), shape_of);
        let (one, another) = (shape(document), shape(other));
        if one != another && !ARGUMENTS_SINCE_7_2.iter().any(|(excepted, _)| excepted == name) {
            differences.push(format!("{name}, arguments:\n  {one}\n  {another}"));
        }
        assert!(document["summary"] != other["summary"] || name.ends_with("help"), "{name}: a copied summary");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn categories_hold_what_the_commands_say_they_are_in() {
    for program in [Some(Program::Caskade), Program::oracle()].into_iter().flatten() {
        let server = Server::start(program, &[]);
        let mut connection = server.connect_with(3);
        let mut all = BTreeMap::new();
        for row in connection.ask(&["COMMAND"]).elements().expect("rows") {
            add_categories(row, &mut all);
        }
        let list = |reply: Reply| -> BTreeSet<String> { reply.elements().expect("names").iter().map(text).collect() };
        let known = list(connection.ask(&["ACL", "CAT"]));
        assert_eq!(known.len(), 21);
        let named: BTreeSet<String> = all.values().flatten().map(|name| name[1..].to_owned()).collect();
        assert!(named.is_subset(&known), "{named:?}");
        for category in known {
            let held = list(connection.ask(&["ACL", "CAT", &category]));
            let expected: BTreeSet<String> = all
                .iter()
                .filter(|(_, categories)| categories.contains(&format!("@{category}")))
                .map(|(name, _)| name.clone())
                .collect();
            assert_eq!(held, expected, "{program:?} {category}");
            if program == Program::Caskade {
                allows(&mut connection, &category, &held, &all);
            }
        }
    }
}

/// A rule on a category allows the commands that are in it, and with containers what they contain.
fn allows(
    connection: &mut Connection,
    category: &str,
    held: &BTreeSet<String>,
    all: &BTreeMap<String, BTreeSet<String>>,
) {
    connection.ask(&["ACL", "SETUSER", "alice", "reset", "allkeys", "allchannels", &format!("+@{category}")]);
    for name in all.keys() {
        let is_container = all.keys().any(|other| other.starts_with(&format!("{name}|")));
        if is_container && name != "command" {
            continue;
        }
        let container = name.split('|').next().expect("a name");
        let for_everybody = matches!(name.as_str(), "auth" | "hello" | "quit" | "reset");
        let allowed = held.contains(name) || held.contains(container) || for_everybody;
        assert_eq!(may_run(connection, name), allowed, "{category} {name}");
    }
}

/// Whether alice may run a command with as many words as it takes; which ones does not matter where all keys are allowed.
fn may_run(connection: &mut Connection, name: &str) -> bool {
    let mut words: Vec<&str> = ["ACL", "DRYRUN", "alice"].into_iter().chain(name.split('|')).collect();
    for _ in 0..8 {
        match connection.call(&words).expect("a reply") {
            Reply::Status(_) => return true,
            Reply::Bulk(_) => return false,
            Reply::Error(_) => words.push("0"),
            other => panic!("{name}: {other:?}"),
        }
    }
    panic!("{name} takes no number of words");
}

fn add_categories(row: &Reply, all: &mut BTreeMap<String, BTreeSet<String>>) {
    let cells = row.elements().expect("a row");
    all.insert(text(&cells[0]), set_of(&cells[6]));
    for subcommand in cells[9].elements().expect("subcommands") {
        add_categories(subcommand, all);
    }
}

#[test]
fn every_command_and_option_has_a_transcript() {
    let server = Server::start(Program::Caskade, &[]);
    let asked: Vec<Vec<String>> = transcripts::commands().iter().map(|words| upper(words)).collect();
    let missing = missing_of(&documents(&mut server.connect_with(3)), &asked, |_| true);
    assert!(missing.is_empty(), "no transcript has {}", missing.join(", "));
}

#[test]
fn every_command_and_option_on_keys_is_compared_at_random() {
    let server = Server::start(Program::Caskade, &[]);
    let asked: Vec<Vec<String>> = generated(30_000).iter().map(|words| upper(words)).collect();
    let documents = documents(&mut server.connect_with(3));
    let missing = missing_of(&documents, &asked, |document| {
        ["string", "hash", "list", "set", "sorted-set", "generic", "transactions"]
            .map(text_reply)
            .contains(&document["group"])
    });
    let is_asked = |name: &String| !name.ends_with("HELP") && !is_new(&name.to_lowercase());
    let missing: Vec<String> = missing.into_iter().filter(is_asked).collect();
    assert!(missing.is_empty(), "the generator never asks {}", missing.join(", "));
}

/// Commands, and commands with one of their words, that were never asked.
fn missing_of(
    documents: &BTreeMap<String, BTreeMap<String, Reply>>,
    asked: &[Vec<String>],
    counts: impl Fn(&BTreeMap<String, Reply>) -> bool,
) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, document) in documents.iter().filter(|(_, document)| counts(document)) {
        let names: Vec<String> = name.split('|').map(str::to_uppercase).collect();
        let of_this: Vec<&Vec<String>> = asked.iter().filter(|words| words.starts_with(&names)).collect();
        if of_this.is_empty() {
            missing.push(names.join(" "));
            continue;
        }
        let mut tokens = BTreeSet::new();
        if let Some(arguments) = document.get("arguments") {
            collect_tokens(arguments, &mut tokens);
        }
        let absent = tokens.iter().filter(|token| !of_this.iter().any(|words| words[names.len()..].contains(token)));
        missing.extend(absent.map(|token| format!("{} {token}", names.join(" "))));
    }
    missing
}

fn collect_tokens(arguments: &Reply, into: &mut BTreeSet<String>) {
    for argument in arguments.elements().unwrap_or_default() {
        let argument = fields(argument);
        into.extend(argument.get("token").map(text));
        if let Some(inner) = argument.get("arguments") {
            collect_tokens(inner, into);
        }
    }
}

/// Kind, token, flags and parts of arguments; their names are for people.
fn shape_of(arguments: &Reply) -> String {
    let one = |argument: &Reply| {
        let argument = fields(argument);
        let optional = |field: &str| argument.get(field).map_or(String::new(), |value| format!(" {value:?}"));
        let flags = argument.get("flags").map_or(String::new(), |flags| format!(" {:?}", set_of(flags)));
        let inner = argument.get("arguments").map_or(String::new(), |inner| format!(" ({})", shape_of(inner)));
        let (token, key) =
            (argument.get("token").map_or(String::new(), |token| format!(" {}", text(token))), "key_spec_index");
        format!("{}{token}{}{flags}{inner}", text(&argument["type"]), optional(key))
    };
    arguments.elements().unwrap_or_default().iter().map(one).collect::<Vec<_>>().join(", ")
}

type Row = BTreeMap<&'static str, String>;

/// Every command and subcommand by its full name, each field as a text that does not depend on the order of sets.
fn rows(connection: &mut Connection) -> BTreeMap<String, Row> {
    let mut all = BTreeMap::new();
    for row in connection.ask(&["COMMAND"]).elements().expect("rows") {
        add_row(row, &mut all);
    }
    all
}

fn add_row(row: &Reply, all: &mut BTreeMap<String, Row>) {
    let cells = row.elements().expect("a row");
    assert_eq!(cells.len(), 10, "{row:?}");
    let keys = format!("{:?}", &cells[3..6]);
    let specs: Vec<String> = cells[8].elements().expect("key specs").iter().map(key_spec).collect();
    let fields = [
        ("arity", format!("{:?}", cells[1])),
        ("flags", format!("{:?}", set_of(&cells[2]))),
        ("keys", keys),
        ("categories", format!("{:?}", set_of(&cells[6]))),
        ("tips", format!("{:?}", set_of(&cells[7]))),
        ("key specs", format!("{specs:?}")),
        ("kinds", format!("{:?}", cells.iter().map(std::mem::discriminant).collect::<Vec<_>>())),
    ];
    all.insert(text(&cells[0]), fields.into_iter().collect());
    for subcommand in cells[9].elements().expect("subcommands") {
        add_row(subcommand, all);
    }
}

/// Without the notes, which are words for people.
fn key_spec(spec: &Reply) -> String {
    let spec = fields(spec);
    format!("{:?} {:?} {:?}", set_of(&spec["flags"]), spec["begin_search"], spec["find_keys"])
}

fn documents(connection: &mut Connection) -> BTreeMap<String, BTreeMap<String, Reply>> {
    let mut all = BTreeMap::new();
    add_documents(&connection.ask(&["COMMAND", "DOCS"]), &mut all);
    all
}

fn add_documents(of: &Reply, all: &mut BTreeMap<String, BTreeMap<String, Reply>>) {
    for (name, document) in fields(of) {
        let document = fields(&document);
        if let Some(subcommands) = document.get("subcommands") {
            add_documents(subcommands, all);
        }
        all.insert(name, document);
    }
}

fn is_new(name: &str) -> bool {
    let of_fields = include_str!("../data/field-expiry-commands.tsv").lines();
    let mut of_fields = of_fields.filter_map(|line| line.split('\t').next());
    matches!(name, "client|no-touch" | "client|setinfo" | "waitaof")
        || name.split('|').next() == Some("caskade")
        || of_fields.any(|of_fields| of_fields == name)
}

fn fields(map: &Reply) -> BTreeMap<String, Reply> {
    let Reply::Map(pairs) = map else { panic!("a map: {map:?}") };
    pairs.iter().map(|(name, value)| (text(name), value.clone())).collect()
}

fn set_of(reply: &Reply) -> BTreeSet<String> {
    reply.elements().expect("a set").iter().map(text).collect()
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().unwrap_or_else(|| panic!("text: {reply:?}"))).into_owned()
}

fn text_reply(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn upper(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).collect()
}
