//! `state.json`: how every command finds the running cloud.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use causeway_aws::LocalWorld;
use causeway_machine::files::write_private;
use causeway_machine::paths::Paths;
use causeway_machine::process;

/// A running cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The version of this format.
    pub v: u32,
    /// The resident process.
    pub pid: i32,
    /// The front's port.
    pub port: u16,
    /// The region it was started for.
    pub region: String,
    /// The project it was started for.
    pub project: String,
    /// The accounts by name.
    pub accounts: BTreeMap<String, String>,
    /// The key to the control calls of this cloud.
    pub token: String,
    /// The secret of every account's root in this cloud, as the profiles have it.
    pub root_secret: String,
    /// The addresses of deployed APIs by environment.
    #[serde(default)]
    pub urls: BTreeMap<String, String>,
}

impl State {
    /// `https://127.0.0.1:<port>`. An address and not a name: S3 would make host names of it.
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// How its accounts are opened.
    pub fn world(&self, paths: &Paths) -> LocalWorld {
        LocalWorld {
            endpoint: self.endpoint(),
            bundle: paths.bundle(),
            root_secret: self.root_secret.clone(),
        }
    }

    /// Reads the state of a cloud that is still running; `None` where there is none.
    pub fn read(paths: &Paths) -> Option<Self> {
        let bytes = std::fs::read(paths.state()).ok()?;
        let state: Self = serde_json::from_slice(&bytes).ok()?;
        process::is_alive(&paths.processes(), state.pid).then_some(state)
    }

    /// Writes the state in one step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, paths: &Paths) -> anyhow::Result<()> {
        write_private(&paths.state(), &serde_json::to_vec_pretty(self).context("write the state")?)
    }

    /// The variables with which any AWS client reaches the cloud.
    pub fn environment(&self, paths: &Paths) -> Vec<(String, String)> {
        let text = |path: std::path::PathBuf| path.display().to_string();
        let mut all = vec![
            ("AWS_ENDPOINT_URL".to_owned(), self.endpoint()),
            ("AWS_REGION".to_owned(), self.region.clone()),
            ("AWS_CONFIG_FILE".to_owned(), text(paths.aws_config())),
            ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), text(paths.aws_credentials())),
            ("AWS_PROFILE".to_owned(), format!("{}-build", self.project)),
            ("AWS_CA_BUNDLE".to_owned(), text(paths.bundle())),
            ("SSL_CERT_FILE".to_owned(), text(paths.bundle())),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        for (env, url) in &self.urls {
            all.push((format!("CAUSEWAY_{}_URL", env.to_ascii_uppercase().replace('-', "_")), url.clone()));
        }
        all
    }

    /// Writes the AWS configuration with one profile an account.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write_profiles(&self, paths: &Paths) -> anyhow::Result<()> {
        let (mut config, mut credentials) = (String::new(), String::new());
        for (name, id) in &self.accounts {
            let profile = format!("{}-{name}", self.project);
            config.push_str(&format!("[profile {profile}]\nregion = {}\noutput = json\n\n", self.region));
            credentials.push_str(&format!(
                "[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = {}\n\n",
                self.root_secret
            ));
        }
        write_private(&paths.aws_config(), config.as_bytes())?;
        write_private(&paths.aws_credentials(), credentials.as_bytes())
    }
}

/// Why a cloud has ended, for whoever followed it and could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The resident process that it was.
    pub pid: i32,
    /// Why.
    pub why: String,
}

impl Last {
    /// The last words of a resident process; `None` where it left none, as one that was killed.
    pub fn of(paths: &Paths, pid: i32) -> Option<String> {
        let bytes = std::fs::read(paths.local().join("ended.json")).ok()?;
        let last: Self = serde_json::from_slice(&bytes).ok()?;
        (last.pid == pid).then_some(last.why)
    }

    /// Writes them down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, paths: &Paths) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self).context("write the last words")?;
        write_private(&paths.local().join("ended.json"), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_those_of_their_process_alone() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::of(dir.path()).with_local(dir.path());
        assert_eq!(Last::of(&paths, 7), None);
        Last { pid: 7, why: "the emulator ended".to_owned() }.write(&paths).unwrap();
        assert_eq!(Last::of(&paths, 7).as_deref(), Some("the emulator ended"));
        assert_eq!(Last::of(&paths, 8), None, "a later one that was killed");
    }

    #[test]
    fn the_environment_names_addresses_and_urls() {
        let state = State {
            v: 1,
            pid: 1,
            port: 4566,
            region: "eu-central-1".into(),
            project: "causeway".into(),
            accounts: BTreeMap::new(),
            token: "t".into(),
            root_secret: "s".into(),
            urls: BTreeMap::from([("dev".into(), "http://127.0.0.1:1/".into())]),
        };
        let all: BTreeMap<_, _> =
            state.environment(&Paths::of(std::path::Path::new("/c"))).into_iter().collect();
        assert_eq!(all["AWS_ENDPOINT_URL"], "https://127.0.0.1:4566");
        assert_eq!(all["AWS_PROFILE"], "causeway-build");
        assert_eq!(all["CAUSEWAY_DEV_URL"], "http://127.0.0.1:1/");
        assert_eq!(all["AWS_CA_BUNDLE"], all["SSL_CERT_FILE"]);
        assert!(!all.values().any(|value| value == "t" || value == "s"), "secrets stay in the state");
    }
}
