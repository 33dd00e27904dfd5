//! `local`: the cloud by itself, for use with the other commands and with any AWS client.

use std::time::Duration;

use serde_json::json;

use causeway_cloud::control::Control;
use causeway_cloud::resident::{self, Keep};
use causeway_cloud::serve;
use causeway_cloud::state::{State, quoted};
use causeway_command::{Context, Outcome};
use causeway_machine::paths::Paths;
use causeway_model::fault::Fault;
use causeway_model::verdict::Verdict;

/// The parts of `local`.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Start the local cloud, or name the one that runs
    Up(Minute),
    /// End the local cloud and everything in it
    Down,
    /// Print the variables with which any AWS client reaches it
    Env,
    /// Play the person who finishes the connection to the repository, or undo that
    Connection {
        /// How connections stand from now on
        #[arg(value_enum)]
        standing: Standing,
    },
    /// The resident process
    #[command(hide = true)]
    Serve(Serve),
}

/// How the local cloud's connections stand.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A person must finish them
    Pending,
    /// They can be used
    Available,
}

/// How fast time passes.
#[derive(clap::Args)]
pub struct Minute {
    /// How long a minute of AWS takes, for instance 1s or 250ms
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub minute: Duration,
}

/// Options of the resident process.
#[derive(clap::Args)]
pub struct Serve {
    #[command(flatten)]
    minute: Minute,
    /// End when stdin is closed without having said `keep`
    #[arg(long)]
    owned: bool,
}

/// Runs a part of `local`.
///
/// # Errors
/// The cloud does not start; `env` without a running cloud.
pub async fn run(context: Context, command: Command) -> anyhow::Result<Outcome> {
    let paths = Paths::of(&context.root);
    match command {
        Command::Up(minute) => {
            let config = context.config()?;
            let say = |text: &str| context.out.note(text);
            let found = resident::up(&config, &paths, &context.root, minute.minute, Keep::Yes, &say).await?;
            let state = found.state();
            context.out.say(format!("the local cloud is up at {}", state.endpoint()));
            context.out.say("eval \"$(cargo xtask local env)\" leads any AWS client there; cargo xtask local down ends it");
            let verdict = if found.is_new { Verdict::Done } else { Verdict::NothingToDo };
            Ok(Outcome::of(verdict).with_data(json!({"endpoint": state.endpoint(), "urls": state.urls})))
        }
        Command::Down => {
            let ended = resident::down(&paths).await?;
            context.out.say(if ended { "the local cloud is down" } else { "there is no local cloud" });
            Ok(Outcome::of(if ended { Verdict::Done } else { Verdict::NothingToDo }))
        }
        Command::Env => {
            let state = running(&paths, "print the environment")?;
            let all = state.environment(&paths);
            if !context.out.is_json() {
                // Nothing but these lines may be on stdout: they are made for `eval`.
                for (name, value) in &all {
                    context.out.raw(&format!("export {name}={}", quoted(value)));
                }
                return Ok(Outcome { quiet: true, ..Outcome::of(Verdict::Done) });
            }
            let env: serde_json::Map<String, serde_json::Value> =
                all.into_iter().map(|(k, v)| (k, v.into())).collect();
            Ok(Outcome::of(Verdict::Done).with_data(json!({"env": env})))
        }
        Command::Connection { standing } => {
            let state = running(&paths, "play the connection")?;
            Control::new(&paths, &state)?.set_connections_pending(standing == Standing::Pending).await?;
            Ok(Outcome::of(Verdict::Done))
        }
        Command::Serve(options) => {
            let config = context.config()?;
            tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
            let options = serve::Options { minute: options.minute.minute, owned: options.owned };
            serve::run(&config, &paths, &options).await?;
            Ok(Outcome { quiet: true, ..Outcome::of(Verdict::Done) })
        }
    }
}

/// The running cloud.
fn running(paths: &Paths, what: &str) -> Result<State, Fault> {
    State::read(paths).ok_or_else(|| {
        Fault::failed(what, "of the local cloud").why("there is none").next("cargo xtask local up")
    })
}

/// `250ms`, `1s`, `2.5s` or `1m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a time is written 250ms, 1s or 1m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "a time is written 250ms, 1s or 1m".to_owned())?;
    let seconds = number * factor;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("a time between 1ms and a day is wanted".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let table = [
            ("250ms", Some(250)),
            ("1s", Some(1_000)),
            ("2.5s", Some(2_500)),
            ("1m", Some(60_000)),
            ("0s", None),
            ("1", None),
            ("s", None),
            ("-1s", None),
            ("99999999m", None),
            ("1h", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), expected, "{text}");
        }
    }
}
