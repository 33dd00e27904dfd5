//! Isolated stacks: a developer's own copy of the application. What they are called, how long they live, and what a
//! deployment of one would change, told from templates alone.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::Value;

use super::changeset::{Change, sorted};
use super::config::{Config, Instance, Names, Parameter};
use super::difference;
use super::template::{Pseudo, Scope};

/// The longest name: `<project>-isolated-<name>-<function>` fits Lambda's limit then, whatever the project.
const MAX_NAME: usize = 25;
/// Lambda's limit for a function's name ("CreateFunction").
const MAX_FUNCTION: usize = 64;
/// The longest value of a tag that we write; AWS takes 256 characters ("Tag naming limits and requirements").
const MAX_TAG: usize = 64;

/// The tag that says after which day a stack may go. A stack's tags are those of its resources, so it is a whole day: with
/// a time every deployment would change every resource.
pub const EXPIRES: &str = "causeway:expires";
/// The tag that says whose stack it is.
pub const OWNER: &str = "causeway:owner";

/// The parameters that make an application stack an isolated one: no hooks, a plain alias that CodeDeploy leaves alone, and
/// the ceiling that reaches isolated stacks alone. With that ceiling the template makes no access log either.
pub const PARAMETERS: [(&str, &str); 4] = [
    ("Hooks", "false"),
    ("CodeDeploy", "false"),
    ("DeploymentPreference", "AllAtOnce"),
    ("Boundary", "isolated-boundary"),
];

/// What no rule of the shared account can prevent, for whoever deploys an isolated stack there.
///
/// Source: "How API Gateway resources, actions and condition keys are used for management APIs": neither what is below an
/// HTTP API nor `/tags` has a condition key for the API's tags.
pub const REACH: &str = "whoever deploys isolated stacks can change every HTTP API of this account, the pipeline's \
                                among them; an account of its own for isolated stacks prevents that";

/// The parameter of a bootstrap stack that says whether developers may have stacks in its account.
pub const SWITCH: &str = "IsolatedStacks";

/// The stack's name in AWS. `template` is the app's: its functions are named after their stack.
///
/// # Errors
/// A name that is not made of lowercase letters and digits, or with which some name in AWS would be too long.
pub fn stack_name(names: Names<'_>, name: &str, template: &Value) -> Result<String, String> {
    let right = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !right {
        // A hyphen could make the name of one stack the beginning of another's.
        return Err("it is made of lowercase letters and digits, and begins with a letter".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("it has {} characters; {MAX_NAME} are the most", name.len()));
    }
    let stack = names.isolated_stack(name);
    let longest = function_endings(template).max_by_key(|ending| ending.len()).unwrap_or_default();
    let length = stack.len() + longest.len();
    if length > MAX_FUNCTION {
        return Err(format!(
            "its function {stack}{longest} would have {length} characters; Lambda takes {MAX_FUNCTION}"
        ));
    }
    Ok(stack)
}

/// What the names of the functions that always exist add to the stack's.
fn function_endings(template: &Value) -> impl Iterator<Item = &str> {
    let resources = template.get("Resources").and_then(Value::as_object);
    resources.into_iter().flatten().filter(|(_, resource)| resource.get("Condition").is_none()).filter_map(
        |(_, resource)| {
            resource.pointer("/Properties/FunctionName/Fn::Sub")?.as_str()?.strip_prefix("${AWS::StackName}")
        },
    )
}

/// The target accounts in which developers may have stacks, each with the stack that makes room for them there.
pub fn homes(config: &Config) -> BTreeMap<String, Instance> {
    let mut homes = BTreeMap::new();
    for target in config.targets() {
        let instances = config.stacks.iter().filter(|stack| stack.accounts.iter().any(|name| name == target));
        let instances =
            instances.map(|stack| Instance { stack: stack.name.clone(), account: target.to_owned() });
        let mut open = instances.filter(|instance| {
            config.parameters(instance).get(SWITCH) == Some(&Parameter::Literal("true".to_owned()))
        });
        if let Some(instance) = open.next() {
            homes.insert(target.to_owned(), instance);
        }
    }
    homes
}

/// The day after which a stack may go.
pub fn expiry(today: Date, days: u8) -> Date {
    today.saturating_add(jiff::Span::new().days(i32::from(days)))
}

/// Days until a stack may go, less than none where it is over; `None` where nothing says so.
pub fn days_left(tags: &BTreeMap<String, String>, today: Date) -> Option<i32> {
    let until: Date = tags.get(EXPIRES)?.parse().ok()?;
    today.until(until).ok().map(|span| span.get_days())
}

/// A text that tags take: letters, digits and `+-=._:/@`; anything else becomes a hyphen.
pub fn tag_value(text: &str) -> String {
    let fit = |character: char| {
        if character.is_ascii_alphanumeric() || "+-=._:/@".contains(character) { character } else { '-' }
    };
    text.trim().chars().take(MAX_TAG).map(fit).collect()
}

/// A template with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    /// In long form.
    pub template: &'a Value,
    /// Every parameter that is given.
    pub parameters: &'a BTreeMap<String, String>,
}

impl Filled<'_> {
    /// The resources that exist with these parameters: definition by logical id.
    fn resources(&self) -> BTreeMap<&str, &Value> {
        let parameters = Scope::parameters_of(self.template, self.parameters);
        // No condition of a template can refer to a resource.
        let nowhere = |_: &str, _: Option<&str>| None;
        let pseudo = Pseudo {
            account_id: String::new(),
            region: String::new(),
            partition: "aws".to_owned(),
            stack_name: String::new(),
            stack_id: String::new(),
        };
        let scope =
            Scope { template: self.template, parameters: &parameters, pseudo: &pseudo, resources: &nowhere };
        let all = self.template.get("Resources").and_then(Value::as_object);
        let exists = |resource: &Value| match resource.get("Condition").and_then(Value::as_str) {
            // What cannot be told counts as there, so that nothing is hidden.
            Some(condition) => scope.condition(condition).unwrap_or(true),
            None => true,
        };
        all.into_iter()
            .flatten()
            .filter(|(_, resource)| exists(resource))
            .map(|(id, resource)| (id.as_str(), resource))
            .collect()
    }
}

/// What would change in a stack, as far as templates and parameters tell: whether something must be replaced, only a
/// change set knows.
pub fn changes(before: Option<Filled<'_>>, after: Filled<'_>) -> Vec<Change> {
    let old = before.as_ref().map(Filled::resources).unwrap_or_default();
    let new = after.resources();
    let moved: Vec<&str> = before
        .map(|before| {
            let names = after.parameters.keys().chain(before.parameters.keys()).map(String::as_str);
            names.filter(|name| before.parameters.get(*name) != after.parameters.get(*name)).collect()
        })
        .unwrap_or_default();
    let change = |action: &str, id: &str, resource: &Value| {
        Change::new(action, None, id, resource.get("Type").and_then(Value::as_str).unwrap_or_default())
    };
    let mut all = Vec::new();
    for (id, resource) in &new {
        match old.get(id) {
            None => all.push(change("Add", id, resource)),
            Some(same) if same == resource && !mentions(resource, &moved) => {}
            Some(_) => all.push(change("Modify", id, resource)),
        }
    }
    let gone = old.iter().filter(|(id, _)| !new.contains_key(*id));
    all.extend(gone.map(|(id, resource)| change("Remove", id, resource)));
    if let Some(before) = before {
        difference::tell(&mut all, before, after);
    }
    sorted(all)
}

/// Whether a definition refers to one of these parameters.
fn mentions(definition: &Value, names: &[&str]) -> bool {
    let text = definition.to_string();
    names.iter().any(|name| {
        text.contains(&format!("{{\"Ref\":\"{name}\"}}")) || text.contains(&format!("${{{name}}}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::changeset::Op;
    use super::*;

    fn app() -> Value {
        json!({
            "Conditions": {"HasHooks": {"Fn::Equals": [{"Ref": "Hooks"}, "true"]}},
            "Parameters": {"Hooks": {"Type": "String", "Default": "true"}, "Version": {"Type": "String", "Default": ""}},
            "Resources": {
                "F": {"Type": "AWS::Serverless::Function", "Properties": {"FunctionName": {"Fn::Sub": "${AWS::StackName}-contacts"}, "CodeUri": "s3://b/1"}},
                "Hook": {"Type": "AWS::Serverless::Function", "Condition": "HasHooks", "Properties": {"FunctionName": {"Fn::Sub": "${AWS::StackName}-a-name-that-is-never-used"}, "V": {"Ref": "Version"}}},
                "Table": {"Type": "AWS::DynamoDB::Table"},
                "Said": {"Type": "AWS::SNS::Topic", "Properties": {"Name": {"Fn::Sub": "x-${Version}"}}},
            }
        })
    }

    #[test]
    fn names_fit_and_are_never_the_beginning_of_each_other() {
        let name = |project: &'static str, name: &str| stack_name(Names { project }, name, &app());
        assert_eq!(name("causeway", "ann2"), Ok("causeway-isolated-ann2".to_owned()));
        for bad in ["", "Ann", "2ann", "ann-2", "ann_2", "ä", "-"] {
            assert!(name("causeway", bad).unwrap_err().contains("lowercase"), "{bad}");
        }
        let longest = "a".repeat(25);
        let stack = name("twenty-characters-xx", &longest).unwrap();
        assert_eq!(stack.len() + "-contacts".len(), 64);
        assert!(name("causeway", &"a".repeat(26)).unwrap_err().contains("26 characters; 25"));
        let why = stack_name(
            Names { project: "twenty-characters-xx" },
            &longest,
            &json!({"Resources": {"F": {"Properties": {"FunctionName": {"Fn::Sub": "${AWS::StackName}-longer-than"}}}}}),
        );
        assert!(why.unwrap_err().contains("67 characters; Lambda takes 64"));
    }

    #[test]
    fn a_stack_lives_for_whole_days() {
        let today: Date = "2026-11-25".parse().unwrap();
        let tags = |day: &str| BTreeMap::from([(EXPIRES.to_owned(), day.to_owned())]);
        assert_eq!(expiry(today, 14).to_string(), "2026-12-09");
        let table = [("2026-12-09", Some(14)), ("2026-11-25", Some(0)), ("2026-11-20", Some(-5))];
        for (day, left) in table {
            assert_eq!(days_left(&tags(day), today), left, "{day}");
        }
        assert_eq!(days_left(&tags("soon"), today), None);
        assert_eq!(days_left(&BTreeMap::new(), today), None);
        assert_eq!(tag_value(" Ann O'Neill <ann@x.org> "), "Ann-O-Neill--ann@x.org-");
    }

    #[test]
    fn changes_are_told_from_templates_and_parameters() {
        let without = BTreeMap::from([("Hooks".to_owned(), "false".to_owned())]);
        let template = app();
        let filled = Filled { template: &template, parameters: &without };
        let told = |changes: Vec<Change>| -> Vec<(Op, String)> {
            changes.into_iter().map(|change| (change.op, change.logical_id)).collect()
        };
        let added: Vec<(Op, String)> =
            ["F", "Said", "Table"].map(|id| (Op::Add, id.to_owned())).into_iter().collect();
        assert_eq!(told(changes(None, filled)), added, "without hooks there is no hook");
        assert_eq!(changes(Some(filled), filled), []);

        let mut other = app();
        other["Resources"]["F"]["Properties"]["CodeUri"] = json!("s3://b/2");
        other["Resources"].as_object_mut().unwrap().remove("Table");
        let mut moved = without.clone();
        moved.insert("Version".to_owned(), "2".to_owned());
        let after = Filled { template: &other, parameters: &moved };
        let found = changes(Some(filled), after);
        assert!(found[0].endangers_data());
        let expected =
            [(Op::Remove, "Table".to_owned()), (Op::Modify, "F".to_owned()), (Op::Modify, "Said".to_owned())];
        assert_eq!(told(found), expected);
    }

    #[test]
    fn only_accounts_that_say_so_take_isolated_stacks() {
        let text = include_str!("../../../../cfn/stacks.toml");
        let config = crate::config::parse(text).unwrap();
        let homes = homes(&config);
        let found: Vec<(&str, &str)> =
            homes.iter().map(|(account, home)| (account.as_str(), home.stack.as_str())).collect();
        assert_eq!(found, [("dev", "target-roles")]);
    }
}
