//! One of the two servers compared, with four clients: 0 and 2 speak RESP2, 1 and 3 RESP3.

use super::contents::{self, COMPACT, CONTENTS, KILL, TERMINATE};
use super::generator::{CLIENTS, Op};
use crate::connection::{Connection, encode};
use crate::reply::Reply;
use crate::server::{Program, Server, compaction_passes, wait_until};
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Alters replies, to prove that the comparison notices.
pub type Fault = fn(&[Vec<u8>], Reply) -> Reply;

pub struct Side<'a> {
    server: &'a mut Server,
    clients: Vec<Connection>,
    fault: Fault,
    /// Whether the other side knows of it, too.
    pub has_field_expiry: bool,
    /// Of compaction, before the restarts.
    pub passes: u64,
}

impl<'a> Side<'a> {
    pub fn new(server: &'a mut Server) -> Side<'a> {
        Side::with_fault(server, |_, reply| reply)
    }

    pub fn with_fault(server: &'a mut Server, fault: Fault) -> Side<'a> {
        Side { server, clients: Vec::new(), fault, has_field_expiry: false, passes: 0 }
    }

    pub fn is_valkey(&self) -> bool {
        self.server.program() == Program::Valkey
    }

    /// No keys and fresh clients.
    pub fn reset(&mut self) {
        self.connect();
        self.clients[0].ask(&["FLUSHALL"]);
    }

    fn connect(&mut self) {
        self.clients = (0..CLIENTS).map(|client| self.server.connect_with(2 + (client % 2) as u8)).collect();
    }

    pub fn send(&mut self, op: &Op) {
        if !op.is_command() {
            return;
        }
        // A closed connection shows in what is received.
        let _ = self.clients[op.client].send(&op.words);
    }

    /// Sends commands of the first client in one go.
    pub fn send_together(&mut self, ops: &[Op]) {
        let all: Vec<u8> = ops.iter().flat_map(|op| encode(&op.words)).collect();
        let _ = self.clients[0].send_raw(&all);
    }

    /// The reply; for a walk, everything of the whole iteration, once and in order; where it is chosen at random, or in no
    /// order, what can be said of it all the same.
    pub fn receive(&mut self, op: &Op) -> Reply {
        if !op.is_command() {
            return self.perform(op);
        }
        let first = self.reply(op);
        let key = || op.words.get(1).cloned().unwrap_or_default();
        match op.words[0].to_ascii_uppercase().as_slice() {
            b"SCAN" => self.walk(op, first, 1, 1),
            b"SSCAN" => self.walk(op, first, 2, 1),
            b"HSCAN" if op.says("NOVALUES") => self.walk(op, first, 2, 1),
            b"HSCAN" | b"ZSCAN" => self.walk(op, first, 2, 2),
            b"SRANDMEMBER" => self.check_chosen(op, first, &[b"SMEMBERS", &key()]),
            b"HRANDFIELD" => self.check_chosen(op, first, &[b"HGETALL", &key()]),
            b"ZRANDMEMBER" => self.check_chosen(op, first, &[b"ZRANGE", &key(), b"0", b"-1", b"WITHSCORES"]),
            b"SORT" | b"SORT_RO" if first.elements().is_some() => self.without_order(op, first),
            _ => first,
        }
    }

    fn walk(&mut self, op: &Op, first: Reply, cursor_at: usize, together: usize) -> Reply {
        let (mut found, mut words, mut reply) = (BTreeSet::new(), op.words.clone(), first);
        loop {
            let Reply::Array(items) = &reply else { return reply };
            let [Reply::Bulk(cursor), Reply::Array(page)] = items.as_slice() else { return reply };
            if page.len() % together != 0 {
                return reply;
            }
            found.extend(page.chunks(together).map(<[Reply]>::to_vec));
            if cursor == b"0" {
                return Reply::Array(found.into_iter().flatten().collect());
            }
            words[cursor_at].clone_from(cursor);
            let next = Op { words: words.clone(), ..op.clone() };
            self.send(&next);
            reply = self.reply(&next);
        }
    }

    /// What was chosen must be there, each with what belongs to it.
    fn check_chosen(&mut self, op: &Op, chosen: Reply, all: &[&[u8]]) -> Reply {
        let all = match &chosen {
            Reply::Bulk(_) | Reply::Array(_) => self.clients[op.client].ask(all),
            _ => return chosen,
        };
        let with = op.words.len() > 3;
        let all: BTreeSet<Vec<Reply>> = match all {
            Reply::Map(pairs) => pairs.into_iter().map(|(field, value)| vec![field, value]).collect(),
            Reply::Array(items) if items.iter().all(|item| matches!(item, Reply::Array(_))) => {
                items.iter().map(|pair| pair.elements().unwrap_or_default().to_vec()).collect()
            }
            Reply::Array(items) if !op.words[0].eq_ignore_ascii_case(b"SRANDMEMBER") => {
                items.chunks(2).map(<[Reply]>::to_vec).collect()
            }
            other => other.elements().unwrap_or_default().iter().map(|item| vec![item.clone()]).collect(),
        };
        let names: BTreeSet<&Reply> = all.iter().filter_map(|item| item.first()).collect();
        let is_there = match &chosen {
            Reply::Array(items) if !with => items.iter().all(|item| names.contains(item)),
            Reply::Array(items) if items.iter().all(|item| matches!(item, Reply::Array(_))) => {
                items.iter().all(|pair| all.contains(pair.elements().unwrap_or_default()))
            }
            Reply::Array(items) => items.chunks(2).all(|pair| all.contains(pair)),
            one => names.contains(one),
        };
        if is_there { chosen } else { Reply::Error(b"CHOSEN what is not there".to_vec()) }
    }

    /// A set that is not sorted, or sorted by what is equal, comes in no order; of a part of it nothing but the length is
    /// certain.
    fn without_order(&mut self, op: &Op, reply: Reply) -> Reply {
        if !op.says("BY") {
            return reply;
        }
        let is_set = self.clients[op.client].ask(&[b"TYPE", &op.words[1][..]]) == Reply::Status(b"set".to_vec());
        match (is_set, op.says("LIMIT")) {
            (_, true) if is_set || op.says("ALPHA") => {
                Reply::Integer(reply.elements().map_or(0, |items| items.len() as i64))
            }
            (true, _) => contents::sorted(reply, 1),
            (false, _) => reply,
        }
    }

    fn reply(&mut self, op: &Op) -> Reply {
        let reply = self.clients[op.client].receive();
        let reply = reply.unwrap_or_else(|error| Reply::Error(format!("UNREADABLE {error}").into_bytes()));
        (self.fault)(&op.words, reply)
    }

    /// What nobody needs any more is written until a pass of compaction was worth it.
    fn compact(&mut self) -> u64 {
        let (mut client, garbage, mut passes) = (self.server.connect(), "g".repeat(20_000), 0);
        wait_until("a pass of compaction", PATIENCE, || {
            client.ask(&["SET", "garbage", &garbage]);
            client.ask(&["DEL", "garbage"]);
            client.ask(&["CASKADE", "COMPACT"]);
            passes = compaction_passes(&mut client);
            passes > 0
        });
        passes
    }

    /// What stands in place of a command.
    fn perform(&mut self, op: &Op) -> Reply {
        let how = op.words[0].as_slice();
        if how == CONTENTS {
            let reply = contents::contents(&mut self.server.connect(), self.has_field_expiry);
            return (self.fault)(&op.words, reply);
        }
        if self.server.program() == Program::Caskade {
            match how {
                TERMINATE => assert!(self.server.terminate().success(), "{}", self.server.log()),
                COMPACT => self.passes += self.compact(),
                _ => assert_eq!(how, KILL),
            }
            self.server.restart_in_place();
        }
        self.connect();
        Reply::Status(b"OK".to_vec())
    }
}
