//! What a container lets its processes have.
//!
//! Always true: only a limit that is lower than the machine's memory counts; of several that apply, the lowest does.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// Reads a file of the kernel; nothing where there is none.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The memory that this process and its neighbours in the container may have, in bytes; nothing where that is not limited.
pub(super) fn memory_limit() -> Option<u64> {
    limit_as(&|path| fs::read_to_string(path).ok())
}

fn limit_as(read: Read<'_>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let limits =
        groups.lines().flat_map(|line| files(line).into_iter().filter_map(|file| read(&file)?.trim().parse().ok()));
    limits.min().filter(|limit| machine(read).is_none_or(|machine| *limit < machine))
}

/// The files that may limit the memory of a group, which is one line of the kernel's list: its own and those of the groups
/// that it is in. What a container sees as the root is its own group, under whatever name.
fn files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, name) = match controllers {
        "" => (PathBuf::from(GROUPS), "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            (Path::new(GROUPS).join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group = root.join(group.trim_start_matches('/'));
    group.ancestors().take_while(|place| place.starts_with(&root)).map(|place| place.join(name)).collect()
}

/// The memory of the machine, in bytes.
fn machine(read: Read<'_>) -> Option<u64> {
    let facts = read(Path::new("/proc/meminfo"))?;
    let line = facts.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let machine = ("/proc/meminfo", "MemTotal:       24000 kB\nMemFree: 1 kB\n");
        limit_as(&|path| {
            let mut known = files.iter().chain([&machine]);
            known.find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_lowest_limit_of_the_groups_of_this_process_counts() {
        let version_2 = ("/proc/self/cgroup", "0::/\n");
        let version_1 = ("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n");
        let nested = ("/proc/self/cgroup", "0::/system.slice/caskade.service\n");
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[version_2]), None);
        assert_eq!(limit(&[version_2, ("/sys/fs/cgroup/memory.max", "1048576\n")]), Some(1 << 20));
        assert_eq!(limit(&[version_2, ("/sys/fs/cgroup/memory.max", "max\n")]), None);
        // A container whose own group is what it sees as the root, under a name that it does not see.
        let of_container = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n");
        assert_eq!(limit(&[version_1, of_container]), Some(2 << 20));
        let own = ("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1000\n");
        assert_eq!(limit(&[version_1, of_container, own]), Some(1000));
        let unlimited = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[version_1, unlimited]), None);
        let slice = ("/sys/fs/cgroup/system.slice/memory.max", "5000\n");
        let service = ("/sys/fs/cgroup/system.slice/caskade.service/memory.max", "max\n");
        assert_eq!(limit(&[nested, slice, service]), Some(5000));
        // No more than the machine has is no limit.
        let machine = |bytes: &'static str| limit(&[version_2, ("/sys/fs/cgroup/memory.max", bytes)]);
        assert_eq!((machine("24576000"), machine("24575999")), (None, Some(24_575_999)));
    }
}
