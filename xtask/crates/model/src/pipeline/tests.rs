//! Pipelines as CloudFormation has them.

use serde_json::json;

use super::*;

fn properties() -> Value {
    json!({
        "Name": "causeway", "PipelineType": "V2", "RoleArn": "arn:role",
        "ArtifactStore": {"Type": "S3", "Location": "bucket", "EncryptionKey": {"Id": "arn:key", "Type": "KMS"}},
        "Stages": [
            {"Name": "Source", "Actions": [{"Name": "Source", "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
                "OutputArtifacts": [{"Name": "SourceArtifact"}]}]},
            {"Name": "Dev", "Actions": [
                {"Name": "Test", "RunOrder": "2", "ActionTypeId": {"Category": "Test", "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
                 "InputArtifacts": [{"Name": "SourceArtifact"}], "Configuration": {"ProjectName": "t", "EnvironmentVariables": "[{\"name\":\"API_URL\",\"value\":\"#{DevDeploy.ApiURL}\"}]"}},
                {"Name": "Deploy", "RunOrder": 1, "Namespace": "DevDeploy", "RoleArn": "arn:action",
                 "ActionTypeId": {"Category": "Deploy", "Owner": "AWS", "Provider": "CloudFormation", "Version": "1"}}
            ]}
        ]
    })
}

#[test]
fn actions_run_in_run_order() {
    let pipeline = Pipeline::from_properties(&properties()).unwrap();
    let names: Vec<Vec<&str>> = pipeline.stages[1]
        .groups()
        .iter()
        .map(|group| group.iter().map(|a| a.name.as_str()).collect())
        .collect();
    assert_eq!(names, [["Deploy"], ["Test"]]);
    assert_eq!(pipeline.stages[1].actions[1].role_arn.as_deref(), Some("arn:action"));
}

#[test]
fn variables_are_filled_or_named() {
    let pipeline = Pipeline::from_properties(&properties()).unwrap();
    let test = &pipeline.stages[1].actions[0];
    let mut variables = Variables::default();
    assert_eq!(
        test.setting("EnvironmentVariables", &variables).unwrap_err(),
        PipelineError::Variable("DevDeploy.ApiURL".into())
    );
    variables.set("DevDeploy", "ApiURL", "http://x/");
    assert_eq!(
        test.setting("EnvironmentVariables", &variables).unwrap().unwrap(),
        "[{\"name\":\"API_URL\",\"value\":\"http://x/\"}]"
    );
    assert_eq!(test.setting("Absent", &variables).unwrap(), None);
}

#[test]
fn what_aws_does_after_a_failure_is_said() {
    let mut properties = properties();
    properties["Stages"][0]["OnFailure"] =
        json!({"Result": "RETRY", "RetryConfiguration": {"RetryMode": "FAILED_ACTIONS"}});
    let said = |properties: &Value, stage: usize| {
        Pipeline::from_properties(properties).unwrap().stages[stage].left_out_on_failure()
    };
    assert!(said(&properties, 0).unwrap().contains("Source would be tried once more"));
    assert_eq!(said(&properties, 1), None);
    properties["Stages"][1]["OnFailure"] = json!({"Result": "ROLLBACK"});
    assert!(said(&properties, 1).unwrap().contains("Dev would be rolled back"));
    properties["Stages"][1]["OnFailure"] = json!({"Result": "FAIL"});
    assert_eq!(said(&properties, 1), None);
}

#[test]
fn a_shape_that_is_no_pipelines_is_refused() {
    assert!(matches!(Pipeline::from_properties(&json!({"Name": 3})), Err(PipelineError::Shape(_))));
}

#[test]
fn the_store_is_that_of_the_region() {
    let mut properties = properties();
    assert_eq!(
        Pipeline::from_properties(&properties).unwrap().store("eu-central-1").unwrap().location,
        "bucket"
    );
    let store = properties.as_object_mut().unwrap().remove("ArtifactStore").unwrap();
    properties["ArtifactStores"] = json!([{"Region": "us-east-1", "ArtifactStore": {"Location": "other"}}, {"Region": "eu-central-1", "ArtifactStore": store}]);
    let pipeline = Pipeline::from_properties(&properties).unwrap();
    assert_eq!(pipeline.store("eu-central-1").unwrap().location, "bucket");
    assert_eq!(pipeline.store("us-east-1").unwrap().encryption_key, None);
    assert_eq!(pipeline.store("eu-west-1"), None);
}

#[test]
fn a_closed_stage_is_named_with_its_reason() {
    let mut properties = properties();
    properties["DisableInboundStageTransitions"] = json!([{"StageName": "Dev", "Reason": "freeze"}]);
    let pipeline = Pipeline::from_properties(&properties).unwrap();
    assert_eq!((pipeline.closed("Dev"), pipeline.closed("Source")), (Some("freeze"), None));
}

#[test]
fn rules_say_whether_a_stage_may_be_entered() {
    use super::conditions::Answer;
    let rule = |provider: &str, configuration: Value| -> Rule {
        serde_json::from_value(json!({"Name": "r", "RuleTypeId": {"Category": "Rule", "Owner": "AWS", "Provider": provider, "Version": "1"}, "Configuration": configuration})).unwrap()
    };
    let mut variables = Variables::default();
    variables.set("variables", "Channel", "beta");
    let now = "2026-11-28T03:30:00Z".parse().unwrap();
    let check = |operator: &str, value: &str| json!({"Variable": "#{variables.Channel}", "Value": value, "Operator": operator});
    let table = [
        (rule("VariableCheck", check("EQ", "beta")), true),
        (rule("VariableCheck", check("EQ", "stable")), false),
        (rule("VariableCheck", check("NE", "stable")), true),
        (rule("VariableCheck", check("CONTAINS", "et")), true),
        (rule("DeploymentWindow", json!({"Cron": "0 0 9 ? * MON-THU *"})), false),
        (rule("DeploymentWindow", json!({"Cron": "* * * ? * * *"})), true),
    ];
    for (rule, holds) in table {
        assert_eq!(rule.answer(&variables, now).unwrap() == Answer::Holds, holds, "{rule:?}");
    }
    let alarm = rule("CloudWatchAlarm", json!({"AlarmName": "a"})).answer(&variables, now).unwrap();
    assert_eq!(alarm, Answer::Alarm("a".into(), vec!["ALARM".into()]));
    for rule in [
        rule("VariableCheck", json!({"Variable": "#{variables.None}", "Value": "x", "Operator": "EQ"})),
        rule("LambdaInvoke", json!({})),
        rule("DeploymentWindow", json!({})),
    ] {
        assert!(rule.answer(&variables, now).is_err(), "{rule:?}");
    }
}
