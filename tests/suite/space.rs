//! The space that data takes on the disk.

use crate::server::{Program, Server, wait_until};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const VALUES: usize = 60;
const VALUE_BYTES: usize = 2 << 20;
/// What a server takes that has next to nothing: the segment in use, the one that is ready, and what no file had alone.
const LEFT_BYTES_MAX: u64 = 64 << 20;

/// Bytes that the files of a directory take.
fn used_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("the directory");
    // A file may go between the look at the directory and that at itself.
    files.flatten().filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
}

/// With everything as it is by default, nobody asks for anything.
#[test]
fn deleted_big_data_frees_its_disk_within_a_minute() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    let value = "v".repeat(VALUE_BYTES);
    let key = |number: usize| format!("key:{number}");
    (0..VALUES).for_each(|number| _ = client.ask(&["SET", &key(number), &value]));
    client.ask(&["SET", "small", "stays"]);
    let before = used_bytes(&server.data());
    assert!(before > (VALUES * VALUE_BYTES) as u64, "{before} bytes");
    (0..VALUES).for_each(|number| _ = client.ask(&["DEL", &key(number)]));
    wait_until("the disk to be freed", Duration::from_secs(60), || used_bytes(&server.data()) < LEFT_BYTES_MAX);
    assert_eq!(client.ask(&["GET", "small"]).bytes(), Some(&b"stays"[..]));
}
