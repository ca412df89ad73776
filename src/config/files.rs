//! The only file of the configuration that touches the file system: it reads whole files, and the arguments of processes,
//! and replaces one file atomically.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::load::GlobMatch;

/// Larger than any configuration, and small enough to read at once: a wrong path to a data file is then a clear error.
const BYTES_MAX: u64 = 16 << 20;

const OWNER_ALONE: u32 = 0o600;

pub(super) fn read(path: &Path) -> io::Result<String> {
    text_of(File::open(path)?)
}

/// As [`read`], of a file that need not be text.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

pub(super) fn read_standard_input() -> io::Result<String> {
    text_of(io::stdin().lock())
}

/// The arguments of the running server `pid`, or of the one it started: process 1 of a container may be an init or a shell.
pub(super) fn server_arguments(pid: u32) -> Option<Vec<String>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(line.strip_suffix(b"\0")?);
    let mut words = line.split('\0').map(str::to_owned);
    let program = PathBuf::from(words.next()?);
    if program.file_name().is_some_and(|name| name == "caskade" || name == "redis-server") {
        return Some(words.collect());
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).find_map(server_arguments)
}

fn text_of(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(too_large());
    }
    Ok(text)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration file")
}

/// The files a pattern names, sorted; each component of the path may hold `*`, `?` and `[...]`.
pub(super) fn expand(pattern: &Path, glob: GlobMatch) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        found = found.into_iter().flat_map(|path| step(path, &name, glob)).collect();
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// Whether an `include` names several files.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn step(path: PathBuf, name: &str, glob: GlobMatch) -> Vec<PathBuf> {
    if !is_pattern(name) {
        return vec![path.join(name)];
    }
    let directory = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let visible = |entry: &str| !entry.starts_with('.') || name.starts_with('.');
    names
        .filter(|entry| {
            entry.to_str().is_some_and(|text| visible(text) && glob(name.as_bytes(), text.as_bytes(), false))
        })
        .map(|entry| path.join(entry))
        .collect()
}

/// Replaces a file as a whole: whoever reads it, even after a power cut, finds the old text or the new one.
/// The permissions stay; a symbolic link is followed, so that it goes on pointing at the file. A file that is not there is
/// made, for its owner alone.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path)?,
        path => path?,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = path.clone().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_synced(&temporary, &path, text).and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // The first error is the one to report; a leftover temporary file does no harm.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write_synced(temporary: &Path, original: &Path, text: &[u8]) -> io::Result<()> {
    let permissions = match fs::metadata(original) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Permissions::from_mode(OWNER_ALONE),
        metadata => metadata?.permissions(),
    };
    // It may hold passwords: nobody reads it before it has its permissions.
    let mut file = File::options().write(true).create(true).truncate(true).mode(OWNER_ALONE).open(temporary)?;
    file.set_permissions(permissions)?;
    file.write_all(text)?;
    file.sync_all()
}
