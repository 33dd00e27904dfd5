//! What SAM makes of the serverless resources that we use, as a table.
//!
//! `prove` works offline and without Python, so it cannot ask SAM's own translator; a test (`cmd/prove/held.rs`) holds
//! this table to it where the Python environment is installed. Whatever the table does not know is an error, never left out in silence.
//!
//! Source: AWS SAM developer guide, "Generated CloudFormation resources for AWS SAM".

use serde_json::{Map, Value, json};

use super::stack::Resource;

/// Properties of a function that lead to nothing but properties of the Lambda function.
const FUNCTION: [&str; 33] = [
    "Architectures",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "CodeSigningConfigArn",
    "CodeUri",
    "DeploymentPreference",
    "Description",
    "Environment",
    "EphemeralStorage",
    "Events",
    "FileSystemConfigs",
    "FunctionName",
    "Handler",
    "ImageConfig",
    "InlineCode",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "PermissionsBoundary",
    "Policies",
    "RecursiveLoop",
    "ReservedConcurrentExecutions",
    "Role",
    "RolePath",
    "Runtime",
    "RuntimeManagementConfig",
    "SnapStart",
    "Tags",
    "Timeout",
    "VpcConfig",
];

/// Properties of an HTTP API that make no resource besides the API and its stage.
const HTTP_API: [&str; 15] = [
    "AccessLogSettings",
    "Auth",
    "CorsConfiguration",
    "DefaultRouteSettings",
    "DefinitionBody",
    "Description",
    "DisableExecuteApiEndpoint",
    "FailOnWarnings",
    "Name",
    "PropagateTags",
    "RouteSettings",
    "StageName",
    "StageVariables",
    "Tags",
    "DefinitionUri",
];

/// What is made of a template's resources, in their order; what SAM makes for all of them together comes last.
///
/// # Errors
/// Something that SAM would expand and the table does not know, with the line of the resource.
pub(crate) fn expand(resources: Vec<Resource>, globals: &Value) -> Result<Vec<Resource>, (usize, String)> {
    let mut all = Vec::new();
    let mut shared = Shared::default();
    for resource in resources {
        match resource.kind.as_str() {
            "AWS::Serverless::Function" => function(resource, &globals["Function"], &mut all, &mut shared)?,
            "AWS::Serverless::HttpApi" => http_api(resource, &globals["HttpApi"], &mut all)?,
            kind if kind.starts_with("AWS::Serverless::") => {
                return Err((
                    resource.line,
                    format!("what SAM makes of {kind} is not in our table (model/prove/expand.rs)"),
                ));
            }
            _ => all.push(resource),
        }
    }
    shared.push(&mut all);
    Ok(all)
}

/// What several functions share, with the line of the first of them.
#[derive(Default)]
struct Shared {
    api: Option<usize>,
    application: Option<usize>,
    role: Option<usize>,
}

impl Shared {
    fn push(self, all: &mut Vec<Resource>) {
        let plain = |id: &str, kind: &str, line: usize, properties: Value| {
            Resource::made(id, kind, line, None, properties)
        };
        if let Some(line) = self.api {
            all.push(plain("ServerlessHttpApi", "AWS::ApiGatewayV2::Api", line, json!({})));
            let stage = json!({"ApiId": {"Ref": "ServerlessHttpApi"}, "StageName": "$default"});
            all.push(plain(
                "ServerlessHttpApiApiGatewayDefaultStage",
                "AWS::ApiGatewayV2::Stage",
                line,
                stage,
            ));
        }
        if let Some(line) = self.application {
            let platform = json!({"ComputePlatform": "Lambda"});
            all.push(plain(
                "ServerlessDeploymentApplication",
                "AWS::CodeDeploy::Application",
                line,
                platform,
            ));
        }
        if let Some(line) = self.role {
            all.push(plain(
                "CodeDeployServiceRole",
                "AWS::IAM::Role",
                line,
                role("codedeploy.amazonaws.com", json!([])),
            ));
        }
    }
}

fn role(service: &str, managed: Value) -> Value {
    json!({
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]},
        "ManagedPolicyArns": managed,
    })
}

/// The resource's own properties over those of `Globals`, refused where one is not known.
fn properties(
    resource: &Resource,
    globals: &Value,
    known: &[&str],
) -> Result<Map<String, Value>, (usize, String)> {
    let mut all = globals.as_object().cloned().unwrap_or_default();
    for (key, value) in resource.properties.as_object().into_iter().flatten() {
        all.insert(key.clone(), value.clone());
    }
    match all.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(all),
        Some(key) => {
            let message = format!(
                "what SAM makes of `{key}` of {} is not in our table (model/prove/expand.rs)",
                resource.kind
            );
            Err((resource.line, message))
        }
    }
}

fn function(
    resource: Resource,
    globals: &Value,
    all: &mut Vec<Resource>,
    shared: &mut Shared,
) -> Result<(), (usize, String)> {
    let mut own = properties(&resource, globals, &FUNCTION)?;
    let (id, line) = (resource.id.clone(), resource.line);
    let made = |suffix: &str, kind: &str, properties: Value| {
        Resource::made(&format!("{id}{suffix}"), kind, line, resource.condition.clone(), properties)
    };
    if !own.contains_key("Role") {
        let mut properties = role("lambda.amazonaws.com", json!([]));
        for (from, to) in [("PermissionsBoundary", "PermissionsBoundary"), ("RolePath", "Path")] {
            if let Some(value) = own.get(from) {
                properties[to] = value.clone();
            }
        }
        if own.contains_key("Policies") {
            return Err((
                line,
                "give the function a `Role`: what SAM makes of `Policies` is not in our table".to_owned(),
            ));
        }
        own.insert("Role".into(), json!({"Fn::GetAtt": [format!("{id}Role"), "Arn"]}));
        all.push(made("Role", "AWS::IAM::Role", properties));
    }
    let alias = own.get("AutoPublishAlias").and_then(Value::as_str).map(ToOwned::to_owned);
    let preference =
        own.get("DeploymentPreference").filter(|value| value.get("Enabled") != Some(&Value::Bool(false)));
    let function_arn = json!({"Fn::GetAtt": [&id, "Arn"]});
    let mut rest = Vec::new();
    if let Some(alias) = &alias {
        rest.push(made("Version", "AWS::Lambda::Version", json!({"FunctionArn": function_arn})));
        let mut properties = json!({"FunctionArn": function_arn, "Name": alias});
        if let Some(preference) = preference {
            let group = format!("{id}DeploymentGroup");
            properties["DeploymentGroupArn"] = json!({"Fn::GetAtt": [group, "Arn"]});
            properties["ApplicationArn"] = json!({"Fn::GetAtt": ["ServerlessDeploymentApplication", "Arn"]});
            shared.application.get_or_insert(line);
            let service = preference.get("Role").cloned().unwrap_or_else(|| {
                shared.role.get_or_insert(line);
                json!({"Fn::GetAtt": ["CodeDeployServiceRole", "Arn"]})
            });
            let application = json!({"Ref": "ServerlessDeploymentApplication"});
            let properties = json!({"ApplicationName": application, "ServiceRoleArn": service});
            rest.push(made("DeploymentGroup", "AWS::CodeDeploy::DeploymentGroup", properties));
        }
        rest.push(made(&format!("Alias{alias}"), "AWS::Lambda::Alias", properties));
    }
    let called = alias.map_or_else(
        || function_arn.clone(),
        |alias| json!({"Fn::Sub": ["${Function}:${Alias}", {"Function": function_arn, "Alias": alias}]}),
    );
    for (name, event) in own.get("Events").and_then(Value::as_object).into_iter().flatten() {
        let permission = permission(event, &called, &function_arn, shared, line);
        let permission = permission.map_err(|error| (line, format!("event {name} of {id}: {error}")))?;
        rest.push(made(&format!("{name}Permission"), "AWS::Lambda::Permission", permission));
    }
    all.push(Resource {
        kind: "AWS::Lambda::Function".to_owned(),
        properties: Value::Object(own),
        ..resource
    });
    all.append(&mut rest);
    Ok(())
}

/// What lets API Gateway call a function for one route.
fn permission(
    event: &Value,
    called: &Value,
    function_arn: &Value,
    shared: &mut Shared,
    line: usize,
) -> Result<Value, String> {
    let kind = event.get("Type").and_then(Value::as_str).unwrap_or_default();
    if kind != "HttpApi" {
        return Err(format!("what SAM makes of a {kind} event is not in our table (model/prove/expand.rs)"));
    }
    let properties = &event["Properties"];
    let api = match properties.get("ApiId") {
        Some(api) => api.clone(),
        None => {
            shared.api.get_or_insert(line);
            json!({"Ref": "ServerlessHttpApi"})
        }
    };
    let method = properties.get("Method").and_then(Value::as_str).unwrap_or("*").to_ascii_uppercase();
    let method =
        if method == "ANY" || method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "*".to_owned() } else { method };
    let path = properties.get("Path").and_then(Value::as_str).unwrap_or("/$default");
    let route: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "*" } else { part }).collect();
    let source = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/";
    let source = format!("{source}{method}{}", route.join("/"));
    Ok(json!({
        "Action": "lambda:InvokeFunction",
        "FunctionName": called,
        "FunctionArn": function_arn,
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": {"Fn::Sub": [source, {"Api": api}]},
    }))
}

fn http_api(resource: Resource, globals: &Value, all: &mut Vec<Resource>) -> Result<(), (usize, String)> {
    let own = properties(&resource, globals, &HTTP_API)?;
    let name = own.get("StageName").cloned().unwrap_or_else(|| json!("$default"));
    let suffix = match name.as_str() {
        Some("$default") => "ApiGatewayDefaultStage".to_owned(),
        Some(plain) => format!("{plain}Stage"),
        None => "Stage".to_owned(),
    };
    let mut stage = json!({"ApiId": {"Ref": &resource.id}, "StageName": name});
    for key in ["AccessLogSettings", "DefaultRouteSettings", "RouteSettings", "StageVariables"] {
        if let Some(value) = own.get(key) {
            stage[key] = value.clone();
        }
    }
    let id = format!("{}{suffix}", resource.id);
    let stage =
        Resource::made(&id, "AWS::ApiGatewayV2::Stage", resource.line, resource.condition.clone(), stage);
    all.push(Resource { kind: "AWS::ApiGatewayV2::Api".to_owned(), ..resource });
    all.push(stage);
    Ok(())
}
