//! Programs in the notation of xshell: `command(root, |sh| cmd!(sh, "git rev-parse --verify {spec}"))`.
//!
//! No shell reads the text: the macro splits it while it compiles, and what stands in braces is one argument (or, as
//! `{words...}`, one for each item), whatever it holds. A value could still be taken for an option where the program reads
//! it, so it follows `--end-of-options` or `--`, or stands behind its own option (`--profile={profile}`).
//!
//! [`command`] makes tokio's command of what the macro gives: one that does not block, is killed when nobody waits for it
//! any more, and can lead a process group (`process.rs`). Of [`Cmd`] it keeps program, arguments, folder, environment,
//! `ignore_stdout` and `ignore_stderr`. Lost are `stdin`, `quiet`, `secret` and `ignore_status`, which only its own `run`,
//! `read` and `output` honor: say on the command where its input comes from, and look at its status.
//!
//! [`Shell`] holds its folder and environment in cells and is not `Sync`, so a reference to one must not live across an
//! await; here none outlives the closure. Synchronous code, tests above all, makes a `Shell` of its own.

use std::path::Path;
use std::process::Stdio;

use causeway_model::fault::Fault;
use causeway_progress::is_cargos_own;
use tokio::process::Command;
pub use xshell::{Cmd, Shell, cmd};

/// A program with its arguments, in a directory, its input closed. It is ended when nobody waits for it any more.
///
/// # Errors
/// Our own folder is gone (kind usage).
pub fn command(dir: &Path, make: impl for<'a> FnOnce(&'a Shell) -> Cmd<'a>) -> anyhow::Result<Command> {
    let sh = Shell::new().map_err(|error| {
        Fault::usage("start a program in", dir.display().to_string())
            .why(error)
            .next("change to a folder that exists, and run it again")
    })?;
    sh.change_dir(dir);
    let mut command = Command::from(std::process::Command::from(make(&sh)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    if command.as_std().get_program() == "cargo" {
        for (name, _) in std::env::vars_os() {
            if is_cargos_own(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{describe, read};

    #[test]
    fn a_cargo_of_ours_does_not_see_what_cargo_set_for_us() {
        // Tests are started by cargo, too, so the variables are there.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let removed = |name: &str| {
            let command = command(Path::new("."), |sh| cmd!(sh, "{name} x")).unwrap();
            command.as_std().get_envs().any(|(key, value)| key == "CARGO_PKG_NAME" && value.is_none())
        };
        assert!(removed("cargo") && !removed("rustc"));
    }

    /// What a shell, an option parser or a splitter at blanks would take for something else.
    const STRANGE: [&str; 9] =
        ["a;b", "$(id)", "`id`", "-x", "--help", "a\nb", "a b", "", "'\"\\ * {x} {x...} | & > /dev/null"];

    #[tokio::test]
    async fn a_value_is_one_argument_whatever_it_holds() {
        for value in STRANGE {
            let print = command(Path::new("."), |sh| cmd!(sh, "printf '%s|' x={value} {value} x")).unwrap();
            assert_eq!(read(print).await.unwrap(), format!("x={value}|{value}|x|"));
        }
        let all = command(Path::new("."), |sh| cmd!(sh, "printf '%s|' {STRANGE...}")).unwrap();
        assert_eq!(read(all).await.unwrap(), STRANGE.map(|value| format!("{value}|")).concat());
    }

    #[tokio::test]
    async fn a_program_runs_in_its_folder_with_its_input_closed() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("-a; $(b)\nc");
        std::fs::create_dir(&place).unwrap();
        let here = command(&place, |sh| cmd!(sh, "pwd")).unwrap();
        assert_eq!(read(here).await.unwrap(), format!("{}\n", place.canonicalize().unwrap().display()));
        // It would wait for whoever started the tests otherwise, or for us.
        let closed = command(&place, |sh| cmd!(sh, "sh -c '[ /dev/stdin -ef /dev/null ]'")).unwrap();
        read(closed).await.unwrap();
    }

    /// Its own runner would have honored `ignore_status` and `stdin`.
    #[tokio::test]
    async fn a_bad_end_stays_one() {
        let make =
            || command(Path::new("."), |sh| cmd!(sh, "sh -c 'cat; exit 3'").ignore_status().stdin("x"));
        assert!(read(make().unwrap()).await.is_err());
        assert_eq!(make().unwrap().output().await.unwrap().stdout, b"");
        assert_eq!(describe(&make().unwrap()), "sh -c cat; exit 3");
    }
}
