//! The physical resources of a deployed stack, and a template's values evaluated with them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use super::emulator::{Client, is_absent};
use super::ledger::{Record, StackKey};
use super::lower::{TrafficShift, stand_in};
use causeway_model::template::{Pseudo, Scope};

/// Physical ids and types by logical id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources(BTreeMap<String, (String, String)>);

impl Resources {
    /// Those of a stack; `None` where there is no such stack.
    pub(crate) async fn of(emulator: &Client, key: &StackKey) -> anyhow::Result<Option<Self>> {
        let answer = emulator
            .query(&key.0, "cloudformation", "DescribeStackResources", &[("StackName", &key.1)])
            .await;
        let root = match answer {
            Ok(root) => root,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let members = root.all(&["DescribeStackResourcesResult", "StackResources"]);
        let text = |member: &causeway_model::xml::Element, name: &str| member.text_at(&[name]).to_owned();
        let entry =
            |m| (text(m, "LogicalResourceId"), (text(m, "ResourceType"), text(m, "PhysicalResourceId")));
        Ok(Some(Self(members.iter().map(entry).collect())))
    }

    /// The physical id of a resource.
    pub(crate) fn physical(&self, logical_id: &str) -> Option<&str> {
        self.0.get(logical_id).map(|(_, physical)| physical.as_str()).filter(|physical| !physical.is_empty())
    }

    /// Logical and physical ids of every resource of a type.
    pub(crate) fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |(_, (found, _))| found == kind)
            .map(|(id, (_, physical))| (id.as_str(), physical.as_str()))
    }

    /// The pseudo parameters of a stack.
    pub(crate) fn pseudo(emulator: &Client, key: &StackKey) -> Pseudo {
        Pseudo {
            account_id: key.0.clone(),
            region: emulator.region().to_owned(),
            partition: "aws".to_owned(),
            stack_name: key.1.clone(),
            stack_id: format!("arn:aws:cloudformation:{}:{}:stack/{}", emulator.region(), key.0, key.1),
        }
    }

    /// A value of the stack's lowered template, its intrinsic functions evaluated.
    ///
    /// # Errors
    /// A function or a reference that is not known.
    pub(crate) fn eval(
        &self,
        emulator: &Client,
        key: &StackKey,
        record: &Record,
        value: &Value,
    ) -> anyhow::Result<Value> {
        let pseudo = Self::pseudo(emulator, key);
        let parameters = Scope::parameters_of(&record.plain, &record.parameters);
        let resolve = |id: &str, attribute: Option<&str>| {
            // What is inert in the emulator is called as it would be on AWS.
            let definition = record.plain.get("Resources").and_then(|all| all.get(id));
            let named = definition.filter(|_| attribute.is_none()).and_then(|definition| {
                stand_in::physical_id(definition, id, &pseudo, |name| {
                    Self::default().eval(emulator, key, record, name).ok()
                })
            });
            named.or_else(|| self.resolve(&pseudo, id, attribute)).map(Value::from)
        };
        let scope =
            Scope { template: &record.plain, parameters: &parameters, pseudo: &pseudo, resources: &resolve };
        Ok(scope.eval(value).context("evaluate a part of the template")?.unwrap_or(Value::Null))
    }

    /// What an alias that shifts is called: the function's name in AWS and its own. `None` where the stack has no such
    /// function, or no such alias under its parameters.
    ///
    /// # Errors
    /// Something in its definition cannot be evaluated.
    pub(crate) fn shifting(
        &self,
        emulator: &Client,
        key: &StackKey,
        record: &Record,
        shift: &TrafficShift,
    ) -> anyhow::Result<Option<(String, String)>> {
        let condition = record.plain.pointer(&format!("/Resources/{}/Condition", shift.alias));
        if let Some(condition) = condition.and_then(Value::as_str)
            && !Self::condition(emulator, key, record, condition)?
        {
            return Ok(None);
        }
        if shift.function_id().is_some_and(|id| self.physical(id).is_none()) {
            return Ok(None);
        }
        let text = |property: &str| {
            let value = shift.properties.get(property).unwrap_or(&Value::Null);
            let value = self.eval(emulator, key, record, value)?;
            let text = value.as_str().map(ToOwned::to_owned);
            text.with_context(|| format!("{property} of the alias {} is no text", shift.alias))
        };
        let function = text("FunctionName")?;
        let name = function.split_once(":function:").map_or(function.as_str(), |(_, rest)| rest);
        let name = name.split(':').next().unwrap_or(name).to_owned();
        Ok(Some((name, text("Name")?)))
    }

    /// Whether a condition of the stack's template holds with its parameters.
    ///
    /// # Errors
    /// There is no such condition, or it cannot be evaluated.
    pub(crate) fn condition(
        emulator: &Client,
        key: &StackKey,
        record: &Record,
        name: &str,
    ) -> anyhow::Result<bool> {
        let pseudo = Self::pseudo(emulator, key);
        let parameters = Scope::parameters_of(&record.plain, &record.parameters);
        let nothing = |_: &str, _: Option<&str>| None;
        let scope =
            Scope { template: &record.plain, parameters: &parameters, pseudo: &pseudo, resources: &nothing };
        scope.condition(name).with_context(|| format!("evaluate the condition {name}"))
    }

    /// What `Ref` and `Fn::GetAtt` give for the few types that engines ask about.
    fn resolve(&self, pseudo: &Pseudo, id: &str, attribute: Option<&str>) -> Option<String> {
        let (kind, physical) = self.0.get(id)?;
        let (region, account) = (&pseudo.region, &pseudo.account_id);
        match (kind.as_str(), attribute) {
            (_, None) => Some(physical.clone()),
            ("AWS::KMS::Key", Some("Arn")) => Some(format!("arn:aws:kms:{region}:{account}:key/{physical}")),
            ("AWS::S3::Bucket", Some("Arn")) => Some(format!("arn:aws:s3:::{physical}")),
            ("AWS::IAM::Role", Some("Arn")) => Some(format!("arn:aws:iam::{account}:role/{physical}")),
            ("AWS::Lambda::Function", Some("Arn")) => {
                Some(format!("arn:aws:lambda:{region}:{account}:function:{physical}"))
            }
            ("AWS::ApiGateway::RestApi", Some("RestApiId"))
            | ("AWS::ApiGateway::Deployment", Some("DeploymentId"))
            | ("AWS::ApiGatewayV2::Api", Some("ApiId")) => Some(physical.clone()),
            ("AWS::Lambda::Version" | "AWS::Lambda::Alias", Some(attribute))
                if ["Version", "FunctionArn", "AliasArn"].contains(&attribute) =>
            {
                let last = if attribute == "Version" {
                    physical.rsplit(':').next()
                } else {
                    Some(physical.as_str())
                };
                last.map(ToOwned::to_owned)
            }
            (_, Some("Arn")) if physical.starts_with("arn:") => Some(physical.clone()),
            _ => None,
        }
    }
}
