//! What stands in a cloud of a project, so that two clouds can be compared: stacks, templates, change sets, tags, protection,
//! roles with their trust, rights and boundaries, keys, buckets and what lies in them.
//!
//! Leaves of answers are compared, without what is new in every run: times, and ids that a service makes up.

use std::collections::BTreeSet;

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;
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

/// Looks at everything of a project.
///
/// # Errors
/// The cloud does not answer.
pub(super) async fn look(roots: &Roots, config: &Config, project: &str) -> anyhow::Result<Snapshot> {
    let mut looker = Looker { roots, project, found: Snapshot::new() };
    for instance in config.instances(DeployedBy::Bootstrap) {
        let id = config.accounts.get(&instance.account).map(|account| account.id.clone()).unwrap_or_default();
        let stack = format!("{project}-{}", instance.stack);
        for action in ["DescribeStacks", "GetTemplate", "ListStackResources"] {
            looker.query(&id, "cloudformation", action, &[("StackName", &stack)]).await?;
        }
    }
    for instance in config.instances(DeployedBy::Bootstrap) {
        let id = config.accounts.get(&instance.account).map(|account| account.id.clone()).unwrap_or_default();
        looker.change_sets(&id, &format!("{project}-{}", instance.stack)).await?;
    }
    for account in config.accounts.values() {
        looker.roles(&account.id).await?;
        looker.buckets(&account.id).await?;
        looker.keys(&account.id).await?;
    }
    Ok(looker.found)
}

struct Looker<'a> {
    roots: &'a Roots,
    project: &'a str,
    found: Snapshot,
}

impl Looker<'_> {
    async fn ask(&self, account: &str, call: Call) -> anyhow::Result<String> {
        Ok(self.roots.send(account, &call).await?.1)
    }

    /// An answer to a question that is always allowed: a refusal would be taken for an empty list.
    async fn listed(&self, account: &str, call: Call) -> anyhow::Result<String> {
        let (status, text) = self.roots.send(account, &call).await?;
        anyhow::ensure!((200..300).contains(&status), "the local cloud refused to list: {status} {text}");
        Ok(text)
    }

    fn keep(&mut self, place: &str, leaves: Vec<(String, String)>) {
        let place = settled(place, self.project);
        for (name, value) in leaves.into_iter().filter(|(name, _)| !is_new_each_time(name)) {
            let value = decoded(&value);
            // A document in a leaf has leaves of its own; their order says nothing.
            let document = serde_json::from_str::<Value>(&value).ok().filter(Value::is_object);
            let all = document.map_or_else(|| vec![(String::new(), value)], |json| of_json(&json));
            for (within, value) in all {
                self.found.insert(format!("{place} {name} {within}: {}", settled(&value, self.project)));
            }
        }
    }

    async fn query(
        &mut self,
        account: &str,
        service: &'static str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let text = self.ask(account, query(service, action, fields)).await?;
        let of: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
        self.keep(&format!("{account} {action} {}", of.join(" ")), leaves(&text));
        Ok(text)
    }

    /// Change sets that could still be executed. One that was is history, whether or not somebody removed it.
    async fn change_sets(&mut self, account: &str, stack: &str) -> anyhow::Result<()> {
        let text =
            self.ask(account, query("cloudformation", "ListChangeSets", &[("StackName", stack)])).await?;
        let open =
            values(&text, "ExecutionStatus").into_iter().filter(|status| status == "AVAILABLE").count();
        let stack = settled(stack, self.project);
        self.found.insert(format!("{account} {stack}: {open} change sets can be executed"));
        Ok(())
    }

    async fn roles(&mut self, account: &str) -> anyhow::Result<()> {
        let text = self.listed(account, query("iam", "ListRoles", &[("MaxItems", "1000")])).await?;
        for role in self.ours(&text, "RoleName") {
            self.query(account, "iam", "GetRole", &[("RoleName", &role)]).await?;
            self.query(account, "iam", "ListAttachedRolePolicies", &[("RoleName", &role)]).await?;
            let policies = self.query(account, "iam", "ListRolePolicies", &[("RoleName", &role)]).await?;
            for policy in values(&policies, "member") {
                let fields = [("RoleName", role.as_str()), ("PolicyName", policy.as_str())];
                self.query(account, "iam", "GetRolePolicy", &fields).await?;
            }
        }
        let local = [("Scope", "Local"), ("MaxItems", "1000")];
        let text = self.listed(account, query("iam", "ListPolicies", &local)).await?;
        for arn in self.ours(&text, "Arn") {
            let text = self.ask(account, query("iam", "GetPolicy", &[("PolicyArn", &arn)])).await?;
            let version = values(&text, "DefaultVersionId").into_iter().next().unwrap_or_default();
            let fields = [("PolicyArn", arn.as_str()), ("VersionId", version.as_str())];
            let text = self.ask(account, query("iam", "GetPolicyVersion", &fields)).await?;
            self.keep(&format!("{account} policy {arn}"), leaves(&text));
        }
        Ok(())
    }

    async fn buckets(&mut self, account: &str) -> anyhow::Result<()> {
        let text = self.listed(account, get("/")).await?;
        for bucket in self.ours(&text, "Name") {
            for part in ["?policy", "?versioning", "?tagging", "?encryption", "?lifecycle", "?versions"] {
                let text = self.ask(account, get(&format!("/{bucket}{part}"))).await?;
                let found = serde_json::from_str(&text).map_or_else(|_| leaves(&text), |json| of_json(&json));
                self.keep(&format!("{account} bucket {bucket}{part}"), found);
            }
        }
        Ok(())
    }

    /// Keys have no name that anybody gave them: ours are those whose policy or description names the project.
    async fn keys(&mut self, account: &str) -> anyhow::Result<()> {
        let text = self.listed(account, kms("ListKeys", &serde_json::json!({"Limit": 1000}))).await?;
        let all: Value = serde_json::from_str(&text).context("read KMS's answer")?;
        let mut ours = Vec::new();
        for key in all["Keys"].as_array().into_iter().flatten() {
            let id = key["KeyId"].clone();
            let about = self.ask(account, kms("DescribeKey", &serde_json::json!({"KeyId": id}))).await?;
            let policy = serde_json::json!({"KeyId": id, "PolicyName": "default"});
            let policy = self.ask(account, kms("GetKeyPolicy", &policy)).await?;
            if about.contains(self.project) || policy.contains(self.project) {
                ours.push((about, policy));
            }
        }
        self.found.insert(format!("{account} keys: {}", ours.len()));
        for (about, policy) in ours {
            for text in [about, policy] {
                let json: Value = serde_json::from_str(&text).context("read KMS's answer")?;
                self.keep(&format!("{account} key"), of_json(&json));
            }
        }
        Ok(())
    }

    /// The values of an element that belong to the project.
    fn ours(&self, text: &str, name: &str) -> Vec<String> {
        values(text, name).into_iter().filter(|value| value.contains(self.project)).collect()
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
    let Ok(mut root) = Element::parse(text) else { return vec![(String::new(), text.to_owned())] };
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
fn settled(text: &str, project: &str) -> String {
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
        // A suffix may happen to have digits alone; an account's id has twelve.
        let is_suffix = word.len() == 8 && digits == 8;
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
