//! A plan that is kept in a file until somebody applies it: names and digests, and what moved since.
//!
//! No parameter's value is in it. Digests are made with a salt of the file's own, so that two files tell nothing of each other, and
//! nobody can look a value's digest up.

use serde::{Deserialize, Serialize};

use super::stack::Action;

/// What the first line of the file says that it is.
pub const KIND: &str = "causeway-bootstrap-plan";
/// The format.
pub const VERSION: u32 = 1;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// What it is: [`KIND`].
    pub kind: String,
    /// The format: [`VERSION`].
    pub v: u32,
    /// The project.
    pub project: String,
    /// The region of every stack.
    pub region: String,
    /// What every digest begins with.
    pub salt: String,
    /// Every stack of the plan, in its order, those without a change, too.
    pub stacks: Vec<Planned>,
}

/// One stack as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The account's name.
    pub account: String,
    /// The account's id.
    pub account_id: String,
    /// The stack's name in AWS.
    pub stack: String,
    /// Its state, in CloudFormation's words.
    pub state: String,
    /// What is done with it.
    pub action: Action,
    /// Digest of the template that is submitted.
    pub template: String,
    /// Digest of the parameters that are given.
    pub parameters: String,
    /// Digest of the stack as it stands: template, parameters, tags, protection.
    pub standing: String,
    /// Digest of what changes.
    pub changes: String,
}

impl PlanFile {
    /// Reads it.
    ///
    /// # Errors
    /// It is no such file, or of another version; why, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match (file.kind.as_str(), file.v) {
            (KIND, VERSION) => Ok(file),
            (KIND, v) => Err(format!("it has the format {v}; this tool reads {VERSION}")),
            (kind, _) => Err(format!("it says that it is `{kind}`")),
        }
    }

    /// Everything that is not as it was when the plan was made, in words. Nothing where it still fits.
    #[must_use]
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut all = Vec::new();
        for (what, before, after) in
            [("project", &self.project, &now.project), ("region", &self.region, &now.region)]
        {
            if before != after {
                all.push(format!("the {what} is {after}, and was {before}"));
            }
        }
        let same =
            |one: &Planned, other: &Planned| (&one.account, &one.stack) == (&other.account, &other.stack);
        for planned in &self.stacks {
            match now.stacks.iter().find(|other| same(planned, other)) {
                Some(found) => all.extend(planned.moved(found)),
                None => {
                    all.push(format!("{}/{} is not in the plan any more", planned.account, planned.stack))
                }
            }
        }
        let new = now.stacks.iter().filter(|found| !self.stacks.iter().any(|planned| same(planned, found)));
        all.extend(new.map(|found| format!("{}/{} is new in the plan", found.account, found.stack)));
        all
    }
}

impl Planned {
    fn moved(&self, now: &Self) -> Vec<String> {
        let place = format!("{}/{}", self.account, self.stack);
        let mut all = Vec::new();
        if self.account_id != now.account_id {
            all.push(format!("{place}: the account is {}, and was {}", now.account_id, self.account_id));
        }
        if self.state != now.state {
            all.push(format!("{place}: its state is {}, and was {}", now.state, self.state));
        }
        for (what, before, after) in [
            ("the template", &self.template, &now.template),
            ("a parameter's value", &self.parameters, &now.parameters),
            ("the stack itself (template, parameters, tags or protection)", &self.standing, &now.standing),
        ] {
            if before != after {
                all.push(format!("{place}: {what} is another one"));
            }
        }
        // What follows from something that moved is not told again.
        if all.is_empty() && (self.action, &self.changes) != (now.action, &now.changes) {
            all.push(format!("{place}: what would change is something else"));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> PlanFile {
        let text = |text: &str| text.to_owned();
        let planned = |stack: &str| Planned {
            account: text("dev"),
            account_id: text("222222222222"),
            stack: text(stack),
            state: text("UPDATE_COMPLETE"),
            action: Action::Update,
            template: text("1"),
            parameters: text("2"),
            standing: text("3"),
            changes: text("4"),
        };
        PlanFile {
            kind: text(KIND),
            v: VERSION,
            project: text("p"),
            region: text("r"),
            salt: text("s"),
            stacks: vec![planned("a"), planned("b")],
        }
    }

    #[test]
    fn everything_that_moved_is_named_and_what_follows_from_it_is_not() {
        let kept = file();
        assert_eq!(kept.moved(&kept), Vec::<String>::new());
        type Change = fn(&mut PlanFile);
        let table: [(Change, &str); 9] = [
            (|now| now.project = "q".into(), "the project is q, and was p"),
            (|now| now.region = "q".into(), "the region is q, and was r"),
            (|now| now.stacks[1].account_id = "9".into(), "dev/b: the account is 9, and was 222222222222"),
            (|now| now.stacks[0].state = "X".into(), "dev/a: its state is X, and was UPDATE_COMPLETE"),
            (
                |now| {
                    now.stacks[0].template = "9".into();
                    now.stacks[0].changes = "9".into();
                },
                "dev/a: the template is another one",
            ),
            (|now| now.stacks[0].parameters = "9".into(), "dev/a: a parameter's value is another one"),
            (
                |now| now.stacks[0].standing = "9".into(),
                "dev/a: the stack itself (template, parameters, tags or protection) is another one",
            ),
            (|now| now.stacks[1].action = Action::Recreate, "dev/b: what would change is something else"),
            (|now| drop(now.stacks.pop()), "dev/b is not in the plan any more"),
        ];
        for (change, said) in table {
            let mut now = file();
            change(&mut now);
            assert_eq!(kept.moved(&now), [said]);
        }
        let mut fewer = file();
        fewer.stacks.remove(0);
        assert_eq!(fewer.moved(&kept), ["dev/a is new in the plan"]);
    }

    #[test]
    fn only_a_plan_of_this_format_is_read() {
        let text = serde_json::to_string(&file()).unwrap();
        assert_eq!(PlanFile::read(&text), Ok(file()));
        for (from, to, why) in [
            ("\"v\":1", "\"v\":2", "format 2"),
            (KIND, "something", "something"),
            ("\"salt\"", "\"pepper\"", "pepper"),
            ("\"project\":\"p\",", "", "project"),
            ("{", "", "expected"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert!(PlanFile::read(&wrong).unwrap_err().contains(why), "{from} {to}");
        }
    }
}
