//! What `doctor` looks at on this machine: programs, disk, the local cloud, and what the configuration leaves out.

use std::path::Path;

use super::Doctor;
use causeway_cloud::state::State;
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::install;
use causeway_machine::paths::Paths;
use causeway_machine::shell::read;
use causeway_model::config::Config;
use causeway_model::fault::{Fault, from_error};
use causeway_model::health::Complaint;
use causeway_model::line::Line;

/// What a cold build and a rehearsal take, in bytes.
const DISK: u64 = 8 * 1024 * 1024 * 1024;

impl Doctor<'_> {
    /// This machine: programs, disk, the local cloud.
    pub(super) async fn machine(&mut self) {
        let root = self.context.root.clone();
        let wanted = rust_version(&root);
        let watch = Stopwatch::start();
        let rust = version(&root, "rustc", &["--version"], "install Rust: https://rustup.rs")
            .await
            .and_then(|found| at_least(&found, &wanted));
        self.note("rust", watch, rust);
        for (name, tool, words, next) in [
            ("cargo", "cargo", &["--version"][..], "install Rust: https://rustup.rs"),
            (
                "c-compiler",
                "cc",
                &["--version"],
                "install a C compiler (Debian: apt install gcc; macOS: xcode-select --install)",
            ),
            (
                "rustfmt",
                "cargo",
                &["fmt", "--version"],
                "cargo xtask check needs it: rustup component add rustfmt",
            ),
            (
                "clippy",
                "cargo",
                &["clippy", "--version"],
                "cargo xtask check needs it: rustup component add clippy",
            ),
        ] {
            let watch = Stopwatch::start();
            let found = version(&root, tool, words, next).await;
            self.note(name, watch, found);
        }
        let watch = Stopwatch::start();
        let git = version(&root, "git", &["--version"], "install git").await.unwrap_or_else(|fault| {
            let message =
                "git is not found: the working tree is released as it is, without the name of a commit";
            self.context.out.line(&Line::Warning { message: message.to_owned() });
            format!("{}; {}", fault.why, fault.next)
        });
        self.note("git", watch, Ok(git));
        let watch = Stopwatch::start();
        let found = version(&root, "aws", &["--version"], "").await;
        let complaints = aws_cli(found.as_deref().ok()).into_iter().collect();
        self.judge("aws-cli", watch, found.as_deref().unwrap_or_default(), complaints);
        let watch = Stopwatch::start();
        let python = install::python_found().await.map_err(|error| from_error(&error));
        self.note("python", watch, python);
        let watch = Stopwatch::start();
        let disk = disk(&root);
        self.note("disk", watch, disk);
        let paths = Paths::of(&root);
        let cloud = State::read(&paths)
            .map_or_else(|| "none is up".to_owned(), |state| format!("up at {}", state.endpoint()));
        self.note("local-cloud", Stopwatch::start(), Ok(cloud));
    }
}

/// What is wrong with the AWS CLI, by what it says of itself. Only people who sign in need it, so it fails nothing.
fn aws_cli(found: Option<&str>) -> Option<Complaint> {
    let complain = |why: &str| {
        let next = "install version 2: \"Installing or updating to the latest version of the AWS CLI\" in its user guide (pip install awscli is version 1)";
        Some(Complaint::warning("sign in", "the AWS CLI", why, next))
    };
    match found {
        None => complain("there is none, and `aws sso login` begins a session; releases do without it"),
        Some(found) if found.starts_with("aws-cli/1.") => {
            complain(&format!("{} has no `aws sso login`", found.split(' ').next().unwrap_or(found)))
        }
        Some(_) => None,
    }
}

/// What is wrong with who is told of approvals and failures.
pub(crate) fn unheard(config: &Config) -> Option<Complaint> {
    config.notification_emails.is_empty().then(|| {
        Complaint::warning(
            "tell anybody",
            "notification_emails of cfn/stacks.toml",
            "it is empty, so nobody hears that a release waits for approval, or that one failed",
            "name addresses there, then cargo xtask bootstrap",
        )
    })
}

/// The `rust-version` of the workspace.
fn rust_version(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let row = text.lines().find_map(|row| row.strip_prefix("rust-version = "));
    row.map(|version| version.trim_matches('"').to_owned()).unwrap_or_default()
}

/// The first line that a program prints about its version.
async fn version(root: &Path, tool: &str, words: &[&str], next: &str) -> Result<String, Fault> {
    let said = async { read(command(root, |sh| cmd!(sh, "{tool} {words...}"))?).await };
    let text = said.await.map_err(|error| {
        let fault = from_error(&error);
        let part = words.split_last().map(|(_, words)| words.join(" ")).unwrap_or_default();
        Fault::usage("find the program", format!("{tool} {part}").trim()).why(fault.why).next(next)
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// `rustc 1.95.0 (…)` against `1.95.0`.
fn at_least(found: &str, wanted: &str) -> Result<String, Fault> {
    let numbers = |text: &str| -> Vec<u32> {
        text.split('.').filter_map(|part| part.split('-').next()?.parse().ok()).collect()
    };
    let own = found.split_whitespace().nth(1).map(numbers).unwrap_or_default();
    if own >= numbers(wanted) {
        return Ok(found.to_owned());
    }
    Err(Fault::usage("use the compiler", found)
        .why(format!("{wanted} or later is wanted"))
        .next("rustup update stable"))
}

/// The free space where builds go.
fn disk(root: &Path) -> Result<String, Fault> {
    let found = rustix::fs::statvfs(root)
        .map_err(|error| Fault::failed("look at the disk", root.display().to_string()).why(error))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let gigabytes = free as f64 / 1e9;
    if free >= DISK {
        return Ok(format!("{gigabytes:.0} GB free"));
    }
    Err(Fault::failed("find enough disk", root.display().to_string())
        .why(format!("{gigabytes:.1} GB are free, a cold build takes up to {:.0}", DISK as f64 / 1e9))
        .next("free some, for instance with cargo clean"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::Kind;
    use causeway_model::health::Severity;

    #[test]
    fn version_2_of_the_aws_cli_is_wanted() {
        assert!(aws_cli(Some("aws-cli/2.32.1 Python/3.13 Linux/6.1")).is_none());
        for (found, why) in
            [(None, "there is none"), (Some("aws-cli/1.45.3 Python/3.11"), "aws-cli/1.45.3 has no")]
        {
            let complaint = aws_cli(found).unwrap();
            assert_eq!(complaint.severity, Severity::Warning);
            assert!(
                complaint.fault.why.contains(why) && complaint.fault.next.contains("version 2"),
                "{}",
                complaint.fault
            );
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(at_least("rustc 1.95.0 (abc 2026-04-14)", "1.95.0").is_ok());
        assert!(at_least("rustc 1.100.0-nightly (abc)", "1.95.0").is_ok());
        let old = at_least("rustc 1.94.1 (abc)", "1.95.0").unwrap_err();
        assert_eq!(old.kind, Kind::Usage);
        assert!(at_least("nonsense", "1.95.0").is_err());
    }
}
