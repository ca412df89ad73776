//! Files with a file system in them: copied at one moment, mounted, looked into.
//!
//! Always true: a copy shares its blocks with the original and is taken at one point between two writes, which is what
//! the kernel says of FICLONE; what is mounted is unmounted when its owner goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::server::wait_until;

/// A file with a file system in it.
pub struct Image {
    file: PathBuf,
}

/// An image that is mounted beside its file.
pub struct Mounted {
    directory: PathBuf,
}

impl Image {
    pub fn new(file: &Path) -> Image {
        Image { file: file.to_owned() }
    }

    /// A copy as of now.
    pub fn copy(&self) -> Image {
        let number = fastrand::u64(..);
        let file = self.file.with_file_name(format!("image-{number:016x}"));
        run("cp", &["--reflink=always".as_ref(), self.file.as_ref(), file.as_ref()]);
        Image { file }
    }

    /// Mounts it; the file system replays its journal first.
    pub fn mount(&self) -> Mounted {
        let directory = self.file.with_extension("mounted");
        std::fs::create_dir_all(&directory).expect("a directory to mount at");
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.file.as_ref(), directory.as_ref()]);
        Mounted { directory }
    }

    pub fn remove(self) {
        std::fs::remove_file(&self.file).expect("to remove an image");
    }
}

impl Mounted {
    /// Where the server has its data.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The names of the files there.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data()).expect("a data directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = || Command::new("umount").arg(&self.directory).status().is_ok_and(|status| status.success());
        if std::thread::panicking() {
            // Whatever is still open, tests/power.sh closes.
            unmounted();
        } else {
            // The kernel may still be letting go of what a killed process had open.
            wait_until("the image to be unmounted", Duration::from_secs(20), unmounted);
            std::fs::remove_dir(&self.directory).expect("to remove the directory it was mounted at");
        }
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
