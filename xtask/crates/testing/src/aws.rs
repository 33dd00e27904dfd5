//! An ordinary AWS client beside the tool: a few lines of Python with boto3, which the cloud's own environment has.

use serde_json::Value;

use crate::{Ended, Project, workspace};

/// What every script begins with: clients by account or by keys, roles, signed calls of the API.
const BEGIN: &str = r#"
import boto3, io, json, zipfile
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

IDS = {'build': '111111111111', 'dev': '222222222222', 'prod': '333333333333'}

def client(service, account='build', keys=None):
    if keys:
        session = boto3.Session(keys['AccessKeyId'], keys['SecretAccessKey'], keys['SessionToken'])
    else:
        session = boto3.Session(profile_name='causeway-' + account)
    return session.client(service)

def become(account, role, keys=None):
    arn = f'arn:aws:iam::{IDS[account]}:role/causeway-eu-central-1-{role}'
    return client('sts', keys=keys).assume_role(RoleArn=arn, RoleSessionName='test')['Credentials']

def refused(account, role, keys):
    try:
        become(account, role, keys)
        return 'it is not refused'
    except ClientError as error:
        return error.response['Error']['Code']

def outputs(stack, account='build'):
    found = client('cloudformation', account).describe_stacks(StackName=stack)['Stacks'][0]
    return {output['OutputKey']: output['OutputValue'] for output in found['Outputs']}

def call(method, url, keys=None):
    request = AWSRequest(method, url)
    if keys:
        credentials = Credentials(keys['AccessKeyId'], keys['SecretAccessKey'], keys['SessionToken'])
        SigV4Auth(credentials, 'execute-api', 'eu-central-1').add_auth(request)
    return URLLib3Session().send(request.prepare()).status_code
"#;

/// What scripts begin with where the project is bootstrapped: files of artifacts.
const BOOTSTRAPPED: &str = r#"
def keys_below(prefix):
    pages = client('s3').get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix=prefix)
    return [found for page in pages for found in page.get('Contents', [])]

def newest(artifact):
    # CodePipeline cuts an artifact's name to ten characters.
    key = max(keys_below(f'causeway/{artifact[:10]}/'), key=lambda found: found['LastModified'])['Key']
    body = client('s3').get_object(Bucket=BUCKET, Key=key)['Body'].read()
    files = zipfile.ZipFile(io.BytesIO(body))
    return {name: files.read(name).decode('utf-8', 'replace') for name in files.namelist() if '.' in name}

BASE = outputs('causeway-build-base')
BUCKET = BASE['BucketName']
"#;

/// The client.
pub struct Client {
    environment: Vec<(String, String)>,
    begin: String,
}

impl Client {
    /// Led to the cloud by the lines that a command with `--keep` printed for a shell.
    pub fn from_printed(ended: &Ended) -> Self {
        let environment: Vec<(String, String)> = ended
            .stderr
            .lines()
            .filter_map(|row| row.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        assert!(environment.iter().any(|(name, _)| name == "AWS_ENDPOINT_URL"), "{}", ended.stderr);
        Self { environment, begin: format!("{BEGIN}{BOOTSTRAPPED}") }
    }

    /// Of a project whose local cloud is up, and has nothing yet.
    pub fn of_empty(project: &Project) -> Self {
        Self { environment: project.environment.clone(), begin: BEGIN.to_owned() }
    }

    /// Led to a project's cloud by `local env`.
    pub fn of(project: &Project) -> Self {
        let told = project.run(&["local", "env"]);
        let told = told.result()["data"]["env"].as_object().unwrap().clone();
        let environment = told.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned()));
        Self { environment: environment.collect(), begin: format!("{BEGIN}{BOOTSTRAPPED}") }
    }

    /// A variable that was printed.
    pub fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name} was not printed")).1
    }

    /// What was printed, but for the profile.
    pub fn without_profile(&self) -> impl Iterator<Item = &(String, String)> {
        self.environment.iter().filter(|(name, _)| name != "AWS_PROFILE")
    }

    /// Runs a script that leaves what it found in `answer`.
    pub fn ask(&self, script: &str) -> Value {
        let python = workspace().join("target/causeway/venv/bin/python");
        let mut command = assert_cmd::Command::new(python);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let text = format!("{}\n{script}\nprint(json.dumps(answer, default=str))\n", self.begin);
        let output = command.args(["-c", &text]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("no JSON: {said}"))
    }
}
