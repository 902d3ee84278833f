//! File systems of a test's own, which can lose power.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::stderr;

/// Whether this test may mount; says why not. In CI it has to.
pub(crate) fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    let why = "a power cut needs a file system that can be cut off, and that needs root";
    assert!(root || std::env::var_os("CI").is_none(), "{why}");
    if !root {
        println!("not run: {why}");
    }
    root
}

/// Runs a command that has to succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
}

/// An ext4 file system in a file. It is let go of at the end, however a test ends.
pub(crate) struct Disk {
    image: PathBuf,
    /// Where it is mounted.
    pub(crate) path: PathBuf,
}

impl Disk {
    /// Makes one of so many bytes, mounted at `NAME` in this folder.
    pub(crate) fn new(folder: &Path, name: &str, bytes: u64) -> Disk {
        let (image, path) = (folder.join(format!("{name}.img")), folder.join(name));
        std::fs::create_dir(&path).unwrap();
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let disk = Disk { image, path };
        disk.mount();
        disk
    }

    /// Mounts what has reached the disk, as a machine that starts again does. It does so on
    /// a copy: somebody else's mount name space may still hold what was cut off.
    pub(crate) fn start_again(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.path));
        let copy = self.image.with_extension("copy");
        run(Command::new("cp").arg("--sparse=always").args([&self.image, &copy]));
        std::fs::rename(copy, &self.image).unwrap();
        self.mount();
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.path]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: after a panic a server may still hold it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}

/// Cuts file systems off without writing their logs: what was not flushed is lost.
pub(crate) fn cut_off(disks: &[&Path]) {
    let script = "import fcntl, os, struct, sys\n\
         for disk in sys.argv[1:]:\n \
         fcntl.ioctl(os.open(disk, os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    run(Command::new("python3").args(["-c", script]).args(disks));
}
