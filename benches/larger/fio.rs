//! What fio reads from the same files, and what the kernel has of them in memory.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

/// Bytes that fio reads at once: a page, which is what reading a record of 1 KB costs the disk.
const BLOCK_BYTES: usize = 4096;

/// The segments of a directory that are not preallocated: of those, what was never written would be read without the disk.
pub fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).expect("the directory").flatten().map(|file| file.path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|is| is == "log")).collect();
    segments.sort();
    segments.pop();
    segments
}

/// Has the kernel forget what it has of these files.
pub fn forget(files: &[PathBuf]) {
    for path in files {
        // Compaction may have taken one away meanwhile.
        let Ok(file) = File::open(path) else { continue };
        // What is not yet on the disk would stay.
        file.sync_data().expect("to sync");
        fadvise(&file, 0, None, Advice::DontNeed).expect("to forget");
    }
}

/// Has the kernel read all of them.
pub fn remember(files: &[PathBuf]) {
    for path in files {
        let Ok(mut file) = File::open(path) else { continue };
        std::io::copy(&mut file, &mut std::io::sink()).expect("to read");
    }
}

/// Bytes of these files.
pub fn bytes(files: &[PathBuf]) -> u64 {
    files.iter().map(|path| path.metadata().map_or(0, |metadata| metadata.size())).sum()
}

/// Whether fio is installed.
pub fn is_there() -> bool {
    Command::new("fio").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Reads at random, so many at the same time, each on a thread of its own; how many each second.
pub fn run(files: &[PathBuf], in_flight: usize, time: Duration, seed: u64) -> f64 {
    let names: Vec<&str> = files.iter().map(|path| path.to_str().expect("a name in UTF-8")).collect();
    let output = Command::new("fio")
        .args(["--name=larger", "--readonly", "--rw=randread", "--ioengine=psync", "--thread", "--norandommap"])
        .args(["--file_service_type=random", "--invalidate=0", "--group_reporting", "--time_based", "--minimal"])
        .arg(format!("--bs={BLOCK_BYTES}"))
        .arg(format!("--filename={}", names.join(":")))
        .arg(format!("--numjobs={in_flight}"))
        .arg(format!("--randseed={seed}"))
        .arg(format!("--runtime={}ms", time.as_millis()))
        .output()
        .expect("to run fio");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The eighth field of its terse form are the reads each second.
    let rate = text.lines().find_map(|line| line.split(';').nth(7)?.parse().ok());
    rate.unwrap_or_else(|| panic!("fio: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
