//! The contract, `openapi.yaml`, against the template and against the limits in code. Each function's own tests hold
//! it against their route table.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "support/document.rs"]
mod document;
#[path = "support/yaml.rs"]
mod yaml;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use api::cursor::MAX_ITEMS;
use api::guard::MAX_BODY_BYTES;
use api::{fields, problem::Problem};
use axum::response::IntoResponse;
use document::{document, operations, resolved};
use serde_json::{Value, json};

/// Routes that take what no other route takes. They lead to no operation.
const CATCH_ALL: [(&str, &str, &str); 3] = [
    ("ANY", "$default", "checkin"),
    ("ANY", "/api/contacts", "contacts"),
    ("ANY", "/api/contacts/{proxy+}", "contacts"),
];

type Route = (String, String, String);

/// Method, path and function of every route in the template.
fn template_routes(template: &Value) -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for function in template["Resources"].as_object().unwrap().values() {
        let properties = &function["Properties"];
        let Some(events) = properties["Events"].as_object() else { continue };
        let package = properties["CodeUri"].as_str().unwrap().rsplit('/').next().unwrap();
        for event in events.values() {
            assert_eq!(event["Type"], "HttpApi");
            let text = |key: &str, otherwise: &str| {
                event["Properties"][key].as_str().unwrap_or(otherwise).to_owned()
            };
            let route = (text("Method", "ANY"), text("Path", "$default"), package.replace(".zip", ""));
            assert!(routes.insert(route.clone()), "{route:?} stands twice");
        }
    }
    routes
}

/// Method and path of every route that asks for a signature when `ApiAuth` is AWS_IAM.
fn template_protected(template: &Value) -> BTreeSet<(String, String)> {
    let mut protected = BTreeSet::new();
    let body = &template["Resources"]["HttpApi"]["Properties"]["DefinitionBody"];
    for (path, methods) in body["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let security = json!({"!If": ["HasIamAuth", [{"AWS_IAM": []}], {"!Ref": "AWS::NoValue"}]});
            assert_eq!(operation["security"], security, "{method} {path}");
            protected.insert((method.to_uppercase(), path.clone()));
        }
    }
    protected
}

#[test]
fn the_template_has_the_contracts_routes_and_its_locks() {
    let (document, template) = (document(), yaml::read("../cfn/app.yaml"));
    let operations = operations(&document);
    let mut expected: BTreeSet<Route> =
        operations.iter().map(|it| (it.method.clone(), it.path.clone(), it.function.clone())).collect();
    expected.extend(CATCH_ALL.map(|(method, path, function)| (method.into(), path.into(), function.into())));
    assert_eq!(template_routes(&template), expected);
    let protected: BTreeSet<_> =
        operations.into_iter().filter(|it| it.protected).map(|it| (it.method, it.path)).collect();
    assert_eq!(template_protected(&template), protected);
    assert_eq!(template["Conditions"]["HasIamAuth"], json!({"!Equals": [{"!Ref": "ApiAuth"}, "AWS_IAM"]}));
    let locks =
        &template["Resources"]["HttpApi"]["Properties"]["DefinitionBody"]["components"]["securitySchemes"];
    assert_eq!(
        locks["AWS_IAM"]["x-amazon-apigateway-authtype"],
        document["components"]["securitySchemes"]["AWS_IAM"]["x-amazon-apigateway-authtype"]
    );
}

#[test]
fn the_api_client_may_call_the_protected_routes_and_no_other() {
    let roles = yaml::read("../cfn/target-roles.yaml");
    let statements = roles
        .pointer("/Resources/ApiClientRole/Properties/Policies/0/PolicyDocument/Statement")
        .and_then(Value::as_array)
        .unwrap();
    assert_eq!((statements.len(), &statements[0]["Action"]), (1, &json!("execute-api:Invoke")));
    let allowed: BTreeSet<String> = statements[0]["Resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["!Sub"].as_str().unwrap().to_owned())
        .collect();
    let prefix = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:*/$default";
    let operations = operations(&document());
    let protected = operations.iter().filter(|it| it.protected);
    let expected = protected.map(|it| format!("{prefix}/{}{}", it.method, it.path.replace("{id}", "*")));
    assert_eq!(allowed, expected.collect());
}

#[test]
fn every_operation_names_all_of_its_answers() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers: BTreeSet<&str> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = BTreeSet::from(["429", "500", "503"]);
            if operation.get("security").is_some() {
                assert_eq!(operation["security"], json!([{"AWS_IAM": []}, {}]), "{method} {path}");
                expected.insert("403");
            }
            if operation.get("parameters").is_some() {
                expected.insert("400");
            }
            if operation.get("requestBody").is_some() {
                expected.extend(["400", "413", "415", "422"]);
            }
            let good: Vec<&str> = answers.iter().copied().filter(|status| status.starts_with('2')).collect();
            assert_eq!(good.len(), 1, "{method} {path}");
            expected.extend(good);
            if path.contains('{') || (method, path.as_str()) == (&"post".to_owned(), "/api/registrations") {
                expected.insert("404");
            }
            assert_eq!(answers, expected, "{method} {path}");
        }
    }
    follow(&document, &document);
}

/// Every reference leads somewhere.
fn follow(document: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            resolved(document, value);
            map.values().for_each(|item| follow(document, item));
        }
        Value::Array(items) => items.iter().for_each(|item| follow(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn problems_have_the_statuses_that_we_give() {
    let document = document();
    let statuses = &document["components"]["schemas"]["Problem"]["properties"]["status"]["enum"];
    for status in statuses.as_array().unwrap() {
        let status = u16::try_from(status.as_u64().unwrap()).unwrap();
        let answer = Problem::documented(Problem::new(status, "").into_response(), "request-1");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body["title"] == "Internal Server Error",
            status == 500,
            "{status} has no title of its own"
        );
    }
}

/// A schema's limits.
fn lengths(schema: &Value) -> RangeInclusive<usize> {
    let number = |key: &str| usize::try_from(schema[key].as_u64().unwrap()).unwrap();
    number("minLength")..=number("maxLength")
}

#[test]
fn limits_are_those_of_the_code() {
    let document = document();
    let schema = |name: &str| &document["components"]["schemas"][name];
    assert_eq!(lengths(schema("LocationName")), fields::LOCATION_NAME);
    assert_eq!(lengths(schema("PersonName")), fields::PERSON_NAME);
    assert_eq!(lengths(schema("PhoneNumber")), fields::PHONE_NUMBER);
    assert_eq!(lengths(schema("EmailAddress")), fields::EMAIL);
    let parameter = |name: &str| &document["components"]["parameters"][name]["schema"];
    assert_eq!(lengths(parameter("Email")), fields::EMAIL);
    assert_eq!(lengths(parameter("Day")), 10..=10);
    for id in
        [parameter("Id"), parameter("LocationId"), &schema("NewRegistration")["properties"]["locationId"]]
    {
        assert_eq!((lengths(id), &id["format"]), (36..=36, &json!("uuid")));
    }
    let moment = api::model::Moment::now().to_string().len();
    assert_eq!(lengths(schema("Moment")), moment..=moment);
    let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_ITEMS, "default": MAX_ITEMS});
    assert_eq!(*parameter("Limit"), limit);
    for list in ["Locations", "Registrations", "Contacts"] {
        let content = &document["components"]["responses"][list]["content"]["application/json"];
        assert_eq!(content["schema"]["maxItems"], MAX_ITEMS, "{list}");
    }
    for body in document["components"]["requestBodies"].as_object().unwrap().values() {
        let said = body["description"].as_str().unwrap();
        assert!(said.contains(&MAX_BODY_BYTES.to_string()), "{said}");
        let schema = resolved(&document, &body["content"]["application/json"]["schema"]);
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(fields), "every field is required");
    }
}
