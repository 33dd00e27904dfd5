//! The buildspec runner: phases, environment and artifacts, in a clean checkout, under the project's role.
//!
//! It stands in for CodeBuild; the commands are the real ones. Source: "Build specification reference for CodeBuild"
//! and "Environment variables in build environments".

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::heard::{Heard, PACE};
use super::{Run, checkout, without_cargo};
use causeway_aws::{Account, assume_role};
use causeway_machine::cmd::{cmd, command};
use causeway_machine::files;
use causeway_machine::process::{self, Ending};
use causeway_model::buildspec::{self, Artifacts, Buildspec, Phase};
use causeway_model::config::BUILD;
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;
use causeway_model::pipeline::Action;
use causeway_model::quoted::quoted;

impl Run {
    /// Runs a build or test action.
    pub(super) async fn codebuild(self: &Arc<Self>, action: &Action) -> anyhow::Result<Option<String>> {
        let project_name = self.wanted(action, "ProjectName")?;
        let project = self.definition.project(&project_name)?.clone();
        let text = |path: &str| project.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        let role = text("/ServiceRole").context("the build project has no ServiceRole")?;
        // CodeBuild takes on the project's role; the build account's root stands for the service.
        let build = self.world.accounts.get(BUILD)?;
        let keys = assume_role(build, &role, "codebuild").await?;
        let session = build.with_keys("build", &build.id, &keys);

        let source = action.input_artifacts.first().context("a build takes a source artifact")?;
        let zip = self.bucket(&session).get(&self.artifact(&source.name)?).await?;
        // Each kind of build has a checkout of its own: bringing one to another source would touch every file.
        let kind = if action.action_type_id.category == "Test" { "test" } else { "source" };
        let dir = self.world.paths.rehearsal().join(kind);
        // Two rehearsals share one checkout; each has it for the length of a build.
        let place = self.world.paths.rehearsal();
        std::fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
        let show = |text: &str| self.show(text);
        let _lock = files::lock(&place.join("lock"), &|text| show(text)).await?;
        // No other build of this cloud is at work now: what is written down was left behind by a run that was killed.
        let records = self.world.paths.processes().join("builds");
        for name in process::reap(&records).await {
            show(&format!("ended what an earlier run had left behind: {name}"));
        }
        checkout::sync(&dir, &zip)?;

        let spec_path = text("/Source/BuildSpec").unwrap_or_else(|| "buildspec.yml".to_owned());
        let spec_text = std::fs::read_to_string(dir.join(&spec_path)).map_err(|error| {
            Fault::failed("read the buildspec", spec_path.as_str())
                .why(error)
                .next("correct BuildSpec in cfn/pipeline.yaml")
        })?;
        let spec = buildspec::read(&spec_text).map_err(|error| {
            Fault::failed("read the buildspec", format!("{spec_path} line {}", error.line))
                .why(&error.message)
                .next("mend that line")
        })?;

        let id = format!("{project_name}:{}", uuid::Uuid::new_v4());
        let scratch = tempfile::tempdir().context("make a folder for the build")?;
        let mut environment = self.environment(action, &project, &spec, &keys, &id, &dir)?;
        if kind == "test"
            && let Some(path) = environment.get_mut("PATH")
        {
            *path = without_cargo::path(path, scratch.path())?;
        }
        let build_run = BuildRun {
            environment,
            scratch,
            log: self.log(&project_name),
            records,
            limit: limit(&project),
            dir,
            spec,
        };
        build_run.phases(&show).await?;
        if let Some(namespace) = &action.namespace {
            for (name, value) in build_run.exported()? {
                self.set_variable(namespace, &name, value);
            }
        }
        self.put_artifacts(action, &session, &build_run).await?;
        Ok(None)
    }

    /// The environment of a build, later ones over earlier ones: the caller's, the client's, the buildspec's, the
    /// project's, the action's, the order's.
    fn environment(
        &self,
        action: &Action,
        project: &Value,
        spec: &Buildspec,
        keys: &Keys,
        id: &str,
        dir: &Path,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let mut all = self.order.caller_environment.clone();
        let mut set = |name: &str, value: String| {
            all.insert(name.to_owned(), value);
        };
        for (name, value) in &self.world.client_environment {
            set(name, value.clone());
        }
        let region = self.session.region().to_owned();
        set("AWS_DEFAULT_REGION", region.clone());
        set("AWS_ACCESS_KEY_ID", keys.id.clone());
        set("AWS_SECRET_ACCESS_KEY", keys.secret.clone());
        set("AWS_SESSION_TOKEN", keys.token.clone().unwrap_or_default());
        set("CI", "true".to_owned());
        set("CODEBUILD_BUILD_ID", id.to_owned());
        set("CODEBUILD_BUILD_ARN", format!("arn:aws:codebuild:{region}:{}:build/{id}", self.session.id));
        set("CODEBUILD_SRC_DIR", dir.display().to_string());
        set("CODEBUILD_INITIATOR", format!("codepipeline/{}", self.definition.pipeline.name));
        set("CODEBUILD_RESOLVED_SOURCE_VERSION", self.order.commit.clone());
        // One checkout is built there, and no other: cargo would take the members of two for the same ones. What is tested was
        // built before, and nothing is built with it.
        if action.action_type_id.category != "Test" {
            set("CARGO_TARGET_DIR", self.world.paths.rehearsal().join("target").display().to_string());
        }
        for (name, value) in &spec.variables {
            set(name, value.clone());
        }
        for variable in project
            .pointer("/Environment/EnvironmentVariables")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let (Some(name), Some(value)) =
                (variable.get("Name").and_then(Value::as_str), variable.get("Value").and_then(Value::as_str))
            {
                set(name, value.to_owned());
            }
        }
        if let Some(text) = self.setting(action, "EnvironmentVariables")? {
            let list: Vec<BTreeMap<String, String>> =
                serde_json::from_str(&text).context("read the action's EnvironmentVariables")?;
            for variable in &list {
                if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                    set(name, value.clone());
                }
            }
        }
        let more = if action.action_type_id.category == "Test" {
            &self.order.test_environment
        } else {
            &self.order.build_environment
        };
        all.extend(more.clone());
        Ok(all)
    }

    /// Zips and uploads what the build hands on, with the project role's rights: the primary artifact first, then the
    /// secondary ones by their identifier.
    async fn put_artifacts(
        &self,
        action: &Action,
        session: &Account,
        build: &BuildRun,
    ) -> anyhow::Result<()> {
        for (index, output) in action.output_artifacts.iter().enumerate() {
            let artifacts = build.spec.artifacts.as_ref();
            let artifacts = match artifacts.and_then(|all| all.secondary.get(&output.name)) {
                Some(secondary) => Some(secondary),
                None if index == 0 => artifacts,
                None => None,
            };
            let artifacts = artifacts.ok_or_else(|| {
                Fault::failed("hand on the artifact", output.name.as_str())
                    .why("the buildspec has none of that name")
                    .next("add it to `artifacts` in the buildspec")
            })?;
            let zip = collect(&build.dir, artifacts)
                .with_context(|| format!("collect artifact {}", output.name))?;
            let key = self.artifact_key(&output.name);
            self.bucket(session).put_artifact(&key, zip).await?;
            self.remember_artifact(&output.name, key);
        }
        Ok(())
    }
}

/// A project's time-out; CodeBuild's own default is an hour.
fn limit(project: &Value) -> Duration {
    let minutes =
        project.get("TimeoutInMinutes").map(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Duration::from_secs(60 * minutes.flatten().unwrap_or(60))
}

/// One build.
struct BuildRun {
    spec: Buildspec,
    dir: PathBuf,
    environment: BTreeMap<String, String>,
    scratch: tempfile::TempDir,
    log: PathBuf,
    records: PathBuf,
    limit: Duration,
}

impl BuildRun {
    /// Runs the phases as CodeBuild does: `post_build` also runs when `build` failed, `finally` in any case.
    async fn phases(&self, show: &(dyn Fn(&str) + Send + Sync)) -> anyhow::Result<()> {
        let mut log = files::create_private(&self.log)?;
        let mut failure: Option<anyhow::Error> = None;
        for phase in &self.spec.phases {
            let after_failed_build =
                failure.is_some() && phase.name == "post_build" && !self.failed_before_build(&failure);
            if failure.is_some() && !after_failed_build {
                continue;
            }
            let result = self.phase(phase, &mut log, show).await;
            if let Err(error) = result {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn failed_before_build(&self, failure: &Option<anyhow::Error>) -> bool {
        failure.as_ref().is_some_and(|error| {
            let on = causeway_model::fault::from_error(error).on;
            on.starts_with("install:") || on.starts_with("pre_build:")
        })
    }

    async fn phase(
        &self,
        phase: &Phase,
        log: &mut std::fs::File,
        show: &(dyn Fn(&str) + Send + Sync),
    ) -> anyhow::Result<()> {
        let commands = self.script(phase, &phase.commands, "commands", log, show).await;
        let finally = self.script(phase, &phase.finally, "finally", log, show).await;
        commands.and(finally)
    }

    /// Runs commands in one shell; environment and folder carry over to the next script, as in version 0.2.
    async fn script(
        &self,
        phase: &Phase,
        commands: &[String],
        part: &str,
        log: &mut std::fs::File,
        show: &(dyn Fn(&str) + Send + Sync),
    ) -> anyhow::Result<()> {
        if commands.is_empty() {
            return Ok(());
        }
        let at = |name: &str| self.scratch.path().join(name);
        let script = at(&format!("{}-{part}.sh", phase.name));
        std::fs::write(&script, self.text(commands)).context("write the build script")?;
        let mut command = command(&self.dir, |sh| cmd!(sh, "/bin/sh {script}"))?;
        command.env_clear().envs(&self.environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = process::spawn(command, "build", &self.records, Ending::Kill)?;
        let child = group.child();
        let (out, err) =
            (child.stdout.take().context("read the build")?, child.stderr.take().context("read the build")?);
        let (mut out, mut err) = (BufReader::new(out).lines(), BufReader::new(err).lines());
        let mut heard = Heard::new();
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
                    Ok(Some(line)) => heard.line(line, log, show),
                    _ => out_open = false,
                },
                line = err.next_line(), if err_open => match line {
                    Ok(Some(line)) => heard.line(line, log, show),
                    _ => err_open = false,
                },
                _ = silent.tick() => {
                    let command = commands.get(current()).map_or("", String::as_str);
                    heard.silence(command, show);
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
            .next(format!("mend what it names; the whole log is {}", self.log.display()))
            .into())
    }

    /// The commands as one script. What they say is not looked at; only where they end matters.
    fn text(&self, commands: &[String]) -> String {
        let at = |name: &str| quoted(&self.scratch.path().join(name).display().to_string());
        let (environment, folder, failed) = (at("environment"), at("folder"), at("failed"));
        let mut text = format!(
            "set +e\n[ -f {environment} ] && . {environment}\n[ -f {folder} ] && cd \"$(cat {folder})\"\ncauseway_end() {{ code=$?; export -p > {environment}; pwd > {folder}; exit $code; }}\ntrap causeway_end EXIT\n"
        );
        for (index, command) in commands.iter().enumerate() {
            text.push_str(&format!("echo {index} > {failed}\n{command}\n[ $? -eq 0 ] || exit 1\n"));
        }
        text
    }

    /// The values of `exported-variables` after the build.
    fn exported(&self) -> anyhow::Result<Vec<(String, String)>> {
        let path = self.scratch.path().join("environment");
        if self.spec.exported.is_empty() || !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path).context("read the build's environment")?;
        Ok(self
            .spec
            .exported
            .iter()
            .filter_map(|name| Some((name.clone(), exported_value(&text, name)?)))
            .collect())
    }
}

/// A value in the output of `export -p`: `export NAME='value'` or `export NAME="value"`.
fn exported_value(text: &str, name: &str) -> Option<String> {
    let row = text.lines().find_map(|row| {
        row.strip_prefix("export ")
            .or_else(|| row.strip_prefix("declare -x "))?
            .strip_prefix(&format!("{name}="))
    })?;
    let quoted = row
        .strip_prefix('\'')
        .and_then(|row| row.strip_suffix('\''))
        .or_else(|| row.strip_prefix('"')?.strip_suffix('"'));
    Some(quoted.unwrap_or(row).to_owned())
}

/// The files of an artifact as a zip, sorted, with fixed times.
fn collect(dir: &Path, artifacts: &Artifacts) -> anyhow::Result<Vec<u8>> {
    let base = artifacts.base_directory.as_ref().map_or_else(|| dir.to_path_buf(), |base| dir.join(base));
    let mut names: Vec<String> = causeway_machine::files::files_below(&base, &|name| name != ".git")?;
    names.retain(|name| artifacts.files.iter().any(|pattern| fits(pattern, name)));
    anyhow::ensure!(!names.is_empty(), "no file fits {}", artifacts.files.join(", "));
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        let path = base.join(&name);
        let executable = {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
        };
        let options = zip::write::SimpleFileOptions::default()
            .last_modified_time(zip::DateTime::default())
            // Quick rather than small: it goes from here to here.
            .compression_level(Some(1))
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        writer.start_file(&name, options).with_context(|| format!("zip {name}"))?;
        writer
            .write_all(&std::fs::read(&path).with_context(|| format!("read {}", path.display()))?)
            .with_context(|| format!("zip {name}"))?;
    }
    Ok(writer.finish().context("finish the artifact")?.into_inner())
}

/// CodeBuild's patterns: `*` within a folder, `**` across folders.
fn fits(pattern: &str, name: &str) -> bool {
    fn go(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', b'/', rest @ ..] => {
                go(rest, name)
                    || name.iter().enumerate().any(|(at, byte)| *byte == b'/' && go(rest, &name[at + 1..]))
            }
            [b'*', b'*'] => true,
            [b'*', rest @ ..] => {
                let folder = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
                (0..=folder).any(|at| go(rest, &name[at..]))
            }
            [first, rest @ ..] => name.first() == Some(first) && go(rest, &name[1..]),
        }
    }
    go(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(dir: &Path, commands: &str) -> BuildRun {
        let spec = format!("version: 0.2\nenv: {{exported-variables: [GIVEN]}}\nphases:\n{commands}");
        BuildRun {
            spec: buildspec::read(&spec).unwrap(),
            dir: dir.to_path_buf(),
            environment: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            scratch: tempfile::tempdir().unwrap(),
            log: dir.join("log"),
            records: dir.join("records"),
            limit: Duration::from_secs(600),
        }
    }

    #[tokio::test]
    async fn commands_share_a_shell_and_export_variables() {
        let dir = tempfile::tempdir().unwrap();
        let run = build(
            dir.path(),
            "  install: {commands: ['export GIVEN=\"a b\"', 'mkdir sub', 'cd sub']}\n  build: {commands: ['echo $GIVEN > out']}\n",
        );
        run.phases(&|_| {}).await.unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("sub/out")).unwrap(), "a b\n");
        assert_eq!(run.exported().unwrap(), [("GIVEN".to_owned(), "a b".to_owned())]);
    }

    #[tokio::test]
    async fn the_first_failure_ends_a_phase_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = build(
            dir.path(),
            "  build: {commands: ['echo fine', 'echo broken >&2; exit 3', 'touch never'], finally: ['touch finally']}\n  post_build: {commands: ['touch post']}\n",
        );
        let error = run.phases(&|_| {}).await.unwrap_err();
        let fault = causeway_model::fault::from_error(&error);
        assert_eq!(fault.on, "build: echo broken >&2; exit 3");
        assert!(fault.why.contains("broken"), "{}", fault.why);
        let there = |name: &str| dir.path().join(name).exists();
        assert!(!there("never") && there("finally") && there("post"));
    }

    #[tokio::test]
    async fn progress_is_shown_and_a_failures_own_lines_come_once_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let rows = (0..40).map(|number| format!("echo row {number};")).collect::<String>();
        let run = build(
            dir.path(),
            &format!(
                "  build: {{commands: ['echo before; echo \"building: 1 of 2 units\"; echo \"building: 2 of 2 units\"; {rows} exit 1']}}\n"
            ),
        );
        let shown = std::sync::Mutex::new(Vec::new());
        let error = run.phases(&|line| shown.lock().unwrap().push(line.to_owned())).await.unwrap_err();
        let shown = shown.into_inner().unwrap();
        assert_eq!(shown, ["building: 1 of 2 units", "building: 2 of 2 units"], "nothing else");
        let why = causeway_model::fault::from_error(&error).why;
        for row in ["row 0", "row 39"] {
            assert_eq!(why.lines().filter(|line| *line == row).count(), 1, "{row}: {why}");
        }
        assert!(!why.contains("before") && !why.contains("building"), "{why}");
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("before\n") && log.contains("row 39\n"), "{log}");
        assert_eq!(log.matches("building: ").count(), 1, "progress is no news every time: {log}");
    }

    #[tokio::test]
    async fn a_failed_install_ends_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let run = build(
            dir.path(),
            "  install: {commands: ['false']}\n  build: {commands: ['touch built']}\n  post_build: {commands: ['touch post']}\n",
        );
        assert!(run.phases(&|_| {}).await.is_err());
        assert!(!dir.path().join("built").exists() && !dir.path().join("post").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_build_that_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        // Nothing but the limit is waited for, and it passes at once: a child is no timer.
        let run = build(dir.path(), "  build: {commands: ['sleep 600']}\n");
        let fault = causeway_model::fault::from_error(&run.phases(&|_| {}).await.unwrap_err());
        assert!(fault.why.contains("time-out of 10 minutes"), "{}", fault.why);
        assert_eq!(std::fs::read_dir(&run.records).unwrap().count(), 0, "nothing of it is left");
    }

    #[test]
    fn patterns_are_codebuilds() {
        let table = [
            ("template.yaml", "template.yaml", true),
            ("params-*.json", "params-dev.json", true),
            ("params-*.json", "deep/params-dev.json", false),
            ("**/*", "a", true),
            ("**/*", "a/b/c", true),
            ("a/**/c", "a/b/c", true),
            ("a/**", "a/b/c", true),
            ("*", "a/b", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
