//! The arguments of `integration-test`.

/// Arguments of `integration-test`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The API's address, ending in a slash
    #[arg(long, env = "API_URL", value_name = "URL")]
    pub api_url: Option<String>,
    /// The version of checkin that must answer; `any` for whichever is there
    #[arg(long, env = "EXPECTED_VERSION", value_name = "VERSION")]
    pub expected_version: Option<String>,
    /// The version of contacts that must answer; `any` for whichever is there
    #[arg(long, env = "EXPECTED_VERSION_CONTACTS", value_name = "VERSION")]
    pub expected_version_contacts: Option<String>,
    /// Whether protected routes must ask for a signature: NONE or AWS_IAM; by default as they do
    #[arg(long, env = "API_AUTH", value_name = "AUTH")]
    pub api_auth: Option<String>,
    /// The role that signs; by default the one of the account dev
    #[arg(long, env = "API_CLIENT_ROLE_ARN", value_name = "ARN")]
    pub api_client_role_arn: Option<String>,
}
