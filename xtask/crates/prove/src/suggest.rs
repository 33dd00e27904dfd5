//! What the roles that deploy, and the ceilings of application roles, lack for the templates: statements to paste, each narrow and
//! with its reason.
//!
//! Nothing is suggested that somebody must think about: no action of IAM, STS or AWS Organizations, no administration of keys, and
//! no `*` as a resource unless a condition bounds it. Those are named, and written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::names::{Names, generalized};
use super::needs::Missing;
use super::stack::Stack;
use super::world::{Ground, World};

/// Statements for one role or policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The logical id of the role, or of the managed policy that is a boundary.
    pub of: String,
    /// Its template.
    pub file: String,
    /// The line it begins on.
    pub line: usize,
    /// Why: one sentence for each statement.
    pub reasons: Vec<String>,
    /// The statements as they are pasted behind the others of its policy.
    pub yaml: String,
}

/// What is suggested, and what is left to a person.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Suggested {
    /// By role or policy.
    pub statements: Vec<Suggestion>,
    /// Rights that are lacking and are never suggested.
    pub by_hand: Vec<String>,
}

/// A statement to be: what it is on, and under which conditions.
type Key = (String, BTreeMap<String, Vec<String>>);

#[derive(Default)]
struct Rights {
    actions: BTreeSet<String>,
    reasons: BTreeSet<String>,
}

/// Statements for everything that is missing.
pub(super) fn of(ground: &Ground<'_>, world: &World, missing: &[Missing]) -> Suggested {
    let mut out = Suggested::default();
    let mut by_hand = BTreeSet::new();
    let mut all: BTreeMap<(String, usize, String, bool), BTreeMap<Key, Rights>> = BTreeMap::new();
    for one in missing {
        let place = target(ground, world, one);
        let (Some((file, line, of, managed, holder)), false) = (place, one.denied) else {
            by_hand.insert(format!("{} on {} for {}: {}", one.action, one.on, one.who, one.by));
            continue;
        };
        if is_for_people(&one.action) || (one.on == "*" && one.with.is_empty()) {
            by_hand.insert(format!("{} on {} for {}: {of} ({file}:{line})", one.action, one.on, one.who));
            continue;
        }
        let Some(deployed) = world.stacks.get(one.stack) else { continue };
        let write = |text: &String| written(ground, text, holder, deployed);
        let with = one.with.iter().map(|(key, values)| (key.clone(), values.iter().map(write).collect()));
        let key: Key = (write(&one.on), with.collect());
        let rights = all.entry((file, line, of, managed)).or_default().entry(key).or_default();
        rights.actions.insert(one.action.clone());
        let what = one.resource.split(" of ").next().unwrap_or_default();
        rights.reasons.insert(match one.handler {
            "use" => {
                format!("{what} may do it by {}:{}, and its boundary lets it through", one.file, one.line)
            }
            _ => format!("CloudFormation deploys {what}, {}:{}", one.file, one.line),
        });
    }
    for ((file, line, of, managed), statements) in all {
        let mut yaml = String::new();
        let mut reasons = Vec::new();
        let indent = " ".repeat(if managed { 10 } else { 14 });
        for (number, ((on, with), rights)) in statements.iter().enumerate() {
            let reason = rights.reasons.iter().cloned().collect::<Vec<_>>().join("; ");
            statement(&mut yaml, &indent, number + 1, on, with, rights, &reason);
            reasons.push(reason);
        }
        out.statements.push(Suggestion { of, file, line, reasons, yaml });
    }
    out.by_hand = by_hand.into_iter().collect();
    out
}

fn statement(
    yaml: &mut String,
    indent: &str,
    number: usize,
    on: &str,
    with: &BTreeMap<String, Vec<String>>,
    rights: &Rights,
    reason: &str,
) {
    let service =
        rights.actions.iter().next().and_then(|action| action.split(':').next()).unwrap_or_default();
    let sid: String = service.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut line = |text: String| {
        let _ = writeln!(yaml, "{indent}{text}");
    };
    line(format!("# {reason}."));
    line(format!("- Sid: Suggested{sid}{number}"));
    line("  Effect: Allow".to_owned());
    line("  Action:".to_owned());
    for action in &rights.actions {
        line(format!("    - {action}"));
    }
    line(format!("  Resource: {}", quoted(on)));
    if !with.is_empty() {
        line("  Condition:".to_owned());
    }
    for (operator, is_arn) in [("ArnLike", true), ("StringEquals", false)] {
        let those: Vec<_> = with
            .iter()
            .filter(|(_, values)| values.iter().all(|value| value.starts_with("arn:")) == is_arn)
            .collect();
        if !those.is_empty() {
            line(format!("    {operator}:"));
        }
        for (key, values) in those {
            line(format!("      {key}:"));
            for value in values {
                line(format!("        - {}", quoted(value)));
            }
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains("${") { format!("!Sub '{text}'") } else { format!("'{text}'") }
}

/// What is never suggested, whatever lacks it.
fn is_for_people(action: &str) -> bool {
    let (service, name) = action.split_once(':').unwrap_or((action, ""));
    match service {
        "iam" | "sts" | "organizations" => true,
        "kms" => {
            !["Decrypt", "DescribeKey", "Encrypt"].contains(&name)
                && !name.starts_with("GenerateDataKey")
                && !name.starts_with("ReEncrypt")
        }
        _ => name.is_empty() || name == "*",
    }
}

/// Where a right belongs: file, line, logical id, whether it is a managed policy, and its stack.
fn target<'w>(
    ground: &Ground<'_>,
    world: &'w World,
    one: &Missing,
) -> Option<(String, usize, String, bool, &'w Stack)> {
    let role = world.roles.get(&one.role)?;
    if one.handler != "use" {
        let stack = world.stacks.get(role.stack)?;
        let resource = stack.resources.get(&role.id)?;
        return Some((stack.template.file.clone(), resource.line, role.id.clone(), false, stack));
    }
    let boundary = role.boundary.as_deref()?;
    world.stacks.iter().find_map(|stack| {
        let names = Names::new(stack, ground.types);
        let resource = stack.resources.values().find(|resource| {
            resource.kind == "AWS::IAM::ManagedPolicy"
                && names.reference(resource, None).is_ok_and(|arn| arn == boundary)
        })?;
        Some((stack.template.file.clone(), resource.line, resource.id.clone(), true, stack))
    })
}

/// An ARN as the template of the role would write it: its own account, region and partition, names by parameters, and what
/// CloudFormation makes up as `*`.
fn written(ground: &Ground<'_>, text: &str, holder: &Stack, deployed: &Stack) -> String {
    let project = &ground.config.project;
    let parameter = |value: &str| {
        let found = holder.parameters.iter().find(|(_, known)| known.as_str() == Some(value));
        found.map_or_else(|| value.to_owned(), |(name, _)| format!("${{{name}}}"))
    };
    let usual = ground.config.stacks.iter().any(|stack| {
        let instance =
            causeway_model::config::Instance { stack: stack.name.clone(), account: deployed.account.clone() };
        ground.config.stack_name(&instance) == deployed.name()
    });
    let rest = deployed.name().strip_prefix(project.as_str()).unwrap_or_default();
    let name = if usual {
        let rest = match rest.strip_suffix(&format!("-{}", deployed.account)) {
            Some(rest) => format!("{rest}-{}", parameter(&deployed.account)),
            None => rest.to_owned(),
        };
        format!("{}{rest}", parameter(project))
    } else {
        // Whose stack it is stands at the end of its name.
        format!("{}{}-*", parameter(project), rest.rsplit_once('-').map_or(rest, |(head, _)| head))
    };
    let text = generalized(text).replace(deployed.name(), &name);
    if !text.starts_with("arn:") {
        return text;
    }
    let mut parts: Vec<String> = text.splitn(6, ':').map(ToOwned::to_owned).collect();
    for (at, own, made) in [
        (1, &holder.pseudo.partition, "${AWS::Partition}"),
        (3, &holder.pseudo.region, "${AWS::Region}"),
        (4, &holder.pseudo.account_id, "${AWS::AccountId}"),
    ] {
        if let Some(part) = parts.get_mut(at).filter(|part| *part == own) {
            made.clone_into(part);
        }
    }
    parts.join(":")
}
