//! How clients that cannot run here begin, byte by byte: what each sends first, and what it has to be answered.
//!
//! Always true: a conversation is a section of a file in `tests/data/handshakes`, has a connection of its own, and is had
//! three times: in the packets that the client sends, in one packet, and one byte after the other. redis-server is
//! held to the same text.
//!
//! | line | what |
//! | --- | --- |
//! | `=== title` | begins a conversation |
//! | `!password secret` | the server asks for that password |
//! | `> words` | a request, in redis-cli's quoting; it is sent as a list of strings, in this very case |
//! | `< line` | a line of its reply as it stands on the wire; in quotes, with escapes; between `/`, a pattern |
//! | `< {name}` | several such lines, as `named` has them |
//! | `< {text a, b}` | one string of any length, with all of these in it |
//! | `7.0< line` | instead of all that, when redis-server 7.0 answers |
//! | `--` | the client waits for its replies before it goes on |

use regex_lite::Regex;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::project;
use crate::connection::encode;
use crate::server::{Program, Server};
use crate::words;

struct Conversation {
    title: String,
    password: Option<String>,
    requests: Vec<Request>,
}

struct Request {
    bytes: Vec<u8>,
    reply: Vec<Line>,
    /// What redis-server 7.0 answers instead.
    older: Vec<Line>,
    waits: bool,
}

enum Line {
    Exactly(Vec<u8>),
    Like(Regex),
    Text(Vec<String>),
}

/// Lines that many conversations have in common.
fn named(name: &str) -> Vec<Line> {
    let exactly = |text: &str| Line::Exactly(text.as_bytes().to_vec());
    let hello = |first: &str, protocol: &str| {
        let (before, after) = (["$6", "server", "$5", "redis", "$7", "version"], ["$5", "proto", protocol, "$2", "id"]);
        let rest = ["$4", "mode", "$10", "standalone", "$4", "role", "$6", "master", "$7", "modules", "*0"];
        let mut lines = vec![exactly(first)];
        lines.extend(before.map(exactly));
        lines.extend([pattern(r"\$[56]"), pattern(r"7\.\d+\.\d+")]);
        lines.extend(after.map(exactly));
        lines.push(pattern(r":\d+"));
        lines.extend(rest.map(exactly));
        lines
    };
    match name {
        "hello 2" => hello("*14", ":2"),
        "hello 3" => hello("%7", ":3"),
        // Redis 7.0 says it without `<proto>`.
        "hello refused" => vec![pattern(
            "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO (<proto> )?AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        )],
        "no password" => vec![exactly("-NOAUTH Authentication required.")],
        "wrong password" => vec![exactly("-WRONGPASS invalid username-password pair or user is disabled.")],
        other => match other.strip_prefix("text ") {
            Some(parts) => vec![Line::Text(parts.split(", ").map(str::to_owned).collect())],
            None => panic!("no lines are called {other}"),
        },
    }
}

fn pattern(text: &str) -> Line {
    Line::Like(Regex::new(&format!("^(?:{text})$")).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn lines(text: &str) -> Vec<Line> {
    let between = |before: char, after: char| text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    if let Some(name) = between('{', '}') {
        return named(name);
    }
    if let Some(text) = between('/', '/') {
        return vec![pattern(text)];
    }
    let quoted = || words::split(text).unwrap_or_else(|error| panic!("{text}: {error}")).concat();
    vec![Line::Exactly(if text.starts_with('"') { quoted() } else { text.as_bytes().to_vec() })]
}

fn conversations(text: &str) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("=== ") {
            found.push(Conversation { title: title.to_owned(), password: None, requests: Vec::new() });
            continue;
        }
        let current = found.last_mut().unwrap_or_else(|| panic!("{line}: before any conversation"));
        if let Some(password) = line.strip_prefix("!password ") {
            current.password = Some(password.to_owned());
        } else if let Some(request) = line.strip_prefix("> ") {
            let bytes = encode(&words::split(request).unwrap_or_else(|error| panic!("{line}: {error}")));
            current.requests.push(Request { bytes, reply: Vec::new(), older: Vec::new(), waits: false });
        } else {
            let request = current.requests.last_mut().unwrap_or_else(|| panic!("{line}: before any request"));
            match (line.strip_prefix("< "), line.strip_prefix("7.0< ")) {
                (Some(text), _) => request.reply.extend(lines(text)),
                (_, Some(text)) => request.older.extend(lines(text)),
                _ if line == "--" => request.waits = true,
                _ => panic!("{line}: neither a request nor a reply"),
            }
        }
    }
    found
}

/// One side of a conversation: what was received, and how much of it was as expected.
struct Listener<'a> {
    stream: &'a TcpStream,
    received: Vec<u8>,
    at: usize,
}

impl Listener<'_> {
    /// Reads on, unless the server has ended its side.
    fn more(&mut self) -> Result<(), String> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err("the server ended the conversation".to_owned()),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.received.len() < self.at + length {
            self.more()?;
        }
        self.at += length;
        Ok(self.received[self.at - length..self.at].to_vec())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1)?);
        }
        Ok(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())
    }

    fn expect(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Exactly(bytes) => {
                let found = self.take(bytes.len() + 2)?;
                let expected = [bytes, &b"\r\n"[..]].concat();
                (found == expected)
                    .then_some(())
                    .ok_or_else(|| format!("{} instead of {}", found.escape_ascii(), expected.escape_ascii()))
            }
            Line::Like(pattern) => {
                let found = self.line()?;
                pattern.is_match(&found).then_some(()).ok_or_else(|| format!("{found} is not {pattern}"))
            }
            Line::Text(parts) => {
                let head = self.line()?;
                let length = head.strip_prefix(['$', '=']).and_then(|length| length.parse::<usize>().ok());
                let text = self.take(length.ok_or_else(|| format!("{head} is no string"))? + 2)?;
                let text = String::from_utf8_lossy(&text).into_owned();
                let missing = parts.iter().find(|part| !text.contains(*part));
                missing.map_or(Ok(()), |part| Err(format!("{part} is not in {text}")))
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Packets {
    AsTheClient,
    One,
    Bytes,
}

/// Has the conversation, and says where it went another way.
fn converse(server: &Server, conversation: &Conversation, packets: Packets, older: bool) -> Result<(), String> {
    let stream = TcpStream::connect(server.address()).map_err(|error| error.to_string())?;
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut listener = Listener { stream: &stream, received: Vec::new(), at: 0 };
    let ends = |number: usize, request: &Request| match packets {
        Packets::AsTheClient => request.waits || number + 1 == conversation.requests.len(),
        Packets::One | Packets::Bytes => number + 1 == conversation.requests.len(),
    };
    let mut sent = 0;
    for (number, request) in conversation.requests.iter().enumerate() {
        if !ends(number, request) {
            continue;
        }
        let packet = &conversation.requests[sent..=number];
        let bytes: Vec<u8> = packet.iter().flat_map(|request| request.bytes.clone()).collect();
        let pieces = bytes.chunks(if matches!(packets, Packets::Bytes) { 1 } else { bytes.len() });
        for piece in pieces {
            listener.stream.write_all(piece).map_err(|error| error.to_string())?;
        }
        for request in packet {
            let lines = if older && !request.older.is_empty() { &request.older } else { &request.reply };
            for line in lines {
                let asked = request.bytes.escape_ascii();
                listener.expect(line).map_err(|found| format!("{asked}: {found}"))?;
            }
        }
        sent = number + 1;
    }
    stream.shutdown(Shutdown::Write).expect("to end the conversation");
    let mut rest = Vec::new();
    match listener.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error.to_string()),
    }
    let rest = [&listener.received[listener.at..], &rest].concat();
    rest.is_empty().then_some(()).ok_or_else(|| format!("one reply too many: {}", rest.escape_ascii()))
}

#[test]
fn of_clients_that_cannot_run_here_are_answered() {
    let folder = std::fs::read_dir(project().join("tests/data/handshakes")).expect("the handshakes");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    let programs = [Some(Program::Caskade), Program::oracle()];
    for program in programs.into_iter().flatten() {
        let open = Server::start(program, &[]);
        let closed = Server::start(program, &["--requirepass", "secret"]);
        for file in &files {
            let text = std::fs::read_to_string(file).expect("a handshake");
            let found = conversations(&text);
            assert!(found.len() >= 3, "{}", file.display());
            for conversation in found {
                let server = match conversation.password.as_deref() {
                    None => &open,
                    Some("secret") => &closed,
                    Some(other) => panic!("no server has the password {other}"),
                };
                for packets in [Packets::AsTheClient, Packets::One, Packets::Bytes] {
                    let had = converse(server, &conversation, packets, program == Program::Redis);
                    let title = &conversation.title;
                    assert_eq!(had, Ok(()), "{program:?}, {}, {title}, {packets:?}", file.display());
                }
            }
        }
    }
}
