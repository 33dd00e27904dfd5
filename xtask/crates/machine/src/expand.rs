//! AWS's own transforms, run by AWS's own code: the SAM translator and SAM CLI's language extensions, in one Python process
//! that stays open (`xtask/data/expand.py`), JSON lines in and out. Results are kept by the digest of all they follow from.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::install::{self, Set, Venv};
use super::paths::Paths;
use crate::cmd::{cmd, command};
use crate::files;
use causeway_model::template::{Expand, ExpandError, Unexpanded};

/// What runs in the Python process.
const SCRIPT: &str = include_str!("../../../data/expand.py");

/// How long one answer may take, start of the process included. A template takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// More kept results than this are thrown away together when the next expander begins.
const MOST_KEPT: usize = 400;

/// Runs AWS's transforms. One process, begun at the first template that is not known yet; it ends with this.
pub struct Expander {
    python: PathBuf,
    /// Where results are kept; `None` for whoever expands with values that belong on no disk.
    kept: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    process: Option<Process>,
    known: HashMap<String, Result<Value, ExpandError>>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    answers: Receiver<std::io::Result<String>>,
    /// What it printed as errors, once it has ended.
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Process {
    /// Ends it, and gives the last line of its complaints.
    fn complaint(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.listener.take().map(JoinHandle::join);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines()
            .rfind(|line| !line.trim().is_empty())
            .map_or_else(String::new, |line| format!(" ({line})"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Expander {
    /// For templates of the checkout with values of `cfn/stacks.toml`: results are kept below `target/causeway/`.
    ///
    /// # Errors
    /// As for [`install::venv`].
    pub async fn kept(paths: &Paths, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Arc<Self>> {
        let venv = install::venv(paths, Set::Expand, say).await?;
        let dir = paths.expanded();
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        if std::fs::read_dir(&dir).map(Iterator::count).unwrap_or_default() > MOST_KEPT {
            std::fs::remove_dir_all(&dir).with_context(|| format!("empty {}", dir.display()))?;
            std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        }
        Ok(Self::with(&venv, Some(dir)))
    }

    /// For templates with whatever values a stack has: nothing reaches a disk.
    ///
    /// # Errors
    /// As for [`install::venv`].
    pub async fn in_memory(paths: &Paths, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Arc<Self>> {
        Ok(Self::with(&install::venv(paths, Set::Expand, say).await?, None))
    }

    /// For a cloud to which nobody deploys a template.
    pub fn idle() -> Arc<Self> {
        Self::of(PathBuf::from("no-python"), None)
    }

    fn with(venv: &Venv, kept: Option<PathBuf>) -> Arc<Self> {
        Self::of(venv.program("python"), kept)
    }

    fn of(python: PathBuf, kept: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self { python, kept, inner: Mutex::default() })
    }

    fn begin(&self) -> Result<Process, ExpandError> {
        let failed = |error: std::io::Error| {
            ExpandError::Unasked(format!("{} does not start: {error}", self.python.display()))
        };
        // Isolated (-I): the caller's Python settings would lead packages elsewhere.
        let python = &self.python;
        let command = command(Path::new("."), |sh| cmd!(sh, "{python} -I -c {SCRIPT}"));
        let mut command = command.map_err(|error| ExpandError::Unasked(format!("{error:#}")))?.into_std();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Nothing of the caller's AWS settings reaches the translator, which asks nothing of AWS.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(mut errors)) = pipes else {
            return Err(ExpandError::Unasked("the translator has no input and output".to_owned()));
        };
        // What it complains of says why it ended.
        let said = Arc::new(Mutex::new(String::new()));
        let complaints = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            *complaints.lock().unwrap_or_else(PoisonError::into_inner) = text;
        });
        let (tell, answers) = channel();
        // A thread of its own, so that an answer that does not come can be given up.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Process { child, input, answers, said, listener: Some(listener) })
    }

    fn ask(&self, inner: &mut Inner, request: &Value) -> Result<Value, ExpandError> {
        if inner.process.is_none() {
            inner.process = Some(self.begin()?);
        }
        let Some(process) = inner.process.as_mut() else {
            return Err(ExpandError::Unasked("the translator does not run".to_owned()));
        };
        let answer = writeln!(process.input, "{request}")
            .and_then(|()| process.input.flush())
            .map_err(|error| format!("it takes no template: {error}"))
            .and_then(|()| match process.answers.recv_timeout(PATIENCE) {
                Ok(Ok(line)) => serde_json::from_str::<Value>(&line)
                    .map_err(|error| format!("its answer is no JSON: {error}")),
                Ok(Err(error)) => Err(format!("its answer cannot be read: {error}")),
                Err(RecvTimeoutError::Timeout) => {
                    Err(format!("it did not answer within {} s", PATIENCE.as_secs()))
                }
                Err(RecvTimeoutError::Disconnected) => Err("it ended early".to_owned()),
            });
        match answer {
            Ok(answer) => judge(answer),
            Err(why) => {
                // Whatever is wrong with this one, the next template gets another.
                let complaint = inner.process.take().map(Process::complaint).unwrap_or_default();
                Err(ExpandError::Unasked(format!(
                    "AWS's translator ({}): {why}{complaint}; removing that environment installs it anew",
                    self.python.display()
                )))
            }
        }
    }
}

/// What an answer says.
fn judge(mut answer: Value) -> Result<Value, ExpandError> {
    if let Some(template) = answer.get_mut("template") {
        return Ok(template.take());
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    match (text("transform"), text("message")) {
        (Some(transform), Some(message)) => Err(ExpandError::Refused { transform, message }),
        _ => Err(ExpandError::Unasked(format!(
            "AWS's translator answered neither a template nor a refusal: {answer}"
        ))),
    }
}

impl Expand for Expander {
    fn expand(&self, unexpanded: Unexpanded<'_>) -> Result<Value, ExpandError> {
        let pseudo = unexpanded.pseudo;
        let request = json!({
            "template": unexpanded.template,
            "parameters": unexpanded.parameters,
            "pseudo": {
                "region": pseudo.region,
                "partition": pseudo.partition,
                "account": pseudo.account_id,
                "stack_name": pseudo.stack_name,
                "stack_id": pseudo.stack_id,
            },
        });
        let digest = Sha256::new().chain_update(SCRIPT).chain_update(install::EXPAND);
        let digest = hex::encode(digest.chain_update(request.to_string()).finalize());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.known.get(&digest) {
            return known.clone();
        }
        let file = self.kept.as_ref().filter(|_| !has_secrets(unexpanded.template));
        let file = file.map(|dir| dir.join(format!("{digest}.json")));
        let read = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let result = match read.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(template) => Ok(template),
            None => {
                let result = self.ask(&mut inner, &request);
                if let (Some(file), Ok(template)) = (&file, &result) {
                    // A result that cannot be kept is made again.
                    let _ = files::write_whole(file, template.to_string().as_bytes());
                }
                result
            }
        };
        if !matches!(result, Err(ExpandError::Unasked(_))) {
            inner.known.insert(digest, result.clone());
        }
        result
    }
}

/// Whether a parameter's value must not be shown anywhere.
fn has_secrets(template: &Value) -> bool {
    let declared = template.get("Parameters").and_then(Value::as_object);
    declared.into_iter().flatten().any(|(_, parameter)| {
        parameter.get("NoEcho").is_some_and(|no_echo| *no_echo == true || *no_echo == "true")
    })
}

/// The expander that all tests of this crate share; the first one installs what is missing.
#[cfg(test)]
pub(crate) fn shared() -> &'static Arc<Expander> {
    static SHARED: std::sync::OnceLock<Arc<Expander>> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        // A thread of its own: tests may be inside of a runtime.
        let made = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let paths = Paths::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."));
            runtime.block_on(Expander::kept(&paths, &|_| {})).unwrap()
        });
        made.join().unwrap()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use causeway_model::template::{Pseudo, parse};

    fn pseudo() -> Pseudo {
        Pseudo {
            account_id: "222222222222".into(),
            region: "eu-central-1".into(),
            partition: "aws".into(),
            stack_name: "stack".into(),
            stack_id: "arn:stack".into(),
        }
    }

    fn asked(by: &Expander, source: &str, given: &[(&str, &str)]) -> Result<Value, ExpandError> {
        let template = parse(source).unwrap().to_json();
        let parameters: BTreeMap<String, String> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        by.expand(Unexpanded { template: &template, parameters: &parameters, pseudo: &pseudo() })
    }

    fn ids(template: &Value) -> Vec<String> {
        template["Resources"].as_object().unwrap().keys().cloned().collect()
    }

    const FUNCTION: &str = "Transform: AWS::Serverless-2016-10-31\nParameters:\n  Alias: {Type: String}\n  Release: {Type: String, Default: none}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {Runtime: provided.al2023, Handler: bootstrap, CodeUri: s3://b/k, AutoPublishAlias: !Ref Alias, AutoPublishCodeSha256: !Ref Release, Policies: [AmazonS3ReadOnlyAccess]}\n";

    #[test]
    fn a_template_is_expanded_for_its_actual_values() {
        let first = asked(shared(), FUNCTION, &[("Alias", "blue"), ("Release", "1234567890abcdef")]).unwrap();
        assert_eq!(ids(&first), ["F", "FVersion1234567890", "FAliasblue", "FRole"]);
        let role = &first["Resources"]["FRole"]["Properties"]["ManagedPolicyArns"];
        assert!(role.to_string().contains("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"), "{role}");
        let second = asked(shared(), FUNCTION, &[("Alias", "green")]).unwrap();
        assert!(ids(&second).contains(&"FAliasgreen".to_owned()), "{:?}", ids(&second));
    }

    #[test]
    fn loops_come_before_sam() {
        let source = "Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]\nParameters:\n  Names: {Type: CommaDelimitedList}\nResources:\n  Fn::ForEach::Functions:\n    - Name\n    - !Ref Names\n    - F${Name}:\n        Type: AWS::Serverless::Function\n        Properties: {Runtime: provided.al2023, Handler: bootstrap, CodeUri: !Sub 's3://b/${Name}', AutoPublishAlias: live}\n";
        let made = asked(shared(), source, &[("Names", "One, Two")]).unwrap();
        let all = ids(&made);
        for id in ["FOne", "FTwo", "FOneAliaslive", "FTwoRole"] {
            assert!(all.contains(&id.to_owned()), "{all:?}");
        }
        assert_eq!(made["Resources"]["FTwo"]["Properties"]["Code"]["S3Key"], "Two");
    }

    #[test]
    fn a_refusal_is_told_in_the_transforms_words_and_the_next_template_is_expanded() {
        let broken = FUNCTION.replace("CodeUri: s3://b/k, ", "");
        let refused = asked(shared(), &broken, &[("Alias", "live")]).unwrap_err();
        assert_eq!(refused.logical_id(), Some("F"), "{refused}");
        assert!(refused.to_string().starts_with("Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document."), "{refused}");
        let endless = "Transform: AWS::LanguageExtensions\nResources:\n  Fn::ForEach::X: [A, B]\n";
        let refused = asked(shared(), endless, &[]).unwrap_err();
        assert!(
            refused.to_string().starts_with("Transform AWS::LanguageExtensions failed with: "),
            "{refused}"
        );
        assert!(asked(shared(), FUNCTION, &[("Alias", "live")]).is_ok());
    }

    #[test]
    fn a_translator_that_does_not_run_is_named() {
        for program in ["/nonexistent/python", "/bin/false", "/bin/cat"] {
            let expander = Expander::of(PathBuf::from(program), None);
            let error = asked(&expander, FUNCTION, &[("Alias", "x")]).unwrap_err();
            // `cat` ends at once, since it knows no -I, and says so.
            let said = if program == "/bin/cat" { "); removing" } else { "" };
            assert!(
                matches!(&error, ExpandError::Unasked(why) if why.contains(program) && why.contains(said)),
                "{error}"
            );
        }
    }

    #[test]
    fn results_are_kept_where_no_value_is_secret() {
        let dir = tempfile::tempdir().unwrap();
        let python = shared().python.clone();
        let kept = || std::fs::read_dir(dir.path()).unwrap().count();
        let keeping = Expander::of(python, Some(dir.path().to_path_buf()));
        let secret = FUNCTION.replace("Alias: {Type: String}", "Alias: {Type: String, NoEcho: true}");
        let made = asked(&keeping, &secret, &[("Alias", "live")]).unwrap();
        assert_eq!(kept(), 0);
        let same = asked(&keeping, FUNCTION, &[("Alias", "live")]).unwrap();
        assert_eq!((kept(), ids(&made)), (1, ids(&same)));
        // What is kept needs no translator.
        let idle = Expander::of(PathBuf::from("/nonexistent/python"), Some(dir.path().to_path_buf()));
        assert_eq!(asked(&idle, FUNCTION, &[("Alias", "live")]).unwrap(), same);
    }
}
