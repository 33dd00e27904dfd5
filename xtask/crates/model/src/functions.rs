//! The functions of an application template that clients can ask, and where each says its version.

use std::collections::BTreeMap;

use serde_json::Value;

use super::package::packaged_by;
use super::template::parse;

/// The version route of each function by its package's name: `checkin` and `api/version`. It is the function's own
/// `GET …/version`; functions without one, such as hooks, are left out.
///
/// # Errors
/// The template does not parse; with its line.
pub fn version_routes(source: &str) -> Result<BTreeMap<String, String>, String> {
    let template = parse(source).map_err(|error| error.to_string())?.to_json();
    let mut routes = BTreeMap::new();
    for function in
        template.get("Resources").and_then(Value::as_object).into_iter().flat_map(|all| all.values())
    {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(name) = packaged_by(&text(function.pointer("/Properties/CodeUri"))).map(ToOwned::to_owned)
        else {
            continue;
        };
        let events = function.pointer("/Properties/Events").and_then(Value::as_object);
        let route = events.into_iter().flat_map(|all| all.values()).find_map(|event| {
            let path = text(event.pointer("/Properties/Path"));
            let method = text(event.pointer("/Properties/Method"));
            (method.eq_ignore_ascii_case("GET") && path.ends_with("/version")).then_some(path)
        });
        if let Some(route) = route {
            routes.insert(name, route.trim_start_matches('/').to_owned());
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_its_own_route() {
        let function = |name: &str, events: &str| {
            format!(
                "  {name}:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: ../target/causeway/package/{name}.zip\n      Events: {events}\n"
            )
        };
        let source = format!(
            "Resources:\n{}{}{}",
            function(
                "one",
                "{A: {Properties: {Method: POST, Path: /one/version}}, B: {Properties: {Method: GET, Path: /api/version}}}"
            ),
            function("two", "{A: {Properties: {Method: get, Path: /api/two/version}}}"),
            function("hook", "{A: {Type: Schedule}}"),
        );
        let routes = version_routes(&source).unwrap();
        let expected = [("one", "api/version"), ("two", "api/two/version")];
        assert_eq!(routes, expected.map(|(name, path)| (name.to_owned(), path.to_owned())).into());
        assert!(version_routes("a: [").is_err());
        assert_eq!(version_routes("Resources: {A: 1, B: {Properties: {CodeUri: 2}}}"), Ok(BTreeMap::new()));
    }

    #[test]
    fn the_projects_functions_are_found() {
        let source = include_str!("../../../../cfn/app.yaml");
        let routes = version_routes(source).unwrap();
        assert_eq!(routes.get("checkin").map(String::as_str), Some("api/version"));
        assert_eq!(routes.get("contacts").map(String::as_str), Some("api/contacts/version"));
        assert_eq!(routes.len(), 2, "hooks answer nobody");
    }
}
