//! `caskade dump`.

use super::{Left, Said, files, is_used_log, run};
use crate::server::{Program, Server, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The lines that a dump has written.
fn lines(said: &Said) -> Vec<Value> {
    let parsed = said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")));
    parsed.collect()
}

fn number(line: &Value, name: &str) -> u64 {
    line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn with_key<'a>(lines: &'a [Value], key: &str) -> &'a Value {
    lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("nothing of {key}"))
}

/// Every byte of every segment is told of once, and the numbers rise.
fn expect_all(left: &Left, lines: &[Value]) {
    let mut pieces: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for line in lines {
        let segment = pieces.entry(number(line, "segment")).or_default();
        assert!(segment.insert(number(line, "offset"), number(line, "length")).is_none(), "twice: {line}");
    }
    for (name, bytes) in files(&left.data()).iter().filter(|(name, _)| name.ends_with(".log")) {
        let segment: u64 = name.trim_end_matches(".log").parse().expect("a number");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(64, |last| last + 1) as u64;
        let mut next = 64;
        for (offset, length) in pieces.remove(&segment).unwrap_or_default() {
            assert_eq!(offset, next, "{name}");
            next += length;
        }
        assert!(next == used.max(64) || next == bytes.len() as u64, "{name} has {used} bytes, told of are {next}");
    }
    assert!(pieces.is_empty(), "{pieces:?}");
    let numbers: Vec<u64> = lines.iter().map(|line| number(line, "sequence")).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

/// The values of database 0 (its keyspace is 0, too), and which keys went to database 1.
fn replayed(lines: &[Value]) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut values, mut moved) = (BTreeMap::new(), BTreeSet::new());
    for line in lines {
        let key = || line["key"].as_str().expect("a key").to_owned();
        match line["op"].as_str().expect("an op") {
            "put" => _ = values.insert(key(), line["value"].as_str().expect("a value").to_owned()),
            "delete" => _ = values.remove(&key()),
            "move" => {
                assert_eq!((number(line, "source"), number(line, "keyspace")), (0, 1), "{line}");
                values.remove(&key());
                moved.insert(key());
            }
            _ => {}
        }
    }
    (values, moved)
}

#[test]
fn every_record_is_told_of_once_and_in_order() {
    let left = Left::usual();
    let said = left.look(&["dump"]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    let dumped = lines(&said);
    assert_eq!(said.error, format!("dumped: {} records, nothing was changed\n", dumped.len()));
    expect_all(&left, &dumped);
    let batch: Vec<&Value> =
        dumped.iter().filter(|line| line["key"].as_str().is_some_and(|key| key.starts_with("batch"))).collect();
    assert_eq!((&batch[0]["batch_start"], &batch[0]["batch_more"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!((&batch[1]["batch_start"], &batch[1]["batch_more"], batch.len()), (&Value::Null, &Value::Null, 2));
    let volatile = with_key(&dumped, "volatile");
    let expiry = volatile["expiry"].as_str().expect("an expiry");
    assert!(expiry.starts_with("20") && expiry.ends_with('Z'), "{volatile}");
    assert_eq!((&volatile["type"], &volatile["kind"], &volatile["keyspace"]), (&"string".into(), &1.into(), &0.into()));
    assert!(dumped.iter().any(|line| line["op"] == "seal" && line["durable"].is_u64() && line["time"].is_string()));
    let keys_only = lines(&left.look(&["dump", "--keys-only"]));
    assert_eq!(keys_only.len(), dumped.len());
    assert!(keys_only.iter().all(|line| line["value"].is_null()));
    assert_eq!(with_key(&keys_only, "key:005")["length"], 1035);
}

#[test]
fn what_was_compacted_comes_at_its_number() {
    let left = Left::compacted();
    let dumped = lines(&left.look(&["dump"]));
    expect_all(&left, &dumped);
    let segments: Vec<u64> = dumped.iter().map(|line| number(line, "segment")).collect();
    assert!(segments.windows(2).any(|pair| pair[0] > pair[1]), "a compacted segment has the highest id");
    let (values, moved) = replayed(&dumped);
    assert_eq!((values.len(), moved.len()), (197, 1));
    assert_eq!((values["key:002"].as_str(), values["key:005"].len()), ("new", 1001));
    assert_eq!(with_key(&dumped[dumped.len() - 20..], "key:003")["op"], "expire");
}

#[test]
fn databases_bytes_and_all_that_json_escapes() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    client.ask(&["SET", "a\n\"\u{1}é", "1"]);
    client.ask::<&[u8]>(&[b"SET", b"\xff\x00", b"\x80"]);
    client.ask(&["SWAPDB", "0", "1"]);
    client.ask(&["FLUSHALL"]);
    let left = Left::by(server);
    let dumped = lines(&left.look(&["dump"]));
    expect_all(&left, &dumped);
    assert_eq!(with_key(&dumped, "a\n\"\u{1}é")["value"], "1");
    let binary = dumped.iter().find(|line| line["key_base64"] == "/wA=").expect("a key that is no text");
    assert_eq!((&binary["value_base64"], &binary["key"]), (&"gA==".into(), &Value::Null));
    let binds: Vec<(u64, u64)> = dumped
        .iter()
        .filter(|line| line["op"] == "bind")
        .map(|line| (number(line, "database"), number(line, "keyspace")))
        .collect();
    assert_eq!(binds[..2], [(0, 1), (1, 0)]);
    assert_eq!(binds[2].0, 1, "what was emptied is bound to a fresh keyspace: {binds:?}");
    assert!(binds[2].1 >= 65_536, "{binds:?}");
}

#[test]
fn moments_are_numbers_or_times() {
    let server = Server::start(Program::Caskade, &["--segment-size", "64kb"]);
    let mut client = server.connect();
    let value = "v".repeat(1000);
    let time = |client: &mut crate::connection::Connection| client.ask(&["TIME"]);
    for number in 0..150 {
        client.ask(&["SET", &number.to_string(), &value]);
        if number % 30 == 0 {
            client.ask(&["SAVE"]);
            let now = time(&mut client);
            wait_until("the clock to go on", Duration::from_secs(10), || time(&mut client) != now);
        }
    }
    let left = Left::by(server);
    let all = lines(&left.look(&["dump"]));
    let dump = |arguments: &[&str]| lines(&left.look(&[&["dump"], arguments].concat()));
    let sequence = |line: &Value| number(line, "sequence");
    let (low, high) = (sequence(&all[40]), sequence(&all[90]));
    assert_eq!(dump(&["--from", &low.to_string(), "--to", &high.to_string()]), all[40..=90]);
    assert_eq!(dump(&["--from", &low.to_string()]), all[40..]);
    assert_eq!(dump(&["--to", &high.to_string()]), all[..=90]);
    assert_eq!(dump(&["--from", "1000000"]), Vec::<Value>::new());

    let marks: Vec<(usize, &str)> =
        all.iter().enumerate().filter_map(|(index, line)| Some((index, line["time"].as_str()?))).collect();
    let times: BTreeSet<&str> = marks.iter().map(|mark| mark.1).collect();
    assert!(times.len() >= 3, "{marks:?}");
    for time in times {
        let from = marks.iter().find(|mark| mark.1 == time).expect("itself").0;
        assert_eq!(dump(&["--from", time]), all[from..], "from {time}");
        let to = marks.iter().find(|mark| mark.1 > time).map_or(all.len(), |mark| mark.0);
        assert_eq!(dump(&["--to", time]), all[..to], "to {time}");
    }
    assert_eq!(dump(&["--from", "@0.001", "--to", "@99999999999"]), all);
    assert_eq!(dump(&["--from", "2000-01-01T00:00:00Z"]), all);

    let said = left.look(&["dump", "--from", "tomorrow"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.error.starts_with("caskade: tomorrow: neither a sequence number nor a time"), "{}", said.error);
    let said = left.look(&["dump", "--from", "9", "--to", "8"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.error);
}

#[test]
fn damage_is_told_where_it_is() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    let sound = lines(&left.look(&["dump"]));
    let of_key = with_key(&sound, "key:007");
    let damaged = |said: &Said| {
        assert_eq!(said.code, Some(1), "{}", said.error);
        let lines = lines(said);
        expect_all(&left, &lines.iter().filter(|line| line["sequence"].is_u64()).cloned().collect::<Vec<_>>());
        assert_eq!(lines.len(), sound.len());
        lines.into_iter().filter(|line| line["damaged"] == true).collect::<Vec<_>>()
    };
    left.flip(&name, key + 500);
    let said = left.look(&["dump"]);
    assert!(said.error.starts_with("DAMAGED: 1 of "), "{}", said.error);
    let told = &damaged(&said)[0];
    assert_eq!(
        (&told["key"], &told["sequence"], &told["value"]),
        (&"key:007".into(), &of_key["sequence"], &Value::Null)
    );
    left.flip(&name, key + 500);

    // The hint still says what it was.
    left.flip(&name, key);
    let told = &damaged(&left.look(&["dump"]))[0];
    assert_eq!((&told["key"], &told["sequence"]), (&"key:007".into(), &of_key["sequence"]));
    assert!(told["error"].as_str().is_some_and(|error| error.contains("the hint of the segment says")), "{told}");

    fs::remove_file(left.data().join(name.replace(".log", ".hint"))).unwrap();
    let said = left.look(&["dump"]);
    let told: Vec<Value> = lines(&said).into_iter().filter(|line| line["damaged"] == true).collect();
    assert_eq!((said.code, told.len(), lines(&said).len()), (Some(1), 1, sound.len()));
    assert_eq!((&told[0]["sequence"], &told[0]["offset"]), (&Value::Null, &(key as u64 - 28).into()));
    // It is between the records around it, and nowhere else.
    let around = number(of_key, "sequence");
    for (from, to, count) in [(around, around, 1), (around + 1, around + 5, 0), (around - 5, around - 1, 0)] {
        let said = left.look(&["dump", "--from", &from.to_string(), "--to", &to.to_string()]);
        let told = lines(&said).iter().filter(|line| line["damaged"] == true).count();
        assert_eq!((told, said.code), (count, Some(i32::from(count > 0))), "{from} to {to}: {}", said.out);
    }
}

#[test]
fn what_is_missing_is_told_by_its_hint() {
    let left = Left::compacted();
    let sound = lines(&left.look(&["dump", "--keys-only"]));
    for name in files(&left.data()).keys().filter(|name| name.ends_with(".hint")) {
        let path = left.data().join(name.replace(".hint", ".log"));
        let segment: u64 = name.trim_end_matches(".hint").parse().unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in [None, Some(bytes.len() / 2)] {
            match length {
                None => fs::remove_file(&path).unwrap(),
                Some(length) => fs::write(&path, &bytes[..length]).unwrap(),
            }
            let said = left.look(&["dump", "--keys-only"]);
            assert_eq!(said.code, Some(1), "{name} {length:?}");
            let told = lines(&said);
            // Marks are in no hint.
            let is_known = |line: &&Value| !line["time"].is_string() || number(line, "segment") != segment;
            let numbers = |lines: &[Value]| {
                lines.iter().filter(is_known).map(|line| number(line, "sequence")).collect::<Vec<_>>()
            };
            assert_eq!(numbers(&told), numbers(&sound), "{name} {length:?}");
            assert!(told.iter().any(|line| line["damaged"] == true && number(line, "segment") == segment));
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(left.look(&["dump"]).code, Some(0));
}

#[test]
fn what_kill_leaves_ends_where_a_start_ends_it() {
    let mut server = Server::start(Program::Caskade, &["--segment-size", "64kb"]);
    let mut client = server.connect();
    let value = "v".repeat(1000);
    for number in 0..100 {
        client.ask(&["SET", &number.to_string(), &value]);
    }
    server.kill();
    let (name, mut bytes) = files(&server.data()).into_iter().rfind(|(name, bytes)| is_used_log(name, bytes)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used] = 0;
    fs::write(server.data().join(name), bytes).unwrap();
    let said = run(&["dump"], &server.data());
    assert_eq!(said.code, Some(0), "{}", said.error);
    let checked = run(&["check"], &server.data()).out;
    let records = format!(" segments with {} records", lines(&said).len());
    assert!(checked.contains(&records), "{records}: {checked}");
    assert_eq!(replayed(&lines(&said)).0.len(), 99, "the last was cut short");
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let left = Left::usual();
    let mut dump = Command::new(env!("CARGO_BIN_EXE_caskade"))
        .args(["dump", "--dir"])
        .arg(left.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("to run the program");
    let mut first = String::new();
    // More than the pipe holds is left when it is closed.
    BufReader::with_capacity(100, dump.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("{\"sequence\":1,"), "{first}");
    let mut error = String::new();
    dump.stderr.take().expect("a pipe").read_to_string(&mut error).expect("text");
    assert_eq!((dump.wait().expect("an end").code(), error.as_str()), (Some(0), ""));
}
