//! The machine a bench runs on, in words for whoever reads the results.

use std::path::Path;
use std::process::Command;

/// Date, processor, kernel and servers as lines of a list.
pub fn describe(servers: &[(&str, &Path)]) -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([':', ' ', '\t']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text =
        format!("- {} UTC, {cores} cores ({model}), Linux {}\n", output("date", &["-u", "+%F %H:%M"]), kernel.trim());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    text.push_str(&format!("- load average at the end: {load}, of which the bench itself makes 2\n"));
    for (name, program) in servers {
        text.push_str(&format!("- {name}: {}\n", version(program)));
    }
    text
}

fn version(program: &Path) -> String {
    let line = output(program, &["--version"]);
    line.lines().next().unwrap_or("of unknown version").to_owned()
}

fn output(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |error| format!("unknown ({error})"),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}
