//! One of the two servers compared, with four clients: 0 and 2 speak RESP2, 1 and 3 RESP3.

use super::generator::{CLIENTS, Op};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::Server;
use std::collections::BTreeSet;

/// Alters replies, to prove that the comparison notices.
pub type Fault = fn(&[Vec<u8>], Reply) -> Reply;

pub struct Side<'a> {
    server: &'a Server,
    clients: Vec<Connection>,
    fault: Fault,
    valkey: bool,
}

impl<'a> Side<'a> {
    pub fn new(server: &'a Server) -> Side<'a> {
        Side::with_fault(server, |_, reply| reply)
    }

    pub fn with_fault(server: &'a Server, fault: Fault) -> Side<'a> {
        let info = server.connect().ask(&["INFO", "server"]);
        let valkey = String::from_utf8_lossy(info.bytes().expect("INFO is text")).contains("valkey_version");
        Side { server, clients: Vec::new(), fault, valkey }
    }

    pub fn is_valkey(&self) -> bool {
        self.valkey
    }

    /// No keys and fresh clients.
    pub fn reset(&mut self) {
        self.clients = (0..CLIENTS).map(|client| self.server.connect_with(2 + (client % 2) as u8)).collect();
        self.clients[0].ask(&["FLUSHALL"]);
    }

    pub fn send(&mut self, op: &Op) {
        // A closed connection shows in what is received.
        let _ = self.clients[op.client].send(&op.words);
    }

    /// The reply; for SCAN, every key of the whole iteration, once and in order.
    pub fn receive(&mut self, op: &Op) -> Reply {
        let first = self.reply(op);
        if !op.words[0].eq_ignore_ascii_case(b"SCAN") {
            return first;
        }
        let (mut keys, mut words, mut reply) = (BTreeSet::new(), op.words.clone(), first);
        loop {
            let Reply::Array(items) = &reply else { return reply };
            let [Reply::Bulk(cursor), Reply::Array(page)] = items.as_slice() else { return reply };
            keys.extend(page.iter().cloned());
            if cursor == b"0" {
                return Reply::Array(keys.into_iter().collect());
            }
            words[1].clone_from(cursor);
            let next = Op { client: op.client, words: words.clone() };
            self.send(&next);
            reply = self.reply(&next);
        }
    }

    fn reply(&mut self, op: &Op) -> Reply {
        let reply = self.clients[op.client].receive();
        let reply = reply.unwrap_or_else(|error| Reply::Error(format!("UNREADABLE {error}").into_bytes()));
        (self.fault)(&op.words, reply)
    }
}
