//! Which actions, resource types and condition keys IAM has: a typo must be an error, never a silent deny.
//!
//! The data is `data/iam-actions.txt`, whose head names origin, date and license, and `iam-actions-more.txt` for
//! what that source leaves out.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use iam_rs::Arn;

const DATA: [&str; 2] =
    [include_str!("../data/iam-actions.txt"), include_str!("../data/iam-actions-more.txt")];

/// Global condition keys that our layer knows. Source: IAM user guide, "AWS global condition context keys".
const GLOBAL_KEYS: [&str; 34] = [
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principalservicenameslist",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:userid",
    "aws:viaawsservice",
];

/// Global keys that end in a name of the user's choice.
const GLOBAL_PREFIXES: [&str; 3] = ["aws:principaltag/", "aws:requesttag/", "aws:resourcetag/"];

/// The actions, resource types and condition keys of every service; one is read when it is asked for.
#[derive(Debug)]
pub struct Catalogue {
    services: BTreeMap<&'static str, Listed>,
}

/// The lines of a service, and what is read of them.
#[derive(Debug, Default)]
struct Listed {
    lines: Vec<&'static str>,
    read: OnceLock<Service>,
}

#[derive(Debug, Default)]
struct Service {
    /// By lower-case name: IAM does not mind the case of actions.
    actions: BTreeMap<String, Action>,
    /// The ARN of each resource type, as the source writes it, and as a pattern.
    kinds: BTreeMap<&'static str, (&'static str, String)>,
    keys: Vec<String>,
}

#[derive(Debug)]
struct Action {
    name: &'static str,
    kinds: Vec<&'static str>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(&DATA));

impl Listed {
    fn get(&self) -> &Service {
        self.read.get_or_init(|| {
            let mut service = Service::default();
            for line in self.lines.iter().flat_map(|lines| lines.lines()) {
                let mut words = line.split(' ');
                match (words.next(), words.next()) {
                    (Some("a"), Some(kinds)) => {
                        let kinds: Vec<&str> = kinds.split(',').filter(|kind| *kind != "-").collect();
                        for name in words {
                            let entry = service.actions.entry(name.to_ascii_lowercase());
                            entry.or_insert(Action { name, kinds: Vec::new() }).kinds.extend(&kinds);
                        }
                    }
                    (Some("r"), Some(name)) => {
                        let arn = words.next().unwrap_or("*");
                        service.kinds.insert(name, (arn, wildcards(arn)));
                    }
                    (Some("k"), Some(name)) => service.keys.push(wildcards(&name.to_ascii_lowercase())),
                    _ => {}
                }
            }
            service
        })
    }
}

impl Service {
    /// The actions that a lower-case name means.
    fn meant<'s>(&'s self, name: &'s str) -> Box<dyn Iterator<Item = &'s Action> + 's> {
        if name.contains(['*', '?']) {
            let fits = self.actions.iter().filter(move |(lower, _)| Arn::wildcard_match(lower, name));
            Box::new(fits.map(|(_, action)| action))
        } else {
            Box::new(self.actions.get(name).into_iter())
        }
    }
}

impl Catalogue {
    /// The one catalogue.
    pub fn get() -> &'static Self {
        &CATALOGUE
    }

    fn parse(texts: &[&'static str]) -> Self {
        let mut services: BTreeMap<&'static str, Listed> = BTreeMap::new();
        // The head of a file is before the first service.
        for part in texts.iter().flat_map(|text| text.split("\n@ ").skip(1)) {
            let (prefix, lines) = part.split_once('\n').unwrap_or((part, ""));
            services.entry(prefix).or_default().lines.push(lines);
        }
        Self { services }
    }

    fn service(&self, action: &str) -> Result<(&Service, String), String> {
        let (prefix, name) = action
            .split_once(':')
            .ok_or_else(|| format!("action `{action}` is not written service:Action"))?;
        let prefix = prefix.to_ascii_lowercase();
        let service = self.services.get(prefix.as_str()).ok_or_else(|| {
            let known = self.services.keys().copied();
            format!("IAM has no service `{prefix}`, of action `{action}`{}", hint(&prefix, known))
        })?;
        Ok((service.get(), name.to_ascii_lowercase()))
    }

    /// How many services there are, and how many actions.
    pub fn count(&self) -> (usize, usize) {
        (self.services.len(), self.services.values().map(|service| service.get().actions.len()).sum())
    }

    /// The ARNs that an action is asked on, as the "Service Authorization Reference" writes them, with `${Account}` and the like,
    /// by the names of the resource types; nothing where it takes only `*`.
    ///
    /// # Errors
    /// The action does not exist.
    pub fn arns(&self, action: &str) -> Result<Vec<(&'static str, &'static str)>, String> {
        let (service, name) = self.service(action)?;
        let known = service.actions.get(&name).ok_or_else(|| format!("IAM has no action `{action}`"))?;
        let arn = |kind: &&'static str| service.kinds.get(kind).map(|(arn, _)| (*kind, *arn));
        Ok(known.kinds.iter().filter_map(arn).collect())
    }

    /// Whether an action of a policy means any that exist, wildcards and all.
    ///
    /// # Errors
    /// A service or an action that does not exist.
    pub fn check_action(&self, pattern: &str) -> Result<(), String> {
        if pattern == "*" {
            return Ok(());
        }
        let (service, name) = self.service(pattern)?;
        if service.meant(&name).next().is_some() {
            return Ok(());
        }
        let known = service.actions.values().map(|action| action.name);
        let name = pattern.split_once(':').map_or(pattern, |(_, name)| name);
        Err(format!("IAM has no action `{pattern}`{}", hint(name, known)))
    }

    /// The known actions that an action of a policy means, wildcards expanded; `*` means all of them.
    ///
    /// # Errors
    /// A service or an action that does not exist.
    pub fn expand(&self, pattern: &str) -> Result<Vec<String>, String> {
        self.check_action(pattern)?;
        if pattern == "*" {
            let all = self.services.iter().flat_map(|(prefix, service)| {
                service.get().actions.values().map(move |action| format!("{prefix}:{}", action.name))
            });
            return Ok(all.collect());
        }
        let (service, name) = self.service(pattern)?;
        let prefix = pattern.split(':').next().unwrap_or_default().to_ascii_lowercase();
        Ok(service.meant(&name).map(|action| format!("{prefix}:{}", action.name)).collect())
    }

    /// Whether an action takes no resource at all, so that only `*` covers it.
    pub fn is_global(&self, action: &str) -> bool {
        self.service(action)
            .ok()
            .and_then(|(service, name)| service.actions.get(&name))
            .is_some_and(|action| action.kinds.is_empty())
    }

    /// Every action that can be asked on a resource.
    pub fn asked_on(&self, arn: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (prefix, service) in &self.services {
            let service = service.get();
            let fit = service.kinds.iter().filter(|(_, (_, pattern))| Arn::wildcard_match(arn, pattern));
            let fit: Vec<&str> = fit.map(|(kind, _)| *kind).collect();
            if fit.is_empty() {
                continue;
            }
            let asked =
                service.actions.values().filter(|action| action.kinds.iter().any(|kind| fit.contains(kind)));
            all.extend(asked.map(|action| format!("{prefix}:{}", action.name)));
        }
        all
    }

    /// Checks that an action can be asked on a resource at all.
    ///
    /// # Errors
    /// The action does not exist, takes only `*`, or takes other types of resources.
    pub fn check_resource(&self, action: &str, arn: &str) -> Result<(), String> {
        self.check_action(action)?;
        let (service, name) = self.service(action)?;
        let Some(known) = service.actions.get(&name) else {
            return Err(format!("`{action}` is no single action"));
        };
        if known.kinds.is_empty() {
            return if arn == "*" {
                Ok(())
            } else {
                Err(format!("`{action}` names no resource: ask it on `*`, not on {arn}"))
            };
        }
        let patterns = known.kinds.iter().filter_map(|kind| service.kinds.get(kind));
        let patterns: Vec<&String> = patterns.map(|(_, pattern)| pattern).collect();
        let fits = patterns.is_empty() || patterns.iter().any(|pattern| Arn::wildcard_match(arn, pattern));
        if fits {
            return Ok(());
        }
        Err(format!("`{action}` is never asked on {arn}: it takes {}", known.kinds.join(", ")))
    }

    /// Checks a condition key.
    ///
    /// # Errors
    /// A key that no service has.
    pub fn check_key(&self, key: &str) -> Result<(), String> {
        let lower = key.to_ascii_lowercase();
        let prefix = lower.split(':').next().unwrap_or_default();
        if prefix == "aws" {
            let known = GLOBAL_KEYS.contains(&lower.as_str())
                || GLOBAL_PREFIXES.iter().any(|start| lower.starts_with(start));
            return if known {
                Ok(())
            } else {
                Err(format!("condition key `{key}` does not exist{}", hint(&lower, GLOBAL_KEYS.into_iter())))
            };
        }
        let service = self.services.get(prefix).map(Listed::get);
        let known = service
            .is_some_and(|service| service.keys.iter().any(|pattern| Arn::wildcard_match(&lower, pattern)));
        if known {
            return Ok(());
        }
        let all = service.map(|service| service.keys.as_slice()).unwrap_or_default();
        Err(format!("condition key `{key}` does not exist{}", hint(&lower, all.iter().map(String::as_str))))
    }
}

/// `${Name}` and `<key>` as wildcards.
fn wildcards(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("${") {
        out.push_str(&rest[..open]);
        out.push('*');
        rest = rest[open..].find('}').map_or("", |close| &rest[open + close + 1..]);
    }
    out.push_str(rest);
    match (out.find('<'), out.ends_with('>')) {
        (Some(open), true) => format!("{}*", &out[..open]),
        _ => out,
    }
}

fn hint<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    closest(wrong, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The known name that a wrong one was most likely meant to be.
pub fn closest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    let scored = known.map(|name| (strsim::levenshtein(&wrong, &name.to_ascii_lowercase()), name));
    scored
        .min_by_key(|(score, _)| *score)
        .filter(|(score, name)| *score <= 1 + name.len() / 6)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_known_whatever_their_case() {
        let all = Catalogue::get();
        assert_eq!(all.expand("S3:getobject").unwrap(), ["s3:GetObject"]);
        assert!(
            all.expand("lambda:GetFunction*")
                .unwrap()
                .contains(&"lambda:GetFunctionConfiguration".to_owned())
        );
        assert!(all.expand("sqs:*").unwrap().contains(&"sqs:ReceiveMessage".to_owned()));
        assert!(all.expand("*").unwrap().len() > 15_000);
        let (services, actions) = all.count();
        assert!(services > 400 && actions > 15_000, "{services} {actions}");
    }

    #[test]
    fn typos_are_named_with_what_was_meant() {
        let all = Catalogue::get();
        let table = [
            ("s3:GetObjekt", "did you mean `GetObject`?"),
            ("s4:GetObject", "IAM has no service `s4`, of action `s4:GetObject`; did you mean `"),
            ("dynamodb:Wery*", "IAM has no action `dynamodb:Wery*`"),
            ("GetObject", "service:Action"),
        ];
        for (action, word) in table {
            let error = all.expand(action).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_action_is_asked_on_its_own_resources_only() {
        let all = Catalogue::get();
        assert_eq!(all.check_resource("s3:GetObject", "arn:aws:s3:::b/k"), Ok(()));
        assert_eq!(all.check_resource("logs:CreateLogDelivery", "*"), Ok(()));
        assert!(
            all.check_resource("s3:GetObject", "arn:aws:sns:eu-central-1:1:t")
                .unwrap_err()
                .contains("it takes")
        );
        assert!(
            all.check_resource("logs:CreateLogDelivery", "arn:aws:logs:r:1:log-group:g")
                .unwrap_err()
                .contains("`*`")
        );
    }

    #[test]
    fn keys_are_known() {
        let all = Catalogue::get();
        for key in [
            "aws:PrincipalArn",
            "kms:ViaService",
            "s3:x-amz-server-side-encryption",
            "aws:RequestTag/team",
            "kms:EncryptionContext:x",
        ] {
            assert_eq!(all.check_key(key), Ok(()), "{key}");
        }
        assert!(all.check_key("aws:PrincipleArn").unwrap_err().contains("aws:principalarn"));
        assert!(all.check_key("s3:if-non-match").unwrap_err().contains("s3:if-none-match"));
    }
}
