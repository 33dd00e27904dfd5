//! What `cargo xtask` starts.
//!
//! The tool is hundreds of crates, and compiling them takes minutes. So what needs none of them is answered here: help,
//! mistakes in the command line, the version, completions. For everything else the tool is found ([`place`]) or built by
//! cargo, with progress ([`build`]), and this process becomes it: arguments as they were typed, signals and exit code are
//! the tool's own.

mod build;
mod completions;
mod interrupt;
mod part;
mod place;
mod said;
mod welcome;

pub use part::{PARTS, Part};

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use causeway_args::{Cli, Format, Unread};
use causeway_digest as digest;
use causeway_progress::is_cargos_own;

use build::Built;
use place::Place;
use said::{Fault, Kind, Outcome, Stopwatch};

/// Answers, or becomes the tool.
#[must_use]
pub fn main() -> ExitCode {
    let watch = Stopwatch::start();
    let words: Vec<OsString> = std::env::args_os().collect();
    match causeway_args::read(words.iter().cloned()) {
        Err(unread) => answer(&unread),
        Ok(cli) => {
            let typed = words.get(1..).unwrap_or_default();
            let outcome = run(&cli, typed);
            let json = cli.common.output == Format::Json;
            said::end(cli.command.name(), json, watch.seconds(), &outcome)
        }
    }
}

/// Help, the version, or what is wrong with the command line.
fn answer(unread: &Unread) -> ExitCode {
    if unread.is_empty() {
        let _ = writeln!(std::io::stdout(), "{}", welcome::text(place::root().as_deref()));
        return ExitCode::SUCCESS;
    }
    let _ = unread.error.print();
    if !unread.is_mistake() {
        return ExitCode::SUCCESS;
    }
    if unread.json {
        let fault = Fault::fact(Kind::Usage, "the command line is not understood", &unread.typed)
            .why(unread.why())
            .next("see cargo xtask --help");
        return said::end(&unread.command, true, 0.0, &Outcome::Failed(fault));
    }
    ExitCode::from(Kind::Usage.code())
}

/// Comes back only where there is something to say: a successful run is another program by then.
fn run(cli: &Cli, typed: &[OsString]) -> Outcome {
    if let causeway_args::Command::Completions(args) = &cli.command {
        return completions::print(args.shell, cli.common.output == Format::Json);
    }
    let part = Part::of(&cli.command);
    Outcome::Failed(match tool(cli, part) {
        Ok(tool) => become_it(&tool, typed),
        Err(fault) => fault,
    })
}

/// A program to become.
struct Tool {
    path: std::path::PathBuf,
    /// What it is told of the sources it was built from, where they are known.
    built: Option<String>,
}

/// Finds the tool, or has it built.
fn tool(cli: &Cli, part: Part) -> Result<Tool, Fault> {
    let own = std::env::current_exe()
        .map_err(|error| Fault::new(Kind::Failed, "find our own program", "").why(error))?;
    let place = Place::of(&own);
    if let Some(beside) = place.beside(part) {
        place::make_executable(&beside);
        return Ok(Tool { path: beside, built: None });
    }
    let root = place::root().ok_or_else(|| {
        Fault::new(Kind::Usage, "find the project", &place::here())
            .why(format!(
                "neither this folder nor one above it is a checkout, and no {} lies beside {}",
                part.bin,
                own.display()
            ))
            .next("run it inside of the checkout")
    })?;
    if let Some(tool) = the_one_that_runs(&root, part) {
        return Ok(tool);
    }
    let Built { path, digest } = build::build(&root, &place, part, &cli.common)?;
    let built = digest.and_then(|of| digest::built(&of, &path).ok());
    Ok(Tool { path, built })
}

/// In a rehearsal's checkout: the tool that runs the rehearsal, where the sources here are those it was built from.
fn the_one_that_runs(root: &Path, part: Part) -> Option<Tool> {
    let path = Path::new(&std::env::var_os(digest::TOOL)?).to_owned();
    let of = std::env::var(digest::TOOL_DIGEST).ok()?;
    if path.file_name() != Some(OsStr::new(part.bin)) || !path.is_file() {
        return None;
    }
    if of == digest::ANY {
        note(&format!("the tool that runs builds this commit, too: {}", path.display()));
        return Some(Tool { path, built: None });
    }
    // Where the sources cannot be read, cargo says why.
    if digest::sources(root).ok()? != of {
        note("the sources of the tool are not those of the tool that runs: it is built from them");
        return None;
    }
    note(&format!("the tool is not built a second time: {} was built from the same sources", path.display()));
    let built = digest::built(&of, &path).ok();
    Some(Tool { path, built })
}

/// Ends this program by starting another in its place.
fn become_it(tool: &Tool, typed: &[OsString]) -> Fault {
    let mut command = program(tool.path.as_os_str());
    command.args(typed);
    for name in [digest::TOOL, digest::TOOL_DIGEST, digest::BUILT] {
        command.env_remove(name);
    }
    if let Some(built) = &tool.built {
        command.env(digest::BUILT, built);
    }
    if let Ok(own) = std::env::current_exe() {
        command.env(digest::ENTRY, own);
    }
    let error = command.exec();
    Fault::new(Kind::Failed, "start the tool", &tool.path.display().to_string())
        .why(error)
        .next("see that the file may be run and is made for this machine")
}

/// A program that sees nothing of what `cargo run` set for us ([`is_cargos_own`]).
fn program(name: &OsStr) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the entry waits for cargo, and becomes the tool: nothing is left behind"
    )]
    let mut command = Command::new(name);
    for (name, _) in std::env::vars_os() {
        if is_cargos_own(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// A sentence on stderr. One that cannot be written is let go.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_set_for_us_is_not_passed_on() {
        // Tests are started by cargo, too, so the variables are there.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let command = program(OsStr::new("x"));
        assert!(command.get_envs().any(|(name, value)| name == "CARGO_PKG_NAME" && value.is_none()));
    }
}
