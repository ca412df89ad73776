//! Everything that a server holds, as one reply, and the restart of a server in the middle of a sequence.
//!
//! Always true: the same contents are the same reply, whatever order a server keeps them in; whatever can be read in two
//! ways is read in both.

use super::generator::Op;
use crate::connection::Connection;
use crate::reply::Reply;

/// In place of a command: all that is there.
pub const CONTENTS: &[u8] = b"(contents)";

/// In place of a command: Caskade is ended and started again; clients connect anew.
pub const KILL: &[u8] = b"(kill -9)";
pub const TERMINATE: &[u8] = b"(terminate)";
/// The same as `KILL`, after a compaction.
pub const COMPACT: &[u8] = b"(compact and kill -9)";

const DATABASES: usize = 16;

/// Contents, a restart and contents again in the middle, and contents at the end.
pub fn with_restart(ops: &mut Vec<Op>, how: &[u8]) {
    let last = ops.last().map_or(0, |op| op.group);
    let special = |word: &[u8], group| Op { client: 0, words: vec![word.to_vec()], group };
    let middle = ops.len() / 2;
    let at = (middle..ops.len()).find(|&at| ops[at].group != ops[at - 1].group).unwrap_or(ops.len());
    let restart = [CONTENTS, how, CONTENTS].into_iter().zip(1..).map(|(word, more)| special(word, last + more));
    ops.splice(at..at, restart.collect::<Vec<_>>());
    ops.push(special(CONTENTS, last + 4));
}

/// A row for each key of each database: database, key, type, deadline, encoding, content.
pub fn contents(connection: &mut Connection, has_field_expiry: bool) -> Reply {
    let mut rows = Vec::new();
    for database in 0..DATABASES {
        connection.ask(&["SELECT", &database.to_string()]);
        let mut keys = connection.ask(&["KEYS", "*"]).elements().expect("keys").to_vec();
        keys.sort();
        for key in keys {
            let key = key.bytes().expect("a key");
            let mut row = vec![Reply::Integer(database as i64), Reply::Bulk(key.to_vec())];
            let mut ask = |name: &str, rest: &[&str]| {
                let mut words = vec![name.as_bytes(), key];
                words.extend(rest.iter().map(|word| word.as_bytes()));
                connection.ask(&words)
            };
            let kind = ask("TYPE", &[]);
            row.extend([kind.clone(), ask("PEXPIRETIME", &[]), encoding(connection, key)]);
            row.extend(content(connection, key, &kind, has_field_expiry));
            rows.push(Reply::Array(row));
        }
    }
    Reply::Array(rows)
}

fn encoding(connection: &mut Connection, key: &[u8]) -> Reply {
    connection.ask(&["OBJECT".as_bytes(), b"ENCODING", key])
}

fn content(connection: &mut Connection, key: &[u8], kind: &Reply, has_field_expiry: bool) -> Vec<Reply> {
    let text = |text: &'static str| text.as_bytes();
    match kind.bytes().expect("a type") {
        b"string" => vec![connection.ask(&[text("GET"), key]), connection.ask(&[text("STRLEN"), key])],
        b"list" => {
            let all = connection.ask(&[text("LRANGE"), key, text("0"), text("-1")]);
            vec![connection.ask(&[text("LLEN"), key]), all]
        }
        b"set" => vec![connection.ask(&[text("SCARD"), key]), sorted(connection.ask(&[text("SMEMBERS"), key]), 1)],
        b"zset" => {
            let all = connection.ask(&[text("ZRANGE"), key, text("0"), text("-1"), text("WITHSCORES")]);
            let scores = of_all(connection, &[text("ZMSCORE"), key], &all);
            vec![connection.ask(&[text("ZCARD"), key]), all, scores]
        }
        b"hash" => {
            let all = sorted(connection.ask(&[text("HGETALL"), key]), 2);
            let count = all.elements().map_or(0, <[Reply]>::len) / 2;
            let mut row = vec![connection.ask(&[text("HLEN"), key])];
            if has_field_expiry {
                let words = [text("HPEXPIRETIME"), key, text("FIELDS"), &count.to_string().into_bytes()];
                row.push(of_all(connection, &words, &all));
            }
            row.push(all);
            row
        }
        other => panic!("a type of {}", other.escape_ascii()),
    }
}

/// Asks for every first one of pairs.
fn of_all(connection: &mut Connection, words: &[&[u8]], pairs: &Reply) -> Reply {
    let names = pairs.elements().unwrap_or_default().iter().step_by(2).filter_map(Reply::bytes);
    connection.ask(&words.iter().copied().chain(names).collect::<Vec<_>>())
}

/// In order, where so many belong together.
pub fn sorted(reply: Reply, together: usize) -> Reply {
    let order = |items: Vec<Reply>| {
        let mut chunks: Vec<&[Reply]> = items.chunks(together).collect();
        chunks.sort();
        chunks.concat()
    };
    match reply {
        Reply::Array(items) => Reply::Array(order(items)),
        Reply::Set(items) => Reply::Set(order(items)),
        Reply::Map(mut pairs) => {
            pairs.sort();
            Reply::Map(pairs)
        }
        other => other,
    }
}
