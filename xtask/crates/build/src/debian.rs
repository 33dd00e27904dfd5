//! Debian's compiler, its standard library for arm64, and qemu, unpacked privately: nothing is installed.
//!
//! apt keeps its lists and its cache in a folder of ours, and `dpkg -x` only unpacks. For machines that reach a package
//! mirror and nothing else; where rustup can add a target, that is used and this is not.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::debian_model::dependency;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::read;
use causeway_model::fault::Fault;

/// What is wanted of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `rustc` with the standard libraries of this machine and of arm64.
    Compiler,
    /// `qemu-aarch64-static` and the arm64 libraries that a function asks for.
    Emulator,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Compiler => "compiler",
            Part::Emulator => "emulator",
        }
    }
}

/// Whether this is a Debian machine whose packages we can use.
pub async fn is_here(root: &Path) -> bool {
    let said = async {
        read(command(root, |sh| cmd!(sh, "apt-get --version"))?).await?;
        read(command(root, |sh| cmd!(sh, "dpkg --print-architecture"))?).await
    };
    said.await.is_ok_and(|said| said.trim() == "amd64") && sources().is_some()
}

/// Debian's own list of sources.
fn sources() -> Option<&'static str> {
    ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"]
        .into_iter()
        .find(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0))
}

/// The folder with a part's files, unpacked once. Two runs at once wait for each other.
///
/// `say` hears what is being done, since it takes its time.
///
/// # Errors
/// The mirror cannot be reached, has no such packages, or there is no space. What was half done is begun anew.
pub async fn unpacked(home: &Path, part: Part, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(home).with_context(|| format!("create {}", home.display()))?;
    let _lock = causeway_machine::files::lock(&home.join("lock"), say).await?;
    let done = home.join(part.name());
    if done.is_dir() {
        return Ok(done);
    }
    say(match part {
        Part::Compiler => {
            "unpacking Debian's compiler and its arm64 library below target/ (once, about 30 s, 130 MB)"
        }
        Part::Emulator => "unpacking Debian's qemu below target/ (once, about 15 s, 60 MB)",
    });
    let apt = Apt::prepare(home)?;
    apt.run("apt-get", &["--quiet=2", "update"]).await?;
    let packages = match part {
        Part::Compiler => {
            let library = apt.dependency("libstd-rust-web-dev", "libstd-rust-web-").await?;
            let llvm = apt.dependency(&library, "libllvm").await?;
            vec![
                "rustc-web:amd64".to_owned(),
                "libstd-rust-web-dev:amd64".to_owned(),
                "libstd-rust-web-dev:arm64".to_owned(),
                format!("{library}:amd64"),
                format!("{llvm}:amd64"),
            ]
        }
        Part::Emulator => ["qemu-user-static:amd64", "libc6-arm64-cross", "libgcc-s1-arm64-cross"]
            .map(ToOwned::to_owned)
            .into(),
    };
    let debs = home.join(format!("{}.debs", part.name()));
    std::fs::create_dir_all(&debs).with_context(|| format!("create {}", debs.display()))?;
    let mut words = vec!["--quiet=2", "download"];
    words.extend(packages.iter().map(String::as_str));
    apt.run_in("apt-get", &words, &debs).await?;
    let half = home.join(format!("{}.half", part.name()));
    let _ = std::fs::remove_dir_all(&half);
    let entries = std::fs::read_dir(&debs).with_context(|| format!("read {}", debs.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "deb")) {
        let package = entry.path();
        read(command(home, |sh| cmd!(sh, "dpkg -x {package} {half}"))?).await?;
    }
    std::fs::rename(&half, &done).with_context(|| format!("move {} to its place", half.display()))?;
    let _ = std::fs::remove_dir_all(&debs);
    Ok(done)
}

/// apt with lists and cache of its own.
struct Apt {
    config: PathBuf,
    home: PathBuf,
}

impl Apt {
    fn prepare(home: &Path) -> anyhow::Result<Self> {
        let sources = sources().context("this machine has no list of Debian's sources")?;
        let place = home.display();
        for dir in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(home.join(dir)).with_context(|| format!("create {dir} in {place}"))?;
        }
        let config = home.join("apt.conf");
        let text = format!(
            "Dir::State \"{place}/state\";\nDir::State::status \"/var/lib/dpkg/status\";\nDir::Cache \"{place}/cache\";\nDir::Etc::sourcelist \"{sources}\";\nDir::Etc::sourceparts \"-\";\nAPT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; \"arm64\"; }};\nAPT::Sandbox::User \"root\";\n"
        );
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        Ok(Self { config, home: home.to_path_buf() })
    }

    async fn run(&self, name: &str, words: &[&str]) -> anyhow::Result<String> {
        self.run_in(name, words, &self.home).await
    }

    async fn run_in(&self, name: &str, words: &[&str], dir: &Path) -> anyhow::Result<String> {
        let mut command = command(dir, |sh| cmd!(sh, "{name} {words...}"))?;
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        let text = tokio::time::timeout(std::time::Duration::from_secs(900), read(command)).await;
        text.map_err(|_| anyhow::anyhow!("{name} did not end within 15 minutes"))?.map_err(|error| {
            Fault::usage("fetch Debian's packages", words.join(" "))
                .why(causeway_model::fault::from_error(&error).why)
                .next("the mirror of /etc/apt must be reachable; or add the target: rustup target add aarch64-unknown-linux-gnu")
                .into()
        })
    }

    /// The package that another one depends on and whose name begins so: it carries a version.
    async fn dependency(&self, package: &str, prefix: &str) -> anyhow::Result<String> {
        let text = self.run("apt-cache", &["depends", package]).await?;
        dependency(&text, prefix).with_context(|| format!("{package} depends on no {prefix}…"))
    }
}
