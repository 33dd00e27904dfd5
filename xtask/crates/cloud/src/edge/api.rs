//! The APIs of a stack as its template has them: routes of a document or of resources of their own, stages, and what of them only
//! AWS has.
//!
//! Source: CloudFormation template reference, "AWS::ApiGateway::RestApi", "…::Resource", "…::Method", "…::Deployment", "…::Stage",
//! "AWS::ApiGatewayV2::Api", "…::Route", "…::Integration", "…::Stage".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cors::Cors;
use super::document;
use super::fixed::GatewayResponses;
use super::routes::{Kind, Lock, Routes};
use super::target::{Place, action};
use super::values::Values;

/// A stage of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its name; `$default` has no part in the address.
    pub(super) name: String,
    /// Its variables.
    pub(super) variables: BTreeMap<String, String>,
    /// Its routes.
    pub(super) routes: Routes,
    /// The deployment it shows; `None` where it shows every change at once.
    pub(super) deployment: Option<String>,
}

/// A deployed API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Api {
    /// Which product it is.
    pub(super) kind: Kind,
    /// Its id in the emulator.
    pub(super) id: String,
    /// Its name, under which a REST API's metrics are kept.
    pub(super) name: String,
    /// Its stages.
    pub(super) stages: Vec<Stage>,
    /// What an HTTP API allows other origins.
    pub(super) cors: Option<Cors>,
    /// What a REST API answers by itself.
    pub(super) responses: GatewayResponses,
    /// The media types that a REST API takes for binary.
    pub(super) binary: Vec<String>,
    /// What of it is not rehearsed, and why.
    pub(super) unserved: Vec<(String, String)>,
}

impl Api {
    /// An HTTP API with these routes and nothing else.
    pub(super) fn of_routes(id: &str, routes: Routes) -> Self {
        let stage = Stage { name: DEFAULT.to_owned(), variables: BTreeMap::new(), routes, deployment: None };
        Self {
            kind: Kind::Http,
            id: id.to_owned(),
            name: id.to_owned(),
            stages: vec![stage],
            cors: None,
            responses: GatewayResponses::default(),
            binary: Vec::new(),
            unserved: Vec::new(),
        }
    }

    /// The stage of a request's path, and what is left of the path.
    pub(super) fn stage<'p>(&self, path: &'p str) -> Option<(&Stage, &'p str)> {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let name = rest.split('/').next().unwrap_or_default();
        let named = self.stages.iter().find(|stage| stage.name == name && name != DEFAULT);
        if let Some(stage) = named {
            let left = &rest[name.len()..];
            return Some((stage, if left.is_empty() { "/" } else { left }));
        }
        self.stages.iter().find(|stage| stage.name == DEFAULT).map(|stage| (stage, path))
    }

    /// The path before which everything of its first stage stands, without a slash at its end.
    pub(super) fn base(&self) -> String {
        match self.stages.iter().find(|stage| stage.name == DEFAULT).or_else(|| self.stages.first()) {
            Some(stage) if stage.name != DEFAULT => format!("/{}", stage.name),
            _ => String::new(),
        }
    }
}

/// The stage that is not named in addresses.
pub(super) const DEFAULT: &str = "$default";

/// The resources of a stack that APIs are made of.
pub(super) struct Template<'a> {
    /// Definitions by logical id.
    pub(super) resources: &'a Map<String, Value>,
    pub(super) values: Values<'a>,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    /// Documents that lie in S3, by bucket and key.
    pub(super) documents: &'a BTreeMap<(String, String), Result<Value, String>>,
}

/// A resource as it is deployed: its physical id and its properties.
struct Deployed {
    physical: String,
    properties: Value,
}

impl Deployed {
    fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name).and_then(Value::as_str)
    }
}

impl Template<'_> {
    /// Every API, by its logical id.
    ///
    /// # Errors
    /// A condition cannot be decided.
    pub(super) fn apis(&self) -> anyhow::Result<BTreeMap<String, Api>> {
        let mut all = BTreeMap::new();
        for (id, api) in self.of("AWS::ApiGatewayV2::Api")? {
            all.insert(id, self.http(&api)?);
        }
        for (id, api) in self.of("AWS::ApiGateway::RestApi")? {
            let api = self.rest(&id, &api)?;
            all.insert(id, api);
        }
        Ok(all)
    }

    /// The resources of a type that the stack has.
    fn of(&self, kind: &str) -> anyhow::Result<BTreeMap<String, Deployed>> {
        let mut found = BTreeMap::new();
        for (id, definition) in self.resources {
            if definition.get("Type").and_then(Value::as_str) != Some(kind) {
                continue;
            }
            let Some(physical) = (self.values.physical)(id) else { continue };
            found.insert(id.clone(), Deployed { physical, properties: self.values.properties(definition)? });
        }
        Ok(found)
    }

    /// Those that belong to an API by a property.
    fn belonging(
        &self,
        kind: &str,
        property: &str,
        api: &Deployed,
    ) -> anyhow::Result<Vec<(String, Deployed)>> {
        let all = self.of(kind)?.into_iter();
        Ok(all.filter(|(_, one)| one.text(property) == Some(&api.physical)).collect())
    }

    fn place<'p>(&'p self, kind: Kind, variables: &'p BTreeMap<String, String>) -> Place<'p> {
        Place { kind, region: self.region, account: self.account, variables }
    }

    /// The document that an API is made of; `None` where it is made of resources.
    fn document(&self, api: &Deployed, unserved: &mut Vec<(String, String)>) -> Option<Value> {
        if let Some(body) = api.properties.get("Body").filter(|body| body.is_object()) {
            return Some(body.clone());
        }
        let location = api.properties.get("BodyS3Location")?;
        let text = |name: &str| location.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.documents.get(&(text("Bucket"), text("Key"))) {
            Some(Ok(document)) => Some(document.clone()),
            Some(Err(why)) => {
                unserved.push(("all of it".to_owned(), format!("its document cannot be read: {why}")));
                Some(Value::Null)
            }
            None => {
                unserved.push(("all of it".to_owned(), "where its document lies is not known".to_owned()));
                Some(Value::Null)
            }
        }
    }

    fn http(&self, api: &Deployed) -> anyhow::Result<Api> {
        let mut served = Api {
            name: api.text("Name").unwrap_or_default().to_owned(),
            ..Api::of_routes(&api.physical, Routes::default())
        };
        served.stages.clear();
        if api.text("ProtocolType").is_some_and(|kind| kind.eq_ignore_ascii_case("WEBSOCKET")) {
            served
                .unserved
                .push(("all of it".to_owned(), "it is a WebSocket API, which only AWS has".to_owned()));
            return Ok(served);
        }
        let document = self.document(api, &mut served.unserved);
        let of_document = document.as_ref().and_then(|document| document.get("x-amazon-apigateway-cors"));
        served.cors = api.properties.get("CorsConfiguration").or(of_document).and_then(Cors::of);
        let routes = self.belonging("AWS::ApiGatewayV2::Route", "ApiId", api)?;
        let integrations = self.belonging("AWS::ApiGatewayV2::Integration", "ApiId", api)?;
        let mut stages = self.belonging("AWS::ApiGatewayV2::Stage", "ApiId", api)?;
        let quick = api.text("Target").is_some();
        if quick && stages.is_empty() {
            // "Quick create": an integration, a route for everything and a stage that shows it come with the API.
            let properties = serde_json::json!({"StageName": DEFAULT, "AutoDeploy": true});
            stages.push((String::new(), Deployed { physical: DEFAULT.to_owned(), properties }));
        }
        for (_, stage) in &stages {
            let variables = variables(stage.properties.get("StageVariables"));
            let place = self.place(Kind::Http, &variables);
            let mut own =
                document.as_ref().map_or_else(Routes::default, |document| document::routes(document, &place));
            for (id, route) in &routes {
                let Some((method, path)) = key(route.text("RouteKey")) else {
                    served.unserved.push((format!("the route {id}"), "its key is not known here".to_owned()));
                    continue;
                };
                let target = route.text("Target").and_then(|target| target.strip_prefix("integrations/"));
                let target = integrations.iter().find(|(_, one)| Some(one.physical.as_str()) == target);
                let lock = lock(&route.properties);
                own.add(method, path, action(target.map(|(_, one)| &one.properties), &place), lock);
            }
            if let (true, Some(target)) = (quick, api.text("Target")) {
                let integration =
                    serde_json::json!({"type": "AWS_PROXY", "uri": target, "payloadFormatVersion": "2.0"});
                let (method, path) = key(api.text("RouteKey").or(Some(DEFAULT))).unwrap_or(("ANY", DEFAULT));
                own.add(method, path, action(Some(&integration), &place), Lock::Open);
            }
            let name = stage.text("StageName").unwrap_or(DEFAULT).to_owned();
            let auto =
                stage.properties.get("AutoDeploy").is_some_and(|auto| *auto == true || *auto == "true");
            let deployment = stage.text("DeploymentId").filter(|_| !auto).map(ToOwned::to_owned);
            served.stages.push(Stage { name, variables, routes: own, deployment });
        }
        served.finish(document.as_ref());
        Ok(served)
    }

    fn rest(&self, logical_id: &str, api: &Deployed) -> anyhow::Result<Api> {
        let mut served = Api { kind: Kind::Rest, ..Api::of_routes(&api.physical, Routes::default()) };
        served.stages.clear();
        let document = self.document(api, &mut served.unserved);
        let title = document.as_ref().and_then(|document| document.pointer("/info/title"));
        let name = api.text("Name").or_else(|| title.and_then(Value::as_str)).unwrap_or_default();
        name.clone_into(&mut served.name);
        let lists = [
            api.properties.get("BinaryMediaTypes"),
            document.as_ref().and_then(|document| document.get("x-amazon-apigateway-binary-media-types")),
        ];
        let types =
            lists.into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        served.binary = types.map(|kind| kind.replace("~1", "/").to_ascii_lowercase()).collect();
        if api.properties.get("Policy").is_some() {
            served.unserved.push(("its resource policy".to_owned(), document::POLICY.to_owned()));
        }
        let own =
            document.as_ref().and_then(|document| document.get("x-amazon-apigateway-gateway-responses"));
        let mut responses: Vec<(String, Value)> = own
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(kind, one)| (kind.clone(), one.clone()))
            .collect();
        for (_, response) in self.belonging("AWS::ApiGateway::GatewayResponse", "RestApiId", api)? {
            responses
                .push((response.text("ResponseType").unwrap_or_default().to_owned(), response.properties));
        }
        for (kind, response) in responses {
            if let Err(why) = served.responses.add(&kind, &response) {
                served.unserved.push((format!("its gateway response {kind}"), why));
            }
        }
        let methods = self.methods(logical_id, api, &mut served.unserved)?;
        for mut stage in self.rest_stages(api, &mut served.unserved)? {
            let place = self.place(Kind::Rest, &stage.variables);
            let mut own =
                document.as_ref().map_or_else(Routes::default, |document| document::routes(document, &place));
            for (method, path, properties) in &methods {
                own.add(method, path, action(properties.get("Integration"), &place), lock(properties));
            }
            stage.routes = own;
            served.stages.push(stage);
        }
        for (kind, what) in [
            ("AWS::ApiGateway::UsagePlan", "usage plans"),
            ("AWS::ApiGateway::BasePathMapping", "custom domains"),
        ] {
            if !self.of(kind)?.is_empty() {
                served.unserved.push((format!("the stack's {what}"), "only AWS has them".to_owned()));
            }
        }
        served.finish(document.as_ref());
        Ok(served)
    }

    /// Each stage of a REST API, without its routes: stages, and those that deployments make.
    fn rest_stages(
        &self,
        api: &Deployed,
        unserved: &mut Vec<(String, String)>,
    ) -> anyhow::Result<Vec<Stage>> {
        let mut stages: Vec<Stage> = Vec::new();
        let stage = |name: &str, variables, deployment: &str| Stage {
            name: name.to_owned(),
            variables,
            routes: Routes::default(),
            deployment: Some(deployment.to_owned()),
        };
        for (_, own) in self.belonging("AWS::ApiGateway::Stage", "RestApiId", api)? {
            let name = own.text("StageName").unwrap_or_default();
            for (property, why) in [
                ("CanarySetting", "all requests are answered by the stage's own deployment"),
                ("CacheClusterEnabled", "nothing is cached: every request reaches the function"),
                ("ClientCertificateId", "functions are given no certificate"),
            ] {
                if own.properties.get(property).is_some_and(|value| *value != false && !value.is_null()) {
                    unserved.push((format!("{property} of the stage {name}"), why.to_owned()));
                }
            }
            let deployment = own.text("DeploymentId").unwrap_or_default();
            stages.push(stage(name, variables(own.properties.get("Variables")), deployment));
        }
        for (_, deployment) in self.belonging("AWS::ApiGateway::Deployment", "RestApiId", api)? {
            let Some(name) = deployment.text("StageName") else { continue };
            if !stages.iter().any(|known| known.name == name) {
                let of_stage = deployment.properties.pointer("/StageDescription/Variables");
                stages.push(stage(name, variables(of_stage), &deployment.physical));
            }
        }
        Ok(stages)
    }

    /// Method, path and properties of each method that is a resource of its own.
    fn methods(
        &self,
        logical_id: &str,
        api: &Deployed,
        unserved: &mut Vec<(String, String)>,
    ) -> anyhow::Result<Vec<(String, String, Value)>> {
        let resources = self.belonging("AWS::ApiGateway::Resource", "RestApiId", api)?;
        let mut found = Vec::new();
        for (id, method) in self.belonging("AWS::ApiGateway::Method", "RestApiId", api)? {
            let mut path = Vec::new();
            let mut at = method.properties.get("ResourceId").cloned().unwrap_or(Value::Null);
            let is_root = |at: &Value| {
                let named = at.get("Fn::GetAtt");
                named.is_some_and(|named| {
                    *named == serde_json::json!([logical_id, "RootResourceId"])
                        || *named == format!("{logical_id}.RootResourceId")
                })
            };
            // A resource stands below another one, and no deeper than there are any.
            while !is_root(&at) && path.len() <= resources.len() {
                let Some((_, resource)) = resources.iter().find(|(_, one)| at == one.physical.as_str())
                else {
                    break;
                };
                path.push(resource.text("PathPart").unwrap_or_default().to_owned());
                at = resource.properties.get("ParentId").cloned().unwrap_or(Value::Null);
            }
            if !is_root(&at) {
                unserved.push((
                    format!("the method {id}"),
                    "where its resource stands is not known here".to_owned(),
                ));
                continue;
            }
            if method.text("RequestValidatorId").is_some() {
                unserved.push((
                    format!("the request validator of the method {id}"),
                    document::VALIDATOR.to_owned(),
                ));
            }
            path.reverse();
            let verb = method.text("HttpMethod").unwrap_or_default().to_owned();
            found.push((verb, format!("/{}", path.join("/")), method.properties));
        }
        Ok(found)
    }
}

impl Api {
    /// Names what of it is not rehearsed.
    fn finish(&mut self, document: Option<&Value>) {
        self.unserved.extend(document.map(document::unserved).unwrap_or_default());
        if self.stages.is_empty() && self.unserved.is_empty() {
            self.unserved.push((
                "all of it".to_owned(),
                "it has no stage in this stack, so no address leads to it".to_owned(),
            ));
        }
        self.unserved.extend(self.stages.iter().flat_map(|stage| stage.routes.unserved()));
        self.unserved.sort();
        self.unserved.dedup();
    }
}

/// Method and path of a route's key.
fn key(key: Option<&str>) -> Option<(&str, &str)> {
    match key? {
        DEFAULT => Some(("ANY", DEFAULT)),
        key => key.split_once(' '),
    }
}

/// What a resource's properties ask of callers.
fn lock(properties: &Value) -> Lock {
    let kind = properties.get("AuthorizationType").and_then(Value::as_str).unwrap_or("NONE");
    let key = properties.get("ApiKeyRequired").is_some_and(|value| *value == true || *value == "true");
    match kind {
        _ if key => Lock::Key,
        "NONE" => Lock::Open,
        "AWS_IAM" => Lock::Iam,
        _ => Lock::Unknown,
    }
}

fn variables(given: Option<&Value>) -> BTreeMap<String, String> {
    let given = given.and_then(Value::as_object).into_iter().flatten();
    given.map(|(name, value)| (name.clone(), causeway_model::template::text_of(value))).collect()
}

#[cfg(test)]
mod tests;
