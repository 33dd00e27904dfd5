//! One build: its phases in one shell, as version 0.2 has it, and what becomes of a phase that fails.
//!
//! Sources, AWS CodeBuild user guide: "Build specification reference for CodeBuild", "Build phase transitions", as of 2026-11-28.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::heard::{Heard, PACE};
use causeway_machine::cmd::{cmd, command};
use causeway_machine::files;
use causeway_machine::process::{self, Ending};
use causeway_model::buildspec::{Buildspec, OnFailure, Phase, Shell};
use causeway_model::fault::{Fault, from_error};
use causeway_model::quoted::quoted;

/// One build.
pub(super) struct BuildRun {
    /// What it does.
    pub(super) spec: Buildspec,
    /// Where.
    pub(super) dir: PathBuf,
    /// The variables it begins with.
    pub(super) environment: BTreeMap<String, String>,
    /// Values that are shown to nobody.
    pub(super) secrets: Vec<String>,
    /// Its own files.
    pub(super) scratch: tempfile::TempDir,
    /// Its log.
    pub(super) log: PathBuf,
    /// Where its processes are written down.
    pub(super) records: PathBuf,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// What a build shows while it runs.
pub(super) struct Told<'a> {
    /// How far it is.
    pub(super) show: &'a (dyn Fn(&str) + Send + Sync),
    /// What a reader should know.
    pub(super) warn: &'a (dyn Fn(String) + Send + Sync),
}

impl BuildRun {
    /// Runs the phases. Where a phase says nothing of its failure, `post_build` still runs after a failed `build`, and nothing runs
    /// after another; a build whose failed phase says CONTINUE goes on and may succeed.
    pub(super) async fn phases(&self, told: &Told<'_>) -> anyhow::Result<()> {
        let mut log = files::create_private(&self.log)?;
        let mut failure: Option<anyhow::Error> = None;
        let mut succeeding = true;
        let mut ended = false;
        for phase in &self.spec.phases {
            if ended || (failure.is_some() && phase.name != "post_build") {
                continue;
            }
            let Err(error) = self.attempts(phase, succeeding, &mut log, told).await else { continue };
            succeeding = false;
            match &phase.on_failure {
                OnFailure::Continue => (told.warn)(format!(
                    "the phase {} failed, and the build goes on (on-failure: CONTINUE): {}",
                    phase.name,
                    first_row(&from_error(&error).to_string())
                )),
                OnFailure::Unset => {
                    ended = phase.name != "build";
                    failure.get_or_insert(error);
                }
                OnFailure::Abort | OnFailure::Retry(..) => {
                    ended = true;
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// A phase, tried again as it says.
    async fn attempts(
        &self,
        phase: &Phase,
        succeeding: bool,
        log: &mut std::fs::File,
        told: &Told<'_>,
    ) -> anyhow::Result<()> {
        let (mut left, pattern) = match &phase.on_failure {
            OnFailure::Retry(count, pattern) => (*count, Some(expression(pattern)?)),
            _ => (0, None),
        };
        loop {
            let Err(error) = self.phase(phase, succeeding, log, told).await else { return Ok(()) };
            let said = from_error(&error).why;
            let again = left > 0 && pattern.as_ref().is_some_and(|pattern| pattern.is_match(&said));
            if !again {
                return Err(error);
            }
            left -= 1;
            (told.warn)(format!(
                "the phase {} failed and is tried again (on-failure: RETRY, {left} left): {}",
                phase.name,
                first_row(&from_error(&error).to_string())
            ));
        }
    }

    async fn phase(
        &self,
        phase: &Phase,
        succeeding: bool,
        log: &mut std::fs::File,
        told: &Told<'_>,
    ) -> anyhow::Result<()> {
        let commands = self.script(phase, &phase.commands, "commands", succeeding, log, told).await;
        let succeeding = succeeding && commands.is_ok();
        let finally = self.script(phase, &phase.finally, "finally", succeeding, log, told).await;
        commands.and(finally)
    }

    /// Runs commands in one shell; variables, exported or not, options and folder carry over to the next script.
    async fn script(
        &self,
        phase: &Phase,
        commands: &[String],
        part: &str,
        succeeding: bool,
        log: &mut std::fs::File,
        told: &Told<'_>,
    ) -> anyhow::Result<()> {
        if commands.is_empty() {
            return Ok(());
        }
        let at = |name: &str| self.scratch.path().join(name);
        let script = at(&format!("{}-{part}.sh", phase.name));
        std::fs::write(&script, self.text(commands, succeeding)).context("write the build script")?;
        let shell = self.spec.shell.program();
        let mut command = command(&self.dir, |sh| cmd!(sh, "{shell} {script}"))?;
        command.env_clear().envs(&self.environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = process::spawn(command, "build", &self.records, Ending::Kill)?;
        let child = group.child();
        let (out, err) =
            (child.stdout.take().context("read the build")?, child.stderr.take().context("read the build")?);
        let (mut out, mut err) = (BufReader::new(out).lines(), BufReader::new(err).lines());
        let mut heard = Heard::new(&self.secrets);
        let mut silent = tokio::time::interval(PACE);
        let current = || {
            let failed = std::fs::read_to_string(at("failed")).ok();
            failed.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        let deadline = tokio::time::sleep(self.limit);
        tokio::pin!(deadline);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            tokio::select! {
                line = out.next_line(), if out_open => match line {
                    Ok(Some(line)) => heard.line(line, log, told.show),
                    _ => out_open = false,
                },
                line = err.next_line(), if err_open => match line {
                    Ok(Some(line)) => heard.line(line, log, told.show),
                    _ => err_open = false,
                },
                _ = silent.tick() => {
                    let command = commands.get(current()).map_or("", String::as_str);
                    heard.silence(command, told.show);
                }
                () = &mut deadline => {
                    group.end().await;
                    return Err(Fault::failed("run the buildspec", format!("{}: it took too long", phase.name))
                        .why(format!("the project's time-out of {} minutes passed", self.limit.as_secs() / 60))
                        .next("raise TimeoutInMinutes in cfn/pipeline.yaml, or make the build quicker")
                        .into());
                }
            }
        }
        let status = group.child().wait().await.context("wait for the build")?;
        group.end().await;
        if status.success() {
            return Ok(());
        }
        let command = commands.get(current()).map_or("a command", String::as_str);
        let rows = heard.tail();
        Err(Fault::failed("run the buildspec", format!("{}: {command}", phase.name))
            .why(format!("it ended with {status}\n{}", rows.join("\n")))
            .next(format!("fix what it names; the whole log is {}", self.log.display()))
            .into())
    }

    /// The commands as one script. What they say is not looked at; only where they end matters.
    fn text(&self, commands: &[String], succeeding: bool) -> String {
        let at = |name: &str| quoted(&self.scratch.path().join(name).display().to_string());
        let (variables, exports, options, folder, failed) =
            (at("variables"), at("exports"), at("options"), at("folder"), at("failed"));
        // What a shell sets itself, and may not be set again, is left out.
        let save = match self.spec.shell {
            Shell::Sh => format!(
                "set | grep -vE '^(BASHOPTS|BASH_[A-Z]*|EUID|PPID|SHELLOPTS|UID|causeway_code|_)=' > {variables}"
            ),
            Shell::Bash => format!(
                "declare -p | grep -vE '^declare -[a-zA-Z]*r|^declare -[^ ]* (BASH[A-Z_]*|FUNCNAME|DIRSTACK|GROUPS|LINENO|PIPESTATUS|RANDOM|SRANDOM|SECONDS|EPOCH[A-Z]*|causeway_code|_)(=|$)' > {variables}; declare -f >> {variables}"
            ),
        };
        let exported: String = self
            .spec
            .exported
            .iter()
            .map(|name| format!("printenv {} > {}; ", quoted(name), at(&format!("exported-{name}"))))
            .collect();
        let mut text = format!(
            "set +e\n[ -f {variables} ] && . {variables} 2>/dev/null\n[ -f {exports} ] && . {exports}\n[ -f {folder} ] && cd \"$(cat {folder})\"\nCODEBUILD_BUILD_SUCCEEDING={}\nexport CODEBUILD_BUILD_SUCCEEDING\ncauseway_end() {{ causeway_code=$?; trap - EXIT; set +o > {options}; set +eux; {save}; export -p > {exports}; pwd > {folder}; {exported}exit $causeway_code; }}\ntrap causeway_end EXIT\n[ -f {options} ] && . {options}\n",
            u8::from(succeeding)
        );
        for (index, command) in commands.iter().enumerate() {
            text.push_str(&format!(
                "echo {index} > {failed}\n{command}\ncauseway_code=$?\n[ $causeway_code -eq 0 ] || exit $causeway_code\n"
            ));
        }
        text
    }

    /// The variables at the end of the build, as artifacts' paths may name them.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let mut all = self.environment.clone();
        all.extend(self.exported());
        all
    }

    /// The values of `exported-variables` after the build; one that the build does not have has none.
    pub(super) fn exported(&self) -> Vec<(String, String)> {
        let value = |name: &String| {
            let path = self.scratch.path().join(format!("exported-{name}"));
            // A value is whatever bytes a command put there.
            let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned();
            Some((name.clone(), text.strip_suffix('\n')?.to_owned()))
        };
        self.spec.exported.iter().filter_map(value).collect()
    }
}

/// The expression of a RETRY.
pub(super) fn expression(pattern: &str) -> anyhow::Result<regex_lite::Regex> {
    regex_lite::Regex::new(pattern).map_err(|error| {
        Fault::failed("read the buildspec", format!("on-failure: RETRY-{pattern}"))
            .why(format!("it is no regular expression that is known here ({error})"))
            .next("write a simpler one")
            .into()
    })
}

fn first_row(text: &str) -> String {
    text.lines().map(str::trim).find(|row| !row.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
