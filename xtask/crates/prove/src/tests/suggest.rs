//! A queue with a worker, as an engineer would add it: what is missing is named, suggested, and enough once it is pasted.

use super::*;
use causeway_testing::expander;

const WORKER: &str = r#"  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub ${AWS::StackName}-work
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-worker
      CodeUri: ../target/causeway/package/checkin.zip
      Handler: bootstrap
      Runtime: provided.al2023
      Role: !GetAtt WorkerRole.Arn
      Events:
        Work:
          Type: SQS
          Properties: {Queue: !GetAtt Work.Arn}
  WorkerRole:
    Type: AWS::IAM::Role
    Properties:
      Path: !Sub /${Project}-app/
      PermissionsBoundary: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${Project}-${AWS::Region}-${Boundary}
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement:
          - Effect: Allow
            Principal: {Service: lambda.amazonaws.com}
            Action: sts:AssumeRole
      Policies:
        - PolicyName: worker
          PolicyDocument:
            Version: '2012-10-17'
            Statement:
              - Sid: Work
                Effect: Allow
                Action: [sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:ReceiveMessage]
                Resource: !GetAtt Work.Arn
"#;
const TABLE: &str = "  # -------------------------------------------------------------------------------------------------------------- table --\n";

fn with_worker() -> Files {
    edited("app.yaml", TABLE, &format!("{WORKER}{TABLE}"))
}

fn suggested(files: &Files) -> (Report, crate::suggest::Suggested) {
    with(files, &config_of(files), &**expander(), |proof| {
        let report = proof.report();
        let suggested = proof.suggest(&report);
        (report, suggested)
    })
    .unwrap()
}

/// Pastes statements behind the last one of a resource's policy.
fn pasted(files: &mut Files, of: &str, yaml: &str) {
    let text = &files["target-roles.yaml"];
    let start = text.find(&format!("\n  {of}:\n")).unwrap() + 1;
    let body = &text[start..];
    // The next resource, or the comment before it, ends this one.
    let mut end = body.len();
    let mut at = body.find('\n').unwrap() + 1;
    for line in body[at..].lines() {
        if line.starts_with("  ") && !line.starts_with("   ") || line.is_empty() || !line.starts_with(' ') {
            end = at;
            break;
        }
        at += line.len() + 1;
    }
    let text = format!("{}{}{}", &text[..start + end], yaml, &text[start + end..]);
    files.insert("target-roles.yaml".to_owned(), text);
}

#[test]
fn what_a_queue_with_a_worker_lacks_is_named_and_what_is_suggested_is_enough() {
    let mut files = with_worker();
    let (report, suggested) = suggested(&files);
    assert_eq!(complaints(&report), Vec::<String>::new());
    let lacks = |who: &str| -> BTreeSet<&str> {
        let missing = report.sufficiency.missing.iter().filter(|one| one.who.starts_with(who));
        missing.map(|one| one.action.as_str()).collect()
    };
    let deploying = [
        "lambda:CreateEventSourceMapping",
        "lambda:DeleteEventSourceMapping",
        "lambda:GetEventSourceMapping",
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
        "lambda:UpdateEventSourceMapping",
        "sqs:CreateQueue",
        "sqs:DeleteQueue",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ListQueueTags",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
        "sqs:UntagQueue",
    ];
    assert_eq!(lacks("ExecutionRole"), deploying.into_iter().collect());
    let working = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
    assert_eq!(lacks("WorkerRole"), working.into_iter().collect());
    assert_eq!(suggested.by_hand, Vec::<String>::new());
    let of: BTreeSet<&str> = suggested.statements.iter().map(|one| one.of.as_str()).collect();
    assert!(of.contains("ExecutionRole") && of.contains("Boundary"), "{of:?}");
    for one in &suggested.statements {
        assert!(!one.yaml.contains("222222222222") && one.yaml.contains("${AWS::AccountId}"), "{}", one.yaml);
        assert!(one.yaml.contains("# ") && !one.reasons.is_empty(), "{}", one.yaml);
        pasted(&mut files, &one.of, &one.yaml);
    }
    let (after, nothing) = self::suggested(&files);
    assert_eq!(complaints(&after), Vec::<String>::new());
    assert!(
        after.sufficiency.missing.is_empty(),
        "{:#?}\n{}",
        after.sufficiency.missing,
        files["target-roles.yaml"]
    );
    assert_eq!(after.failed_rows(), Vec::<&str>::new());
    assert_eq!(nothing, crate::suggest::Suggested::default());
}

#[test]
fn what_somebody_must_think_about_is_never_suggested() {
    let text = files()["target-roles.yaml"].replacen("                  - iam:CreateRole\n", "", 1);
    let mut files = files();
    files.insert("target-roles.yaml".to_owned(), text);
    let (report, suggested) = suggested(&files);
    assert!(report.sufficiency.missing.iter().any(|one| one.action == "iam:CreateRole"));
    assert!(suggested.statements.iter().all(|one| !one.yaml.contains("iam:")), "{suggested:#?}");
    assert!(suggested.by_hand.iter().any(|right| right.contains("iam:CreateRole")), "{suggested:#?}");
}
