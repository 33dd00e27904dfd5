//! A failure as the user reads it: what failed, on what, why, and what to do next.
//!
//! Commands return `anyhow::Error`; where the way to exit matters, the error carries a [`Fault`].

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use super::verdict::{ExitCode, Verdict};

/// Why a command ends, in the terms of the exit code table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something was tried and did not work.
    #[default]
    Failed,
    /// The command line, a configuration file, or a tool that is missing.
    Usage,
    /// No credentials, expired credentials, or the wrong account.
    Credentials,
    /// Deployed, then rolled back.
    RolledBack,
    /// Waiting for a person or for another run.
    Stuck,
    /// Not settled within its time; it may still be running.
    TimedOut,
    /// Ctrl-C or a termination signal.
    Interrupted,
}

impl Kind {
    /// The exit code of this kind.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Kind::Failed => ExitCode::Failed,
            Kind::Usage => ExitCode::Usage,
            Kind::Credentials => ExitCode::Credentials,
            Kind::RolledBack => ExitCode::RolledBack,
            Kind::Stuck => ExitCode::Stuck,
            Kind::TimedOut => ExitCode::TimedOut,
            Kind::Interrupted => ExitCode::Interrupted,
        }
    }

    /// The verdict that goes with this kind.
    pub fn verdict(self) -> Verdict {
        match self {
            Kind::Failed | Kind::Usage | Kind::Credentials => Verdict::Failed,
            Kind::RolledBack => Verdict::RolledBack,
            Kind::Stuck => Verdict::Stuck,
            Kind::TimedOut => Verdict::TimedOut,
            Kind::Interrupted => Verdict::Interrupted,
        }
    }
}

/// One failure. All four texts are lowercase fragments without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// How the command ends because of it.
    #[serde(skip)]
    pub kind: Kind,
    /// Whether `what` is a fact, as in "2 checks failed", and no act.
    #[serde(skip)]
    pub is_fact: bool,
    /// What failed: an act, as in "deploy the stack", or a fact.
    pub what: String,
    /// The object it failed on: a stack, a file, a command.
    pub on: String,
    /// The reason as far as it is known; never a parameter value or a secret.
    pub why: String,
    /// What to do next.
    pub next: String,
}

impl Fault {
    /// A fault of the given kind; the reason and the next step are added with [`Fault::why`] and [`Fault::next`].
    pub fn new(kind: Kind, what: impl Into<String>, on: impl Into<String>) -> Self {
        let (what, on) = (what.into(), on.into());
        Self { kind, is_fact: false, what, on, why: String::new(), next: String::new() }
    }

    /// A fact in place of an act that did not work: "2 checks failed".
    pub fn fact(kind: Kind, fact: impl Into<String>, on: impl Into<String>) -> Self {
        Self { is_fact: true, ..Self::new(kind, fact, on) }
    }

    /// What happened, as a sentence: "2 checks failed", "could not deploy the stack".
    pub fn title(&self) -> String {
        if self.is_fact { self.what.clone() } else { format!("could not {}", self.what) }
    }

    /// A fault of kind [`Kind::Failed`].
    pub fn failed(what: impl Into<String>, on: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what, on)
    }

    /// A fault of kind [`Kind::Usage`].
    pub fn usage(what: impl Into<String>, on: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what, on)
    }

    /// Adds the reason.
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// Adds what to do next.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

/// With the title, which is made of the rest: whoever shows a fault has the same words.
impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Fault", 5)?;
        for (name, value) in
            [("what", &self.what), ("on", &self.on), ("why", &self.why), ("next", &self.next)]
        {
            fields.serialize_field(name, value)?;
        }
        fields.serialize_field("title", &self.title())?;
        fields.end()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title())?;
        if !self.on.is_empty() {
            write!(f, ": {}", self.on)?;
        }
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A fault whose kind is kept, for where one process tells another: what a reader gets of a fault has no kind.
pub mod with_kind {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{Fault, Kind};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(fault: &Fault, serializer: S) -> Result<S::Ok, S::Error> {
        (fault.kind, fault.is_fact, fault).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is there is no fault with its kind.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fault, D::Error> {
        let (kind, is_fact, fault) = <(Kind, bool, Fault)>::deserialize(deserializer)?;
        Ok(Fault { kind, is_fact, ..fault })
    }
}

/// The fault inside an error: its own where one is in the chain, else one made of the chain.
///
/// The outermost context becomes `what`; everything below it becomes `why`.
pub fn from_error(error: &anyhow::Error) -> Fault {
    if let Some(fault) = error.chain().find_map(|cause| cause.downcast_ref::<Fault>()) {
        return fault.clone();
    }
    let mut chain = error.chain().map(ToString::to_string);
    let what = chain.next().unwrap_or_default();
    let why: Vec<String> = chain.collect();
    Fault::failed(what, "").why(why.join(": "))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_fault_inside_the_chain_is_found() {
        let inner = Fault::new(Kind::Stuck, "use the connection", "causeway")
            .why("it is PENDING")
            .next("open the console");
        let error = Err::<(), _>(anyhow::Error::new(inner.clone())).context("bootstrap").unwrap_err();
        assert_eq!(from_error(&error), inner);
        assert_eq!(from_error(&error).kind.exit_code(), ExitCode::Stuck);
    }

    #[test]
    fn the_kind_goes_along_between_processes_and_not_to_a_reader() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Told(#[serde(with = "with_kind")] Fault);
        for fault in [
            Fault::new(Kind::RolledBack, "deploy", "s").why("w").next("n"),
            Fault::fact(Kind::Failed, "2 checks failed", "s"),
        ] {
            let told = Told(fault);
            let text = serde_json::to_string(&told).unwrap();
            assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
        }
        let told = Told(Fault::new(Kind::RolledBack, "deploy", "s"));
        assert!(!serde_json::to_string(&told.0).unwrap().contains("rolled-back"));
    }

    #[test]
    fn a_plain_error_becomes_one() {
        let error = anyhow::anyhow!("connection refused").context("describe the stack");
        let fault = from_error(&error);
        assert_eq!((fault.what.as_str(), fault.why.as_str()), ("describe the stack", "connection refused"));
        assert_eq!(fault.to_string(), "could not describe the stack: connection refused");
    }
}
