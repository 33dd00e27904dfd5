//! A project of its own for each test: the real templates in a folder of its own, and the tool run in it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

pub mod aws;
pub mod page;
mod translator;

pub use translator::expander;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use causeway_digest as digest;
use causeway_machine::cmd::{Cmd, Shell, cmd};
use serde_json::Value;
use tempfile::TempDir;

/// The workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// The program of the package under test, which cargo puts beside the folder of the test's own.
fn program() -> PathBuf {
    let name = match std::env::var("CARGO_PKG_NAME").as_deref() {
        Ok("causeway-prove-cmd") => "causeway-prove",
        Ok("causeway-verify") => "causeway-verify",
        _ => "causeway",
    };
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join(name)
}

/// What the entry would tell the program: cargo has just built it from the workspace's sources.
fn built() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| digest::built(&digest::sources(&workspace()).unwrap(), &program()).unwrap())
}

/// A folder with a copy of the project's templates, and a local cloud of its own where one is started.
pub struct Project {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command printed and how it ended.
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// The JSON lines.
    pub lines: Vec<Value>,
    /// What went to stderr.
    pub stderr: String,
}

impl Ended {
    /// The result line.
    pub fn result(&self) -> &Value {
        let last = self.lines.last().unwrap_or_else(|| panic!("no result line; stderr: {}", self.stderr));
        assert_eq!(last["type"], "result", "{last}");
        assert_eq!(last["exit_code"], self.code, "{last}");
        last
    }

    /// All four parts of the error in one text.
    pub fn error(&self) -> String {
        let error = &self.result()["error"];
        ["what", "on", "why", "next"]
            .map(|part| error[part].as_str().unwrap_or_default().to_owned())
            .join(" | ")
    }

    /// Lines of a type.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    /// A copy of the project's `cfn` folder.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&workspace().join("cfn"), &dir.path().join("cfn"));
        Self { dir, environment: Vec::new() }
    }

    /// A clone of the whole repository at its last commit, with its own cloud; its rehearsals build in the checkout that the workspace's build in.
    pub fn clone_of_repository() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sh, from, to) = (shell(&workspace()), workspace(), dir.path());
        read(cmd!(sh, "git clone --quiet --local -- {from} {to}"));
        let rehearsal = workspace().join("target/causeway/rehearsal");
        let environment = vec![("CAUSEWAY_REHEARSAL_DIR".to_owned(), rehearsal.display().to_string())];
        Self { dir, environment }
    }

    /// A clone that packages for this machine, quickly.
    pub fn that_packages() -> Self {
        let mut project = Self::clone_of_repository();
        project.set("CAUSEWAY_PROFILE", "rehearse");
        project.set("CAUSEWAY_TARGET", "host");
        project
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces text in a file, which must have it.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// Commits everything in a clone.
    pub fn commit(&self) {
        let sh = shell(self.path());
        read(cmd!(sh, "git add --all"));
        read(cmd!(sh, "git -c user.name=test -c user.email=test@example.com commit --quiet --message test"));
    }

    /// Sets a variable for every command from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Takes such a variable back.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// The state file of its cloud.
    pub fn state(&self) -> Value {
        let path = self.path().join("target/causeway/local/state.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Sets how many milliseconds a minute of AWS takes on its cloud.
    pub fn minute(&self, millis: u64) {
        let state = self.state();
        let asked = serde_json::json!({"millis": millis}).to_string();
        let token = format!("Authorization: Bearer {}", state["token"].as_str().unwrap());
        let url = format!("https://127.0.0.1:{}/_causeway/minute", state["port"]);
        let (sh, ca) = (shell(self.path()), "target/causeway/local/ca.pem");
        read(cmd!(sh, "curl --silent --fail --data {asked} --cacert {ca} --header {token} {url}"));
    }

    /// An AWS call of its cloud by curl, signed with these keys of an account's root; without any where there are none.
    /// The status and the answer.
    pub fn call(
        &self,
        keys: Option<(&str, &str)>,
        service: &str,
        words: &[&str],
        path: &str,
    ) -> (String, String) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--cacert"]);
        curl.arg(self.path().join("target/causeway/local/ca.pem")).args(words);
        if let Some((id, secret)) = keys {
            curl.args([
                "--aws-sigv4",
                &format!("aws:amz:eu-central-1:{service}"),
                "--user",
                &format!("{id}:{secret}"),
            ]);
        }
        let output = curl.arg(format!("https://127.0.0.1:{}{path}", self.state()["port"])).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text
            .rsplit_once('\n')
            .unwrap_or_else(|| panic!("curl said nothing: {}", String::from_utf8_lossy(&output.stderr)));
        (status.to_owned(), body.to_owned())
    }

    /// The tool in this folder, without anything of the caller's AWS environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).current_dir(self.path());
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_")
                || name.starts_with("CAUSEWAY_")
                || name == "API_URL"
                || name == "EXPECTED_VERSION"
            {
                command.env_remove(name);
            }
        }
        // A test that is killed cannot end its cloud any more.
        command.env("CAUSEWAY_LOCAL_WHILE", std::process::id().to_string());
        command.env("CAUSEWAY_VENV_DIR", workspace().join("target/causeway/venv"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env(digest::BUILT, built());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A line of the shell in which `"$0" "$@"` is the tool with these words.
    pub fn through(&self, line: &str, words: &[&str]) -> Command {
        let prepared = self.command(words);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).arg(prepared.get_program()).args(words).current_dir(self.path());
        for (key, value) in prepared.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// Runs the tool with `--output json`.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_command(&mut self.command(words))
    }

    /// Runs a prepared command with `--output json`.
    pub fn run_command(&self, command: &mut Command) -> Ended {
        let output = command.args(["--output", "json"]).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON on stdout: {line}\n{stderr}"))
        };
        let lines: Vec<Value> = stdout.lines().map(parse).collect();
        Ended { code: output.status.code().unwrap_or(-1), lines, stderr }
    }

    /// Starts the local cloud and leads every further command to it.
    pub fn up(&mut self) {
        let up = self.run(&["local", "up"]);
        assert_eq!(up.code, 0, "{}", up.error());
        let env = self.run(&["local", "env"]);
        for (name, value) in env.result()["data"]["env"].as_object().unwrap() {
            self.set(name, value.as_str().unwrap());
        }
    }
}

/// A shell in a folder, for [`read`] and for files.
pub fn shell(dir: &Path) -> Shell {
    let sh = Shell::new().unwrap();
    sh.change_dir(dir);
    sh
}

/// What a program printed, which must end well: `read(cmd!(sh, "git add --all"))`.
#[expect(clippy::disallowed_methods, reason = "a test has no runtime, and waits for what it starts")]
pub fn read(command: Cmd<'_>) -> String {
    command.quiet().read().unwrap()
}

/// Waits for what will be. It gives up after ten minutes, when whatever it is hangs on however busy a machine.
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if done() {
            return;
        }
        pause();
    }
    assert!(done(), "{what}");
}

/// A moment between two looks at what will be.
pub fn pause() {
    #[expect(clippy::disallowed_methods, reason = "there is no runtime here")]
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// What is done in a terminal once some words are shown.
pub enum Then<'a> {
    /// Keys are pressed; `\x03` is Ctrl-C.
    Type(&'a str),
    /// The tool is run beside it.
    Run(&'a [&'a str]),
}

impl Project {
    /// Runs the tool in a terminal of 80 columns and 24 rows: its exit code, and what was shown.
    pub fn in_terminal(&self, words: &[&str], steps: &[(&str, Then<'_>)]) -> (i32, String) {
        let tool = program().display().to_string();
        let prepared = self.command(words);
        let mut environment: std::collections::BTreeMap<String, String> = std::env::vars().collect();
        for (name, value) in prepared.get_envs() {
            let name = name.to_string_lossy().into_owned();
            match value {
                Some(value) => environment.insert(name, value.to_string_lossy().into_owned()),
                None => environment.remove(&name),
            };
        }
        environment.insert("TERM".to_owned(), "xterm".to_owned());
        environment.insert("NO_COLOR".to_owned(), "1".to_owned());
        let whole = |words: &[&str]| -> Vec<String> {
            std::iter::once(tool.clone()).chain(words.iter().map(ToString::to_string)).collect()
        };
        let steps: Vec<Value> = steps
            .iter()
            .map(|(expect, then)| match then {
                Then::Type(keys) => serde_json::json!({"expect": expect, "type": keys}),
                Then::Run(words) => serde_json::json!({"expect": expect, "run": whole(words)}),
            })
            .collect();
        let asked = serde_json::json!({"words": whole(words), "env": environment, "dir": self.path(), "steps": steps});
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/terminal.py");
        let output = Command::new("python3").arg(script).write_stdin(asked.to_string()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shown}");
        (output.status.code().unwrap_or(-1), shown)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // Whatever a test started ends with it.
        let _ = self.command(&["local", "down"]).output();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The cargo of this machine by its place, for a script of the same name that stands before it: by its name alone the script would
/// start itself, for ever.
pub fn cargo() -> PathBuf {
    if let Some(cargo) = std::env::var_os("CARGO") {
        return cargo.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("cargo")).find(|cargo| cargo.is_file());
    found.unwrap_or_else(|| panic!("no cargo is on the path"))
}

/// Writes a program for a test.
pub fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
