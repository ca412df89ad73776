//! Nothing is lost or done twice.

use super::{number, together};
use crate::reply::Reply;
use crate::server::{Program, Server};

#[test]
fn incr_from_64_clients_adds_up() {
    const CLIENTS: usize = 64;
    const EACH: usize = 400;
    let server = Server::start(Program::Caskade, &[]);
    let seen = together(CLIENTS, |client| {
        let mut connection = server.connect();
        let mut seen = Vec::with_capacity(EACH);
        while seen.len() < EACH {
            // Some wait for each answer, some send many requests at once.
            let some = if client % 2 == 0 { 1 } else { 16.min(EACH - seen.len()) };
            (0..some).for_each(|_| connection.send(&["INCR", "n"]).expect("to send"));
            seen.extend((0..some).map(|_| number(&connection.receive().expect("a reply"))));
        }
        seen
    });
    assert!(seen.iter().all(|seen| seen.is_sorted()), "a client saw the counter go back");
    let mut all = seen.concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=(CLIENTS * EACH) as i64), "a number was given twice or not at all");
    assert_eq!(number(&server.connect().ask(&["GET", "n"])), (CLIENTS * EACH) as i64);
}

#[test]
fn one_of_many_wins() {
    const CLIENTS: usize = 32;
    const KEYS: usize = 150;
    let server = Server::start(Program::Caskade, &[]);
    // What a client asks, and the answer of the one who was first.
    let races: [(&[&str], Reply); 5] = [
        (&["SETNX", "$key", "$me"], Reply::Integer(1)),
        (&["SET", "$key", "$me", "NX"], Reply::Status(b"OK".to_vec())),
        (&["MSETNX", "$key", "$me", "$key:2", "$me"], Reply::Integer(1)),
        (&["RENAMENX", "$me", "$key"], Reply::Integer(1)),
        (&["COPY", "$me", "$key"], Reply::Integer(1)),
    ];
    for (race, (template, won)) in races.into_iter().enumerate() {
        let wins = together(CLIENTS, |client| {
            let mut connection = server.connect();
            let me = format!("client:{client}");
            let wins = |key: &String| {
                if race > 2 {
                    connection.ask(&["SET", &me, &me]);
                }
                let words =
                    template.iter().map(|word| word.replace("$key", key).replace("$me", &me)).collect::<Vec<_>>();
                connection.ask(&words) == won
            };
            (0..KEYS).map(|key| format!("{race}:{key}")).filter(wins).collect::<Vec<_>>()
        });
        let mut connection = server.connect();
        for key in (0..KEYS).map(|key| format!("{race}:{key}")) {
            let winners: Vec<usize> = (0..CLIENTS).filter(|&client| wins[client].contains(&key)).collect();
            assert_eq!(winners.len(), 1, "{template:?} on {key} had winners {winners:?}");
            let value = connection.ask(&["GET", &key]);
            assert_eq!(value, Reply::Bulk(format!("client:{}", winners[0]).into_bytes()), "{template:?} on {key}");
        }
    }
}

#[test]
fn a_value_is_taken_once() {
    const CLIENTS: usize = 32;
    const KEYS: usize = 300;
    let server = Server::start(Program::Caskade, &[]);
    let takers: [&[&str]; 2] = [&["GETDEL", "$key"], &["SET", "$key", "", "GET"]];
    for taker in takers {
        let mut connection = server.connect();
        (0..KEYS).for_each(|key| _ = connection.ask(&["SET", &format!("job:{key}"), &format!("work {key}")]));
        let taken = together(CLIENTS, |_| {
            let mut connection = server.connect();
            let take = |key: usize| {
                let words: Vec<_> = taker.iter().map(|word| word.replace("$key", &format!("job:{key}"))).collect();
                connection.ask(&words).bytes().filter(|value| !value.is_empty()).map(<[u8]>::to_vec)
            };
            (0..KEYS).filter_map(take).collect::<Vec<_>>()
        });
        let mut taken = taken.concat();
        taken.sort_unstable();
        let mut expected: Vec<Vec<u8>> = (0..KEYS).map(|key| format!("work {key}").into_bytes()).collect();
        expected.sort_unstable();
        assert!(taken == expected, "{taker:?}: {} values were taken of {KEYS}", taken.len());
    }
}

#[test]
fn appended_pieces_stay_whole() {
    const CLIENTS: usize = 32;
    const EACH: usize = 50;
    let server = Server::start(Program::Caskade, &[]);
    together(CLIENTS, |client| {
        let mut connection = server.connect();
        (0..EACH).for_each(|piece| _ = connection.ask(&["APPEND", "log", &format!("{client}.{piece};")]));
    });
    let log = server.connect().ask(&["GET", "log"]);
    let log = String::from_utf8(log.bytes().expect("a value").to_vec()).expect("text");
    for client in 0..CLIENTS {
        let mine = format!("{client}.");
        let found: String = log.split_inclusive(';').filter(|piece| piece.starts_with(&mine)).collect();
        let expected: String = (0..EACH).map(|piece| format!("{client}.{piece};")).collect();
        assert_eq!(found, expected, "of client {client}");
    }
}
