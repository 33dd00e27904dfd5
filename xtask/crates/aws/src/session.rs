//! Which credentials and which endpoint an account is reached with, and the check that they belong to it.
//!
//! On AWS: a profile per account, or the ambient credentials in CodeBuild. For a rehearsal: the local cloud's
//! endpoint, certificate and account keys, written into the configuration by hand, so that nothing of the caller's
//! environment can lead to AWS.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;

use super::sts;
use super::waiting::{Limits, Say, Talk};
use causeway_model::config::{BUILD, Config, Local};
use causeway_model::fault::{Fault, Kind};
use causeway_model::keys::Keys;
use causeway_model::net::is_loopback;

/// The local cloud as a client sees it.
#[derive(Clone)]
pub struct LocalWorld {
    /// `https://127.0.0.1:<port>`.
    pub endpoint: String,
    /// The certificates to trust, PEM.
    pub bundle: PathBuf,
    /// The secret of every account's root there.
    pub root_secret: String,
}

impl LocalWorld {
    /// All accounts of a configuration in this world, verified.
    ///
    /// # Errors
    /// The world does not answer, or an account is another one there.
    pub async fn accounts(self, config: &Config) -> anyhow::Result<Accounts> {
        let options = OpenOptions { world: Some(self), ..OpenOptions::default() };
        let names: Vec<String> = config.accounts.keys().cloned().collect();
        Unverified::open(config, &options).await?.verify(config, &names).await
    }

    /// The keys of an account's root: its id is the access key's id.
    pub fn root(&self, account: &str) -> Keys {
        Keys { id: account.to_owned(), secret: self.root_secret.clone(), token: None }
    }
}

/// How accounts are reached.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// `--profile-prefix`.
    pub profile_prefix: Option<String>,
    /// `cfn/stacks.local.toml`.
    pub local: Local,
    /// The local cloud of a rehearsal, in place of everything the environment says.
    pub world: Option<LocalWorld>,
    /// Where it is said that AWS is waited for.
    pub say: Say,
}

/// One account and the way to it. Only an account whose credentials were verified is one outside of `aws`: clients are made
/// from it, so nothing can be sent to an account that was not looked at first.
#[derive(Clone)]
pub struct Account {
    /// Its name in `cfn/stacks.toml`.
    pub name: String,
    /// Its id there.
    pub id: String,
    /// The profile, where one is used.
    pub profile: Option<String>,
    /// Whether the endpoint is on this machine.
    pub loopback: bool,
    sdk: SdkConfig,
    say: Say,
}

/// The accounts of a configuration, before anybody knows whose credentials their profiles have. No client can be made from
/// it, and the compiler holds that:
///
/// ```compile_fail,E0308
/// use causeway_aws::{Unverified, cloudformation::Stacks};
/// fn forgotten(accounts: &Unverified) -> Stacks {
///     Stacks::new(accounts)
/// }
/// ```
///
/// [`Unverified::verify`] gives what clients are made from:
///
/// ```no_run
/// use causeway_aws::{Unverified, cloudformation::Stacks};
/// use causeway_model::config::Config;
/// async fn looked_at(accounts: Unverified, config: &Config) -> anyhow::Result<Stacks> {
///     let names = ["dev".to_owned()];
///     Ok(Stacks::new(accounts.verify(config, &names).await?.get("dev")?))
/// }
/// ```
#[must_use = "only `verify` gives accounts that clients can be made from"]
pub struct Unverified(BTreeMap<String, Account>);

/// The accounts whose credentials were verified. Nobody else can make any up:
///
/// ```compile_fail,E0423
/// let made_up = causeway_aws::Accounts(Default::default());
/// ```
#[derive(Clone)]
pub struct Accounts(BTreeMap<String, Account>);

impl Unverified {
    /// Opens every account of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// A certificate file that cannot be read.
    pub async fn open(config: &Config, options: &OpenOptions) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        for (name, account) in &config.accounts {
            let opened = match &options.world {
                Some(world) => local(config, name, &account.id, world)?,
                None => from_environment(config, name, &account.id, options).await?,
            };
            all.insert(name.clone(), Account { say: options.say.clone(), ..opened });
        }
        Ok(Self(all))
    }

    /// Verifies that the credentials of every named account belong to it, and that placeholder ids only meet an
    /// endpoint on this machine. These accounts, and no others. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::Credentials`] where they do not.
    pub async fn verify(&self, config: &Config, names: &[String]) -> anyhow::Result<Accounts> {
        let mut all = BTreeMap::new();
        for name in names {
            let account = self
                .0
                .get(name)
                .with_context(|| format!("there is no account `{name}` in cfn/stacks.toml"))?;
            let is_placeholder = causeway_model::config::PLACEHOLDER_IDS.contains(&account.id.as_str());
            // A rehearsal makes its own way, and nothing of the environment bears on it.
            if let Some((variable, url)) = foreign(std::env::vars())
                .filter(|_| is_placeholder && account.loopback && account.profile.is_some())
            {
                return Err(Fault::usage("use the local cloud", variable.as_str())
                    .why(format!("it leads to {url}, which is not on this machine"))
                    .next(format!("unset {variable}"))
                    .into());
            }
            if is_placeholder && !account.loopback {
                return Err(Fault::new(Kind::Credentials, "use the account", name.as_str())
                    .why(format!("its id {} is the placeholder of the committed file", account.id))
                    .next("write the ids of your accounts into cfn/stacks.toml")
                    .into());
            }
            all.insert(name.clone(), account.clone());
        }
        let mut checks = tokio::task::JoinSet::new();
        for account in all.values().cloned() {
            checks.spawn(async move { (sts::caller_account(&account).await, account) });
        }
        while let Some(joined) = checks.join_next().await {
            let (found, account) = joined?;
            let found = found?;
            if found != account.id {
                let other = config
                    .account_named_by_id(&found)
                    .map(|name| format!(", which is `{name}`"))
                    .unwrap_or_default();
                let profile = account.profile.as_deref().unwrap_or("the ambient credentials");
                return Err(Fault::new(Kind::Credentials, "use the account", account.name.as_str())
                    .why(format!("{profile} leads to {found}{other}; cfn/stacks.toml says {}", account.id))
                    .next("correct the profile (--profile-prefix, cfn/stacks.local.toml) or the id; nothing was changed")
                    .into());
            }
        }
        Ok(Accounts(all))
    }
}

impl Accounts {
    /// One account by itself: it was verified, or it would be none.
    pub fn of(account: &Account) -> Self {
        Self(BTreeMap::from([(account.name.clone(), account.clone())]))
    }

    /// The account of that name.
    ///
    /// # Errors
    /// A name that the configuration does not have, or whose credentials this command did not verify.
    pub fn get(&self, name: &str) -> anyhow::Result<&Account> {
        self.0.get(name).with_context(|| {
            format!("the account `{name}` is not in cfn/stacks.toml, or its credentials were not verified")
        })
    }

    /// The same accounts with another way to one of them, for instance a role's session.
    pub fn with(mut self, account: Account) -> Self {
        self.0.insert(account.name.clone(), account);
        self
    }
}

impl Account {
    /// The SDK's configuration for this account.
    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// What says during each call who is waited for, if it takes long.
    pub(super) fn talk(&self) -> Talk {
        Talk::new(&self.name, &self.say)
    }

    /// The region.
    pub fn region(&self) -> &str {
        self.sdk.region().map_or("", Region::as_ref)
    }

    /// How long to wait between two looks at something that takes its time.
    pub fn pace(&self) -> std::time::Duration {
        std::time::Duration::from_millis(if self.loopback { 150 } else { 2_000 })
    }

    /// A client of S3, with the time that a package may take.
    pub(super) fn s3(&self) -> aws_sdk_s3::Client {
        // Path style: with an endpoint that is an address, host names for buckets would not resolve.
        let config = aws_sdk_s3::config::Builder::from(&self.sdk)
            .force_path_style(self.loopback)
            .timeout_config(Limits::now().of_uploads())
            .interceptor(self.talk())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The same endpoint with the keys of a session, for instance an assumed role's.
    pub fn with_keys(&self, name: &str, id: &str, keys: &Keys) -> Account {
        let sdk = self.sdk.to_builder().credentials_provider(provider(keys)).build();
        let say = self.say.clone();
        Account { name: name.to_owned(), id: id.to_owned(), profile: None, loopback: self.loopback, sdk, say }
    }
}

impl Account {
    /// An account whose services are stand-ins on this machine, for tests of whatever uses them: nothing else can be
    /// reached by it, so no verified credentials are needed.
    pub fn at(endpoint: &str) -> Self {
        Self::anywhere(if is_loopback(endpoint) { endpoint } else { "http://127.0.0.1:1" })
    }

    /// For tests of what is said of an address that is none.
    pub(super) fn anywhere(endpoint: &str) -> Self {
        let keys = Keys { id: "AKIAEXAMPLE".to_owned(), secret: "example".to_owned(), token: None };
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(provider(&keys))
            .retry_config(RetryConfig::disabled())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .build();
        let say = Say::default();
        Self {
            name: "dev".to_owned(),
            id: "222222222222".to_owned(),
            profile: None,
            loopback: true,
            sdk,
            say,
        }
    }

    /// The same account with the limits of AWS, saying what is waited for.
    #[cfg(test)]
    pub(super) fn waiting(mut self, say: &Say) -> Self {
        let limits = Limits::now();
        let sdk = self.sdk.to_builder().timeout_config(limits.timeouts()).retry_config(limits.retries());
        self.sdk = sdk.build();
        self.waiting_too(say)
    }

    /// The same account, saying what is waited for.
    #[cfg(test)]
    pub(super) fn waiting_too(mut self, say: &Say) -> Self {
        self.say = say.clone();
        self
    }

    /// The same account with the keys of sessions that last so many seconds, and how many there have been.
    #[cfg(test)]
    pub(super) fn renewing(mut self, seconds: u64) -> (std::sync::Arc<std::sync::atomic::AtomicUsize>, Self) {
        let provider = Renewing { seconds, given: std::sync::Arc::default() };
        let given = std::sync::Arc::clone(&provider.given);
        let cache = aws_config::identity::IdentityCache::lazy().build();
        let sdk = self.sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(provider));
        self.sdk = sdk.identity_cache(cache).build();
        (given, self)
    }

    /// The same account, tried again as on AWS, without the long pauses.
    #[cfg(test)]
    pub(super) fn retrying(mut self) -> Self {
        let retry = RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(1));
        self.sdk = self.sdk.to_builder().retry_config(retry).build();
        self
    }
}

/// Gives the keys of a new session whenever it is asked.
#[cfg(test)]
#[derive(Debug)]
struct Renewing {
    seconds: u64,
    given: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

#[cfg(test)]
impl aws_credential_types::provider::ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let given = self.given.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let end = std::time::SystemTime::from(causeway_machine::clock::now())
            + std::time::Duration::from_secs(self.seconds);
        let keys = Credentials::new("ASIAEXAMPLE", "example", Some(format!("t{given}")), Some(end), "test");
        aws_credential_types::provider::future::ProvideCredentials::ready(Ok(keys))
    }
}

fn provider(keys: &Keys) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(
        &keys.id,
        &keys.secret,
        keys.token.clone(),
        None,
        "causeway",
    ))
}

/// The local cloud: an access key id of twelve digits is that account's root.
fn local(config: &Config, name: &str, id: &str, world: &LocalWorld) -> anyhow::Result<Account> {
    let bundle = std::fs::read(&world.bundle).with_context(|| format!("read {}", world.bundle.display()))?;
    let keys = world.root(id);
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .endpoint_url(&world.endpoint)
        .http_client(http_client(Some(bundle))?)
        .credentials_provider(provider(&keys))
        .retry_config(RetryConfig::standard())
        .timeout_config(Limits::now().timeouts())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SystemTimeSource::new())
        .build();
    let say = Say::default();
    Ok(Account { name: name.to_owned(), id: id.to_owned(), profile: None, loopback: true, sdk, say })
}

/// AWS, or whatever `AWS_ENDPOINT_URL` names.
async fn from_environment(
    config: &Config,
    name: &str,
    id: &str,
    options: &OpenOptions,
) -> anyhow::Result<Account> {
    let profile = profile(config, name, options);
    let bundle = match std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        Some(path) => Some(std::fs::read(&path).map_err(|error| {
            Fault::usage("read the certificates", format!("AWS_CA_BUNDLE {}", path.to_string_lossy()))
                .why(error)
                .next("name a file that can be read, or: unset AWS_CA_BUNDLE")
        })?),
        None => None,
    };
    let http = http_client(bundle)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .retry_config(Limits::now().retries())
        .timeout_config(Limits::now().timeouts())
        .http_client(http.clone());
    if let Some(profile) = &profile {
        // Keys in the environment would win over a profile otherwise, and lead to whichever account they are of.
        let provider = ProviderConfig::default()
            .with_http_client(http)
            .with_region(Some(Region::new(config.region.clone())));
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    let sdk = loader.load().await;
    let loopback = sdk.endpoint_url().is_some_and(is_loopback);
    Ok(Account { name: name.to_owned(), id: id.to_owned(), profile, loopback, sdk, say: Say::default() })
}

/// The first variable that leads one service somewhere else than this machine, while the others lead to the local cloud
/// ("Service-specific endpoints" in the reference guide of SDKs and tools).
fn foreign(variables: impl Iterator<Item = (String, String)>) -> Option<(String, String)> {
    let mut all: Vec<(String, String)> = variables
        .filter(|(name, url)| name.starts_with("AWS_ENDPOINT_URL_") && !url.is_empty() && !is_loopback(url))
        .collect();
    all.sort();
    all.into_iter().next()
}

/// The profile for an account: the personal file's, else `<prefix>-<account>`. None in CodeBuild.
fn profile(config: &Config, name: &str, options: &OpenOptions) -> Option<String> {
    if name == BUILD && std::env::var_os("CODEBUILD_BUILD_ID").is_some() {
        return None;
    }
    let personal = options.local.profiles.get(name).cloned();
    let prefix = options.profile_prefix.as_ref().or(options.local.profile_prefix.as_ref());
    match (options.profile_prefix.is_some(), personal, prefix) {
        (false, Some(profile), _) => Some(profile),
        (_, _, Some(prefix)) => Some(format!("{prefix}-{name}")),
        _ => Some(config.names().profile(name)),
    }
}

/// rustls on ring; the given certificates, or the ones in force on this machine (`SSL_CERT_FILE` counts).
fn http_client(bundle: Option<Vec<u8>>) -> anyhow::Result<SharedHttpClient> {
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    Ok(match bundle {
        Some(pem) => {
            let store = TrustStore::empty().with_pem_certificate(pem);
            let context =
                TlsContext::builder().with_trust_store(store).build().context("read the certificates")?;
            builder.tls_context(context).build_https()
        }
        None => builder.build_https(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Script, result};
    use super::*;
    use causeway_model::fault::from_error;

    const CONFIG: &str = r#"
project = "acme"
region = "eu-central-1"
[source]
repository = "acme/shop"
branch = "main"
[accounts]
build = { id = "444455556666" }
dev = { id = "222222222229" }
prod = { id = "777788889999" }
[[stacks]]
name = "build-base"
template = "build-base.yaml"
accounts = "build"
"#;

    /// The account `dev` of `CONFIG`, whose credentials belong to the account that answers.
    async fn dev_answering(id: &str) -> (Script, Config, Unverified) {
        let config = causeway_model::config::parse(CONFIG).unwrap();
        let (script, mut account) =
            Script::start(vec![result("GetCallerIdentity", &format!("<Account>{id}</Account>"))]).await;
        account.id = config.accounts["dev"].id.clone();
        account.profile = Some("acme-dev".to_owned());
        (script, config, Unverified(BTreeMap::from([("dev".to_owned(), account)])))
    }

    #[tokio::test]
    async fn a_profile_of_another_account_is_refused_before_anything_else_is_asked() {
        for (answers, named) in [
            ("777788889999", "leads to 777788889999, which is `prod`"),
            ("123412341234", "leads to 123412341234;"),
        ] {
            let (script, config, accounts) = dev_answering(answers).await;
            let Err(error) = accounts.verify(&config, &["dev".to_owned()]).await else {
                panic!("{answers} is not the account of the configuration");
            };
            let fault = from_error(&error);
            assert_eq!(fault.kind, Kind::Credentials);
            assert!(fault.why.contains("acme-dev") && fault.why.contains(named), "{}", fault.why);
            assert!(fault.next.contains("nothing was changed"), "{}", fault.next);
            assert_eq!(script.asked(), ["GetCallerIdentity"]);
        }
    }

    #[test]
    fn a_variable_of_one_service_that_leads_away_is_found() {
        let variables = |all: &[(&str, &str)]| {
            foreign(all.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())))
        };
        let away = "https://cloudformation.eu-central-1.amazonaws.com";
        let local = ("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:4566");
        assert_eq!(variables(&[local, ("AWS_ENDPOINT_URL", away), ("AWS_ENDPOINT_URL_STS", "")]), None);
        let found = variables(&[local, ("AWS_ENDPOINT_URL_CLOUDFORMATION", away)]).unwrap();
        assert_eq!(found, ("AWS_ENDPOINT_URL_CLOUDFORMATION".to_owned(), away.to_owned()));
    }

    #[tokio::test]
    async fn the_right_account_is_taken() {
        let (_script, config, accounts) = dev_answering("222222222229").await;
        let verified = accounts.verify(&config, &["dev".to_owned()]).await.unwrap();
        assert_eq!(verified.get("dev").unwrap().id, "222222222229");
        // An account that was not asked about is none, whatever its credentials are.
        assert!(
            verified.get("prod").is_err() && accounts.verify(&config, &[]).await.unwrap().get("dev").is_err()
        );
    }
}
