//! The page in a browser: Chromium without a window, while the server works.
//!
//! Always true: nothing on the page is asked of anybody but the server, which its policy says and the browser enforces;
//! whatever goes wrong in its script is printed by the browser, and fails the check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::watched;
use crate::clients::required;
use crate::server::{Server, find_on_path, wait_until};

/// How the browser likes its colours.
#[derive(Clone, Copy)]
enum Scheme {
    Dark,
    Light,
}

struct Browser {
    program: PathBuf,
    home: tempfile::TempDir,
}

/// What a page was after some seconds.
struct Seen {
    text: String,
    picture: Vec<u8>,
}

impl Browser {
    fn new() -> Option<Browser> {
        let program = required("chromium", find_on_path("chromium"))?;
        Some(Browser { program, home: tempfile::tempdir().expect("a directory for the browser") })
    }

    fn run(&self, scheme: Scheme, width: u32, more: &[&str], url: &str) -> (String, String) {
        let profile = self.home.path().join(format!("profile-{}", fastrand::u64(..)));
        let number = match scheme {
            Scheme::Dark => 0,
            Scheme::Light => 1,
        };
        let mut command = Command::new(&self.program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=6000"])
            .arg(format!("--window-size={width},1500"))
            .arg(format!("--blink-settings=preferredColorScheme={number}"))
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(more)
            .arg(url)
            .stdin(Stdio::null());
        let output = command.output().expect("to run the browser");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        (String::from_utf8_lossy(&output.stdout).into_owned(), said)
    }

    fn look(&self, scheme: Scheme, width: u32, url: &str) -> Seen {
        let (text, _) = self.run(scheme, width, &["--dump-dom"], url);
        let file = self.home.path().join("picture.png");
        let (_, said) = self.run(scheme, width, &[&format!("--screenshot={}", file.display())], url);
        let picture = fs::read(&file).unwrap_or_else(|error| panic!("no picture: {error}\n{said}"));
        Seen { text, picture }
    }
}

impl Seen {
    /// The text of the element with this id.
    fn element(&self, id: &str) -> &str {
        let opening = format!("id=\"{id}\"");
        let rest = self.text.split_once(&opening).unwrap_or_else(|| panic!("no {id} in {}", self.text)).1;
        let inside = rest.split_once('>').map_or("", |(_, inside)| inside);
        inside.split('<').next().unwrap_or_default()
    }

    fn count(&self, part: &str) -> usize {
        self.text.matches(part).count()
    }

    fn keep(&self, name: &str) {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(directory.join(name), &self.picture).expect("to keep the picture");
    }
}

const KEYS: usize = 2000;

/// Has a server written, overwritten, read, expired and compacted, for as long as `work` takes.
fn while_busy<R>(server: &Server, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.connect();
            let value = "v".repeat(4000);
            for round in 0.. {
                for number in 0..50 {
                    let key = format!("key:{}", (round * 7 + number * 13) % KEYS);
                    client.ask(&["SET", &key, &value]);
                    client.ask(&["GET", &key]);
                }
                client.ask(&["SET", &format!("short:{round}"), "v", "PX", "50"]);
                client.ask(&["GET", "nosuch"]);
                if done.load(Relaxed) {
                    return;
                }
            }
        });
        // Also when the work fails: nobody waits for a client that never ends.
        let _done = Done(&done);
        work()
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn the_page_draws_what_happens_in_light_and_in_dark_and_on_a_phone() {
    let Some(browser) = Browser::new() else { return };
    let (server, port) = watched(&["--segment-size", "1mb", "--compaction-garbage-min", "1mb", "--maxmemory", "200mb"]);
    let url = format!("http://127.0.0.1:{port}/");
    let mut client = server.connect();
    (0..KEYS).for_each(|number| _ = client.ask(&["SET", &format!("key:{number}"), &"v".repeat(4000)]));
    let seen = while_busy(&server, || {
        // The browser does not wait for seconds to pass: what it draws is what the server has seen.
        wait_until("some seconds of history", Duration::from_secs(30), || {
            let status: serde_json::Value =
                serde_json::from_str(&super::http::get(port, "/status.json")).expect("JSON");
            status["samples"].as_array().expect("samples").len() >= 6
        });
        [(Scheme::Light, 1440, "light"), (Scheme::Dark, 1440, "dark"), (Scheme::Dark, 500, "phone")]
            .map(|(scheme, width, name)| (browser.look(scheme, width, &url), name))
    });
    for (seen, name) in &seen {
        assert!(seen.picture.starts_with(b"\x89PNG") && seen.picture.len() > 20_000, "{} bytes", seen.picture.len());
        seen.keep(&format!("page-{name}.png"));
        assert_eq!(seen.element("state"), "ready");
        // It has asked more than once.
        assert!(seen.count("data-answers=\"1\"") == 0 && seen.count("data-answers=") == 1, "{}", seen.text);
        for id in ["operations", "latency", "hits", "memory", "disk", "keys", "clients", "expiry"] {
            assert_ne!(seen.element(&format!("tile-{id}")), "–", "{id} is empty in {}", seen.text);
        }
        assert!(seen.element("tile-keys").ends_with('k'), "2000 keys, and it says {}", seen.element("tile-keys"));
        // Two lines of the operations, three of the latency, and so on.
        assert!(seen.count("class=\"stroke\"") >= 8, "{}", seen.text);
        let map =
            seen.text.split_once("class=\"map\"").and_then(|(_, rest)| rest.split_once("</svg>")).expect("a map").0;
        let segments = map.matches("class=\"teal\"").count();
        assert!(segments > 5, "{segments} segments of a megabyte for eight of data");
        assert!(seen.text.contains("SET") && seen.text.contains("share of the time"), "{}", seen.text);
    }
    let [light, dark, _] = seen;
    assert_ne!(light.0.picture, dark.0.picture);
}

#[test]
fn a_page_says_that_the_server_is_gone() {
    let Some(browser) = Browser::new() else { return };
    let (server, port) = watched(&[]);
    let page = super::http::get(port, "/");
    drop(server);
    // What a browser has of a server that was there a moment ago.
    let file = browser.home.path().join("page.html");
    fs::write(&file, page).expect("to keep the page");
    let profile = browser.home.path().join("profile");
    let output = Command::new(&browser.program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .expect("to run the browser");
    let seen = Seen { text: String::from_utf8_lossy(&output.stdout).into_owned(), picture: Vec::new() };
    assert_eq!(seen.element("state"), "no answer");
}
