//! An edge before a stub in place of the emulator, for `bench rollout`: what is measured is the edge alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::api::Api;
use super::open;
use super::routes::Routes;
use crate::cloud::Cloud;
use crate::emulator::Client;
use crate::lower::Target;
use crate::state::State;
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;

/// The account of the stub.
pub const ACCOUNT: &str = "111111111111";
/// Its stack.
pub const STACK: &str = "bench";
/// Its function.
pub const FUNCTION: &str = "stub";
/// Its route.
pub const ROUTE: &str = "api/version";

/// Its function's alias, which its route leads to.
pub(crate) const ALIAS: &str = "live";

/// Opens it before whatever answers for Lambda at that port, its aliases included. Returns what keeps it open, and its address.
///
/// # Errors
/// No port is free.
pub async fn stub(dir: &Path, port: u16) -> anyhow::Result<(Arc<Cloud>, String)> {
    let cloud = cloud(dir, port)?;
    let url = edge(&cloud).await?;
    Ok((cloud, url))
}

/// A cloud before whatever listens at that port.
///
/// # Errors
/// No HTTP client can be made.
pub fn cloud(dir: &Path, port: u16) -> anyhow::Result<Arc<Cloud>> {
    // Only one provider is compiled in; an earlier installation of it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let region = "eu-central-1".to_owned();
    let state = State {
        v: 1,
        pid: 0,
        port: 0,
        region: region.clone(),
        project: "bench".to_owned(),
        accounts: BTreeMap::new(),
        token: String::new(),
        root_secret: String::new(),
        urls: BTreeMap::new(),
    };
    let target = Target { endpoint: String::new(), bundle: String::new(), architecture: String::new() };
    let paths = Paths::of(dir).with_local(dir);
    let minute = Duration::from_secs(60);
    Ok(Arc::new(Cloud::new(Client::new(port, &region)?, target, Expander::idle(), paths, state, minute)))
}

/// Opens the edge of the stub's API before a cloud; its address.
///
/// # Errors
/// No port is free.
pub async fn edge(cloud: &Arc<Cloud>) -> anyhow::Result<String> {
    edge_of(cloud, FUNCTION, Some(ALIAS)).await
}

/// A request to the edge of an API of the caller's, whose one route leads to an alias of a function: its answer. No socket
/// carries it, so a test's own time can pass meanwhile.
#[cfg(test)]
pub(crate) async fn ask(cloud: &Arc<Cloud>, api: &str, function: &str) -> axum::response::Response {
    const PORT: u16 = 1;
    let routes = Routes::one("GET", &format!("/{ROUTE}"), function, Some(ALIAS));
    let app = super::App {
        cloud: Arc::clone(cloud),
        key: (ACCOUNT.to_owned(), STACK.to_owned()),
        port: PORT,
        api: Arc::new(std::sync::Mutex::new(Arc::new(Api::of_routes(api, routes)))),
    };
    let request =
        http::Request::builder().uri(format!("/{ROUTE}")).header("host", format!("127.0.0.1:{PORT}"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    super::app::answer(axum::extract::State(app), request).await
}

/// The same for a function of the caller's, through an alias.
pub(crate) async fn edge_of(
    cloud: &Arc<Cloud>,
    function: &str,
    alias: Option<&str>,
) -> anyhow::Result<String> {
    let api = Api::of_routes("stub", Routes::one("GET", &format!("/{ROUTE}"), function, alias));
    edge_to(cloud, api).await
}

/// The same for an API of the caller's.
pub(super) async fn edge_to(cloud: &Arc<Cloud>, api: Api) -> anyhow::Result<String> {
    let key = (ACCOUNT.to_owned(), STACK.to_owned());
    open(cloud, (key, "Api".to_owned()), api, "bench".to_owned()).await
}
