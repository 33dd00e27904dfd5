//! Which template stands behind which stack and change set, and which stacks have an operation at work.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::lower::Lowered;
use super::mirror::Code;

/// A template as it was submitted, expanded, and translated for the emulator.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The submitted text.
    pub original: String,
    /// What AWS's transforms make of it for the parameters, in long form.
    pub plain: Value,
    /// Whether it has any transform.
    pub transformed: bool,
    /// Every parameter's value, defaults included.
    pub parameters: BTreeMap<String, String>,
    /// What the emulator got.
    pub lowered: Lowered,
    /// Where the code of its functions is.
    pub code: Code,
}

/// An account's id and a stack's name.
pub(crate) type StackKey = (String, String);

#[derive(Default)]
struct Inner {
    current: HashMap<StackKey, Arc<Record>>,
    attempted: HashMap<StackKey, Arc<Record>>,
    change_sets: HashMap<String, Arc<Record>>,
    busy: HashMap<StackKey, watch::Receiver<bool>>,
}

/// All of it. In memory only: parameter values never reach a disk or a log from here.
#[derive(Default)]
pub struct Ledger(Mutex<Inner>);

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a deployed stack.
    pub fn current(&self, key: &StackKey) -> Option<Arc<Record>> {
        self.inner().current.get(key).cloned()
    }

    /// The records of an account's deployed stacks, by stack.
    pub fn all(&self, account: &str) -> BTreeMap<StackKey, Arc<Record>> {
        let inner = self.inner();
        let own = inner.current.iter().filter(|((owner, _), _)| owner == account);
        own.map(|(key, record)| (key.clone(), Arc::clone(record))).collect()
    }

    /// Sets or removes the record of a deployed stack.
    pub fn set_current(&self, key: &StackKey, record: Option<Arc<Record>>) {
        let mut inner = self.inner();
        match record {
            Some(record) => inner.current.insert(key.clone(), record),
            None => inner.current.remove(key),
        };
    }

    /// What the last operation on a stack was to make of it, whatever came of that: its events are told by it.
    pub fn attempted(&self, key: &StackKey) -> Option<Arc<Record>> {
        self.inner().attempted.get(key).cloned()
    }

    /// An operation begins to make this of a stack.
    pub fn attempt(&self, key: &StackKey, record: &Arc<Record>) {
        self.inner().attempted.insert(key.clone(), Arc::clone(record));
    }

    /// Whether any deployed stack of an account has a function.
    pub fn has_functions(&self, account: &str) -> bool {
        let is_function = |resource: &Value| {
            let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
            kind == "AWS::Lambda::Function"
        };
        let has = |record: &Record| {
            record
                .plain
                .get("Resources")
                .and_then(Value::as_object)
                .is_some_and(|all| all.values().any(is_function))
        };
        self.inner().current.iter().any(|((owner, _), record)| owner == account && has(record))
    }

    /// Remembers the record of a change set under its id, and under account, stack and name.
    pub fn add_change_set(&self, id: &str, key: &StackKey, name: &str, record: Arc<Record>) {
        let mut inner = self.inner();
        inner.change_sets.insert(by_name(key, name), Arc::clone(&record));
        inner.change_sets.insert(id.to_owned(), record);
    }

    /// The record of a change set by its id or its name.
    pub fn change_set(&self, key: &StackKey, name_or_id: &str) -> Option<Arc<Record>> {
        let inner = self.inner();
        inner
            .change_sets
            .get(name_or_id)
            .or_else(|| inner.change_sets.get(&by_name(key, name_or_id)))
            .cloned()
    }

    /// Marks a stack as having an operation at work until the sender says `false` or is dropped.
    pub fn begin(&self, key: &StackKey) -> watch::Sender<bool> {
        let (sender, receiver) = watch::channel(true);
        self.inner().busy.insert(key.clone(), receiver);
        sender
    }

    /// Waits until no operation of ours is at work on a stack.
    pub async fn idle(&self, key: &StackKey) {
        let receiver = self.inner().busy.get(key).cloned();
        if let Some(mut receiver) = receiver {
            // An error means that the operation's task is gone, which is as good as done.
            let _ = receiver.wait_for(|busy| !busy).await;
        }
    }
}

fn by_name(key: &StackKey, name: &str) -> String {
    format!("{}/{}/{name}", key.0, key.1)
}

/// The stack's name from a name or an id (`arn:…:stack/<name>/<uuid>`).
pub(crate) fn stack_name(name_or_id: &str) -> &str {
    match name_or_id.split_once(":stack/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => name_or_id,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn names_come_out_of_ids() {
        assert_eq!(
            stack_name("arn:aws:cloudformation:eu-central-1:1:stack/causeway-app-dev/ab-cd"),
            "causeway-app-dev"
        );
        assert_eq!(stack_name("causeway-app-dev"), "causeway-app-dev");
    }

    #[tokio::test]
    async fn a_finished_or_lost_operation_is_idle() {
        let ledger = Ledger::default();
        let key = ("1".to_owned(), "s".to_owned());
        ledger.idle(&key).await;
        let sender = ledger.begin(&key);
        let mut idle = pin!(ledger.idle(&key));
        let mut unwoken = Context::from_waker(Waker::noop());
        assert!(idle.as_mut().poll(&mut unwoken).is_pending(), "it is at work");
        drop(sender);
        idle.await;
    }
}
