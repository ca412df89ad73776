//! What the server tells of its commands, against the facts of Redis 7.2 in `tests/data/redis-7.2-commands.tsv`, and of
//! later versions beside it.
//!
//! Always true: every command is compared in every field that is a fact; what differs is listed here with its reason.
//! Sentences are our own words.

use crate::reply::Reply;
use crate::server::{Program, Server};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const FACTS: &str = include_str!("../data/redis-7.2-commands.tsv");

/// Those of later versions: as Valkey 9.1 tells them.
const LATER_FACTS: &str = include_str!("../data/field-expiry-commands.tsv");

/// A command, a field and why it differs.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("client|kill", "arguments", "a filter is not called optional, since there must be one"),
    ("client|kill", "names", "two filters have the same kind of value, and are named by it"),
    ("replicaof", "names", "host and port have no name together"),
    ("slaveof", "names", "as with REPLICAOF"),
    ("zrank", "arity", "the facts are of a time when it had no WITHSCORE"),
    ("zrevrank", "arity", "as with ZRANK"),
    ("incrbyfloat", "names", "a number that need not be whole is called decimal"),
    ("hincrbyfloat", "names", "as with INCRBYFLOAT"),
    ("hscan", "arguments", "NOVALUES is of Redis 7.4"),
    ("hscan", "names", "as its arguments"),
];

#[test]
fn every_command_has_the_facts_of_redis_7_2() {
    let server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect_with(3);
    let mut told: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    add_rows(&plain(&connection.ask(&["COMMAND"])), &mut told);
    add_documents(&plain(&connection.ask(&["COMMAND", "DOCS"])), &mut told);
    let facts: BTreeMap<&str, Value> = FACTS.lines().chain(LATER_FACTS.lines()).filter_map(fact).collect();
    assert!(facts.len() > 350 && told.len() > 120, "{} facts, {} commands", facts.len(), told.len());
    let mut differences = Vec::new();
    for (name, fields) in told.iter().filter(|(name, _)| name.split('|').next() != Some("caskade")) {
        let Some(expected) = facts.get(name.as_str()).and_then(Value::as_object) else {
            differences.push(format!("{name} is no command of Redis 7.2"));
            continue;
        };
        for field in fields.keys().chain(expected.keys().filter(|field| !fields.contains_key(*field))) {
            let (ours, theirs) = (fields.get(field), expected.get(field));
            if ours != theirs
                && !DIFFERENT.iter().any(|(command, which, _)| (command, which) == (&name.as_str(), &field.as_str()))
            {
                let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
                differences.push(format!("{name}, {field}:\n  {}\n  {} in Redis", text(ours), text(theirs)));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A name and its fields, with the names of arguments apart.
fn fact(line: &'static str) -> Option<(&'static str, Value)> {
    let (name, fields) = line.split_once('\t')?;
    let mut fields: Value = serde_json::from_str(fields).expect("JSON");
    if let Some(arguments) = fields.get("arguments").cloned() {
        fields["names"] = names(&arguments);
        fields["arguments"] = shape(&arguments);
    }
    Some((name, fields))
}

fn add_rows(rows: &Value, told: &mut BTreeMap<String, Map<String, Value>>) {
    for row in elements(rows) {
        let specs = elements(&row[8]).iter().map(
            |spec| json!({ "flags": sorted(&spec["flags"]), "begin": spec["begin_search"], "find": spec["find_keys"] }),
        );
        let fields = json!({
            "arity": row[1],
            "flags": sorted(&row[2]),
            "keys": [row[3], row[4], row[5]],
            "categories": sorted(&row[6]),
            "tips": sorted(&row[7]),
            "specs": specs.collect::<Vec<Value>>(),
        });
        told.insert(row[0].as_str().expect("a name").to_owned(), fields.as_object().expect("fields").clone());
        add_rows(&row[9], told);
    }
}

fn add_documents(documents: &Value, told: &mut BTreeMap<String, Map<String, Value>>) {
    for (name, document) in documents.as_object().expect("documents") {
        let fields = told.get_mut(name).unwrap_or_else(|| panic!("{name} has no row"));
        for (field, value) in document.as_object().expect("fields") {
            let value = match field.as_str() {
                "since" | "group" | "deprecated_since" => value.clone(),
                "doc_flags" => sorted(value),
                "arguments" => {
                    fields.insert("names".into(), names(value));
                    shape(value)
                }
                _ => continue,
            };
            fields.insert(field.clone(), value);
        }
        if let Some(subcommands) = document.get("subcommands") {
            add_documents(subcommands, told);
        }
    }
}

/// Kind, token, flags and parts of arguments.
fn shape(arguments: &Value) -> Value {
    let one = |argument: &Value| {
        let mut fields = Map::new();
        for (field, value) in argument.as_object().expect("an argument") {
            let value = match field.as_str() {
                "type" | "token" | "key_spec_index" => value.clone(),
                "flags" => sorted(value),
                "arguments" => shape(value),
                _ => continue,
            };
            fields.insert(field.clone(), value);
        }
        Value::Object(fields)
    };
    elements(arguments).iter().map(one).collect()
}

fn names(arguments: &Value) -> Value {
    let one = |argument: &Value| match argument.get("arguments") {
        Some(inner) => json!([argument["name"], names(inner)]),
        None => argument["name"].clone(),
    };
    elements(arguments).iter().map(one).collect()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}"))
}

fn sorted(words: &Value) -> Value {
    let mut words = elements(words).to_vec();
    words.sort_by_key(Value::to_string);
    Value::Array(words)
}

fn plain(reply: &Reply) -> Value {
    match reply {
        Reply::Integer(number) => json!(number),
        Reply::Array(items) | Reply::Set(items) => items.iter().map(plain).collect(),
        Reply::Map(pairs) => {
            let pair = |(name, value): &(Reply, Reply)| (text(name), plain(value));
            Value::Object(pairs.iter().map(pair).collect())
        }
        other => Value::String(text(other)),
    }
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().unwrap_or_else(|| panic!("text: {reply:?}"))).into_owned()
}
