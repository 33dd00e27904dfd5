//! Whose a stack is. Its template says so, under `Metadata.Causeway`: a name alone is anybody's, and a tag would spread to
//! every resource of the stack.

use super::template::{self, Edit, Node};

/// The section of a template that says whose it is.
const SECTION: &str = "Metadata";
/// The key of our mark there.
const MARK: &str = "Causeway";
/// The mark's stack of a developer's own copy of the application.
pub const ISOLATED: &str = "isolated";

/// Whose a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It carries the mark of this project and this stack.
    Ours,
    /// It was made by a version of ours that had no mark yet. It gets one with its next update.
    Before,
    /// It is somebody else's, whatever its name is.
    Stranger,
}

/// Templates of the versions that had no mark: the stack, its description, and the resources that it always had. They were
/// taken from every version of the templates up to 2026-11-28.
const BEFORE: [(&str, &str, &[&str]); 4] = [
    (
        "build-base",
        "Causeway, build account - the artifact key, the artifact bucket and the connection to the repository.",
        &["ArtifactBucket", "ArtifactBucketPolicy", "ArtifactKey", "ArtifactKeyAlias", "Connection"],
    ),
    (
        "target-roles",
        "Causeway, target account - the roles that deploy the application, and the ceiling of the roles it may create.",
        &["ActionRole", "ApiClientRole", "Boundary", "CommonExecutionPolicy", "ExecutionRole"],
    ),
    (
        "pipeline",
        "Causeway, build account - the pipeline, its CodeBuild projects and roles, the approval and the failure notice.",
        &[
            "ApprovalTopic",
            "BuildProject",
            "BuildRole",
            "FailureTopic",
            "Pipeline",
            "PipelineRole",
            "TestProject",
        ],
    ),
    (
        "app",
        "Causeway, target account - the check-in application, shifted to each new version step by step.",
        &["ApiLogGroup", "CheckinFunction", "CheckinRole", "CodeDeployRole", "HttpApi", "Table"],
    ),
];

/// Whose a stack is, by the template that it was made of. `stack` is its name in `cfn/stacks.toml`, or [`ISOLATED`].
pub fn owner(text: &str, project: &str, stack: &str) -> Owner {
    let Ok(root) = template::parse(text) else { return Owner::Stranger };
    if root.at(&[SECTION, MARK]).is_some() {
        return if mark(&root) == Some((project, stack)) { Owner::Ours } else { Owner::Stranger };
    }
    let of = if stack == ISOLATED { "app" } else { stack };
    let was_ours = BEFORE.iter().any(|(name, description, ids)| {
        *name == of
            && root.get("Description").and_then(Node::as_str) == Some(description)
            && ids.iter().all(|id| root.at(&["Resources", id]).is_some())
    });
    if was_ours { Owner::Before } else { Owner::Stranger }
}

/// The project and the stack that a template says it is, where it says both.
pub fn mark(root: &Node) -> Option<(&str, &str)> {
    let says = |key: &str| root.at(&[SECTION, MARK, key])?.as_str();
    says("project").zip(says("stack"))
}

/// Whether a template carries a mark, whosever.
pub fn is_marked(text: &str) -> bool {
    template::parse(text).is_ok_and(|root| root.at(&[SECTION, MARK]).is_some())
}

/// What a stack is, for somebody who expected another one: whose it says it is, its description, its resources.
pub fn told(text: &str) -> String {
    let Ok(root) = template::parse(text) else { return "its template cannot be read".to_owned() };
    let mut parts = Vec::new();
    match root.at(&[SECTION, MARK]) {
        Some(mark) => {
            let says = |key: &str| mark.get(key).and_then(Node::as_str).unwrap_or("?");
            parts.push(format!(
                "its mark says that it is the stack {} of the project {}",
                says("stack"),
                says("project")
            ));
        }
        None => parts.push("its template has no mark of this project (Metadata.Causeway)".to_owned()),
    }
    if let Some(description) = root.get("Description").and_then(Node::as_str) {
        parts.push(format!("its description is \"{}\"", description.trim()));
    }
    let resources = root.get("Resources").map(Node::entries).unwrap_or_default();
    let named = resources.iter().take(MOST).map(|(key, node)| {
        let kind = node.get("Type").and_then(Node::as_str).unwrap_or("no type");
        format!("{} ({kind})", key.name)
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match resources.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    parts.push(format!("it has {named}{more}"));
    parts.join("; ")
}

/// The most resources of a stranger that are named.
const MOST: usize = 5;

/// A template with the mark in it; the rest of its text stays as it is.
///
/// # Errors
/// It cannot be read, or says that it is another project's or stack's.
pub fn marked(text: &str, project: &str, stack: &str) -> Result<String, String> {
    let root = template::parse(text).map_err(|error| format!("line {}: {}", error.line, error.message))?;
    if root.at(&[SECTION, MARK]).is_some() {
        return match owner(text, project, stack) {
            Owner::Ours => Ok(text.to_owned()),
            _ => Err(format!(
                "its Metadata.Causeway says something else than {{project: {project}, stack: {stack}}}; take it out: it is put in when the stack is deployed"
            )),
        };
    }
    let mark = format!(r#""{MARK}": {{"project": "{project}", "stack": "{stack}"}}"#);
    let is_flow = |node: &Node| text.get(node.span.clone()).is_some_and(|own| own.starts_with('{'));
    let (at, yaml) = match root.get(SECTION) {
        Some(section) if is_flow(section) => {
            let comma = if section.entries().is_empty() { "" } else { ", " };
            (section.span.start + 1, format!("{mark}{comma}"))
        }
        Some(section) => match section.entries().first() {
            Some((key, _)) => {
                let start = line_start(text, key.line);
                let row = text.get(start..).unwrap_or_default();
                let indent: String = row.chars().take_while(|c| *c == ' ').collect();
                (start, format!("{indent}{MARK}: {{project: {project}, stack: {stack}}}\n"))
            }
            None => return Err("its Metadata is no mapping".to_owned()),
        },
        None if is_flow(&root) => {
            let comma = if root.entries().is_empty() { "" } else { ", " };
            (root.span.start + 1, format!(r#""{SECTION}": {{{mark}}}{comma}"#))
        }
        None => {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            (text.len(), format!("{end}{SECTION}:\n  {MARK}: {{project: {project}, stack: {stack}}}\n"))
        }
    };
    let marked = template::apply(text, vec![Edit::insert(at, yaml)])?;
    // However it was written: it is what it was, and has the mark.
    let again = template::parse(&marked).map(|again| again.to_json());
    let mut wanted = root.to_json();
    wanted[SECTION][MARK] = serde_json::json!({"project": project, "stack": stack});
    match again {
        Ok(again) if again == wanted => Ok(marked),
        _ => Err("the mark Metadata.Causeway finds no place in it; write its sections as a block".to_owned()),
    }
}

/// The byte at which a line begins, counted from 1.
fn line_start(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 4] = [
        ("build-base", include_str!("../../../../cfn/build-base.yaml")),
        ("target-roles", include_str!("../../../../cfn/target-roles.yaml")),
        ("pipeline", include_str!("../../../../cfn/pipeline.yaml")),
        ("app", include_str!("../../../../cfn/app.yaml")),
    ];

    #[test]
    fn stacks_of_before_are_known_by_description_and_resources_together() {
        for (stack, text) in FILES {
            assert_eq!(owner(text, "acme", stack), Owner::Before, "{stack}");
            // As one that was too large for a request was submitted.
            let json = template::parse(text).unwrap().to_json().to_string();
            assert_eq!(owner(&json, "acme", stack), Owner::Before, "{stack}");
            let (_, _, ids) = BEFORE.iter().find(|(name, ..)| *name == stack).unwrap();
            for id in *ids {
                let without = text.replace(&format!("\n  {id}:\n"), "\n  Other:\n");
                assert_ne!(without, text, "{stack} {id}");
                assert_eq!(owner(&without, "acme", stack), Owner::Stranger, "{stack} {id}");
            }
            assert_eq!(
                owner(&text.replacen("Description: Causeway", "Description: Other", 1), "acme", stack),
                Owner::Stranger
            );
            for (other, _) in FILES.iter().filter(|(other, _)| *other != stack) {
                assert_eq!(owner(text, "acme", other), Owner::Stranger, "{stack} is no {other}");
            }
        }
        assert_eq!(owner(FILES[3].1, "acme", ISOLATED), Owner::Before);
        for stranger in ["Resources: {Data: {Type: AWS::DynamoDB::Table}}", "", "[", "{}"] {
            assert_eq!(owner(stranger, "acme", "build-base"), Owner::Stranger, "{stranger}");
        }
    }

    #[test]
    fn a_mark_is_put_into_every_form_of_a_template_and_nothing_else_changes() {
        let table = [
            "Resources:\n  T: {Type: 'AWS::SNS::Topic'} # why\n",
            "Resources:\n  T:\n    Type: AWS::SNS::Topic\n    Properties:\n      DisplayName: |\n        two\n        rows",
            "Metadata:\n    # of cfn-lint\n    cfn-lint: {config: {}}\nResources: {}\n",
            "Metadata: {a: b}\nResources: {}\n",
            "Metadata: {}\nResources: {}\n",
            "{\"Resources\": {\"T\": {\"Type\": \"AWS::SNS::Topic\"}}}",
            "{\"Metadata\": {\"a\": 1}, \"Resources\": {}}",
            "{}",
            "Description: Ä ö\nMetadata:\n  Ünsinn: é\nResources: {}\n",
        ];
        for text in table {
            let once = marked(text, "acme", "build-base").unwrap();
            assert_eq!(owner(&once, "acme", "build-base"), Owner::Ours, "{once}");
            assert_eq!(owner(&once, "acme", "pipeline"), Owner::Stranger, "{once}");
            assert_eq!(owner(&once, "other", "build-base"), Owner::Stranger, "{once}");
            assert_eq!(marked(&once, "acme", "build-base"), Ok(once.clone()), "twice is once");
            assert!(marked(&once, "acme", "pipeline").is_err());
            for row in text.lines() {
                assert!(once.contains(row) || row.contains('{'), "{row}: {once}");
            }
        }
        for (stack, text) in FILES {
            assert!(marked(text, "causeway", stack).unwrap().starts_with(text), "{stack}");
        }
        for broken in ["[", "", "Metadata: text\nResources: {}\n", "Metadata:\nResources: {}\n"] {
            assert!(marked(broken, "acme", "app").is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_stranger_is_told_by_what_it_is() {
        let text = "Description: accounting\nResources: {Data: {Type: AWS::DynamoDB::Table}}";
        let said = told(text);
        for word in ["no mark", "\"accounting\"", "Data (AWS::DynamoDB::Table)"] {
            assert!(said.contains(word), "{said}");
        }
        assert!(told(&marked(text, "acme", "app").unwrap()).contains("stack app of the project acme"));
        let many: String = (0..9).map(|n| format!("  R{n}: {{Type: AWS::SNS::Topic}}\n")).collect();
        assert!(told(&format!("Resources:\n{many}")).ends_with("and 4 more"));
    }
}
