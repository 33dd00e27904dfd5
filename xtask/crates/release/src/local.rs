//! `local`: the cloud by itself, for use with the other commands and with any AWS client.

use causeway_args::local::{Command, Standing};
use serde_json::json;

use causeway_cloud::control::Control;
use causeway_cloud::resident::{self, Keep};
use causeway_cloud::serve;
use causeway_cloud::state::State;
use causeway_command::{Context, Outcome};
use causeway_machine::paths::Paths;
use causeway_model::fault::Fault;
use causeway_model::quoted::quoted;
use causeway_model::verdict::Verdict;

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
            // The cloud ends by itself: whoever follows an execution of it is told before.
            let taken = context.take_interrupts();
            serve::run(&config, &paths, &options).await?;
            drop(taken);
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
