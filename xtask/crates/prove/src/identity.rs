//! The policies of identities as AWS would store them, for a linter that reads policies.

use serde_json::Value;

use super::world::World;
use causeway_iam::Statement;

/// A policy of an identity: a role's own, or a managed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPolicy {
    /// The template, relative to the checkout.
    pub file: String,
    /// The logical id of the role or the managed policy.
    pub of: String,
    /// The account's name.
    pub account: String,
    /// The template's line of each statement.
    pub lines: Vec<usize>,
    /// The statements as JSON, in the order of `lines`.
    pub statements: Vec<Value>,
}

impl IdentityPolicy {
    /// The document, one statement a line and the first of them on line 2: a linter's line tells the statement.
    pub fn text(&self) -> String {
        let statements: Vec<String> = self.statements.iter().map(Value::to_string).collect();
        format!("{{\"Version\":\"2012-10-17\",\"Statement\":[\n{}\n]}}\n", statements.join(",\n"))
    }

    /// The template's line of the statement on a line of [`IdentityPolicy::text`].
    pub fn line(&self, written: usize) -> usize {
        let number = written.checked_sub(2).and_then(|number| self.lines.get(number));
        number.or(self.lines.first()).copied().unwrap_or(1)
    }
}

/// Every policy of an identity in a world.
pub(super) fn policies(world: &World) -> Vec<IdentityPolicy> {
    let inline = world.roles.iter().map(|(arn, role)| (arn, &role.inline));
    let all = inline.chain(&world.managed).filter_map(|(arn, statements)| {
        let first: &Statement = statements.first()?;
        let account = arn.split(':').nth(4).unwrap_or_default();
        Some(IdentityPolicy {
            file: first.place.file.clone(),
            of: first.place.of.clone(),
            account: world.accounts.get(account).cloned().unwrap_or_else(|| account.to_owned()),
            lines: statements.iter().map(|statement| statement.place.line).collect(),
            statements: statements.iter().map(Statement::to_json).collect(),
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_the_text_tells_the_statement() {
        let policy = IdentityPolicy {
            file: "cfn/a.yaml".into(),
            of: "Role".into(),
            account: "dev".into(),
            lines: vec![40, 50],
            statements: vec![json!({"Effect": "Allow"}), json!({"Effect": "Deny"})],
        };
        let text = policy.text();
        assert_eq!(text.lines().nth(1), Some("{\"Effect\":\"Allow\"},"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["Statement"][1]["Effect"], "Deny");
        assert_eq!([1, 2, 3, 4].map(|line| policy.line(line)), [40, 40, 50, 40]);
    }

    #[test]
    fn the_policies_of_the_templates_are_found() {
        let files = super::super::tests::files();
        let config = super::super::tests::config_of(&files);
        let policies =
            crate::with(&files, &config, &**crate::tests::expander(), |proof| proof.identity_policies())
                .unwrap();
        for (of, account) in
            [("CommonExecutionPolicy", "dev"), ("CommonExecutionPolicy", "prod"), ("BuildRole", "build")]
        {
            let policy = policies.iter().find(|policy| policy.of == of && policy.account == account);
            let policy = policy.unwrap_or_else(|| panic!("no {of} in {account}"));
            let text = files.get(policy.file.trim_start_matches("cfn/")).unwrap();
            for line in &policy.lines {
                assert!(*line > 1 && *line <= text.lines().count(), "{of}: {line}");
            }
        }
    }
}
