//! What the watcher says of stacks and APIs that are not what they should be, and how an interrupted watch ends.

use axum::Router;
use axum::body::Body;
use axum::response::Response;

use super::*;
use causeway_model::fault::from_error;
use causeway_model::stack::StackStatus;
use causeway_model::verdict::ExitCode;

fn info(status: &str, url: Option<&str>) -> StackInfo {
    StackInfo {
        id: String::new(),
        status: StackStatus::parse(status),
        outputs: url.map(|url| ("ApiURL".to_owned(), url.to_owned())).into_iter().collect(),
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        protected: false,
        role_arn: None,
        change_set: None,
        created: None,
        operation: None,
    }
}

#[test]
fn a_stack_without_an_address_says_how_it_stands() {
    let good = info("CREATE_COMPLETE", Some("https://x.example/"));
    assert_eq!(address(&good, "app").unwrap(), "https://x.example/");
    for (info, why) in [
        (info("CREATE_IN_PROGRESS", None), "no output ApiURL; it is CREATE_IN_PROGRESS"),
        (info("CREATE_COMPLETE", Some("ftp://x")), "\"ftp://x\", which is no address"),
        (info("CREATE_COMPLETE", Some("httpbin")), "\"httpbin\", which is no address"),
    ] {
        let fault = address(&info, "app").unwrap_err();
        assert!(fault.why.contains(why) && !fault.next.is_empty() && fault.on == "app", "{fault}");
    }
}

/// An API that answers everything with this.
async fn api(status: u16, version: Option<&'static str>, body: &'static str) -> String {
    let app = Router::new().fallback(move || async move {
        let mut response = Response::builder().status(status);
        if let Some(version) = version {
            response = response.header("x-causeway-version", version);
        }
        response.body(Body::from(body)).unwrap()
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

#[tokio::test]
async fn an_api_that_is_not_ours_is_not_driven() {
    let routes = [Route { function: "checkin".to_owned(), path: "api/version".to_owned() }];
    let table = [
        (200, None, "<html>Welcome to nginx!</html>", Some("200 OK without a version: it is not ours")),
        (200, None, r#"{"message": "hello"}"#, Some("not ours")),
        (404, None, r#"{"message": "Not Found"}"#, Some("404 Not Found without a version")),
        // One of ours, and some that may be and are in trouble: the watch tells.
        (200, Some("0.1.0+abc"), "{}", None),
        (200, None, r#"{"version": "0.1.0+abc"}"#, None),
        (503, None, r#"{"message": "Service Unavailable"}"#, None),
    ];
    for (status, version, body, why) in table {
        let url = api(status, version, body).await;
        let found = ours(&ApiClient::new(&url).unwrap(), &routes, &url, &[]).await;
        match why {
            None => assert!(found.is_ok(), "{status} {body}"),
            Some(why) => {
                let fault = from_error(&found.unwrap_err());
                assert!(fault.why.contains(why) && fault.on == url, "{fault}");
                assert!(fault.next.contains("ApiURL"), "{fault}");
            }
        }
    }
    let fault =
        from_error(&ours(&ApiClient::new("http://x").unwrap(), &[], "http://x", &[]).await.unwrap_err());
    assert!(fault.why.contains("no function has a version route"), "{fault}");
}

/// An API that answers with these statuses, one after the other, and as one of ours with 200.
async fn api_in_turn(statuses: Vec<u16>) -> String {
    let left = std::sync::Arc::new(Mutex::new(std::collections::VecDeque::from(statuses)));
    let app = Router::new().fallback(move || {
        let status = left.lock().unwrap().pop_front().unwrap_or(200);
        async move {
            let mut response = Response::builder().status(status);
            if status == 200 {
                response = response.header("x-causeway-version", "0.1.0+abc");
            }
            response.body(Body::from(r#"{"message": "Too Many Requests"}"#)).unwrap()
        }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

#[tokio::test]
async fn an_api_that_says_not_now_is_asked_again() {
    let routes = [Route { function: "checkin".to_owned(), path: "api/version".to_owned() }];
    let table = [
        (vec![429], None),
        (vec![429, 429], None),
        (vec![403, 429], None),
        // It throttles all the time: that is trouble, and no other API.
        (vec![429, 429, 429], None),
        (vec![403, 403, 403], Some("answered 403 Forbidden, 3 times, without a version")),
        (vec![404], Some("answered 404 Not Found without a version")),
    ];
    for (statuses, why) in table {
        let url = api_in_turn(statuses.clone()).await;
        let found = ours(&ApiClient::new(&url).unwrap(), &routes, &url, &[Duration::ZERO; 2]).await;
        let found = found.map_err(|error| from_error(&error).why);
        match why {
            None => assert_eq!(found, Ok(()), "{statuses:?}"),
            Some(why) => assert!(found.as_ref().unwrap_err().contains(why), "{found:?}"),
        }
    }
}

#[test]
fn each_verdict_ends_with_its_code_and_what_comes_next() {
    let plan = Plan {
        env: "prod".to_owned(),
        stack: "app".to_owned(),
        api: ApiClient::new("http://127.0.0.1:1/").unwrap(),
        routes: Vec::new(),
        rate: 1.0,
        groups: Vec::new(),
        alarms: Vec::new(),
        pace: Duration::from_secs(1),
        minute: None,
        until: Until::Done(LONGEST),
        expecting: None,
        terms: Terms::default(),
    };
    for (verdict, code, next) in [
        (Verdict::RolledBack, ExitCode::RolledBack, "the old version serves"),
        (Verdict::Unreachable, ExitCode::Failed, "can be reached"),
        (Verdict::Failed, ExitCode::Failed, "--max-errors"),
        (Verdict::TimedOut, ExitCode::TimedOut, "the deployment goes on"),
        (Verdict::Interrupted, ExitCode::Interrupted, "run the command again"),
    ] {
        let fault = fault(verdict, &plan, Some("this is why".to_owned())).unwrap();
        assert_eq!((fault.kind.exit_code(), Outcome::of(verdict).verdict), (code, verdict));
        assert!(fault.next.contains(next) && fault.why == "this is why" && fault.on == "app", "{fault}");
    }
    for verdict in [Verdict::Healthy, Verdict::NothingToWatch] {
        assert!(fault(verdict, &plan, None).is_none());
    }
}

#[test]
fn a_share_that_changes_has_a_line_of_its_own() {
    let out = Out::new(causeway_command::term::Options {
        json: true,
        ..causeway_command::term::Options::default()
    });
    let teller = Teller { out: &out, env: "prod".to_owned(), state: Mutex::default() };
    let mut tally = Tally::new("prod", "app", 1.0);
    let shares = [(0, 10.0), (1, 10.0), (2, 20.0), (3, 20.0), (4, 20.0), (5, 20.0)];
    for (at, weight) in shares {
        let deploying = Deploying { function: "f".to_owned(), weight, ..Deploying::default() };
        tally.deployments(f64::from(at), vec![deploying]);
        let version = if at == 3 { "2" } else { "1" };
        let sample = causeway_model::watch::Sample {
            intended: f64::from(at),
            version: Some(version.to_owned()),
            ..causeway_model::watch::Sample::default()
        };
        tally.add("f", &sample);
    }
    let mut telling = Telling::default();
    assert!(teller.traffic(&mut telling, &tally, 4.9).is_empty(), "not yet");
    let lines = teller.traffic(&mut telling, &tally, 5.5);
    let told: Vec<(u32, u32, BTreeMap<String, u32>)> = lines
        .into_iter()
        .filter_map(|(line, _)| match line {
            Some(Line::Probe(probe)) => Some((probe.new_weight, probe.sent, probe.by_version)),
            _ => None,
        })
        .collect();
    let versions = |pairs: &[(&str, u32)]| pairs.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect();
    assert_eq!(told, [(10, 2, versions(&[("1", 2)])), (20, 2, versions(&[("1", 1), ("2", 1)]))]);
}
