//! The Lambda invoke action and the S3 deploy action, with the action role's rights.
//!
//! Sources, AWS CodePipeline user guide: "AWS Lambda invoke action reference", "Amazon S3 deploy action reference".

use std::io::{Cursor, Read as _};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Run;
use super::jobs::{Job, Report};
use causeway_aws::artifacts::Bucket;
use causeway_aws::assume_role;
use causeway_model::config::BUILD;
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;
use causeway_model::pipeline::Action;

impl Run {
    /// The keys an action is done with.
    async fn keys_of(&self, action: &Action) -> anyhow::Result<Keys> {
        let role = &self.definition.pipeline.role_arn;
        let pipeline = assume_role(self.world.accounts.get(BUILD)?, role, &self.execution).await?;
        match &action.role_arn {
            None => Ok(pipeline),
            Some(role) => {
                let build = self.world.accounts.get(BUILD)?;
                assume_role(&build.with_keys("build", &build.id, &pipeline), role, &self.execution).await
            }
        }
    }

    /// Invokes a function with a job, and waits for what it reports.
    pub(super) async fn invoke(&self, action: &Action) -> anyhow::Result<Option<String>> {
        let function = self.wanted(action, "FunctionName")?;
        let keys = self.keys_of(action).await?;
        let mut job = Job::new();
        let bucket = &self.store()?.location;
        let inputs = action
            .input_artifacts
            .iter()
            .map(|artifact| {
                let key = self.artifact(&artifact.name)?;
                Ok(located(&artifact.name, bucket, &key))
            })
            .collect::<anyhow::Result<Vec<Value>>>()?;
        let outputs: Vec<(String, String)> = action
            .output_artifacts
            .iter()
            .map(|artifact| (artifact.name.clone(), self.artifact_key(&artifact.name)))
            .collect();
        let mut configuration = json!({"FunctionName": function});
        if let Some(parameters) = self.setting(action, "UserParameters")? {
            configuration["UserParameters"] = json!(parameters);
        }
        let mut data = json!({
            "actionConfiguration": {"configuration": configuration},
            "inputArtifacts": inputs,
            "outputArtifacts": outputs.iter().map(|(name, key)| located(name, bucket, key)).collect::<Vec<_>>(),
            "artifactCredentials": {
                "accessKeyId": keys.id,
                "secretAccessKey": keys.secret,
                "sessionToken": keys.token.clone().unwrap_or_default(),
            },
        });
        if let Some(key) = &self.store()?.encryption_key {
            data["encryptionKey"] = json!({"id": key.id, "type": "KMS"});
        }
        let event = json!({"CodePipeline.job": {"id": job.id, "accountId": self.session.id, "data": data}});
        let invoked = self.world.control.invoke(&keys, &function, &event, &function);
        tokio::pin!(invoked);
        let report = tokio::select! {
            biased;
            report = &mut job.report => report.ok(),
            ended = &mut invoked => {
                ended?;
                job.report.try_recv().ok()
            }
        };
        match report {
            Some(Report::Succeeded(variables)) => {
                if let Some(namespace) = &action.namespace {
                    for (name, value) in variables {
                        self.set_variable(namespace, &name, value);
                    }
                }
                for (name, key) in outputs {
                    self.remember_artifact(&name, key);
                }
                Ok(None)
            }
            Some(Report::Failed(message)) => Err(Fault::failed("invoke the function", function.as_str())
                .why(format!("it reported a failure: {message}"))
                .next("see the function's log")
                .into()),
            None => Err(Fault::failed("invoke the function", function.as_str())
                .why("it ended, and reported neither PutJobSuccessResult nor PutJobFailureResult; on AWS the action would wait for its time-out")
                .next("have the function report, and look at its log")
                .into()),
        }
    }

    /// Puts an artifact's files, or the artifact itself, into a bucket.
    pub(super) async fn deploy_to_s3(&self, action: &Action) -> anyhow::Result<Option<String>> {
        let session = self.session_of(action).await?;
        let input = action.input_artifacts.first().context("a deployment takes an artifact")?;
        let zip = self.bucket(&session)?.get(&self.artifact(&input.name)?).await?;
        let name = self.wanted(action, "BucketName")?;
        let bucket = match self.setting(action, "KMSEncryptionKeyARN")? {
            Some(key) => Bucket::new(&session, &name, &key),
            None => Bucket::plain(&session, &name),
        };
        let (cache, acl) = (self.setting(action, "CacheControl")?, self.setting(action, "CannedACL")?);
        let key = self.setting(action, "ObjectKey")?;
        if self.wanted(action, "Extract")?.eq_ignore_ascii_case("false") {
            let key = key.context("it has no ObjectKey")?;
            bucket.deploy(&key, zip, cache.as_deref(), acl.as_deref()).await?;
            return Ok(Some(format!("s3://{name}/{key}")));
        }
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).context("open the artifact")?;
        let mut files = Vec::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).context("read the artifact")?;
            if file.is_dir() {
                continue;
            }
            let path = file.name().context("read a name of the artifact")?.into_owned();
            let mut content = Vec::new();
            file.read_to_end(&mut content).with_context(|| format!("read {path}"))?;
            files.push((path, content));
        }
        let count = files.len();
        for (path, content) in files {
            let key = match &key {
                Some(folder) => format!("{}/{path}", folder.trim_end_matches('/')),
                None => path,
            };
            bucket.deploy(&key, content, cache.as_deref(), acl.as_deref()).await?;
        }
        Ok(Some(format!("{count} files to s3://{name}")))
    }
}

fn located(name: &str, bucket: &str, key: &str) -> Value {
    json!({
        "name": name,
        "revision": null,
        "location": {"type": "S3", "s3Location": {"bucketName": bucket, "objectKey": key}},
    })
}
