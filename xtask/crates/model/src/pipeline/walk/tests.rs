//! Pipelines of our own and of others, with what CodePipeline makes of them: what is wrong is said before Source, at its line.

use super::*;
use crate::buildspec;
use crate::template;

const TEMPLATE: &str = include_str!("pipeline.yaml");
const SPEC: &str = "version: 0.2\nenv: {exported-variables: [Tag]}\nphases: {build: {commands: [make]}}\nartifacts:\n  secondary-artifacts:\n    BuildOutput: {files: ['**/*']}\n    Tool: {files: [tool]}\n";

/// Walks a template, with this buildspec for every project.
fn walked(text: &str, spec: Option<&str>) -> (Option<Pipeline>, Walked) {
    let root = template::parse(text).unwrap();
    let json = root.to_json();
    let resources = json["Resources"].as_object().unwrap();
    let of = |kind: &'static str| {
        resources
            .iter()
            .filter(move |(_, one)| one["Type"] == kind)
            .map(|(id, one)| (id.clone(), one["Properties"].clone()))
    };
    let projects: BTreeMap<String, Project> = of("AWS::CodeBuild::Project")
        .map(|(id, properties)| (properties["Name"].as_str().unwrap().to_owned(), Project { id, properties }))
        .collect();
    let (id, properties) = of("AWS::CodePipeline::Pipeline").next().unwrap();
    let line = |path: &[Step]| {
        let mut whole = vec![key("Resources")];
        whole.extend_from_slice(path);
        known::line_of(&root, &whole)
    };
    let read = |_: &Project| {
        spec.map(|text| Spec { file: "buildspecs/build.yml".into(), read: buildspec::read(text) })
    };
    let outputs = |action: &Action| {
        let dev = action.plain("StackName") == Some("app-dev");
        dev.then(|| BTreeSet::from(["ApiURL".to_owned(), "OrdersVersion".to_owned()]))
    };
    walk(
        &properties,
        &Facts {
            file: "cfn/pipeline.yaml",
            id: &id,
            line: &line,
            account: "111111111111",
            region: "eu-central-1",
            repository: "example/shop",
            projects: &projects,
            spec: &read,
            outputs: &outputs,
        },
    )
}

#[test]
fn a_pipeline_that_does_everything_is_walked_without_a_complaint() {
    let (pipeline, walked) = walked(TEMPLATE, Some(SPEC));
    assert_eq!(walked.complaints, []);
    assert_eq!(pipeline.unwrap().stages.len(), 4);
    let told: Vec<&str> = walked.told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(told, ["Environment.Image of Build"]);
}

/// A line that is put in place of another, where the complaint stands and what it says.
#[test]
fn what_cannot_be_done_is_named_with_its_line_before_source() {
    let table: Vec<(&str, &str, &str, &str)> = vec![
        // The kinds of the report.
        (
            "      ExecutionMode: SUPERSEDED",
            "      ExecutionMode: PARALLEL",
            "ExecutionMode: PARALLEL",
            "PARALLEL is not rehearsed",
        ),
        (
            "      ExecutionMode: SUPERSEDED",
            "      ExecutionMode: QUEUED",
            "ExecutionMode: QUEUED",
            "QUEUED is not rehearsed",
        ),
        ("      ExecutionMode: SUPERSEDED", "      ExecutonMode: SUPERSEDED", "ExecutonMode", "not known"),
        (
            "{Category: Invoke, Owner: AWS, Provider: Lambda, Version: '1'}",
            "{Category: Compute, Owner: AWS, Provider: Commands, Version: '1'}",
            "Provider: Commands",
            "cannot do the action Compute/AWS/Commands",
        ),
        (
            "{Category: Invoke, Owner: AWS, Provider: Lambda, Version: '1'}",
            "{Category: Deploy, Owner: AWS, Provider: ECS, Version: '1'}",
            "Provider: ECS",
            "cannot do the action Deploy/AWS/ECS",
        ),
        ("              RunOrder: 3", "              Commands: [ls]", "Commands: [ls]", "Commands action"),
        (
            "#{DevDeploy.OrdersVersion}",
            "#{DevDeploy.CheckinVersion}",
            "#{DevDeploy.CheckinVersion}",
            "nothing before it sets CheckinVersion in DevDeploy",
        ),
        (
            "#{variables.Channel}",
            "#{variables.Chanel}",
            "#{variables.Chanel}",
            "nothing before it sets Chanel",
        ),
        (
            "#{SourceVariables.CommitMessage}",
            "#{SourceVariables.Committer}",
            "#{SourceVariables.Committer}",
            "nothing before it sets Committer",
        ),
        (
            "#{SourceVariables.CommitMessage}",
            "#{Sauce.CommitMessage}",
            "#{Sauce.CommitMessage}",
            "no earlier action has the namespace Sauce",
        ),
        (
            "#{BuildVariables.Tag}",
            "#{BuildVariables.Tog}",
            "#{BuildVariables.Tog}",
            "nothing before it sets Tog",
        ),
        ("#{BuildVariables.Tag}", "#{Tag}", "#{Tag}", "not written #{namespace.name}"),
        ("DefaultValue: stable", "Description: none", "Name: Channel", "no DefaultValue"),
        (
            "StageName: Prod, Reason: freeze",
            "StageName: Production, Reason: freeze",
            "StageName: Production",
            "no stage Production",
        ),
        (
            "Provider: VariableCheck",
            "Provider: LambdaInvoke",
            "Provider: LambdaInvoke",
            "cannot ask the rule LambdaInvoke",
        ),
        ("Operator: EQ", "Operator: MATCHES", "Operator: MATCHES", "MATCHES is not evaluated here"),
        ("Cron: '* * * ? * * *'", "Cron: '* * * L * ? *'", "Cron: '* * * L", "not evaluated here"),
        ("Result: SKIP", "Result: ROLLBACK", "Result: ROLLBACK", "no result of BeforeEntry"),
        // Artifacts and files.
        (
            "- Name: Tool # taken",
            "- Name: Tools",
            "InputArtifacts: # of tests",
            "Tools, which no earlier action gives",
        ),
        (
            "TemplatePath: BuildOutput::template.yaml # dev",
            "TemplatePath: Tool::template.yaml",
            "TemplatePath: Tool",
            "not among its InputArtifacts",
        ),
        (
            "TemplatePath: BuildOutput::template.yaml # dev",
            "TemplatePath: template.yaml",
            "TemplatePath: template.yaml",
            "not written Artifact::file",
        ),
        (
            r#"["BuildOutput","BucketName"]"#,
            r#"["BuildOutput","Bucket"]"#,
            "ParameterOverrides",
            "has no Bucket",
        ),
        (
            r#"["BuildOutput","BucketName"]"#,
            r#"["Other","BucketName"]"#,
            "ParameterOverrides",
            "Other is not among",
        ),
        (
            "                Extract: 'true'",
            "                Extract: maybe",
            "Extract: maybe",
            "true or false",
        ),
        ("                OutputFileName: out.json", "", "Configuration: # of dev", "belong together"),
        // Modes, roles, projects.
        (
            "ActionMode: REPLACE_ON_FAILURE",
            "ActionMode: REPLACE",
            "ActionMode: REPLACE",
            "no ActionMode REPLACE",
        ),
        (
            "ActionMode: CHANGE_SET_EXECUTE",
            "ActionMode: CHANGE_SET_REPLACE",
            "Configuration: # of execution",
            "wants a TemplatePath",
        ),
        (
            "RoleArn: arn:aws:iam::333333333333:role/exec",
            "RoleArn: arn:aws:iam::222222222222:role/exec",
            "RoleArn: arn:aws:iam::222222222222:role/exec # of prod",
            "Cross-account pass role is not allowed",
        ),
        (
            "ProjectName: shop-build # of the build",
            "ProjectName: shop-bild",
            "ProjectName: shop-bild",
            "no build project shop-bild",
        ),
        (
            "                PrimarySource: SourceArtifact",
            "                PrimarySource: Nothing",
            "PrimarySource: Nothing",
            "names none of them",
        ),
        (
            "              Region: eu-central-1",
            "              Region: us-east-1",
            "Region: us-east-1",
            "only eu-central-1 is rehearsed",
        ),
        (
            "FullRepositoryId: example/shop",
            "FullRepositoryId: example/other",
            "Configuration: # of source",
            "example/shop is rehearsed",
        ),
        (
            r#""type":"PARAMETER_STORE""#,
            r#""type":"PARAMETER""#,
            "EnvironmentVariables",
            "no list of variables",
        ),
        (
            "                BatchEnabled: 'false'",
            "                BatchEnabled: 'true'",
            "BatchEnabled: 'true'",
            "batch",
        ),
        (
            "      EncryptionKey: arn:aws:kms:eu-central-1:111111111111:key/k",
            "      Description: none",
            "RoleArn: arn:aws:iam::222222222222:role/action # of dev",
            "encrypts under its account's own key",
        ),
        (
            "Type: ARM_CONTAINER",
            "Type: ARM_LAMBDA_CONTAINER",
            "Type: ARM_LAMBDA_CONTAINER",
            "does not run such commands",
        ),
        (
            "      Source: {Type: CODEPIPELINE,",
            "      Source: {Type: GITHUB,",
            "Source: {Type: GITHUB",
            "from there",
        ),
        (
            "      QueuedTimeoutInMinutes: 60",
            "      FileSystemLocations: []",
            "FileSystemLocations",
            "no Amazon EFS",
        ),
        (
            "        - Region: eu-central-1",
            "        - Region: us-east-1",
            "ArtifactStores:",
            "no artifact store",
        ),
        (
            "Namespace: BuildVariables",
            "Namespace: SourceVariables",
            "Namespace: SourceVariables # build",
            "is taken",
        ),
        (
            "Configuration: {FunctionName: smoke, UserParameters: x}",
            "Configuration: {Function: smoke}",
            "Configuration: {Function: smoke}",
            "takes no Function",
        ),
    ];
    for (from, to, at, word) in table {
        assert!(TEMPLATE.contains(from), "{from}");
        let text =
            TEMPLATE.replacen(from, to, 1).replace("SourceVariables # in build", "SourceVariables # build");
        let (_, walked) = walked(&text, Some(SPEC));
        let hit = walked.complaints.iter().find(|(_, one)| one.why.contains(word));
        let Some((file, complaint)) = hit else { panic!("{to}: {word}: {:?}", walked.complaints) };
        assert_eq!(file, "cfn/pipeline.yaml");
        let line = text.lines().nth(complaint.line - 1).unwrap_or_default();
        assert!(line.contains(at), "{to}: line {} is {line:?}: {complaint:?}", complaint.line);
        assert!(!complaint.next.is_empty() && !complaint.on.is_empty(), "{complaint:?}");
    }
}

/// What a buildspec says and does not say is known before Source as well, in its own file.
#[test]
fn buildspecs_are_walked_with_the_pipeline() {
    for (from, to, file, word) in [
        ("env:", "run-as: nobody\nenv:", "buildspecs/build.yml", "user who rehearses"),
        ("    Tool: {files: [tool]}\n", "", "cfn/pipeline.yaml", "hands on no artifact Tool"),
        ("[Tag]", "[Other]", "cfn/pipeline.yaml", "nothing before it sets Tag"),
    ] {
        let (_, walked) = walked(TEMPLATE, Some(&SPEC.replace(from, to)));
        let hit = walked.complaints.iter().find(|(_, one)| one.why.contains(word));
        assert_eq!(hit.map(|(file, _)| file.as_str()), Some(file), "{word}: {:?}", walked.complaints);
    }
    // What nobody knows before the build is no fault.
    assert_eq!(walked(TEMPLATE, None).1.complaints, []);
}
