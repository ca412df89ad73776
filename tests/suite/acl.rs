//! Users over restarts: the file of `aclfile`, the lines of the configuration file, and what ends connections.
//!
//! Always true: what a file of users says and what is told of a wrong one is the same for redis-server, where that is
//! installed; what is our own (places in errors, which lines are touched) is asked of Caskade alone.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const SECRET: &str = "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// A directory, and a file in it.
struct File {
    _home: TempDir,
    path: PathBuf,
}

impl File {
    fn new(name: &str, text: &str) -> File {
        let home = tempfile::Builder::new().prefix("caskade-acl-").tempdir().expect("a temporary directory");
        let path = home.path().join(name);
        fs::write(&path, text).expect("to write a file");
        File { _home: home, path }
    }

    fn name(&self) -> &str {
        self.path.to_str().expect("a path of text")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("to read a file")
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).expect("to write a file");
    }
}

fn programs() -> impl Iterator<Item = Program> {
    [Some(Program::Caskade), Program::oracle()].into_iter().flatten()
}

fn list(connection: &mut Connection) -> Vec<String> {
    let lines = connection.ask(&["ACL", "LIST"]);
    let text = |line: &Reply| String::from_utf8_lossy(line.bytes().expect("a line")).into_owned();
    lines.elements().expect("lines").iter().map(text).collect()
}

fn error(connection: &mut Connection, words: &[&str]) -> String {
    match connection.call(words) {
        Ok(Reply::Error(text)) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{words:?} answered {other:?}"),
    }
}

/// Whether the server ends this connection without being asked for anything.
fn ends(connection: &mut Connection) -> bool {
    matches!(connection.receive(), Ok(Reply::Closed))
}

#[test]
fn a_file_of_users_is_followed_and_written() {
    for program in programs() {
        let line = format!("user alice on {SECRET} ~a* resetchannels -@all +get");
        let file = File::new("users.acl", &format!("{line}\n\n  user default on nopass ~* &* +@all  \r\n"));
        let server = Server::start(program, &["--aclfile", file.name()]);
        let mut admin = server.connect();
        assert_eq!(list(&mut admin), [&line[..], "user default on nopass ~* &* +@all"], "{program:?}");
        let mut alice = server.connect();
        alice.ask(&["AUTH", "alice", "secret"]);
        admin.ask(&["ACL", "SETUSER", "bob", "on", ">secret", "(~b", "+get)"]);
        admin.ask(&["ACL", "SETUSER", "default", "-flushall"]);
        admin.ask(&["ACL", "SAVE"]);
        let saved = list(&mut admin);
        assert_eq!(file.text(), saved.join("\n") + "\n", "{program:?}");

        // Another file is another set of users, and whoever is logged in has to log in again.
        file.write("user carol on >x +@all\n");
        admin.ask(&["ACL", "LOAD"]);
        let names = admin.ask(&["ACL", "USERS"]);
        assert_eq!(names.elements().expect("names").len(), 2, "{program:?}");
        assert_eq!(
            list(&mut admin)[1],
            "user default on nopass ~* &* +@all",
            "{program:?}: without a line, it has no limits"
        );
        assert!(ends(&mut alice), "{program:?}");
        let mut carol = server.connect();
        carol.ask(&["AUTH", "carol", "x"]);
        carol.ask(&["ACL", "LOAD"]);
        assert!(ends(&mut carol), "{program:?}: who follows the file as somebody else reads the reply first");

        file.write(&(saved.join("\n") + "\n"));
        let server = server.restart();
        assert_eq!(list(&mut server.connect()), saved, "{program:?}");
    }
}

#[test]
fn a_file_with_errors_changes_nothing_and_all_of_them_are_told() {
    let texts = [
        "user alice on foo bar +nosuch -@nosuch\nuser\nuser alice\nbad x\nuser a\tb on\nuser default off\n",
        "user alice (~a +get\n",
        "user alice on (~a +nosuch) ~* ~b\nuser bob #12\n",
        " \n\t\nuser alice on\nuser bob on\nUSER carol\n",
    ];
    let file = File::new("users.acl", "");
    let told: Vec<Vec<String>> = programs()
        .map(|program| {
            file.write("user alice on\n");
            let server = Server::start(program, &["--aclfile", file.name()]);
            let mut admin = server.connect();
            let before = list(&mut admin);
            let told = texts.map(|text| {
                file.write(text);
                error(&mut admin, &["ACL", "LOAD"])
            });
            assert_eq!(list(&mut admin), before, "{program:?}");
            fs::remove_file(&file.path).expect("to remove the file");
            let missing = error(&mut admin, &["ACL", "LOAD"]);
            told.into_iter().chain([missing]).collect()
        })
        .collect();
    let expected = format!("ERR {0}:1: Syntax error. {0}:1: Error in applying operation '+nosuch': ", file.name());
    assert!(told[0][0].starts_with(&expected), "{told:?}");
    assert!(told[0][4].ends_with("No such file or directory"), "{told:?}");
    assert!(told.iter().all(|texts| *texts == told[0]), "{told:#?}");
}

#[test]
fn a_file_that_is_gone_is_made_again_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let file = File::new("users.acl", "");
    let server = Server::start(Program::Caskade, &["--aclfile", file.name()]);
    fs::remove_file(&file.path).expect("to remove the file");
    let mut admin = server.connect();
    admin.ask(&["ACL", "SAVE"]);
    assert_eq!(file.text(), "user default on nopass ~* &* +@all\n");
    assert_eq!(fs::metadata(&file.path).expect("the file").permissions().mode() & 0o777, 0o600);
    fs::remove_dir_all(file.path.parent().expect("a directory")).expect("to remove the directory");
    let told = error(&mut admin, &["ACL", "SAVE"]);
    assert_eq!(
        told,
        "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
    );
    assert!(server.log().contains("ACL SAVE could not write"), "{}", server.log());
}

#[test]
fn users_of_the_configuration_file_are_written_back() {
    let text = "# mine\nuser alice on >secret ~a* +get\n# between\nuser bob off\ntimeout 0\n";
    let file = File::new("caskade.conf", text);
    let mut server = Server::start(Program::Caskade, &[file.name()]);
    let mut admin = server.connect();
    let alice = format!("user alice on {SECRET} ~a* resetchannels -@all +get");
    assert_eq!(list(&mut admin)[0], alice);
    assert!(server.log().contains("The user 'bob' is disabled"), "{}", server.log());
    admin.ask(&["ACL", "SETUSER", "carol", "on", "nopass", "~\"quoted", "(~c +get)"]);
    admin.ask(&["ACL", "DELUSER", "bob"]);
    admin.ask(&["CONFIG", "REWRITE"]);
    let carol = "user carol on nopass \"~\\\"quoted\" resetchannels -@all (~c resetchannels -@all +get)\n";
    let rewritten = file.text();
    assert!(rewritten.starts_with(&format!("# mine\n{alice}\n# between\ntimeout 0\n")), "{rewritten}");
    assert!(rewritten.ends_with(carol), "{rewritten}");
    assert!(!rewritten.contains("bob") && !rewritten.contains("user default"), "{rewritten}");
    let before = list(&mut admin);
    server.restart_in_place();
    let mut admin = server.connect();
    assert_eq!(list(&mut admin), before);
    admin.ask(&["CONFIG", "REWRITE"]);
    assert_eq!(file.text(), rewritten, "once more, nothing is touched");

    // The password of `requirepass` needs no line, other rules of the user default do.
    admin.ask(&["CONFIG", "SET", "requirepass", "secret"]);
    admin.ask(&["CONFIG", "REWRITE"]);
    assert!(!file.text().contains("user default"), "{}", file.text());
    admin.ask(&["ACL", "SETUSER", "default", "-flushall"]);
    admin.ask(&["CONFIG", "REWRITE"]);
    let before = list(&mut admin);
    server.restart_in_place();
    let mut admin = server.connect();
    admin.ask(&["AUTH", "secret"]);
    let after: Vec<String> = list(&mut admin).iter().map(|line| line.replace(" sanitize-payload", "")).collect();
    assert_eq!(after, before);
    admin.call(&[&b"ACL"[..], b"SETUSER", b"alice", b"~\xff"]).expect("a reply");
    let told = error(&mut admin, &["CONFIG", "REWRITE"]);
    assert!(told.starts_with("ERR Rewriting config file: the rules of user 'alice' are not valid UTF-8"), "{told}");
}

#[test]
fn users_that_cannot_be_made_stop_the_start() {
    let wrong = File::new("users.acl", "user alice on foo\n");
    let missing = wrong.path.with_file_name("nosuch");
    let (wrong, missing) = (wrong.name(), missing.to_str().expect("a path of text"));
    let cases: &[(&[&str], &str)] = &[
        (&["--user", "alice", "on", "foo"], "user alice (redacted): Error in ACL SETUSER modifier 'foo': Syntax error"),
        (
            &["--user", "alice", "on", "<hunter2"],
            "user alice (redacted): The password you are trying to remove from the user does not exist",
        ),
        (
            &["--user", "alice", "on", "--aclfile", wrong],
            "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid",
        ),
        (&["--aclfile", wrong], "users.acl:1: Syntax error. WARNING: ACL errors detected"),
        (&["--aclfile", missing], "Error loading ACLs, opening file"),
    ];
    for (arguments, expected) in cases {
        let data = tempfile::tempdir().expect("a temporary directory");
        let Err(log) = Server::start_on(data.path(), arguments) else { panic!("{arguments:?} started") };
        assert!(log.contains(expected) && !log.contains("hunter2"), "{arguments:?}: {log}");
    }
}

#[test]
fn connections_of_a_deleted_user_end_by_themselves() {
    for program in programs() {
        let server = Server::start(program, &[]);
        let mut admin = server.connect();
        admin.ask(&["ACL", "SETUSER", "alice", "on", "nopass", "+@all"]);
        let mut all: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
        for connection in &mut all[..2] {
            connection.ask(&["AUTH", "alice", "x"]);
        }
        assert_eq!(admin.ask(&["ACL", "DELUSER", "alice"]), Reply::Integer(1));
        assert!(ends(&mut all[0]) && ends(&mut all[1]), "{program:?}");
        all[2].ask(&["PING"]);
        wait_until("the connections to be gone", Duration::from_secs(20), || {
            let clients = admin.ask(&["CLIENT", "LIST"]);
            !String::from_utf8_lossy(clients.bytes().expect("text")).contains("user=alice")
        });
    }
}

#[test]
fn who_listens_to_what_was_taken_away_is_ended() {
    for program in programs() {
        let server = Server::start(program, &[]);
        let mut admin = server.connect();
        admin.ask(&["ACL", "SETUSER", "alice", "on", "nopass", "+@all", "&a*", "&c"]);
        let listen = |words: [&str; 2]| {
            let mut connection = server.connect_with(3);
            connection.ask(&["AUTH", "alice", "x"]);
            connection.ask(&words);
            connection
        };
        let mut all = [["SUBSCRIBE", "ab"], ["SSUBSCRIBE", "ab"], ["PSUBSCRIBE", "a*"], ["SUBSCRIBE", "c"]].map(listen);
        admin.ask(&["ACL", "SETUSER", "alice", "resetchannels", "&c", "&ab"]);
        assert!(ends(&mut all[2]), "{program:?}");
        for connection in &mut all[..2] {
            connection.ask(&["PING"]);
        }
        admin.ask(&["ACL", "SETUSER", "alice", "resetchannels", "&c"]);
        assert!(ends(&mut all[0]) && ends(&mut all[1]), "{program:?}");
        all[3].ask(&["PING"]);
    }
}

/// Whether the user it is now may listen to that is asked at each change, unless this user had no channels before.
#[test]
fn who_listens_since_it_was_another_user_is_ended_by_changes_of_the_one_it_is() {
    for program in programs() {
        let server = Server::start(program, &[]);
        let mut admin = server.connect();
        let cases: [(&str, &[&str], bool); 7] = [
            ("&b", &["-get"], true),
            ("&b", &["&c"], true),
            ("(&b)", &["off"], true),
            ("&b", &["&a*"], false),
            ("&b", &["allchannels"], false),
            ("+get", &["-get"], false),
            ("+get", &["&c"], false),
        ];
        for (before, change, is_ended) in cases {
            admin.ask(&["ACL", "SETUSER", "alice", "on", "nopass", "+@all", "&a*"]);
            admin.ask(&["ACL", "SETUSER", "bob", "on", "nopass", "+@all", before]);
            let mut listener = server.connect_with(3);
            listener.ask(&["AUTH", "alice", "x"]);
            listener.ask(&["SUBSCRIBE", "ab"]);
            listener.ask(&["AUTH", "bob", "x"]);
            admin.ask(&[&["ACL", "SETUSER", "bob"], change].concat());
            // Its own request may meet the end of the connection.
            let pong = listener.call(&["PING"]).is_ok_and(|reply| reply == Reply::Status(b"PONG".to_vec()));
            assert_eq!(pong, !is_ended, "{program:?}: {before}, then {change:?}");
            admin.ask(&["ACL", "DELUSER", "bob"]);
        }
    }
}

/// Redis 7.2 forgets them: it ends the connections of all other users alone.
#[test]
fn a_file_that_takes_channels_from_the_user_default_ends_who_listens_to_them() {
    let file = File::new("users.acl", "user default on nopass ~* &* +@all\n");
    let server = Server::start(Program::Caskade, &["--aclfile", file.name()]);
    let [mut admin, mut own, mut one, mut other] = [0; 4].map(|_| server.connect_with(3));
    one.ask(&["SUBSCRIBE", "ab"]);
    own.ask(&["SUBSCRIBE", "ab"]);
    other.ask(&["PSUBSCRIBE", "c"]);
    admin.ask(&["ACL", "LOAD"]);
    one.ask(&["PING"]);
    file.write("user default on nopass ~* resetchannels &c +@all\n");
    own.ask(&["ACL", "LOAD"]);
    assert!(ends(&mut one) && ends(&mut own), "who follows the file reads the reply first");
    for connection in [&mut admin, &mut other] {
        connection.ask(&["PING"]);
    }
}

#[test]
fn who_waits_as_a_deleted_user_waits_no_longer() {
    for program in programs() {
        let server = Server::start(program, &[]);
        let mut admin = server.connect();
        admin.ask(&["ACL", "SETUSER", "alice", "on", "nopass", "+@all", "~*"]);
        let mut blocked = |count: &str| {
            wait_until("the number of clients that wait", Duration::from_secs(20), || {
                let info = admin.ask(&["INFO", "clients"]);
                let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
                info.contains(&format!("\r\nblocked_clients:{count}\r\n"))
            });
            server.connect().ask(&["ACL", "DELUSER", "alice"])
        };
        let mut waiting = server.connect();
        waiting.ask(&["AUTH", "alice", "x"]);
        waiting.ask(&["SET", "key", "value"]);
        waiting.send(&["WAIT", "1", "0"]).expect("to send");
        assert_eq!(blocked("1"), Reply::Integer(1), "{program:?}");
        assert!(ends(&mut waiting), "{program:?}");
        assert_eq!(blocked("0"), Reply::Integer(0), "{program:?}");
    }
}

#[test]
fn protected_mode_goes_by_the_password_of_the_user_default() {
    let Some(address) = other_address() else {
        return println!("skipped: this machine has no address but its loopback");
    };
    for program in programs() {
        let server = Server::start(program, &["--bind", "*", "--protected-mode", "yes"]);
        let connect = || Connection::open(SocketAddr::new(address, server.port())).expect("a connection");
        let refused = |mut connection: Connection| {
            let reply = connection.receive().expect("a reply");
            assert!(matches!(&reply, Reply::Error(text) if text.starts_with(b"DENIED ")), "{program:?}: {reply:?}");
        };
        let mut admin = server.connect();
        refused(connect());
        admin.ask(&["ACL", "SETUSER", "default", ">secret"]);
        assert!(error(&mut connect(), &["PING"]).starts_with("NOAUTH"), "{program:?}");
        admin.ask(&["ACL", "SETUSER", "default", "resetpass"]);
        assert!(error(&mut connect(), &["PING"]).starts_with("NOAUTH"), "{program:?}");
        admin.ask(&["ACL", "SETUSER", "default", "nopass"]);
        refused(connect());
    }
}

/// An address of this machine that is not its loopback. Nothing is sent for it.
pub fn other_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}
