//! What stands in a cloud of a project, so that two clouds can be compared: stacks, templates, change sets, tags, protection,
//! roles with their trust, rights and boundaries, keys, buckets and what lies in them.
//!
//! Leaves of answers are compared, without what is new in every run: times, and ids that a service makes up.

use std::collections::BTreeSet;

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use causeway_model::calls::{self, Call};
use causeway_model::config::{Config, DeployedBy};
use causeway_model::xml::Element;

use super::Roots;

/// What stands: each line is where, and one leaf of what is there.
pub(super) type Snapshot = BTreeSet<String>;

/// The first differences, in words; empty where there is none.
pub(super) fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let missing = expected.difference(found).map(|line| format!("missing: {line}"));
    let more = found.difference(expected).map(|line| format!("not in an undisturbed cloud: {line}"));
    missing.chain(more).collect()
}

/// Looks at everything of a project, in all accounts at once.
///
/// # Errors
/// The cloud does not answer.
pub(super) async fn look(roots: &Roots, config: &Config, project: &str) -> anyhow::Result<Snapshot> {
    let mut running = JoinSet::new();
    for (name, account) in &config.accounts {
        let looker = Looker {
            roots: roots.clone(),
            project: project.to_owned(),
            account: account.id.clone(),
            found: Snapshot::new(),
        };
        let instances = config.instances(DeployedBy::Bootstrap).into_iter();
        let own = instances.filter(|instance| instance.account == *name);
        running.spawn(looker.all(own.map(|instance| format!("{project}-{}", instance.stack)).collect()));
    }
    let mut found = Snapshot::new();
    while let Some(joined) = running.join_next().await {
        found.extend(joined??);
    }
    Ok(found)
}

/// Looks at one account.
struct Looker {
    roots: Roots,
    project: String,
    account: String,
    found: Snapshot,
}

impl Looker {
    async fn all(mut self, stacks: Vec<String>) -> anyhow::Result<Snapshot> {
        for stack in &stacks {
            for action in ["DescribeStacks", "GetTemplate", "ListStackResources"] {
                self.query("cloudformation", action, &[("StackName", stack)]).await?;
            }
            self.change_sets(stack).await?;
        }
        self.roles().await?;
        self.buckets().await?;
        self.keys().await?;
        Ok(self.found)
    }

    async fn ask(&self, call: Call) -> anyhow::Result<String> {
        Ok(self.roots.send(&self.account, &call).await?.1)
    }

    /// An answer to a question that is always allowed: a refusal would be taken for an empty list.
    async fn listed(&self, call: Call) -> anyhow::Result<String> {
        let (status, text) = self.roots.send(&self.account, &call).await?;
        anyhow::ensure!((200..300).contains(&status), "the local cloud refused to list: {status} {text}");
        Ok(text)
    }

    fn keep(&mut self, place: &str, leaves: Vec<(String, String)>) {
        let place = settled(&format!("{} {place}", self.account), &self.project);
        for (name, value) in leaves.into_iter().filter(|(name, _)| !is_new_each_time(name)) {
            let value = decoded(&value);
            // A document in a leaf has leaves of its own; their order says nothing.
            let document = serde_json::from_str::<Value>(&value).ok().filter(Value::is_object);
            let all = document.map_or_else(|| vec![(String::new(), value)], |json| of_json(&json));
            for (within, value) in all {
                self.found.insert(format!("{place} {name} {within}: {}", settled(&value, &self.project)));
            }
        }
    }

    async fn query(
        &mut self,
        service: &'static str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let text = self.ask(query(service, action, fields)).await?;
        let of: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
        self.keep(&format!("{action} {}", of.join(" ")), leaves(&text));
        Ok(text)
    }

    /// Change sets that could still be executed. One that was is history, whether or not somebody removed it.
    async fn change_sets(&mut self, stack: &str) -> anyhow::Result<()> {
        let text = self.ask(query("cloudformation", "ListChangeSets", &[("StackName", stack)])).await?;
        let open =
            values(&text, "ExecutionStatus").into_iter().filter(|status| status == "AVAILABLE").count();
        let stack = settled(stack, &self.project);
        self.found.insert(format!("{} {stack}: {open} change sets can be executed", self.account));
        Ok(())
    }

    /// Roles and policies: one call has nearly all of them, but neither boundaries nor descriptions.
    async fn roles(&mut self) -> anyhow::Result<()> {
        let text = self.listed(query("iam", "GetAccountAuthorizationDetails", &[])).await?;
        let root = Element::parse(&text).context("read IAM's answer")?;
        let mut names = Vec::new();
        for (list, name) in [("RoleDetailList", "RoleName"), ("Policies", "Arn")] {
            let path = ["GetAccountAuthorizationDetailsResult", list];
            let ours = root.all(&path).iter().filter(|one| one.text_at(&[name]).contains(&self.project));
            for one in ours.cloned().collect::<Vec<_>>() {
                let text = one.text_at(&[name]).to_owned();
                self.keep(&format!("{list} {text}"), of_element(one));
                names.extend((name == "RoleName").then_some(text));
            }
        }
        for name in names {
            self.query("iam", "GetRole", &[("RoleName", &name)]).await?;
        }
        Ok(())
    }

    async fn buckets(&mut self) -> anyhow::Result<()> {
        let text = self.listed(get("/")).await?;
        for bucket in self.ours(&text, "Name") {
            for part in ["?policy", "?versioning", "?tagging", "?encryption", "?lifecycle", "?versions"] {
                let text = self.ask(get(&format!("/{bucket}{part}"))).await?;
                let found = serde_json::from_str(&text).map_or_else(|_| leaves(&text), |json| of_json(&json));
                self.keep(&format!("bucket {bucket}{part}"), found);
            }
        }
        Ok(())
    }

    /// Keys have no name that anybody gave them: ours are those whose policy or description names the project.
    async fn keys(&mut self) -> anyhow::Result<()> {
        let text = self.listed(kms("ListKeys", &serde_json::json!({"Limit": 1000}))).await?;
        let all: Value = serde_json::from_str(&text).context("read KMS's answer")?;
        let mut ours = Vec::new();
        for key in all["Keys"].as_array().into_iter().flatten() {
            let id = key["KeyId"].clone();
            let about = self.ask(kms("DescribeKey", &serde_json::json!({"KeyId": id}))).await?;
            let policy = serde_json::json!({"KeyId": id, "PolicyName": "default"});
            let policy = self.ask(kms("GetKeyPolicy", &policy)).await?;
            if about.contains(&self.project) || policy.contains(&self.project) {
                ours.push((about, policy));
            }
        }
        self.found.insert(format!("{} keys: {}", self.account, ours.len()));
        for (about, policy) in ours {
            for text in [about, policy] {
                let json: Value = serde_json::from_str(&text).context("read KMS's answer")?;
                self.keep("key", of_json(&json));
            }
        }
        Ok(())
    }

    /// The values of an element that belong to the project.
    fn ours(&self, text: &str, name: &str) -> Vec<String> {
        values(text, name).into_iter().filter(|value| value.contains(&self.project)).collect()
    }
}

fn query(service: &'static str, action: &str, fields: &[(&str, &str)]) -> Call {
    let version = if service == "iam" { "2010-05-08" } else { "2010-05-15" };
    calls::query(service, version, action, fields)
}

fn get(path: &str) -> Call {
    Call { service: "s3", method: "GET", path: path.to_owned(), headers: Vec::new(), body: String::new() }
}

fn kms(action: &str, body: &Value) -> Call {
    calls::target("kms", format!("TrentService.{action}"), "1.1", body)
}

/// The leaves of a document: each innermost element and its text. What is no document is one leaf without a name.
fn leaves(text: &str) -> Vec<(String, String)> {
    let Ok(root) = Element::parse(text) else { return vec![(String::new(), text.to_owned())] };
    of_element(root)
}

fn of_element(mut root: Element) -> Vec<(String, String)> {
    let mut found = Vec::new();
    root.visit(&mut |element| {
        if element.children.is_empty() {
            found.push((element.name.clone(), element.text.clone()));
        }
    });
    found
}

fn values(text: &str, name: &str) -> Vec<String> {
    leaves(text).into_iter().filter(|(found, _)| found == name).map(|(_, value)| value).collect()
}

fn of_json(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(name, value)| (name.clone(), value))),
            Value::Array(items) => open.extend(items.iter().map(|item| (name.clone(), item))),
            Value::String(text) => found.push((name, text.clone())),
            other => found.push((name, other.to_string())),
        }
    }
    found
}

/// Whether a leaf is another one in every run.
fn is_new_each_time(name: &str) -> bool {
    ["Time", "Date", "LastModified", "ETag", "RequestId", "VersionId", "LastStatus", "StackId", "ChangeSetId"]
        .iter()
        .any(|word| name.contains(word))
        || ["RoleId", "PolicyId", "KeyId", "StackStatusReason", "ResourceStatusReason", "OperationId"]
            .contains(&name)
}

/// A text without the project's name and without made-up ids: what is left is equal in equal clouds. A stack that was
/// created and then changed is as good as one that was created at once.
pub(super) fn settled(text: &str, project: &str) -> String {
    let text = without_uuids(&text.replace(project, "P"))
        .replace("UPDATE_COMPLETE", "COMPLETE")
        .replace("CREATE_COMPLETE", "COMPLETE");
    let mut all = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let digits = word.chars().filter(char::is_ascii_digit).count();
        // A suffix may happen to have digits alone, or letters alone; an account's id has twelve digits.
        let is_suffix = matches!(word.len(), 8 | 13)
            && word.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        let is_made_up = is_suffix
            || word.len() >= 4 && digits > 0 && digits < word.len() && {
                word.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
                    || word.len() >= 8 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            };
        all.push_str(if is_made_up { "*" } else { &word });
        all.push(c);
        word.clear();
    }
    all.pop();
    all
}

/// A text without the ids that are made up as UUIDs, whatever letters and digits they have.
fn without_uuids(text: &str) -> String {
    let (mut all, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_id = rest.get(..Hyphenated::LENGTH).is_some_and(|id| Uuid::try_parse(id).is_ok());
        let length = if is_id { Hyphenated::LENGTH } else { first.len_utf8() };
        all.push_str(if is_id { "*" } else { rest.get(..length).unwrap_or_default() });
        rest = rest.get(length..).unwrap_or_default();
    }
    all
}

/// Policies stand percent-encoded in IAM's answers.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_clouds_are_equal_whatever_ids_they_have() {
        let one =
            "arn:aws:kms:eu-central-1:111111111111:key/3f0e1a2b-1234-4abc-9def-0123456789ab of facade-build";
        let two =
            "arn:aws:kms:eu-central-1:111111111111:key/0a0e1a2c-aaaa-4abd-8def-012345678901 of second-build";
        assert_eq!(settled(one, "facade"), settled(two, "second"));
        assert_ne!(settled("role a of 111111111111", "p"), settled("role a of 222222222222", "p"));
        let letters = "key/abcdefab-abcd-abcd-abcd-abcdefabcdef";
        assert_eq!(settled(letters, "p"), settled("key/01234567-0123-4123-8123-012345678901", "p"));
        assert_eq!(decoded("key%2F0a%3A%zz"), "key/0a:%zz");
        assert_eq!(settled("UPDATE_COMPLETE", "p"), settled("CREATE_COMPLETE", "p"));
        assert_ne!(settled("UPDATE_ROLLBACK_COMPLETE", "p"), settled("CREATE_COMPLETE", "p"));
        let bucket = |suffix: &str| settled(&format!("p-bucket-{suffix}"), "p");
        assert_eq!(bucket("0a1b2c3d"), bucket("12345678"));
        assert_eq!(bucket("0a1b2c3d"), bucket("abcdefab"));
        assert_eq!(bucket("32bdc98aa7a43"), bucket("3265981297043"));
        assert_ne!(bucket("artifact"), bucket("abcdefab"));
        assert_eq!(settled("P-topic-0ABCDEF12", "x"), settled("P-topic-9ABCDEF77", "x"));
    }

    #[test]
    fn leaves_are_innermost_elements() {
        let text = "<A><B>1</B><C x=\"y\">two</C><D><E></E></D></A>";
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(leaves(text), [of("B", "1"), of("C", "two"), of("E", "")]);
        let json = serde_json::json!({"a": [{"b": true}], "c": "x"});
        let found: BTreeSet<_> = of_json(&json).into_iter().collect();
        assert_eq!(found, BTreeSet::from([of("b", "true"), of("c", "x")]));
    }

    #[test]
    fn a_difference_is_told_from_both_sides() {
        let set = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Snapshot>();
        let told = differences(&set(&["a", "b"]), &set(&["b", "c"]));
        assert_eq!(told, ["missing: a", "not in an undisturbed cloud: c"]);
        assert!(differences(&set(&["a"]), &set(&["a"])).is_empty());
    }
}
