//! The project's own templates and matrix, edited copies of them, and the original's policies.

mod changes;
mod limits;
mod organization;
mod original;
mod outside;
mod people;
mod slips;
mod suggest;
mod templates;

use std::collections::BTreeSet;

use super::*;
use causeway_model::config;
pub(super) use causeway_testing::expander;

/// The files of the checkout below `cfn/`.
pub(super) fn files() -> Files {
    let all = [
        ("stacks.toml", include_str!("../../../../../cfn/stacks.toml")),
        ("access-matrix.toml", include_str!("../../../../../cfn/access-matrix.toml")),
        ("release-rules.toml", include_str!("../../../../../cfn/release-rules.toml")),
        ("scp-names.json", include_str!("../../../../../cfn/scp-names.json")),
        ("scp-release.json", include_str!("../../../../../cfn/scp-release.json")),
        ("scp-artifacts.json", include_str!("../../../../../cfn/scp-artifacts.json")),
        ("build-base.yaml", include_str!("../../../../../cfn/build-base.yaml")),
        ("target-roles.yaml", include_str!("../../../../../cfn/target-roles.yaml")),
        ("pipeline.yaml", include_str!("../../../../../cfn/pipeline.yaml")),
        ("app.yaml", include_str!("../../../../../cfn/app.yaml")),
    ];
    all.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

pub(super) fn config_of(files: &Files) -> Config {
    config::parse(&files["stacks.toml"]).unwrap()
}

pub(super) fn report(files: &Files) -> Report {
    with(files, &config_of(files), &**expander(), |proof| proof.report()).unwrap()
}

/// What is wrong with files, without anything being asked that would follow from them.
fn problems(files: &Files) -> Vec<Problem> {
    with(files, &config_of(files), &**expander(), |proof| proof.problems.clone()).unwrap()
}

/// The same in words, as `prove` prints it.
fn read(files: &Files) -> Vec<String> {
    problems(files).iter().map(Problem::to_string).collect()
}

/// What CloudFormation's handlers and applications lack in the usual setting, without a row being asked.
fn missing(files: &Files) -> Vec<needs::Missing> {
    grounded(files, &config_of(files), &**expander(), |ground| {
        needs::check(ground, &World::build(ground, &matrix::Variant::default(), None, false)).missing
    })
    .unwrap()
}

/// A copy with one text replaced, which must be there.
fn edited(file: &str, from: &str, to: &str) -> Files {
    let mut files = files();
    let text = &files[file];
    assert!(text.contains(from), "{file} has no {from:?}");
    let text = text.replacen(from, to, 1);
    files.insert(file.to_owned(), text);
    files
}

fn complaints(report: &Report) -> Vec<String> {
    report.problems.iter().map(Problem::to_string).collect()
}

#[test]
fn every_row_holds_and_every_handler_may_call() {
    let report = report(&files());
    assert_eq!(complaints(&report), Vec::<String>::new());
    let failed: Vec<&rows::Checked> = report.checked.iter().filter(|one| !one.holds).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.sufficiency.missing.is_empty(), "{:#?}", report.sufficiency.missing);
    assert!(report.checked.len() > 2_000 && report.sufficiency.asked > 1_000);
}

#[test]
fn one_line_that_cannot_be_read_is_one_complaint_and_nothing_follows_from_it() {
    // Without this statement the project could not be built, so rows would fail, and a mutant would survive.
    for (file, from, to, word) in [
        ("pipeline.yaml", "codebuild:StartBuild", "codebuild:StartBuid", "did you mean `StartBuild`"),
        ("target-roles.yaml", "- lambda:GetFunction*", "- lamda:GetFunction*", "did you mean `lambda`"),
        ("pipeline.yaml", "Effect: Allow", "Effekt: Allow", "did you mean `Effect`"),
    ] {
        let files = edited(file, from, to);
        let report = report(&files);
        let [problem] = report.problems.as_slice() else { panic!("{to}: {:#?}", report.problems) };
        assert!(problem.message.contains(word), "{problem}");
        assert!(report.failed_rows().is_empty() && report.sufficiency.missing.is_empty() && !report.holds());
        assert!(report.rules.violations.is_empty() && report.rules.warnings.is_empty());
    }
}

/// Rows that name nothing of a target account.
const BUILD_ONLY: [&str; 9] = ["A5", "A11", "A12", "A13", "A16", "D5", "D6", "D14", "D15"];
/// Rows about what stands in dev alone.
const DEV_ONLY: [&str; 1] = ["A15"];

#[test]
fn the_whole_access_matrix_is_there() {
    let report = report(&files());
    let ids: BTreeSet<&str> = report.checked.iter().map(|one| one.id.as_str()).collect();
    for number in 1..=16 {
        for kind in ['A', 'D'] {
            let id = format!("{kind}{number}");
            assert!(ids.contains(id.as_str()), "row {id} is not in cfn/access-matrix.toml");
            let asked = report.checked.iter().filter(|one| one.id == id);
            let targets: Vec<&str> =
                asked.map(|one| one.target.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
            let expected: &[&str] = match id.as_str() {
                // About the build account alone, so they are the same for every target account.
                id if BUILD_ONLY.contains(&id) => &["dev"],
                // Isolated stacks stand in dev.
                id if DEV_ONLY.contains(&id) => &["dev"],
                _ => &["dev", "prod"],
            };
            assert_eq!(targets, expected, "row {id}");
        }
    }
}

#[test]
fn a_missing_decrypt_names_role_action_key_and_line() {
    let files = edited(
        "target-roles.yaml",
        "- Sid: DecryptPackagesThroughS3\n                Effect: Allow\n                Action: kms:Decrypt",
        "- Sid: DecryptPackagesThroughS3\n                Effect: Allow\n                Action: kms:DescribeKey",
    );
    let report = report(&files);
    let row = report.checked.iter().find(|one| one.id == "A3b" && !one.holds).unwrap();
    assert_eq!((row.who.as_str(), row.action.as_str()), ("ExecutionRole (dev)", "kms:Decrypt"));
    assert!(row.on.contains(":kms:") && row.on.contains(":key/"), "{}", row.on);
    let text = &files["target-roles.yaml"];
    let line = text[..text.find("  ExecutionRole:\n").unwrap()].matches('\n').count() + 1;
    assert!(row.by.ends_with(&format!("; the role is cfn/target-roles.yaml:{line}")), "{}", row.by);
    let missing = report.sufficiency.missing.iter().find(|one| one.action == "kms:Decrypt").unwrap();
    assert!(
        missing.file == "cfn/app.yaml" && missing.line > 1 && missing.resource.contains("CheckinFunction"),
        "{missing:?}"
    );
}

#[test]
fn a_build_role_that_may_approve_fails_with_that_line() {
    let wide = "- Sid: Wide\n                Effect: Allow\n                Action: codepipeline:*\n                Resource: '*'\n              ";
    let files = edited("pipeline.yaml", "- Sid: WriteBuildOutput", &format!("{wide}- Sid: WriteBuildOutput"));
    let text = &files["pipeline.yaml"];
    let line = text[..text.find("- Sid: Wide").unwrap()].matches('\n').count() + 1;
    let report = report(&files);
    let row = report.checked.iter().find(|one| !one.holds && one.says == "build job approves prod").unwrap();
    assert_eq!(row.by, format!("cfn/pipeline.yaml:{line} BuildRole.Wide"));
    assert_eq!(row.who, "BuildRole (build)");
    assert!(report.failed_rows().contains(&"D5b"));
}

#[test]
fn a_missing_log_delivery_is_insufficient() {
    let files = edited("target-roles.yaml", "                  - logs:CreateLogDelivery\n", "");
    let missing = missing(&files);
    let missing = missing.iter().find(|one| one.action == "logs:CreateLogDelivery").unwrap();
    assert!(
        missing.resource.contains("HttpApiApiGatewayDefaultStage (AWS::ApiGatewayV2::Stage)"),
        "{missing:?}"
    );
    assert_eq!((missing.handler, missing.who.as_str()), ("create", "ExecutionRole (dev)"));
}

#[test]
fn what_is_wrong_is_reported_with_file_and_line() {
    let long = format!(
        "              - Sid: Long\n                Effect: Allow\n                Action: s3:GetObject\n                Resource: !Sub arn:${{AWS::Partition}}:s3:::{}/*\n",
        "x".repeat(11_000)
    );
    let wide = |file: &str, before: &str, text: &str| {
        let files = files();
        let at = files[file].find(before).unwrap();
        let start = files[file][..at].rfind('\n').unwrap() + 1;
        let mut edited = files.clone();
        let (head, tail) = files[file].split_at(start);
        edited.insert(file.to_owned(), format!("{head}{text}{tail}"));
        edited
    };
    // The last text begins on the line that is reported.
    let table: Vec<(Files, &str, &str, &str)> = vec![
        (
            edited("pipeline.yaml", "codebuild:StartBuild", "codebuild:StartBuid"),
            "cfn/pipeline.yaml",
            "did you mean `StartBuild`",
            "- Sid: RunProjects",
        ),
        (
            edited("target-roles.yaml", "- lambda:GetFunction*", "- lambda:GetFuncton*"),
            "cfn/target-roles.yaml",
            "IAM has no action",
            "- Sid: Functions",
        ),
        (
            edited("pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Reff ConnectionArn"),
            "cfn/pipeline.yaml",
            "unknown intrinsic function `Fn::Reff`",
            "Resource: !Reff ConnectionArn",
        ),
        (
            edited("pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Ref ConectionArn"),
            "cfn/pipeline.yaml",
            "nothing is known of `ConectionArn`",
            "Resource: !Ref ConectionArn",
        ),
        (
            edited("build-base.yaml", "              Bool:\n", "              Boole:\n"),
            "cfn/build-base.yaml",
            "operator `Boole` does not exist",
            "- Sid: TlsOnly",
        ),
        (
            edited("build-base.yaml", "aws:SecureTransport", "aws:SecureTransprt"),
            "cfn/build-base.yaml",
            "condition key `aws:SecureTransprt` does not exist",
            "- Sid: TlsOnly",
        ),
        (
            edited(
                "target-roles.yaml",
                "AWS: !Sub arn:${AWS::Partition}:iam::${BuildAccountId}:root",
                "AWS: !Sub arn:aws-cn:iam::${BuildAccountId}:root",
            ),
            "cfn/target-roles.yaml",
            "partition aws-cn",
            "- Effect: Allow",
        ),
        (
            edited("pipeline.yaml", "    Type: AWS::SNS::Topic\n", "    Type: Acme::Chat::Room\n"),
            "cfn/pipeline.yaml",
            "no type Acme::Chat::Room",
            "  ApprovalTopic:\n",
        ),
        (
            edited("app.yaml", "Type: HttpApi\n", "Type: Api\n"),
            "cfn/app.yaml",
            "Transform AWS::Serverless-2016-10-31 failed with",
            "  CheckinFunction:\n",
        ),
        (
            edited("build-base.yaml", "Resources:\n", "Resources: [\n"),
            "cfn/build-base.yaml",
            "",
            "    Type: AWS::KMS::Key",
        ),
        (
            edited("pipeline.yaml", "Effect: Allow", "Effekt: Allow"),
            "cfn/pipeline.yaml",
            "did you mean `Effect`",
            "Effekt: Allow",
        ),
        (
            wide("pipeline.yaml", "- Sid: UseConnection", &long),
            "cfn/pipeline.yaml",
            "the inline policies of a role",
            "  PipelineRole:\n",
        ),
        (
            edited("access-matrix.toml", "s3:GetObject", "s3:GetObjekt"),
            "cfn/access-matrix.toml",
            "IAM has no action `s3:GetObjekt`",
            "s3:GetObjekt",
        ),
        (
            edited("access-matrix.toml", "\"target-roles.ActionRole\"", "\"target-roles.ActonRole\""),
            "cfn/access-matrix.toml",
            "no template has the role `target-roles.ActonRole`",
            "who = [\"action\"]",
        ),
        (
            edited("access-matrix.toml", "who = [\"action\"]", "who = [\"acton\"]"),
            "cfn/access-matrix.toml",
            "did you mean `action`",
            "who = [\"acton\"]",
        ),
        (
            edited("access-matrix.toml", "on = [\"key\"]", "on = [\"bucket\"]"),
            "cfn/access-matrix.toml",
            "is never asked on",
            "do = [\"kms:Decrypt\"]",
        ),
        (
            edited("scp-names.json", "iam:CreateRole", "iam:CreateRoll"),
            "cfn/scp-names.json",
            "did you mean `CreateRole`",
            "    {\n      \"Sid\": \"OnlyBootstrapMakes",
        ),
    ];
    for (files, file, word, at) in table {
        let problems = problems(&files);
        let text = &files[file.strip_prefix("cfn/").unwrap()];
        let line = text[..text.find(at).unwrap()].matches('\n').count() + 1;
        let found = problems.iter().find(|problem| problem.file == file && problem.message.contains(word));
        let found = found.unwrap_or_else(|| panic!("{file} {word}: {problems:#?}"));
        assert_eq!(found.line, line, "{found}");
        assert!(!Report { problems, ..Report::default() }.holds());
    }
}

#[test]
fn a_line_of_an_error_is_the_line_of_the_mistake() {
    let files = edited("pipeline.yaml", "Resource: !Ref ConnectionArn", "Resource: !Ref ConectionArn");
    let text = &files["pipeline.yaml"];
    let line = text[..text.find("!Ref ConectionArn").unwrap()].matches('\n').count() + 1;
    let problems = problems(&files);
    assert!(problems.iter().any(|problem| problem.line == line), "{line}: {problems:?}");
}

#[test]
fn other_regions_and_partitions_and_targets_need_no_change() {
    for region in ["us-gov-west-1", "cn-north-1", "ap-southeast-2"] {
        let report = report(&edited("stacks.toml", "eu-central-1", region));
        assert_eq!(complaints(&report), Vec::<String>::new(), "{region}");
        let failed: Vec<&rows::Checked> = report.checked.iter().filter(|one| !one.holds).collect();
        assert!(failed.is_empty(), "{region}: {failed:#?}");
        assert!(report.sufficiency.missing.is_empty(), "{region}: {:#?}", report.sufficiency.missing);
    }
    let more = "dev = { id = \"222222222222\" }\nqa = { id = \"444444444444\" }";
    let report = report(&edited("stacks.toml", "dev = { id = \"222222222222\" }", more));
    let asked = report.checked.iter().filter(|one| one.who == "ExecutionRole (qa)").count();
    assert!(asked > 50, "a further target is asked as well: {asked}");
}

#[test]
fn a_further_function_needs_no_code() {
    // The same function again under another name, as an engineer would copy it.
    let text = files()["app.yaml"].clone();
    let start = text.find("  ContactsFunction:").unwrap();
    let start = text[..start].rfind("  # ---").unwrap();
    let end = text.find("\nOutputs:").unwrap();
    let copy = text[start..end].replace("Contacts", "Visits").replace("contacts", "visits");
    let copy = copy.replace("!Ref VisitsVersion", "!Ref ContactsVersion");
    let copy = copy.replace("!Ref VisitsCodeSha256", "!Ref ContactsCodeSha256");
    let mut files = files();
    files.insert("app.yaml".to_owned(), format!("{}\n{copy}{}", &text[..end], &text[end..]));
    let report = report(&files);
    assert!(report.sufficiency.missing.is_empty(), "{:#?}", report.sufficiency.missing);
    assert_eq!(complaints(&report), Vec::<String>::new());
    assert!(report.checked.iter().any(|one| one.who == "VisitsRole (prod)"), "sets of roles take it in");
}

#[test]
fn a_role_that_sam_would_make_itself_is_refused_by_the_boundary() {
    let files = edited("app.yaml", "        Role: !GetAtt CodeDeployRole.Arn\n", "");
    let missing = missing(&files);
    let missing = missing.iter().find(|one| one.action == "iam:CreateRole").unwrap();
    assert!(missing.resource.starts_with("CodeDeployServiceRole (AWS::IAM::Role)"), "{missing:?}");
}

#[test]
fn a_right_above_the_boundary_is_no_right() {
    let files = edited(
        "app.yaml",
        "                  - dynamodb:Query\n",
        "                  - dynamodb:Query\n                  - dynamodb:Scan\n",
    );
    let missing = missing(&files);
    let missing = missing.iter().find(|one| one.action == "dynamodb:Scan").unwrap();
    assert_eq!((missing.handler, missing.file.as_str()), ("use", "cfn/app.yaml"));
    assert!(missing.by.contains("the permissions boundary"), "{}", missing.by);
}

#[test]
fn a_change_is_told_in_words() {
    let old = files();
    let new = edited(
        "pipeline.yaml",
        "                  - codebuild:StopBuild\n",
        "                  - codebuild:DeleteProject\n",
    );
    let shifts = with(&new, &config_of(&new), &**expander(), |new| {
        with(&old, &config_of(&old), &**expander(), |old| new.compare(old)).unwrap()
    })
    .unwrap();
    let sentences: Vec<String> = shifts.iter().map(compare::Shift::sentence).collect();
    assert_eq!(sentences.len(), 2, "{sentences:#?}");
    assert!(
        shifts[0].widened
            && sentences[0]
                .starts_with("PipelineRole (build) may now codebuild:DeleteProject on arn:aws:codebuild:")
    );
    assert!(sentences[1].contains("may no longer codebuild:StopBuild"), "{}", sentences[1]);
    assert!(sentences[1].contains("PipelineRole.RunProjects"), "{}", sentences[1]);
    let same = with(&old, &config_of(&old), &**expander(), |new| {
        with(&old, &config_of(&old), &**expander(), |old| new.compare(old)).unwrap()
    })
    .unwrap();
    assert_eq!(same, []);
}

#[test]
fn a_wide_change_is_told_in_few_words() {
    let new = edited("target-roles.yaml", "Action: cloudformation:ValidateTemplate", "Action: '*'");
    let old = files();
    let shifts = with(&new, &config_of(&new), &**expander(), |new| {
        with(&old, &config_of(&old), &**expander(), |old| new.compare(old)).unwrap()
    })
    .unwrap();
    assert!(
        shifts
            .iter()
            .any(|shift| shift.widened && shift.who == "ActionRole (prod)" && shift.actions.len() > 100)
    );
    assert!(shifts.len() < 200, "{}", shifts.len());
}
