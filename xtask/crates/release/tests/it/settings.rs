//! Releases that change no code: a setting of one environment, and a resource that is replaced. Each is rehearsed on the cloud of the
//! release before it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use causeway_testing::aws::Client;
use causeway_testing::{Ended, Project};
use serde_json::{Value, json};

/// Which functions' traffic was shifted, each as `env function`, sorted.
fn shifted(ended: &Ended) -> Vec<String> {
    let mut all: Vec<String> = ended
        .of_type("weight")
        .filter(|line| line["new_weight"] == 100)
        .map(|line| format!("{} {}", line["env"].as_str().unwrap(), line["function"].as_str().unwrap()))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn released(project: &Project, more: &[&str]) -> Ended {
    let words = [&["rehearse", "--approve", "auto", "--keep", "--minute", "100ms"], more].concat();
    let ended = project.run(&words);
    assert_eq!((ended.code, ended.result()["verdict"].as_str()), (0, Some("released")), "{}", ended.stderr);
    ended
}

/// What the versions that have the traffic are told, by environment and function.
fn told(aws: &Client, variable: &str) -> Value {
    aws.ask(&format!(
        "def told(env, name):\n    found = client('lambda', env).get_function_configuration(FunctionName=f'causeway-app-{{env}}-{{name}}', Qualifier='live')\n    return found['Environment']['Variables'].get('{variable}')\nanswer = {{f'{{env}} {{name}}': told(env, name) for env in ('dev', 'prod') for name in ('checkin', 'contacts')}}"
    ))
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn what_changes_a_function_without_its_code_is_released() {
    let project = Project::clone_of_repository();
    // The first create shifts nothing, here as on AWS.
    let first = released(&project, &["--no-baseline"]);
    assert_eq!(shifted(&first), Vec::<String>::new());
    let aws = Client::from_printed(&first);
    let days = told(&aws, "RETENTION_DAYS");
    assert_eq!((&days["dev checkin"], &days["prod checkin"]), (&json!("28"), &json!("28")));

    // A setting of prod alone.
    let own = "DeploymentPreference = \"Linear10PercentEvery1Minute\"";
    project.edit("cfn/stacks.toml", own, &format!("{own}\nRetentionDays = 14"));
    project.commit();
    let setting = released(&project, &[]);
    assert_eq!(shifted(&setting), ["prod checkin"]);
    let days = told(&aws, "RETENTION_DAYS");
    assert_eq!((&days["dev checkin"], &days["prod checkin"]), (&json!("28"), &json!("14")));

    // Another table in each environment; both functions are told its name.
    let tables = told(&aws, "TABLE_NAME");
    let table = "      AttributeDefinitions:\n        - AttributeName: pk";
    project.edit("cfn/app.yaml", table, &format!("      TableName: !Sub ${{AWS::StackName}}-other\n{table}"));
    project.commit();
    let replaced = released(&project, &[]);
    let both = ["dev checkin", "dev contacts", "prod checkin", "prod contacts"];
    assert_eq!(shifted(&replaced), both);
    let now = told(&aws, "TABLE_NAME");
    for name in both {
        assert_ne!(now[name], tables[name], "{name}");
        assert_eq!(now[name], json!(format!("causeway-app-{}-other", name.split(' ').next().unwrap())));
    }

    // Nothing that a function has: nothing is shifted.
    project.edit(
        "cfn/app.yaml",
        "      Timeout: 10\n",
        "      # As long as the API waits.\n      Timeout: 10\n",
    );
    project.edit(
        "cfn/app.yaml",
        "  ApiErrors:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n",
        "  ApiErrors:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n      ActionsEnabled: true\n",
    );
    project.commit();
    assert_eq!(shifted(&released(&project, &[])), Vec::<String>::new());
}
