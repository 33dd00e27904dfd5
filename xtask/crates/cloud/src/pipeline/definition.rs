//! The pipeline, its build projects and its failure rule, read from the deployed stack.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use causeway_aws::Account;
use causeway_aws::cloudformation::{Physical, Stacks};
use causeway_model::config::Config;
use causeway_model::fault::Fault;
use causeway_model::known::{Step, line_of};
use causeway_model::pipeline::Pipeline;
use causeway_model::pipeline::walk::{Project, Walked};
use causeway_model::template::{self, Node, Pseudo, Scope};

use super::walked::{Ground, Source, fault_of};

/// What the deployed stack says.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// The pipeline.
    pub(super) pipeline: Pipeline,
    /// Every `AWS::CodeBuild::Project`, by its name.
    projects: BTreeMap<String, Project>,
    /// The template's file.
    file: String,
    /// The template, for its lines.
    root: Node,
    /// The pipeline's name in it.
    id: String,
    /// Evaluated properties of every `AWS::Events::Rule`.
    pub(super) rules: Vec<Value>,
}

impl Definition {
    /// Reads it, and walks the pipeline with the source that is released.
    ///
    /// # Errors
    /// The stack is not there, has no pipeline, or says something that cannot be evaluated.
    pub(super) async fn read(
        config: &Config,
        build: &Account,
        source: &Source<'_>,
    ) -> anyhow::Result<(Self, Walked)> {
        let stack = config.names().pipeline_stack();
        let stacks = Stacks::new(build);
        let info = stacks.describe(&stack).await?.ok_or_else(|| {
            Fault::failed("read the pipeline", stack.as_str())
                .why("there is no such stack")
                .next("run cargo xtask bootstrap first")
        })?;
        let text = stacks.template(&stack).await?;
        let resources = stacks.resources(&stack).await?;
        let root = template::parse(&text).with_context(|| format!("read the template of {stack}"))?;
        let template = root.to_json();
        let named = config.stack("pipeline");
        let file = format!("cfn/{}", named.map_or("pipeline.yaml", |one| one.template.as_str()));
        // Lines are those of the author's file, where it is the one that was deployed.
        let own = source.text(&file).map_err(|why| {
            Fault::failed("read the source", file.as_str())
                .why(why)
                .next("correct the file, and release again")
        })?;
        let own = own.and_then(|text| template::parse(&text).ok());
        let root = own.filter(|own| own.to_json() == template).unwrap_or(root);
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
        let of_type = |kind: &str| -> anyhow::Result<Vec<(String, Value)>> {
            let all = template.get("Resources").and_then(Value::as_object).into_iter().flatten();
            let mut found = Vec::new();
            for (id, resource) in
                all.filter(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(kind))
            {
                let properties = resource.get("Properties").unwrap_or(&Value::Null);
                let properties =
                    scope.eval(properties).with_context(|| format!("evaluate {id} of {stack}"))?;
                found.extend(properties.map(|properties| (id.clone(), properties)));
            }
            Ok(found)
        };
        let pipelines = of_type("AWS::CodePipeline::Pipeline")?;
        let (id, properties) = pipelines
            .into_iter()
            .next()
            .ok_or_else(|| Fault::failed("read the pipeline", stack.as_str()).why("the stack has none"))?;
        let projects = of_type("AWS::CodeBuild::Project")?
            .into_iter()
            .filter_map(|(id, properties)| {
                Some((properties.get("Name")?.as_str()?.to_owned(), Project { id, properties }))
            })
            .collect();
        let ground = Ground { config, build, file: &file, root: &root, id: &id, projects: &projects, source };
        let (pipeline, walked) = ground.walk(&properties);
        let pipeline = pipeline.ok_or_else(|| fault_of("walk the pipeline", &walked.complaints))?;
        let rules = of_type("AWS::Events::Rule")?.into_iter().map(|(_, rule)| rule).collect();
        Ok((Self { pipeline, projects, file, root, id, rules }, walked))
    }

    /// The template's file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The line of a setting of an action.
    pub(super) fn line_of(&self, stage: &str, action: &str, keys: &[&str]) -> usize {
        let key = |name: &str| Step::Key(name.to_owned());
        let item = |name: &str| Step::Item(0, Some(name.to_owned()));
        let mut path = vec![key("Resources"), key(&self.id), key("Properties"), key("Stages"), item(stage)];
        if !action.is_empty() {
            path.extend([key("Actions"), item(action)]);
        }
        path.extend(keys.iter().map(|name| key(name)));
        line_of(&self.root, &path)
    }

    /// The line of a key of the pipeline.
    pub(super) fn line(&self, name: &str) -> usize {
        let path = ["Resources", &self.id, "Properties", name].map(|one| Step::Key(one.to_owned()));
        line_of(&self.root, &path)
    }

    /// A build project.
    pub(super) fn project(&self, name: &str) -> anyhow::Result<&Project> {
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
