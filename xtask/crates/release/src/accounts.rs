//! Which profiles a person works with.

use std::io::ErrorKind;

use causeway_aws::{OpenOptions, Say};
use causeway_command::Context;
use causeway_model::config;
use causeway_model::fault::Fault;
use causeway_model::line::Line;

/// Reads `cfn/stacks.local.toml`, where there is one, and the options about profiles.
///
/// # Errors
/// A usage fault with file and line.
pub(crate) fn open_options(context: &Context) -> anyhow::Result<OpenOptions> {
    let path = context.root.join("cfn/stacks.local.toml");
    let local = match std::fs::read_to_string(&path) {
        Ok(text) => config::parse_local(&text).map_err(|error| {
            Fault::usage("read the configuration", format!("cfn/stacks.local.toml line {}", error.line))
                .why(&error.message)
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => config::Local::default(),
        Err(error) => {
            return Err(Fault::usage("read the configuration", "cfn/stacks.local.toml")
                .why(error)
                .next("let this user read it, save it as UTF-8, or remove it")
                .into());
        }
    };
    let out = context.out.clone();
    let say = Say::to(move |message| out.line(&Line::Warning { message }));
    Ok(OpenOptions { profile_prefix: context.profile_prefix.clone(), local, world: None, say })
}
