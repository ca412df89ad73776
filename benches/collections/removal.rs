//! What becomes of others while a collection of a million elements goes, or gets another name.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::client::Client;
use super::content::Shape;
use super::options::{Options, median};
use crate::common::server::{Program, Server};

/// The other connection is watched for so long after the answer, as elements are taken apart behind it.
const WATCHED_AFTER: Duration = Duration::from_millis(500);

const COMMANDS: [&str; 3] = ["RENAME", "DEL", "UNLINK"];

/// Milliseconds to the answer, and the longest that the other connection waited for one of its own.
#[derive(Clone, Copy)]
struct Times {
    answer: f64,
    wait: f64,
}

pub fn measure(programs: &[Program], options: &Options) -> String {
    let mut text = format!(
        "\nA collection of {} elements is removed, or gets another name: milliseconds to the answer, and the longest that \
         another connection waited for the answer to a PING or GET meanwhile and for {} ms after; medians of {} rounds. \
         *nothing* is how long it waited while nothing happened.\n\n| | |",
        options.elements,
        WATCHED_AFTER.as_millis(),
        options.rounds
    );
    for what in ["answer", "longest wait"] {
        programs.iter().for_each(|program| _ = write!(text, " {} {what} |", program.name));
    }
    let _ = writeln!(text, "\n| --- | --- |{}", " --- |".repeat(programs.len() * 2));
    for shape in Shape::ALL {
        let results: Vec<_> = programs.iter().map(|program| rounds(program, shape, options)).collect();
        for (at, command) in COMMANDS.iter().copied().chain(["*nothing*"]).enumerate() {
            let cells = |value: fn(&Times) -> f64| {
                let of = |rounds: &Vec<[Times; 4]>| median(rounds.iter().map(|round| value(&round[at])));
                results.iter().map(|rounds| format!(" {:.2} |", of(rounds))).collect::<String>()
            };
            let answers = cells(|times| times.answer);
            let line = format!("| {command} | {} |{answers}{}", shape.name(), cells(|times| times.wait));
            println!("{line}");
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn rounds(program: &Program, shape: Shape, options: &Options) -> Vec<[Times; 4]> {
    let server = program.start(None);
    let mut client = Client::new(&server);
    client.call("SET string value");
    let mut fill = || shape.add(&mut client, "first", 0, options.elements);
    let round = |_| {
        fill();
        let rename = watched(&server, "RENAME first second", "+OK");
        let delete = watched(&server, "DEL second", ":1");
        fill();
        let unlink = watched(&server, "UNLINK first", ":1");
        [rename, delete, unlink, watched(&server, "PING", "+PONG")]
    };
    (0..options.rounds).map(round).collect()
}

fn watched(server: &Server, command: &str, right: &str) -> Times {
    let (mut client, mut other) = (Client::new(server), Client::new(server));
    client.call("PING");
    other.call("PING");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !ends.load(Relaxed) {
                for command in ["PING", "GET string"] {
                    let start = Instant::now();
                    other.call(command);
                    longest = longest.max(start.elapsed());
                }
            }
            longest
        });
        std::thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        let reply = client.call(command);
        let answer = start.elapsed();
        assert!(reply.starts_with(right.as_bytes()), "{command}: {}", String::from_utf8_lossy(&reply));
        std::thread::sleep(WATCHED_AFTER);
        ends.store(true, Relaxed);
        let wait = watch.join().expect("to watch");
        Times { answer: answer.as_secs_f64() * 1e3, wait: wait.as_secs_f64() * 1e3 }
    })
}
