//! The pipeline, its build projects and its failure rule, read from the deployed stack.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use causeway_aws::Account;
use causeway_aws::cloudformation::{Physical, Stacks};
use causeway_model::config::Config;
use causeway_model::fault::Fault;
use causeway_model::pipeline::Pipeline;
use causeway_model::template::{self, Pseudo, Scope};

/// What the deployed stack says.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// The pipeline.
    pub(super) pipeline: Pipeline,
    /// Evaluated properties of every `AWS::CodeBuild::Project`, by its name.
    projects: BTreeMap<String, Value>,
    /// Evaluated properties of every `AWS::Events::Rule`.
    pub(super) rules: Vec<Value>,
}

impl Definition {
    /// Reads it.
    ///
    /// # Errors
    /// The stack is not there, has no pipeline, or says something that cannot be evaluated.
    pub(super) async fn read(config: &Config, build: &Account) -> anyhow::Result<Self> {
        let stack = config.names().pipeline_stack();
        let stacks = Stacks::new(build);
        let info = stacks.describe(&stack).await?.ok_or_else(|| {
            Fault::failed("read the pipeline", stack.as_str())
                .why("there is no such stack")
                .next("run cargo xtask bootstrap first")
        })?;
        let text = stacks.template(&stack).await?;
        let resources = stacks.resources(&stack).await?;
        let template =
            template::parse(&text).with_context(|| format!("read the template of {stack}"))?.to_json();
        let pseudo = Pseudo {
            account_id: build.id.clone(),
            region: build.region().to_owned(),
            partition: "aws".to_owned(),
            stack_name: stack.clone(),
            stack_id: info.id.clone(),
        };
        let parameters = Scope::parameters_of(&template, &info.parameters);
        let resolve =
            |id: &str, attribute: Option<&str>| resolve(&resources, &pseudo, id, attribute).map(Value::from);
        let scope =
            Scope { template: &template, parameters: &parameters, pseudo: &pseudo, resources: &resolve };
        let of_type = |kind: &str| -> anyhow::Result<Vec<Value>> {
            let all = template.get("Resources").and_then(Value::as_object).into_iter().flatten();
            let mut found = Vec::new();
            for (id, resource) in
                all.filter(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(kind))
            {
                let properties = resource.get("Properties").unwrap_or(&Value::Null);
                let properties =
                    scope.eval(properties).with_context(|| format!("evaluate {id} of {stack}"))?;
                found.extend(properties);
            }
            Ok(found)
        };
        let pipelines = of_type("AWS::CodePipeline::Pipeline")?;
        let properties = pipelines
            .first()
            .ok_or_else(|| Fault::failed("read the pipeline", stack.as_str()).why("the stack has none"))?;
        let named = |project: Value| Some((project.get("Name")?.as_str()?.to_owned(), project));
        Ok(Self {
            pipeline: Pipeline::from_properties(properties)
                .with_context(|| format!("read the pipeline of {stack}"))?,
            projects: of_type("AWS::CodeBuild::Project")?.into_iter().filter_map(named).collect(),
            rules: of_type("AWS::Events::Rule")?,
        })
    }

    /// The evaluated properties of a build project.
    pub(super) fn project(&self, name: &str) -> anyhow::Result<&Value> {
        self.projects.get(name).ok_or_else(|| {
            Fault::failed("find the build project", name)
                .why("the pipeline's stack has none of that name")
                .next("correct ProjectName in cfn/pipeline.yaml")
                .into()
        })
    }
}

/// What references to the stack's resources give.
fn resolve(
    resources: &BTreeMap<String, Physical>,
    pseudo: &Pseudo,
    id: &str,
    attribute: Option<&str>,
) -> Option<String> {
    let found = resources.get(id)?;
    let (account, region, physical) = (&pseudo.account_id, &pseudo.region, &found.id);
    match (found.resource_type.as_str(), attribute) {
        (_, Some("Arn")) if physical.starts_with("arn:") => Some(physical.clone()),
        ("AWS::IAM::Role", Some("Arn")) => Some(format!("arn:aws:iam::{account}:role/{physical}")),
        ("AWS::CodeBuild::Project", Some("Arn")) => {
            Some(format!("arn:aws:codebuild:{region}:{account}:project/{physical}"))
        }
        ("AWS::Logs::LogGroup", Some("Arn")) => {
            Some(format!("arn:aws:logs:{region}:{account}:log-group:{physical}:*"))
        }
        ("AWS::SNS::Topic", Some("TopicName")) => physical.rsplit(':').next().map(ToOwned::to_owned),
        (_, None) => Some(physical.clone()),
        _ => None,
    }
}
