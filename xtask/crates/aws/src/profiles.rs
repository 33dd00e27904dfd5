//! Why a profile gives no credentials, by what stands in the files of profiles. The SDK says "the credential provider was not
//! enabled" of a name that is misspelled, of one that stands in another file, and of one without keys alike.
//!
//! Source: "Configuration and credential file settings in the AWS CLI" in its user guide, and "Location of the shared config and
//! credentials files" in the reference guide of SDKs and tools.

use std::collections::BTreeMap;
use std::path::PathBuf;

use causeway_model::fault::Fault;
use causeway_model::quoted::word;

/// One of the two files.
#[derive(Debug, Default)]
struct File {
    path: PathBuf,
    /// The variable that names it, where one does.
    variable: Option<&'static str>,
    /// `None` where it cannot be read.
    text: Option<String>,
}

/// What bears on a profile.
#[derive(Debug, Default)]
pub(super) struct Seen {
    config: File,
    credentials: File,
    /// The same two where they lie without variables, if these name others.
    usual: Vec<File>,
    /// Whether the environment has keys, which profiles win over.
    has_keys: bool,
}

impl Seen {
    /// This machine's files, and the caller's environment.
    pub(super) fn here() -> Self {
        // Without a home nothing lies there, and the folder that we run in is none.
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("~"));
        let usual = |name: &str| read(home.join(".aws").join(name), None);
        let file = |variable: &'static str, name: &str| match std::env::var_os(variable)
            .filter(|path| !path.is_empty())
        {
            Some(path) => read(PathBuf::from(path), Some(variable)),
            None => usual(name),
        };
        let config = file("AWS_CONFIG_FILE", "config");
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let mut others = Vec::new();
        for (file, name) in [(&config, "config"), (&credentials, "credentials")] {
            if file.variable.is_some() {
                others.push(usual(name));
            }
        }
        let has_keys = std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|key| !key.is_empty());
        Self { config, credentials, usual: others, has_keys }
    }

    /// The failure of a profile in words of its own, with the line that fixes it.
    pub(super) fn explain(&self, fault: Fault, profile: &str) -> Fault {
        let (why, next) = self.cause(profile, &fault.why);
        let keys = if self.has_keys {
            "; AWS_ACCESS_KEY_ID of the environment is not used: each account is reached by its profile"
        } else {
            ""
        };
        fault.why(format!("{why}{keys}")).next(next)
    }

    fn cause(&self, profile: &str, why: &str) -> (String, String) {
        let login = format!("aws sso login --profile={}", word(profile));
        let in_config = self.config.section(&config_header(profile));
        let in_credentials = self.credentials.section(profile);
        let Some(section) = in_config.or(in_credentials) else { return self.absent(profile) };
        let has = |key: &str| section.contains_key(key);
        if has("sso_session") || has("sso_start_url") {
            let why = format!("the profile {profile} is not logged in, or its session is over: {why}");
            return (why, login);
        }
        if has("credential_process") {
            let next = "run its line credential_process by hand: it must print keys as JSON".to_owned();
            return (format!("the credential_process of the profile {profile} gave no keys: {why}"), next);
        }
        let sources = [
            "aws_access_key_id",
            "role_arn",
            "credential_source",
            "web_identity_token_file",
            "login_session",
        ];
        if !sources.into_iter().any(has) {
            let file = if self.config.section(&config_header(profile)).is_some() {
                &self.config
            } else {
                &self.credentials
            };
            let why =
                format!("the profile {profile} in {} says nowhere whose keys it has", file.path.display());
            let next =
                "give it sso_session, sso_account_id and sso_role_name (docs/aws.md, step 5)".to_owned();
            return (why, next);
        }
        let next = format!("fix the profile {profile} in {}; or {login}", self.config.path.display());
        (format!("the profile {profile} gives no credentials: {why}"), next)
    }

    fn absent(&self, profile: &str) -> (String, String) {
        let header = format!("[{}]", config_header(profile));
        // The config file wants the word `profile` in a header, the credentials file wants it away.
        if self.config.section(profile).is_some() && profile != DEFAULT {
            let path = self.config.path.display();
            return (
                format!("{path} has [{profile}], which is no profile there"),
                format!("write {header} in its place"),
            );
        }
        if self.credentials.section(&config_header(profile)).is_some() && profile != DEFAULT {
            let path = self.credentials.path.display();
            return (
                format!("{path} has {header}, which is no profile in that file"),
                format!("write [{profile}] in its place, or move it to {}", self.config.path.display()),
            );
        }
        let elsewhere = self
            .usual
            .iter()
            .find(|file| file.section(&config_header(profile)).is_some() || file.section(profile).is_some());
        let looked = format!("looked in {} and {}", self.config.told(), self.credentials.told());
        if let Some(file) = elsewhere {
            let variables: Vec<&str> =
                [&self.config, &self.credentials].iter().filter_map(|file| file.variable).collect();
            return (
                format!(
                    "the profile {profile} stands in {}, which is not read: {looked}",
                    file.path.display()
                ),
                format!("unset {}", variables.join(" ")),
            );
        }
        let known = self.names();
        let known = if known.is_empty() {
            "no profile at all".to_owned()
        } else {
            format!("only {}", known.join(", "))
        };
        (
            format!("there is no profile {profile}: {looked}, and found {known}"),
            format!(
                "add {header} to {} (docs/aws.md, step 5), or name yours: --profile-prefix, or cfn/stacks.local.toml",
                self.config.path.display()
            ),
        )
    }

    /// The profiles that there are, some of them.
    fn names(&self) -> Vec<String> {
        let of_config = self.config.sections().into_keys().filter_map(|header| {
            (header == DEFAULT)
                .then(|| header.clone())
                .or_else(|| Some(header.strip_prefix("profile ")?.trim().to_owned()))
        });
        let mut all: Vec<String> = of_config.chain(self.credentials.sections().into_keys()).collect();
        all.sort();
        all.dedup();
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        if more > 0 {
            all.push(format!("{more} more"));
        }
        all
    }
}

/// The profile that is meant where none is named.
const DEFAULT: &str = "default";
/// How many profiles are named.
const NAMED: usize = 6;

/// What stands between the brackets of a profile in the config file.
fn config_header(profile: &str) -> String {
    if profile == DEFAULT { profile.to_owned() } else { format!("profile {profile}") }
}

fn read(path: PathBuf, variable: Option<&'static str>) -> File {
    let text = std::fs::read_to_string(&path).ok();
    File { path, variable, text }
}

impl File {
    /// The keys of each section by its header; values stay where they are.
    fn sections(&self) -> BTreeMap<String, BTreeMap<String, ()>> {
        let mut all: BTreeMap<String, BTreeMap<String, ()>> = BTreeMap::new();
        let mut header = None;
        for row in self.text.as_deref().unwrap_or_default().lines() {
            let row = row.split(" #").next().unwrap_or_default().trim();
            if let Some(name) = row.strip_prefix('[').and_then(|row| row.strip_suffix(']')) {
                let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
                all.entry(name.clone()).or_default();
                header = Some(name);
            } else if let (Some(header), Some((key, _))) = (&header, row.split_once('='))
                && !row.starts_with(['#', ';'])
            {
                all.entry(header.clone()).or_default().insert(key.trim().to_ascii_lowercase(), ());
            }
        }
        all
    }

    fn section(&self, header: &str) -> Option<BTreeMap<String, ()>> {
        self.sections().remove(header)
    }

    /// Its path, and what one should know of it.
    fn told(&self) -> String {
        let by = self.variable.map(|name| format!(", which {name} names")).unwrap_or_default();
        let absent = if self.text.is_none() { " (it cannot be read)" } else { "" };
        format!("{}{by}{absent}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::fault::Kind;

    fn file(path: &str, variable: Option<&'static str>, text: &str) -> File {
        File { path: path.into(), variable, text: (!text.is_empty()).then(|| text.to_owned()) }
    }

    fn explained(seen: &Seen) -> (String, String) {
        let fault = Fault::new(Kind::Credentials, "find out whose credentials these are", "dev")
            .why("dispatch failure: the credential provider was not enabled");
        let fault = seen.explain(fault, "acme-dev");
        assert_eq!(fault.kind, Kind::Credentials);
        (fault.why, fault.next)
    }

    #[test]
    fn each_way_a_profile_is_wrong_has_words_of_its_own() {
        let config = |text: &str| Seen {
            config: file("/c", None, text),
            credentials: file("/k", None, ""),
            ..Seen::default()
        };
        let table = [
            (
                config(""),
                "there is no profile acme-dev: looked in /c (it cannot be read) and /k",
                "add [profile acme-dev] to /c",
            ),
            (
                config("[profile other]\nregion = x\n[default]\n"),
                "found only default, other",
                "--profile-prefix",
            ),
            (
                config("[acme-dev]\nsso_session = a\n"),
                "/c has [acme-dev], which is no profile there",
                "write [profile acme-dev]",
            ),
            (
                config("[profile   acme-dev]\nsso_session = a\n"),
                "is not logged in, or its session is over",
                "aws sso login --profile=acme-dev",
            ),
            (
                config("[profile acme-dev] # mine\nsso_start_url = a\n"),
                "is not logged in",
                "aws sso login --profile=acme-dev",
            ),
            (
                config("[profile acme-dev]\ncredential_process = p\n"),
                "credential_process of the profile acme-dev gave no keys",
                "by hand",
            ),
            (
                config("[profile acme-dev]\nregion = eu-central-1\n# role_arn = x\n"),
                "says nowhere whose keys it has",
                "sso_session",
            ),
            (
                config("[profile acme-dev]\nrole_arn = x\n"),
                "gives no credentials: dispatch failure",
                "fix the profile acme-dev in /c",
            ),
            (
                Seen {
                    credentials: file("/k", None, "[profile acme-dev]\naws_access_key_id = x\n"),
                    ..config("[default]\n")
                },
                "/k has [profile acme-dev], which is no profile in that file",
                "write [acme-dev]",
            ),
            (
                Seen {
                    config: file("/mine", Some("AWS_CONFIG_FILE"), "[default]\n"),
                    usual: vec![file("/home/.aws/config", None, "[profile acme-dev]\nsso_session = a\n")],
                    ..config("")
                },
                "the profile acme-dev stands in /home/.aws/config, which is not read: looked in /mine, which AWS_CONFIG_FILE names",
                "unset AWS_CONFIG_FILE",
            ),
        ];
        for (seen, why, next) in table {
            let found = explained(&seen);
            assert!(found.0.contains(why) && found.1.contains(next), "{why}: {found:?}");
            assert!(!found.0.contains("AWS_ACCESS_KEY_ID"));
            let with_keys = explained(&Seen { has_keys: true, ..seen });
            assert!(
                with_keys.0.contains("AWS_ACCESS_KEY_ID of the environment is not used"),
                "{with_keys:?}"
            );
        }
    }
}
