//! `bench coldstart`: how soon a packaged function asks for work, and how soon it has answered a read of DynamoDB, beside the
//! least that a function can be and one as it is commonly written. All in one run on one machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum_server::tls_rustls::RustlsConfig;
use causeway_args::bench::Coldstart as Args;
use serde_json::{Value, json};

use super::hundredths;
use causeway_build::reproducible::target_dir;
use causeway_build::trial::{self, Trial};
use causeway_cloud::tls;
use causeway_command::Context;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::paths::Paths;
use causeway_machine::shell::show;
use causeway_model::fault::Fault;

/// A program under measurement.
struct Program {
    name: String,
    path: PathBuf,
    /// Whether it reads from DynamoDB before it answers.
    reads: bool,
}

/// Starts the packaged function and the two it is compared with, in turns: the start of the process to its first question
/// for work, and to its answer, before which it has read from DynamoDB: a stub on loopback that speaks TLS.
///
/// # Errors
/// Something does not build or start, or an answer shows that nothing was read.
pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<Value> {
    let dir = tempfile::tempdir().context("make a folder for the functions")?;
    let programs = programs(context, args, dir.path()).await?;
    let stub = Stub::start(context, dir.path()).await?;
    let mut times: Vec<[Vec<f64>; 2]> = vec![Default::default(); programs.len()];
    for run in 0..=args.runs {
        for (program, own) in programs.iter().zip(&mut times) {
            let trial = started(program, &stub, dir.path()).await?;
            // The first round warms the page cache.
            if run > 0 {
                own[0].push(trial.first_next.as_secs_f64() * 1_000.0);
                own[1].push(trial.answered.as_secs_f64() * 1_000.0);
            }
        }
    }
    let (mut first_next, mut first_read) = (Vec::new(), Vec::new());
    for (figure, rows) in [(0, &mut first_next), (1, &mut first_read)] {
        let words = ["first question for work", "first answered read of DynamoDB, over TLS"];
        context.out.say(format!("  {}", words[figure]));
        let mut floor = None;
        for (program, own) in programs.iter().zip(&mut times) {
            if figure == 1 && !program.reads {
                continue;
            }
            let own = &mut own[figure];
            own.sort_by(f64::total_cmp);
            let at = |share: usize| own.get(own.len() * share / 100).copied().unwrap_or_default();
            let (name, p50, p95) = (program.name.as_str(), at(50), at(95));
            let ratio = p50 / *floor.get_or_insert(p50);
            context.out.say(format!("    {name:<10} p50 {p50:>7.2} ms  p95 {p95:>7.2} ms  ratio {ratio:.2}"));
            rows.push(json!({
                "program": name, "p50_ms": hundredths(p50), "p95_ms": hundredths(p95), "ratio": hundredths(ratio),
            }));
        }
    }
    Ok(json!({"runs": args.runs, "first_next": first_next, "first_read": first_read}))
}

/// The function as `package` makes it, out of its zip, and the two it is compared with, which are built by themselves: what
/// only they need does not get into the function.
async fn programs(context: &Context, args: &Args, dir: &Path) -> anyhow::Result<Vec<Program>> {
    let root = &context.root;
    context.out.note("building for this machine, profile lambda");
    let own = std::env::current_exe().context("find our own program")?;
    let bin = &args.bin;
    let mut package = command(root, |sh| cmd!(sh, "{own} package --no-upload --target host --bin={bin}"))?;
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CAUSEWAY_") && name != "CAUSEWAY_VENV_DIR")
    {
        package.env_remove(name);
    }
    let others =
        command(root, |sh| cmd!(sh, "cargo build --quiet --locked --profile lambda --package coldstart"))?;
    for command in [package, others] {
        if !show(command).await? {
            return Err(Fault::failed("build the functions", args.bin.as_str())
                .why("it ended with an error; its lines are above")
                .next("fix what it names, and run it again")
                .into());
        }
    }
    let zip = root.join(format!("target/causeway/package/{}.zip", args.bin));
    let bootstrap = dir.join("bootstrap");
    trial::unpack(&zip, &bootstrap)?;
    let target = target_dir(root);
    let other =
        |name: &str, reads| Program { name: name.to_owned(), path: target.join("lambda").join(name), reads };
    let packaged = Program { name: args.bin.clone(), path: bootstrap, reads: true };
    Ok(vec![other("bare", false), other("naive", true), packaged])
}

/// DynamoDB as far as a first read goes: nothing is there, over TLS, as on AWS.
struct Stub {
    url: String,
    bundle: PathBuf,
}

impl Stub {
    async fn start(context: &Context, dir: &Path) -> anyhow::Result<Self> {
        // Only one provider is compiled in; an earlier installation of it is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let paths = Paths::of(&context.root).with_local(&dir.join("tls"));
        let leaf = tls::issue(&paths)?;
        let config = RustlsConfig::from_pem(leaf.certificate.into_bytes(), leaf.key.into_bytes())
            .await
            .context("read the stub's certificate")?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen for the stub")?;
        listener.set_nonblocking(true).context("listen for the stub")?;
        let port = listener.local_addr().context("listen for the stub")?.port();
        let app = Router::new().fallback(async || {
            let body = json!({"Items": [], "Count": 0, "ScannedCount": 0}).to_string();
            let answer = Response::builder().header("content-type", "application/x-amz-json-1.0");
            answer.body(Body::from(body)).unwrap_or_default()
        });
        let server = axum_server::from_tcp_rustls(listener, config).context("serve the stub")?;
        tokio::spawn(server.serve(app.into_make_service()));
        Ok(Self { url: format!("https://127.0.0.1:{port}"), bundle: paths.bundle() })
    }
}

/// Starts a program, lets it answer one event, and ends it.
async fn started(own: &Program, stub: &Stub, dir: &Path) -> anyhow::Result<Trial> {
    let path = &own.path;
    let mut command = command(dir, |sh| cmd!(sh, "{path}"))?;
    trial::lambdas(&mut command, &stub.url);
    command.env("SSL_CERT_FILE", &stub.bundle);
    let trial = trial::run(command, trial::get("/api/locations")).await?;
    let good = !own.reads || trial.answer["statusCode"] == 200;
    anyhow::ensure!(good, "{} did not read: it answered {}", own.name, trial.answer);
    Ok(trial)
}
