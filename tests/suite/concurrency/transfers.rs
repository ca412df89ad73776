//! Transactions move money between accounts; the sum is the same for whoever looks, whenever.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Working, number, together, transact};
use crate::connection::Connection;
use crate::server::{Program, Server};

const ACCOUNTS: usize = 12;
const EACH: i64 = 1_000;
const SUM: i64 = ACCOUNTS as i64 * EACH;
const WRITERS: usize = 12;
const READERS: usize = 6;
const TRANSFERS: usize = 250;

fn account(number: usize) -> String {
    format!("account:{number}")
}

/// Moves an amount blindly.
fn transfer(connection: &mut Connection, from: &str, to: &str, amount: &str) -> bool {
    transact(connection, &[&["DECRBY", from, amount], &["INCRBY", to, amount]]).expect("EXEC");
    true
}

/// Reads, computes and writes, if nobody else wrote meanwhile.
fn transfer_optimistically(connection: &mut Connection, from: &str, to: &str, amount: &str) -> bool {
    connection.ask(&["WATCH", from, to]);
    let (before, added) = (number(&connection.ask(&["GET", from])), number(&connection.ask(&["GET", to])));
    let amount: i64 = amount.parse().expect("a number");
    let (less, more) = ((before - amount).to_string(), (added + amount).to_string());
    transact(connection, &[&["SET", from, &less], &["SET", to, &more]]).is_some()
}

fn read_at_once(connection: &mut Connection) -> i64 {
    let names: Vec<String> = std::iter::once("MGET".to_owned()).chain((0..ACCOUNTS).map(account)).collect();
    connection.ask(&names).elements().expect("an array").iter().map(number).sum()
}

fn read_in_transaction(connection: &mut Connection) -> i64 {
    let names: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let commands: Vec<Vec<&str>> = names.iter().map(|name| vec!["GET", name.as_str()]).collect();
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    transact(connection, &commands).expect("EXEC").iter().map(number).sum()
}

#[test]
fn transfers_keep_the_sum() {
    let server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect();
    (0..ACCOUNTS).for_each(|number| _ = connection.ask(&["SET", &account(number), &EACH.to_string()]));
    let (conflicts, writers) = (AtomicU64::new(0), Working::new(WRITERS));
    together(WRITERS + READERS, |client| {
        let mut connection = server.connect();
        if client >= WRITERS {
            let read = if client % 2 == 0 { read_at_once } else { read_in_transaction };
            while writers.goes_on() {
                assert_eq!(read(&mut connection), SUM, "reader {client}");
            }
            return;
        }
        let _at_work = writers.one();
        let mut random = fastrand::Rng::with_seed(client as u64);
        let make = if client % 2 == 0 { transfer } else { transfer_optimistically };
        for _ in 0..TRANSFERS {
            let from = random.usize(0..ACCOUNTS);
            let to = (from + random.usize(1..ACCOUNTS)) % ACCOUNTS;
            let amount = random.u32(1..50).to_string();
            while !make(&mut connection, &account(from), &account(to), &amount) {
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert!(conflicts.into_inner() > 0, "no optimistic transfer met another, so WATCH was not put to the test");
    assert_eq!(read_at_once(&mut connection), SUM);
    assert_eq!(read_at_once(&mut server.restart().connect()), SUM, "after kill -9");
}
