//! A control group whose processes may have so much memory, of either version.

use std::fs;
use std::path::{Path, PathBuf};

use crate::server::flag;

const ROOT: &str = "/sys/fs/cgroup";

pub struct Group {
    path: PathBuf,
    /// The file that counts processes that were killed for want of memory.
    kills: &'static str,
}

impl Group {
    /// Makes one, unless the machine does not allow it: then it says so.
    pub fn new(name: &str, bytes: u64) -> Option<Group> {
        let made = Self::make(name, bytes);
        if let Err(reason) = &made {
            assert!(!flag("CASKADE_REQUIRE_GROUPS"), "a control group is required: {reason}");
            println!("skipped: no control group can be made here: {reason}");
        }
        made.ok()
    }

    fn make(name: &str, bytes: u64) -> Result<Group, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let of = |controllers: &str| own.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controllers));
        let name = format!("caskade-test-{name}-{}", std::process::id());
        let first = of("memory:").map(|path| (Path::new(ROOT).join("memory"), path, "memory.limit_in_bytes"));
        let second = of(":").map(|path| (PathBuf::from(ROOT), path, "memory.max"));
        let (root, own, limit) = first.or(second).ok_or("the kernel has none for memory")?;
        let path = root.join(own.trim_start_matches('/')).join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let kills = if limit == "memory.max" { "memory.events" } else { "memory.oom_control" };
        let group = Group { path, kills };
        fs::write(group.path.join(limit), bytes.to_string())
            .map_err(|error| format!("{}: {limit}: {error}", group.path.display()))?;
        Ok(group)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many processes were killed.
    pub fn kills(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.kills)).expect("the group's events");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {text}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can go once its processes have, which their owners see to.
        let _ = fs::remove_dir(&self.path);
    }
}
