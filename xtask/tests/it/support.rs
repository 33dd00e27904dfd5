//! An entry that was put somewhere, in an environment of its own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use causeway_entry::{PARTS, Part};
use tempfile::TempDir;

/// The program of most commands, `rehearse` and `bootstrap` among them.
pub(crate) const RELEASE: Part = PARTS[0];

/// A program, with nothing of this process's environment.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a test waits for what it starts")]
    let mut command = Command::new(path);
    command.env_clear();
    command
}

/// A folder of the test's own, on the disk of the entry, so that the entry can be put there.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Puts the entry there. By another name of the same file: a copy that was open for writing when another test forked
    /// could not be run.
    pub(crate) fn entry(&self, dir: &str) -> PathBuf {
        let path = self.path(dir).join("xtask");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::hard_link(env!("CARGO_BIN_EXE_xtask"), &path).unwrap();
        path
    }

    /// Puts a script there, written by another process for the same reason.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut write = program("/bin/sh");
        write
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text])
            .arg(&path);
        write.env("PATH", path_variable());
        assert!(write.status().unwrap().success());
        path
    }

    /// A checkout with a tool of this source, and the entry where cargo would have put it.
    pub(crate) fn checkout(&self, dir: &str, source: &str) -> PathBuf {
        let at = |name: &str| format!("{dir}/{name}");
        self.write(&at("Cargo.toml"), "[workspace]\nmembers = [\"xtask\"]\nresolver = \"3\"\n");
        let manifest = format!(
            "[package]\nname = \"{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[[bin]]\nname = \"{}\"\npath = \"src/main.rs\"\n",
            RELEASE.package, RELEASE.bin
        );
        self.write(&at("xtask/Cargo.toml"), &manifest);
        self.write(&at("xtask/src/main.rs"), source);
        let lock =
            format!("version = 4\n\n[[package]]\nname = \"{}\"\nversion = \"0.1.0\"\n", RELEASE.package);
        self.write(&at("Cargo.lock"), &lock);
        self.write(&at("target/CACHEDIR.TAG"), "");
        self.write(&at("target/debug/.cargo-lock"), "");
        self.entry(&at("target/debug"))
    }
}

/// The caller's PATH, for what needs cargo, compilers and the usual programs.
pub(crate) fn path_variable() -> String {
    std::env::var("PATH").unwrap()
}

/// An entry in a checkout, with a cargo.
pub(crate) fn with_cargo(entry: &Path, root: &Path) -> Command {
    let mut command = program(entry);
    command.current_dir(root).env("PATH", path_variable()).env("CARGO", env!("CARGO"));
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// How a run ended: its exit code, and what it wrote.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The last line of stdout.
    pub(crate) fn result(&self) -> serde_json::Value {
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }
}

/// Bytes that are no UTF-8 as an argument.
pub(crate) fn raw(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
