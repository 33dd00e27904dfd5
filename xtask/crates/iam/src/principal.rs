//! Who asks, and who a `Principal` element means.
//!
//! Source: IAM user guide, "AWS JSON policy elements: Principal" and "AWS JSON policy elements: NotPrincipal".

use iam_rs::Arn;
use serde_json::Value;

use super::statement::list;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A session of a role. In conditions `aws:PrincipalArn` is the role's ARN.
    Role {
        /// The role's ARN, with its path.
        arn: String,
    },
    /// An IAM user.
    User {
        /// The user's ARN.
        arn: String,
    },
    /// An AWS service acting for itself.
    Service {
        /// As in `events.amazonaws.com`.
        name: String,
    },
}

/// The name of every session: policies of ours do not look at it.
const SESSION: &str = "session";

impl Caller {
    /// The account, where there is one.
    pub fn account(&self) -> Option<&str> {
        match self {
            Caller::Role { arn } | Caller::User { arn } => arn.split(':').nth(4),
            Caller::Service { .. } => None,
        }
    }

    /// The ARN or the service's name.
    pub fn id(&self) -> &str {
        match self {
            Caller::Role { arn } | Caller::User { arn } => arn,
            Caller::Service { name } => name,
        }
    }

    /// `arn:…:sts::A:assumed-role/NAME/session` of a role's session. The path of the role is not part of it.
    pub fn session_arn(&self) -> Option<String> {
        let Caller::Role { arn } = self else { return None };
        let (head, role) = arn.split_once(":role/")?;
        let name = role.rsplit('/').next()?;
        Some(format!("{}:assumed-role/{name}/{SESSION}", head.replacen(":iam::", ":sts::", 1)))
    }
}

/// One principal of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum One {
    /// `*`.
    Any,
    /// An account, by id or `:root`.
    Account(String),
    /// A role, user or session.
    Arn(String),
    /// A service.
    Service(String),
    /// A federated or canonical user; nobody of ours is one.
    Other,
}

/// How a policy's principal element means the caller. A later variant is the stronger grant: by name a role is held to its
/// boundary, as anybody and as a session it is not ("AWS JSON policy elements: Principal", "IAM role principals").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Not at all.
    No,
    /// As somebody of an account: the account's own policies decide.
    Account,
    /// By name: a role, a user or a service.
    Named,
    /// As anybody.
    Any,
    /// As this very session.
    Session,
}

/// A `Principal` or `NotPrincipal` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    negated: bool,
    all: Vec<One>,
}

impl Principal {
    /// `"Principal": "*"`.
    pub fn any() -> Self {
        Self { negated: false, all: vec![One::Any] }
    }

    /// Reads the element.
    ///
    /// # Errors
    /// An unknown kind, an ARN of another partition, a wildcard inside of an ARN, or something that is no principal.
    pub fn parse(value: &Value, negated: bool, partition: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        match value {
            Value::String(text) if text == "*" => all.push(One::Any),
            Value::Object(map) if !map.is_empty() => {
                for (kind, values) in map {
                    for text in list(values).ok_or("a principal must be text")? {
                        all.push(one(kind, &text, partition)?);
                    }
                }
            }
            _ => return Err("a principal is \"*\" or a map such as {AWS: …}".to_owned()),
        }
        if all.is_empty() {
            return Err("the principal is empty".to_owned());
        }
        Ok(Self { negated, all })
    }

    /// The element as JSON, under its name.
    pub fn to_json(&self) -> (&'static str, Value) {
        let name = if self.negated { "NotPrincipal" } else { "Principal" };
        if self.all.contains(&One::Any) {
            return (name, Value::from("*"));
        }
        let mut map = serde_json::Map::new();
        for one in &self.all {
            let (kind, text) = match one {
                One::Account(text) | One::Arn(text) => ("AWS", text.as_str()),
                One::Service(text) => ("Service", text.as_str()),
                One::Any | One::Other => continue,
            };
            let entry = map.entry(kind).or_insert_with(|| Value::Array(Vec::new()));
            if let Some(list) = entry.as_array_mut() {
                list.push(Value::from(text));
            }
        }
        (name, Value::Object(map))
    }

    /// The services that it names.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|one| match one {
            One::Service(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it is `NotPrincipal`.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// How the element means the caller.
    pub fn means(&self, caller: &Caller) -> Who {
        let each = || self.all.iter().map(|one| means(one, caller));
        if !self.negated {
            return each().max().unwrap_or(Who::No);
        }
        // "NotPrincipal": whoever is spared must be listed together with the account, else the account's entry is missing.
        let named = each().any(|who| who >= Who::Named);
        let account = caller.account().is_none() || each().any(|who| who == Who::Account);
        if named && account { Who::No } else { Who::Any }
    }
}

fn one(kind: &str, text: &str, partition: &str) -> Result<One, String> {
    if text == "*" {
        return Ok(One::Any);
    }
    match kind {
        "AWS" => {
            if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
                return Ok(One::Account(text.to_owned()));
            }
            let arn = Arn::parse(text)
                .map_err(|_| format!("principal `{text}` is neither an account nor an ARN"))?;
            if arn.partition != partition {
                return Err(format!(
                    "principal `{text}` is of partition {}, the stacks are of {partition}",
                    arn.partition
                ));
            }
            if text.contains(['*', '?']) {
                return Err(format!("principal `{text}`: a principal's ARN takes no wildcards"));
            }
            Ok(if arn.resource == "root" { One::Account(arn.account_id) } else { One::Arn(text.to_owned()) })
        }
        "Service" if text.contains('.') => Ok(One::Service(text.to_owned())),
        "Service" => Err(format!("principal `{text}` is no service such as events.amazonaws.com")),
        "Federated" | "CanonicalUser" => Ok(One::Other),
        _ => Err(format!(
            "principal kind `{kind}` does not exist: AWS, Service, Federated and CanonicalUser do"
        )),
    }
}

fn means(one: &One, caller: &Caller) -> Who {
    match (one, caller) {
        (One::Any, _) => Who::Any,
        (One::Service(name), Caller::Service { name: asked }) if name == asked => Who::Named,
        (One::Account(id), _) if caller.account() == Some(id) => Who::Account,
        (One::Arn(arn), Caller::Role { arn: asked } | Caller::User { arn: asked }) if arn == asked => {
            Who::Named
        }
        (One::Arn(arn), _) if caller.session_arn().as_ref() == Some(arn) => Who::Session,
        _ => Who::No,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role() -> Caller {
        Caller::Role { arn: "arn:aws:iam::111111111111:role/path/build".into() }
    }

    fn who(value: Value, negated: bool, caller: &Caller) -> Who {
        Principal::parse(&value, negated, "aws").unwrap().means(caller)
    }

    #[test]
    fn a_session_is_meant_by_its_account_its_role_and_itself() {
        let session = "arn:aws:sts::111111111111:assumed-role/build/session";
        assert_eq!(role().session_arn().unwrap(), session);
        let table = [
            (json!("*"), Who::Any),
            (json!({"AWS": "*"}), Who::Any),
            (json!({"AWS": "111111111111"}), Who::Account),
            (json!({"AWS": "arn:aws:iam::111111111111:root"}), Who::Account),
            (json!({"AWS": ["222222222222", "arn:aws:iam::111111111111:role/path/build"]}), Who::Named),
            (json!({"AWS": "arn:aws:iam::111111111111:role/build"}), Who::No),
            (json!({"AWS": session}), Who::Session),
            (json!({"AWS": "222222222222", "Service": "events.amazonaws.com"}), Who::No),
            (json!({"Federated": "cognito-identity.amazonaws.com"}), Who::No),
        ];
        for (value, expected) in table {
            assert_eq!(who(value.clone(), false, &role()), expected, "{value}");
        }
    }

    #[test]
    fn a_service_is_meant_by_its_name() {
        let events = Caller::Service { name: "events.amazonaws.com".into() };
        assert_eq!(
            who(json!({"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}), false, &events),
            Who::Named
        );
        assert_eq!(who(json!({"AWS": "111111111111"}), false, &events), Who::No);
        assert_eq!(who(json!("*"), false, &events), Who::Any);
    }

    #[test]
    fn not_principal_spares_only_who_is_listed_with_the_account() {
        let table = [
            (json!({"AWS": "arn:aws:iam::111111111111:role/path/build"}), Who::Any),
            (json!({"AWS": ["arn:aws:iam::111111111111:role/path/build", "111111111111"]}), Who::No),
            (json!({"AWS": "111111111111"}), Who::Any),
            (json!({"AWS": ["arn:aws:iam::111111111111:role/other", "111111111111"]}), Who::Any),
        ];
        for (value, expected) in table {
            assert_eq!(who(value.clone(), true, &role()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_principal_is_refused() {
        let table = [
            (json!({"AWS": "arn:aws-cn:iam::111111111111:root"}), "partition aws-cn"),
            (json!({"AWS": "arn:aws:iam::111111111111:role/*"}), "wildcards"),
            (json!({"AWS": "build"}), "neither"),
            (json!({"Aws": "111111111111"}), "kind `Aws`"),
            (json!({"Service": "events"}), "no service"),
            (json!("111111111111"), "\"*\""),
            (json!({"AWS": []}), "empty"),
        ];
        for (value, word) in table {
            let error = Principal::parse(&value, false, "aws").unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
