//! What a cloud can look like after a run whose actions all did well, and what is said of it: a scripted emulator in place
//! of the real one, and an API that answers as it is told.

use axum::Router;
use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::edge_stub::ACCOUNT;
use crate::lower::Lowered;
use crate::mirror::Code;
use crate::stub_emulator::{Answer, Asked as Call, Emulator};
use causeway_model::fault::Kind;

const STACK: &str = "bench-app-prod";

/// A cloud: a stack of two functions, whose second version is what Build made, and both aliases lead there.
#[derive(Clone)]
struct World {
    /// The stack's state; `None` where there is no such stack.
    status: Option<&'static str>,
    /// Logical ids and names of functions.
    functions: Vec<(&'static str, &'static str)>,
    /// Logical ids, functions, and what Lambda says of the alias `live`.
    aliases: Vec<(&'static str, &'static str, Option<Value>)>,
    /// The digests of code, by function and version.
    code: Vec<(&'static str, &'static str, &'static str)>,
    /// What the API answers for each function: a status, and Lambda's number of the version.
    answers: Vec<(&'static str, u16, &'static str)>,
    /// The template's resources.
    resources: Value,
    waits: Option<&'static str>,
}

fn alias(version: &str) -> Option<Value> {
    Some(json!({"Name": "live", "FunctionVersion": version}))
}

fn good() -> World {
    World {
        status: Some("UPDATE_COMPLETE"),
        functions: vec![("CheckinFunction", "checkin"), ("ContactsFunction", "contacts")],
        aliases: vec![("CheckinAlias", "checkin", alias("2")), ("ContactsAlias", "contacts", alias("2"))],
        code: vec![
            ("checkin", "1", "old"),
            ("checkin", "2", "new"),
            ("checkin", "3", "foreign"),
            ("checkin", "$LATEST", "new"),
            ("contacts", "1", "old"),
            ("contacts", "2", "new too"),
            ("contacts", "$LATEST", "new too"),
        ],
        answers: vec![("checkin", 200, "2"), ("contacts", 200, "2")],
        resources: json!({"CheckinFunction": {}, "ContactsFunction": {}}),
        waits: None,
    }
}

impl World {
    fn without_aliases(mut self, function: &str) -> Self {
        self.aliases.retain(|(_, of, _)| *of != function);
        self
    }

    fn code_is(mut self, function: &str, version: &str, digest: &'static str) -> Self {
        for code in &mut self.code {
            if (code.0, code.1) == (function, version) {
                code.2 = digest;
            }
        }
        self
    }

    fn answer(&self, call: &Call) -> Answer {
        let gone = || Answer::new(404, "does not exist");
        match call.action().as_str() {
            "DescribeStacks" => {
                return match self.status {
                    None => Answer::new(400, "Stack does not exist"),
                    Some(status) => Answer::new(
                        200,
                        &format!(
                            "<R><DescribeStacksResult><Stacks><member><StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult></R>"
                        ),
                    ),
                };
            }
            "DescribeStackResources" => {
                let member = |id: &str, kind: &str, physical: &str| {
                    format!(
                        "<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>AWS::Lambda::{kind}</ResourceType><PhysicalResourceId>{physical}</PhysicalResourceId></member>"
                    )
                };
                let functions = self
                    .functions
                    .iter()
                    .map(|(id, name)| member(id, "Function", &format!("{STACK}-{name}")));
                let aliases = self.aliases.iter().map(|(id, of, _)| {
                    member(id, "Alias", &format!("arn:aws:lambda:r:{ACCOUNT}:function:{STACK}-{of}:live"))
                });
                let all: String = functions.chain(aliases).collect();
                return Answer::new(
                    200,
                    &format!(
                        "<R><DescribeStackResourcesResult><StackResources>{all}</StackResources></DescribeStackResourcesResult></R>"
                    ),
                );
            }
            _ => {}
        }
        let rest = call.path.strip_prefix(&format!("/2015-03-31/functions/{STACK}-")).unwrap();
        let (function, rest) = rest.split_once('/').unwrap();
        if rest == "aliases/live" {
            let found =
                self.aliases.iter().find(|(_, of, _)| *of == function).and_then(|(_, _, now)| now.clone());
            return found.map_or_else(gone, |now| Answer::new(200, &now.to_string()));
        }
        let version = rest.split_once("Qualifier=").map_or("$LATEST", |(_, version)| version);
        let found = self.code.iter().find(|(of, number, _)| (*of, *number) == (function, version));
        found.map_or_else(gone, |(_, _, digest)| Answer::new(200, &json!({"CodeSha256": digest}).to_string()))
    }

    /// What differs from what was meant.
    async fn differs(&self) -> Vec<String> {
        let world = self.clone();
        let emulator = Emulator::start(move |call, _| Some(world.answer(call))).await;
        let cloud = emulator.cloud();
        let answers = self.answers.clone();
        let app = Router::new().fallback(move |uri: http::Uri| {
            let found = answers.iter().find(|(function, _, _)| uri.path().ends_with(function)).copied();
            async move {
                let (_, status, version) = found.unwrap_or(("", 404, "none"));
                let mut answer = axum::response::Response::new(axum::body::Body::from("{}"));
                *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
                answer.headers_mut().insert("x-causeway-lambda-version", HeaderValue::from_static(version));
                answer
            }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        cloud.state().urls.insert("prod".to_owned(), url);
        let digests = [("CheckinFunction", "new"), ("ContactsFunction", "new too")];
        let digests = digests.into_iter().filter(|(id, _)| self.resources.get(id).is_some());
        let mut code = Code::default();
        code.digests = digests.map(|(id, digest)| (id.to_owned(), digest.to_owned())).collect();
        let record = Record {
            original: String::new(),
            plain: json!({"Resources": self.resources}),
            transformed: false,
            parameters: BTreeMap::new(),
            lowered: Lowered { template: Value::Null, types: BTreeMap::new(), shifts: vec![], gate: None },
            code,
        };
        let meant = Meant {
            env: "prod".to_owned(),
            record: Some(Arc::new(record)),
            waits: self.waits.map(ToOwned::to_owned),
        };
        let all = All::from([((ACCOUNT.to_owned(), STACK.to_owned()), meant)]);
        let probes = ["checkin", "contacts"].map(|of| (of.to_owned(), format!("api/version/{of}")));
        let found = differences(&cloud, &all, &BTreeMap::from(probes)).await.unwrap();
        found.into_iter().map(|(_, what)| what).collect()
    }
}

/// Green is what stands there, and nothing else. Each row is one way in which every action may do well and the cloud run
/// something else, or look as if it did.
#[tokio::test]
async fn a_release_is_what_the_cloud_runs_at_its_end() {
    let half =
        || Some(json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}}));
    let weights = |text: Value| Some(json!({"FunctionVersion": "2", "RoutingConfig": text}));
    let first = |now: Option<Value>| {
        vec![("CheckinAlias", "checkin", now), ("ContactsAlias", "contacts", alias("2"))]
    };
    let table: Vec<(&str, World, &[&str])> = vec![
        ("all of it", good(), &[]),
        ("a first create", World { status: Some("CREATE_COMPLETE"), ..good() }, &[]),
        (
            "of two change sets the wrong one was looked at, so this one was never executed",
            World { status: Some("REVIEW_IN_PROGRESS"), waits: Some("release"), ..good() },
            &["it is REVIEW_IN_PROGRESS, and its change set release was not executed"],
        ),
        (
            "a change set of a stack that stands was never executed",
            World { waits: Some("release"), ..good() },
            &["it is UPDATE_COMPLETE, and its change set release was not executed"],
        ),
        (
            "the stack was never made",
            World { status: Some("REVIEW_IN_PROGRESS"), ..good() },
            &["it is REVIEW_IN_PROGRESS"],
        ),
        (
            "there is no such stack",
            World { status: None, ..good() },
            &["it is ABSENT, though an action named it"],
        ),
        (
            "it was rolled back after its action",
            World { status: Some("UPDATE_ROLLBACK_COMPLETE"), ..good() },
            &["it is UPDATE_ROLLBACK_COMPLETE"],
        ),
        (
            "another process deploys there now",
            World { status: Some("UPDATE_IN_PROGRESS"), ..good() },
            &["it is UPDATE_IN_PROGRESS"],
        ),
        (
            "another process has deployed there since",
            World {
                aliases: first(alias("3")),
                answers: vec![("checkin", 200, "3"), ("contacts", 200, "2")],
                ..good()
            },
            &["alias live of bench-app-prod-checkin leads to version 3, whose code is not what Build made"],
        ),
        (
            "the shift stands at one half",
            World { aliases: first(half()), ..good() },
            &[
                "leads to version 1, and 50 % to version 2",
                "leads to version 1, whose code is not what Build made",
                "GET api/version/checkin answers as version 2 of checkin, and its alias leads to 1",
            ],
        ),
        (
            "nearly all of it is shifted",
            World { aliases: first(weights(json!({"AdditionalVersionWeights": {"1": 0.01}}))), ..good() },
            &["leads to version 2, and 1 % to version 1"],
        ),
        (
            "weights that are none",
            World { aliases: first(weights(json!({"AdditionalVersionWeights": {"1": 0.0}}))), ..good() },
            &[],
        ),
        (
            "the second function's alias was not moved",
            World {
                aliases: vec![
                    ("CheckinAlias", "checkin", alias("2")),
                    ("ContactsAlias", "contacts", alias("1")),
                ],
                answers: vec![("checkin", 200, "2"), ("contacts", 200, "1")],
                ..good()
            },
            &[
                "the alias live of bench-app-prod-contacts leads to version 1, whose code is not what Build made",
            ],
        ),
        (
            "the alias is where it should be, and the baseline answers",
            World { answers: vec![("checkin", 200, "1"), ("contacts", 200, "2")], ..good() },
            &["GET api/version/checkin answers as version 1 of checkin, and its alias leads to 2"],
        ),
        (
            "the gateway answers in place of the function",
            World { answers: vec![("checkin", 404, "none"), ("contacts", 200, "2")], ..good() },
            &["GET api/version/checkin answers 404 Not Found"],
        ),
        (
            "it only fails",
            World { answers: vec![("checkin", 200, "2"), ("contacts", 500, "2")], ..good() },
            &["GET api/version/contacts answers 500 Internal Server Error"],
        ),
        (
            "somebody has removed the alias",
            World { aliases: first(None), ..good() },
            &["the alias live of bench-app-prod-checkin is gone", "answers as version 2 of checkin"],
        ),
        (
            "a function without an alias",
            World {
                answers: vec![("checkin", 200, "2"), ("contacts", 200, "$LATEST")],
                ..good().without_aliases("contacts")
            },
            &[],
        ),
        (
            "a function without an alias that has other code",
            World {
                answers: vec![("checkin", 200, "2"), ("contacts", 200, "$LATEST")],
                ..good().without_aliases("contacts").code_is("contacts", "$LATEST", "foreign")
            },
            &["the code of bench-app-prod-contacts is not what Build made"],
        ),
        (
            "a function is missing",
            World { functions: vec![("CheckinFunction", "checkin")], ..good().without_aliases("contacts") },
            &["the function ContactsFunction is not there"],
        ),
        (
            "a function that its condition leaves out",
            World {
                functions: vec![("CheckinFunction", "checkin")],
                resources: json!({"CheckinFunction": {}, "ContactsFunction": {"Condition": "Never"}}),
                ..good().without_aliases("contacts")
            },
            &[],
        ),
        (
            "the version is the right one by its number, with other code",
            good().code_is("checkin", "2", "foreign"),
            &["leads to version 2, whose code is not what Build made"],
        ),
        (
            "weights that the template itself has",
            World {
                aliases: first(weights(json!({"AdditionalVersionWeights": {"1": 0.2}}))),
                resources: json!({"CheckinFunction": {}, "ContactsFunction": {}, "CheckinAlias": {"Properties": {"RoutingConfig": {}}}}),
                ..good()
            },
            &[],
        ),
        (
            "a version that the template names by its number",
            World {
                aliases: first(alias("1")),
                answers: vec![("checkin", 200, "1"), ("contacts", 200, "2")],
                resources: json!({"CheckinFunction": {}, "ContactsFunction": {}, "CheckinAlias": {"Properties": {"FunctionVersion": "1"}}}),
                ..good()
            },
            &[],
        ),
        (
            "code that the template carries in itself",
            World {
                resources: json!({"ContactsFunction": {}}),
                ..good().code_is("checkin", "2", "made by CloudFormation")
            },
            &[],
        ),
    ];
    for (what, world, expected) in table {
        let found = world.differs().await;
        assert_eq!(found.len(), expected.len(), "{what}: {found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with("bench-app-prod: ") && found.contains(expected), "{what}: {found}");
        }
    }
}

#[test]
fn what_differs_fails_the_release_and_is_named() {
    assert_eq!(fault(&[]), None);
    let differs = |env: &str, what: &str| (env.to_owned(), what.to_owned());
    let fault = fault(&[differs("prod", "app: it is gone"), differs("dev", "other: it is gone")]).unwrap();
    assert_eq!((fault.kind, fault.on.as_str()), (Kind::Failed, "prod"));
    assert_eq!(fault.why, "prod does not run what was built: app: it is gone; other: it is gone");
}
