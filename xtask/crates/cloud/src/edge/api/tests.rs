//! Every form in which templates write APIs down, and where requests lead in each.

use http::Method;

use super::super::routes::Action;
use super::*;
use causeway_model::template::{Pseudo, Scope, parse};

/// The APIs of a template with a function F and an alias of it, `Live`; parameters have their defaults.
fn apis(source: &str) -> anyhow::Result<BTreeMap<String, Api>> {
    documents(source, &BTreeMap::new())
}

fn documents(
    source: &str,
    documents: &BTreeMap<(String, String), Result<Value, String>>,
) -> anyhow::Result<BTreeMap<String, Api>> {
    let head = "  F: {Type: AWS::Lambda::Function}\n  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, Name: live}}\n";
    let template = parse(&source.replace("Resources:\n", &format!("Resources:\n{head}"))).unwrap().to_json();
    let parameters = Scope::parameters_of(&template, &BTreeMap::new());
    let pseudo = Pseudo {
        account_id: "1".into(),
        region: "r".into(),
        partition: "aws".into(),
        stack_name: "shop".into(),
        stack_id: "i".into(),
    };
    let exists = |id: &str| template["Resources"].get(id).is_some_and(|one| one.get("Condition").is_none());
    let resources = |id: &str, attribute: Option<&str>| {
        let kind = template["Resources"].get(id).filter(|_| exists(id))?["Type"].as_str()?;
        match (kind, attribute) {
            ("AWS::Lambda::Function", Some("Arn")) => Some("arn:aws:lambda:r:1:function:f".into()),
            ("AWS::Lambda::Function", None) => Some("f".into()),
            ("AWS::Lambda::Alias", None) => Some("arn:aws:lambda:r:1:function:f:live".into()),
            (_, None) => Some(format!("p-{id}").into()),
            _ => None,
        }
    };
    let scope =
        || Scope { template: &template, parameters: &parameters, pseudo: &pseudo, resources: &resources };
    let values = Values {
        holds: &|name| Ok(scope().condition(name)?),
        call: &|value| scope().eval(value).ok().flatten(),
        physical: &|id| exists(id).then(|| format!("p-{id}")),
    };
    let resources = template["Resources"].as_object().unwrap();
    Template { resources, values, region: "r", account: "1", documents }.apis()
}

/// Where each request leads: `function:alias`, a status, or why nowhere; "no route", "no stage".
fn leads(api: &Api, requests: &[(&str, &str)]) -> Vec<String> {
    let leads = |(method, path): &(&str, &str)| {
        let Some((stage, path)) = api.stage(path) else { return "no stage".to_owned() };
        let Some(found) = stage.routes.find(api.kind, &method.parse::<Method>().unwrap(), path) else {
            return "no route".to_owned();
        };
        let own = match found.action {
            Action::Invoke(one) => {
                format!("{}:{}", one.function, one.alias.or(one.version).unwrap_or_default())
            }
            Action::Answer(fixed) => fixed.status.to_string(),
            Action::Nothing(why) => why,
        };
        if found.lock == Lock::Open { own } else { format!("{own} behind {:?}", found.lock) }
    };
    requests.iter().map(leads).collect()
}

const URI: &str = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions";

/// An integration of a document.
fn to(reference: &str) -> String {
    format!(
        "{{x-amazon-apigateway-integration: {{type: aws_proxy, httpMethod: POST, uri: !Sub '{URI}/{reference}/invocations'}}}}"
    )
}

#[test]
fn every_way_to_write_down_a_rest_api_is_served() {
    let (alias, arn) = (to("${Live}"), to("${F.Arn}:live"));
    let stage = "  D: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: !Ref Api}}\n  S: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: live, DeploymentId: !Ref D, Variables: {who: live}}}\n";
    let body = |body: &str| {
        format!(
            "Resources:\n  Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{Name: shop, Body: {body}}}}}\n{stage}"
        )
    };
    let method = |name: &str, at: &str, verb: &str, more: &str| {
        format!(
            "  {name}: {{Type: AWS::ApiGateway::Method, Properties: {{RestApiId: !Ref Api, ResourceId: {at}, HttpMethod: {verb}, {more}}}}}\n"
        )
    };
    let whole = |reference: &str| {
        format!("Integration: {{Type: AWS_PROXY, Uri: !Sub '{URI}/{reference}/invocations'}}")
    };
    let own = format!(
        "Resources:\n  Api: {{Type: AWS::ApiGateway::RestApi}}\n  A: {{Type: AWS::ApiGateway::Resource, Properties: {{RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: a}}}}\n  B: {{Type: AWS::ApiGateway::Resource, Properties: {{RestApiId: !Ref Api, ParentId: !Ref A, PathPart: '{{proxy+}}'}}}}\n{}{}{}{stage}",
        method("Root", "!GetAtt Api.RootResourceId", "GET", &whole("${F.Arn}")),
        method("OnA", "!Ref A", "ANY", &format!("AuthorizationType: AWS_IAM, {}", whole("${Live}"))),
        method("OnB", "!Ref B", "POST", &format!("ApiKeyRequired: true, {}", whole("${F.Arn}:live"))),
    );
    let table = [
        (
            body(&format!("{{paths: {{/a: {{get: {alias}}}}}}}")),
            vec![
                ("GET", "/live/a", "f:live"),
                ("GET", "/a", "no stage"),
                ("GET", "/live/b", "no route"),
                ("GET", "/live", "no route"),
                ("GET", "/", "no stage"),
            ],
        ),
        (
            body(&format!(
                "{{swagger: 2.0, paths: {{'/{{proxy+}}': {{x-amazon-apigateway-any-method: {arn}}}, /: {{get: {alias}}}}}}}"
            )),
            vec![
                ("PUT", "/live/x/y", "f:live"),
                ("GET", "/live", "f:live"),
                ("GET", "/live/", "f:live"),
                ("PUT", "/live/", "no route"),
            ],
        ),
        (
            body(&format!("{{paths: {{/a: {{get: {}}}}}}}", to("${F.Arn}:${!stageVariables.who}"))),
            vec![("GET", "/live/a", "f:live")],
        ),
        (
            own,
            vec![
                ("GET", "/live/", "f:"),
                ("PUT", "/live/a", "f:live behind Iam"),
                ("POST", "/live/a/x/y", "f:live behind Key"),
                ("GET", "/live/a/x", "no route"),
            ],
        ),
        (
            body(
                "{paths: {/a: {options: {x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{\"statusCode\": 200}'}, responses: {default: {statusCode: 204}}}}, get: {}}}}",
            ),
            vec![("OPTIONS", "/live/a", "204"), ("GET", "/live/a", "it has no integration")],
        ),
        // A deployment that names its stage, as old templates have it.
        (
            format!(
                "Resources:\n  Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{Body: {{paths: {{/a: {{get: {alias}}}}}}}}}}}\n  D: {{Type: AWS::ApiGateway::Deployment, Properties: {{RestApiId: !Ref Api, StageName: old}}}}\n"
            ),
            vec![("GET", "/old/a", "f:live")],
        ),
    ];
    for (source, requests) in table {
        let api = apis(&source).unwrap().remove("Api").unwrap();
        let asked: Vec<(&str, &str)> = requests.iter().map(|(method, path, _)| (*method, *path)).collect();
        let expected: Vec<&str> = requests.iter().map(|(.., expected)| *expected).collect();
        assert_eq!(leads(&api, &asked), expected, "{source}");
        assert_eq!(api.kind, Kind::Rest);
    }
}

#[test]
fn every_way_to_write_down_an_http_api_is_served() {
    let stage = |name: &str| {
        format!(
            "  S: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Api, StageName: {name}, AutoDeploy: true}}}}\n"
        )
    };
    let body = |body: &str, name: &str| {
        format!(
            "Resources:\n  Api: {{Type: AWS::ApiGatewayV2::Api, Properties: {{Body: {body}}}}}\n{}",
            stage(name)
        )
    };
    let alias = to("${Live}");
    let own = |target: &str| {
        format!(
            "Resources:\n  Api: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: HTTP}}}}\n  I: {{Type: AWS::ApiGatewayV2::Integration, Properties: {{ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !Ref Live, PayloadFormatVersion: '2.0'}}}}\n  R: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Api, RouteKey: GET /a, Target: {target}}}}}\n  Q: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Api, RouteKey: $default, AuthorizationType: JWT, Target: {target}}}}}\n{}",
            stage("$default")
        )
    };
    let table = [
        // The form that people write by hand, and SAM's.
        (body(&format!("{{paths: {{/arn: {{get: {}}}, /alias: {{get: {alias}}}, $default: {{x-amazon-apigateway-any-method: {alias}}}}}}}", to("${F.Arn}:live")), "$default"), vec![("GET", "/arn", "f:live"), ("GET", "/alias", "f:live"), ("PUT", "/", "f:live")]),
        (body(&format!("{{paths: {{/a: {{get: {alias}}}}}}}"), "test"), vec![("GET", "/test/a", "f:live"), ("GET", "/a", "no stage")]),
        (body("{paths: {/a: {get: {x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/one'}}}}, components: {x-amazon-apigateway-integrations: {one: {type: AWS_PROXY, uri: !Ref Live}}}}", "$default"), vec![("GET", "/a", "f:live")]),
        (body("{paths: {/a: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'https://example.com/'}}}}}", "$default"), vec![("GET", "/a", "its integration is of the type http_proxy, which only AWS has")]),
        (own("!Sub 'integrations/${I}'"), vec![("GET", "/a", "f:live"), ("PUT", "/b", "f:live behind Unknown")]),
        (own("!Join ['/', [integrations, !Ref I]]"), vec![("GET", "/a", "f:live")]),
        // Quick create.
        ("Resources:\n  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, Target: !GetAtt F.Arn}}\n".to_owned(), vec![("GET", "/x", "f:")]),
    ];
    for (source, requests) in table {
        let api = apis(&source).unwrap().remove("Api").unwrap();
        let asked: Vec<(&str, &str)> = requests.iter().map(|(method, path, _)| (*method, *path)).collect();
        let expected: Vec<&str> = requests.iter().map(|(.., expected)| *expected).collect();
        assert_eq!(leads(&api, &asked), expected, "{source}");
        assert_eq!(api.kind, Kind::Http);
    }
}

#[test]
fn locks_follow_the_stacks_parameters() {
    let alias = to("${Live}").replacen('{', "{security: SECURITY, ", 1);
    let iam = "[{Sig: []}]";
    let with = |security: &str| alias.replace("SECURITY", security);
    let source = |locked: bool| {
        format!(
            "Parameters:\n  Locked: {{Type: String, Default: '{locked}'}}\nConditions:\n  IsLocked: !Equals [!Ref Locked, 'true']\n  Never: !Equals [a, b]\nResources:\n  Api:\n    Type: AWS::ApiGatewayV2::Api\n    Properties:\n      Body:\n        components: {{securitySchemes: {{Sig: {{x-amazon-apigateway-authtype: awsSigv4}}, Token: {{type: oauth2}}}}}}\n        paths:\n          /if: {{get: {}}}\n          /nested: {{get: !If [Never, {}, {}]}}\n          /open: {{get: {}}}\n          /token: {{get: {}}}\n  S: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Api, StageName: $default}}}}\n",
            with(&format!("!If [IsLocked, {iam}, !Ref AWS::NoValue]")),
            with(iam),
            with(&format!("!If [IsLocked, {iam}, []]")),
            to("${Live}"),
            with("[{Token: []}, {Sig: []}]"),
        )
    };
    for (locked, expected) in [(true, "f:live behind Iam"), (false, "f:live")] {
        let api = apis(&source(locked)).unwrap().remove("Api").unwrap();
        let found = leads(&api, &[("GET", "/if"), ("GET", "/nested"), ("GET", "/open"), ("GET", "/token")]);
        assert_eq!(found, [expected, expected, "f:live", "f:live behind Unknown"], "{locked}");
        assert_eq!(api.unserved.len(), 1, "{:?}", api.unserved);
    }
    let undecided = source(true).replace("IsLocked: !Equals [!Ref Locked, 'true']", "Other: !Equals [a, a]");
    assert!(apis(&undecided).is_err(), "in doubt there is no API");
}

#[test]
fn what_only_aws_has_is_named_with_the_api() {
    let http = "Resources:\n  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}\n";
    let rest = |more: &str| {
        format!(
            "Resources:\n  Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{{more}}}}}\n  S: {{Type: AWS::ApiGateway::Stage, Properties: {{RestApiId: !Ref Api, StageName: live, DeploymentId: d, CacheClusterEnabled: true}}}}\n"
        )
    };
    for (source, what, why) in [
        (http.replace("HTTP", "WEBSOCKET"), "all of it", "a WebSocket API"),
        (http.to_owned(), "all of it", "no stage"),
        (rest("Policy: {}"), "its resource policy", "every caller"),
        (
            rest("Body: {paths: {}, x-amazon-apigateway-request-validator: all}"),
            "its request validators",
            "reaches the function",
        ),
        (rest("Body: {paths: {/a: {get: {}}}}"), "GET /a", "no integration"),
        (
            rest(
                "Body: {x-amazon-apigateway-gateway-responses: {DEFAULT_4XX: {responseTemplates: {a/b: $context.path}}}}",
            ),
            "its gateway response DEFAULT_4XX",
            "computes",
        ),
        (rest("BodyS3Location: {Bucket: b, Key: none}"), "all of it", "not known"),
        (rest(""), "CacheClusterEnabled of the stage live", "nothing is cached"),
        (
            format!(
                "{}  M: {{Type: AWS::ApiGateway::Method, Properties: {{RestApiId: !Ref Api, ResourceId: other, HttpMethod: GET}}}}\n",
                rest("")
            ),
            "the method M",
            "not known here",
        ),
        (
            format!("{}  U: {{Type: AWS::ApiGateway::UsagePlan}}\n", rest("")),
            "the stack's usage plans",
            "only AWS",
        ),
    ] {
        let api = apis(&source).unwrap().remove("Api").unwrap();
        let found = api.unserved.iter().find(|(found, _)| found == what);
        assert!(found.is_some_and(|(_, found)| found.contains(why)), "{what}: {:?}", api.unserved);
    }
}

#[test]
fn a_document_of_s3_is_read_and_a_resource_that_is_not_made_is_no_api() {
    let source = "Resources:\n  Api: {Type: AWS::ApiGateway::RestApi, Properties: {BodyS3Location: {Bucket: b, Key: k}}}\n  No: {Type: AWS::ApiGateway::RestApi, Condition: Never}\n  D: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: !Ref Api, StageName: live}}\n";
    let place = ("b".to_owned(), "k".to_owned());
    let document = parse("info: {title: shop}\npaths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: 'arn:aws:lambda:r:1:function:f'}}}}\n").unwrap().to_json();
    let found = documents(source, &BTreeMap::from([(place.clone(), Ok(document))])).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Api"]);
    assert_eq!(
        (leads(&found["Api"], &[("GET", "/live/a")]), found["Api"].name.as_str()),
        (vec!["f:".to_owned()], "shop")
    );
    let gone = documents(source, &BTreeMap::from([(place, Err("there is none".to_owned()))])).unwrap();
    assert!(gone["Api"].unserved[0].1.contains("there is none"), "{:?}", gone["Api"].unserved);
}

#[test]
fn a_stage_shows_what_its_deployment_took() {
    let of = |path: &str, deployment: &str, auto: bool| {
        let alias = to("${Live}");
        let rest = format!(
            "Resources:\n  Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{Body: {{paths: {{{path}: {{get: {alias}}}}}}}}}}}\n  S: {{Type: AWS::ApiGateway::Stage, Properties: {{RestApiId: !Ref Api, StageName: live, DeploymentId: {deployment}}}}}\n"
        );
        let http = format!(
            "Resources:\n  Api: {{Type: AWS::ApiGatewayV2::Api, Properties: {{Body: {{paths: {{{path}: {{get: {alias}}}}}}}}}}}\n  S: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Api, StageName: live, AutoDeploy: true}}}}\n"
        );
        apis(if auto { &http } else { &rest }).unwrap().remove("Api").unwrap()
    };
    for (before, now, kept, served) in [
        (of("/a", "one", false), of("/b", "one", false), vec!["live".to_owned()], "/live/a"),
        (of("/a", "one", false), of("/b", "two", false), vec![], "/live/b"),
        (of("/a", "one", false), of("/a", "one", false), vec![], "/live/a"),
        (of("/a", "", true), of("/b", "", true), vec![], "/live/b"),
    ] {
        let mut now = now;
        assert_eq!(super::super::keep_deployed(&before, &mut now), kept);
        assert_eq!(leads(&now, &[("GET", served)]), ["f:live"]);
    }
}
