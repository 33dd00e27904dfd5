//! A report's page, held to the JSON lines of the same command and looked at by a real browser where there is one.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The largest page, in bytes.
const LARGEST: usize = 150_000;

/// Browsers as Debian, Ubuntu and others call them.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Holds a page to the result of the command that wrote it: verdict, size, and the numbers of every chart.
pub fn hold(page: &Path, result: &Value) {
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.len() <= LARGEST, "{} bytes", html.len());
    let verdict = result["verdict"].as_str().unwrap();
    let first = html.split("<main>").next().unwrap();
    assert!(first.contains(&format!(" {verdict}</h1>")), "the verdict comes first");
    let watched = &result["data"]["watched"];
    let of_env: Vec<(String, &Value)> = match watched.as_object() {
        Some(all) => all.iter().map(|(env, seen)| (env.clone(), seen)).collect(),
        None => vec![(result["data"]["env"].as_str().unwrap().to_owned(), &result["data"])],
    };
    let mut tables = 0;
    for table in html.split("<table data-env=\"").skip(1) {
        let attribute =
            |name: &str| table.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        let (env, function) = (table.split('"').next().unwrap(), attribute("data-function"));
        let width: u64 = attribute("data-width").parse().unwrap();
        let seen = of_env.iter().find(|(name, _)| name == env).unwrap().1;
        let body = table.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
        for row in body.split("<tr>").skip(1) {
            let row = row.split("</tr>").next().unwrap();
            let cells: Vec<&str> =
                row.split('>').skip(1).step_by(2).map(|cell| cell.split('<').next().unwrap()).collect();
            numbers(&cells, seen, function, width);
        }
        tables += 1;
    }
    assert!(tables > 0, "the page has charts");
    match browser() {
        Some(browser) => look(&browser, page, verdict),
        None => eprintln!("no browser here: the page was not opened in one (Debian: apt install chromium)"),
    }
}

/// A row's numbers are the sums of the seconds it stands for.
fn numbers(cells: &[&str], seen: &Value, function: &str, width: u64) {
    let at: u64 = cells[0].parse().unwrap();
    let seconds: Vec<&Value> = seen["seconds"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|second| (at..at + width).contains(&second["at"].as_u64().unwrap()))
        .collect();
    let sum = |of: &dyn Fn(&Value) -> Option<u64>| -> u64 { seconds.iter().filter_map(|s| of(s)).sum() };
    let sent = sum(&|second| second["by_function"][function]["sent"].as_u64());
    assert_eq!(cells[1], sent.to_string(), "{cells:?}");
    let answered = sum(&|second| {
        let own = second["by_version"].as_object()?.iter();
        Some(
            own.filter(|(key, _)| key.starts_with(&format!("{function} ")))
                .filter_map(|(_, n)| n.as_u64())
                .sum(),
        )
    });
    let errors = sum(&|second| second["by_function"][function]["errors"].as_u64());
    // Between the requests and the last four columns stand the versions.
    let versions: u64 = cells[2..cells.len() - 4].iter().map(|cell| cell.parse::<u64>().unwrap()).sum();
    assert_eq!(versions, answered, "{cells:?}");
    assert_eq!(cells[cells.len() - 4], errors.to_string(), "{cells:?}");
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let all = || std::env::split_paths(&path).flat_map(|dir| BROWSERS.iter().map(move |name| dir.join(name)));
    all().find(|file| file.is_file())
}

/// The page renders in light and dark, on a phone and on a desk; it says nothing on the console, and asks for nothing.
fn look(browser: &Path, page: &Path, verdict: &str) {
    for (size, dark) in [("1280,1600", false), ("390,1600", true)] {
        let profile = tempfile::tempdir().unwrap();
        let log = profile.path().join("net.json");
        let mut command = assert_cmd::Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        // What a browser asks for by itself does not leave this machine either.
        command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("--log-net-log={}", log.display()));
        command.arg(format!("--window-size={size}"));
        command.args(["--enable-logging=stderr", "--dump-dom"]);
        if dark {
            command.arg("--force-dark-mode");
        }
        let output = command.arg(format!("file://{}", page.display())).output().unwrap();
        let (dom, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        assert!(dom.contains(&format!(" {verdict}</h1>")) && dom.contains("</svg>"), "it renders");
        assert!(!said.contains("CONSOLE"), "nothing on the console: {said}");
        let asked = std::fs::read_to_string(&log).unwrap();
        let page_asked: Vec<&str> = asked
            .split("\"url\":\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .filter(|url| !url.starts_with("file:") && !url.starts_with("data:"))
            .filter(|url| !url.contains("google") && !url.contains("gvt1")) // the browser's own
            .collect();
        assert_eq!(page_asked, Vec::<&str>::new(), "it asks for nothing");
    }
}
