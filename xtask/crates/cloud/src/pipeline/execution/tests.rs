//! An execution as CodePipeline would tell of it.

use serde_json::json;

use super::*;

fn execution() -> Execution {
    let action = |name: &str, category: &str, output: &str| {
        json!({
            "Name": name,
            "ActionTypeId": {"Category": category, "Provider": "P"},
            "InputArtifacts": if output.is_empty() { json!([{"Name": "Src"}]) } else { json!([]) },
            "OutputArtifacts": if output.is_empty() { json!([]) } else { json!([{"Name": output}]) },
        })
    };
    let pipeline: Pipeline = serde_json::from_value(json!({
        "Name": "causeway", "RoleArn": "r",
        "ArtifactStore": {"Location": "b", "EncryptionKey": {"Id": "k"}},
        "Stages": [
            {"Name": "Source", "Actions": [action("Source", "Source", "Src")]},
            {"Name": "Prod", "Actions": [action("Approve", "Approval", ""), action("Check", "Test", "")]},
        ],
    }))
    .unwrap();
    let mut execution = Execution::new("e", "process 1".into(), 1.0);
    execution.reads(&pipeline);
    execution
}

fn stage(execution: &Execution, index: usize) -> Option<StageStatus> {
    execution.stage_states[index].latest_execution.as_ref().map(|latest| latest.status)
}

fn began() -> Change {
    Change::Began("a".into())
}

/// Changes of the second stage's actions, and how the stage stands after each; `None`: the change is refused.
#[test]
fn a_stage_stands_as_its_actions_do() {
    use StageStatus::{Failed, InProgress, Succeeded};
    let asks = || Change::Asks("t".into());
    let answered = || Change::Answered("me".into(), "fine".into());
    let good = || Change::Succeeded(None);
    let bad = || Change::Failed("no".into());
    let table: [&[(&str, Change, Option<StageStatus>)]; 5] = [
        &[
            ("Approve", began(), Some(InProgress)),
            ("Approve", asks(), Some(InProgress)),
            ("Approve", answered(), Some(InProgress)),
            ("Approve", good(), Some(InProgress)),
            ("Check", began(), Some(InProgress)),
            ("Check", good(), Some(Succeeded)),
        ],
        &[
            ("Approve", began(), Some(InProgress)),
            ("Check", began(), Some(InProgress)),
            ("Approve", bad(), Some(InProgress)),
            ("Check", good(), Some(Failed)),
        ],
        &[("Approve", good(), None), ("Approve", asks(), None), ("Nobody", began(), None)],
        &[("Approve", began(), Some(InProgress)), ("Approve", answered(), None), ("Approve", began(), None)],
        &[
            ("Approve", began(), Some(InProgress)),
            ("Approve", bad(), Some(Failed)),
            ("Approve", good(), None),
        ],
    ];
    for (number, row) in table.into_iter().enumerate() {
        let mut execution = execution();
        for (step, (action, change, expected)) in row.iter().enumerate() {
            let before = execution.clone();
            let taken = execution.act("Prod", action, change.clone(), 2.0);
            assert_eq!(taken, expected.is_some(), "{number}/{step}");
            match expected {
                Some(_) => assert_eq!(stage(&execution, 1), *expected, "{number}/{step}"),
                None => assert_eq!(execution, before, "{number}/{step}: what is refused changes nothing"),
            }
        }
    }
}

#[test]
fn an_execution_ends_once_and_changes_no_more() {
    use ExecutionStatus::{Failed, InProgress, Stopped, Stopping, Succeeded};
    for (stops, ends, expected) in [
        (false, Succeeded, Succeeded),
        (false, Failed, Failed),
        (true, Stopped, Stopped),
        (true, InProgress, Stopping),
    ] {
        let mut execution = execution();
        assert!(execution.act("Prod", "Approve", began(), 2.0));
        assert!(execution.stopping("r", 3.0));
        if !stops {
            execution.status = InProgress;
        }
        assert!(!stops || !execution.stopping("again", 4.0));
        assert_eq!(execution.over(ends, None, 5.0), expected == ends, "{ends:?}");
        assert_eq!(execution.status, expected);
        if expected == Stopping {
            continue;
        }
        assert_eq!(stage(&execution, 1), Some(StageStatus::Stopped), "what still ran is abandoned");
        let before = execution.clone();
        assert!(!execution.act("Prod", "Approve", Change::Succeeded(None), 6.0));
        assert!(!execution.act("Source", "Source", began(), 6.0));
        assert!(!execution.stopping("late", 6.0) && !execution.over(Succeeded, None, 6.0));
        assert_eq!(execution, before);
    }
}

#[test]
fn it_is_written_as_codepipeline_writes_it() {
    let mut execution = execution();
    execution.revision("Source", "abc", "commit abc");
    execution.gives("Src", "bucket", "k/Src/1");
    execution.act("Prod", "Approve", began(), 2.5);
    execution.act("Prod", "Approve", Change::Asks("t".into()), 3.0);
    let value = serde_json::to_value(&execution).unwrap();
    assert_eq!((&value["status"], &value["pipelineExecutionId"]), (&json!("InProgress"), &json!("e")));
    assert_eq!(value["sourceRevisions"][0]["revisionId"], "abc");
    let approve = &value["stageStates"][1]["actionStates"][0];
    assert_eq!(approve["latestExecution"]["token"], "t");
    assert_eq!(approve["latestExecution"]["lastStatusChange"], 2.5);
    let place = json!({"bucket": "bucket", "key": "k/Src/1"});
    assert_eq!(approve["inputArtifacts"][0]["s3location"], place);
    assert_eq!(value["stageStates"][0]["actionStates"][0]["outputArtifacts"][0]["s3location"], place);
    assert_eq!(value["stageStates"][1]["latestExecution"]["status"], "InProgress");
}
