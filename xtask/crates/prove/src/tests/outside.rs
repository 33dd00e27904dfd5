//! What AWS publishes as the least of a service's role is missed where a role lacks it.

use super::*;

fn found(files: &Files, text: &str) -> Vec<Problem> {
    grounded(files, &config_of(files), &**expander(), |ground| {
        let world = World::build(ground, &matrix::Variant::default(), None, false);
        crate::outside::check(ground, &world, text)
    })
    .unwrap()
}

#[test]
fn every_service_has_what_it_needs() {
    assert_eq!(found(&files(), crate::outside::DATA), []);
}

#[test]
fn a_right_that_a_service_needs_is_missed_at_its_role_with_the_source() {
    let table = [
        (
            "pipeline.yaml",
            "                  - codebuild:BatchGetBuilds\n",
            "PipelineRole",
            "Manage the CodePipeline service role",
        ),
        (
            "pipeline.yaml",
            "                  - logs:CreateLogStream\n",
            "BuildRole",
            "Allow CodeBuild to interact",
        ),
        (
            "app.yaml",
            "                  - lambda:UpdateAlias\n",
            "CodeDeployRole",
            "AWSCodeDeployRoleForLambda",
        ),
        (
            "target-roles.yaml",
            "                  - cloudformation:DescribeChangeSet\n",
            "ActionRole",
            "uses resources from another AWS account",
        ),
    ];
    for (file, line, role, source) in table {
        let files = edited(file, line, "");
        let all = found(&files, crate::outside::DATA);
        let action = line.trim().trim_start_matches("- ");
        let one = all.iter().find(|one| one.message.starts_with(&format!("{role} lacks {action}, ")));
        let one = one.unwrap_or_else(|| panic!("{role} {action}: {all:?}"));
        let text = &files[file];
        let at = text[..text.find(&format!("\n  {role}:\n")).unwrap()].matches('\n').count() + 2;
        assert_eq!((one.file.as_str(), one.line), (format!("cfn/{file}").as_str(), at), "{one}");
        assert!(one.message.contains(source) && one.message.contains("waive it"), "{one}");
    }
}

#[test]
fn a_table_that_is_wrong_is_reported_with_its_line_and_what_to_do() {
    let entry =
        "[[needed]]\nservice = \"lambda.amazonaws.com\"\nsource = \"page\"\ndo = [\"logs:PutLogEvents\"]\n";
    let table = [
        (
            entry.replace("lambda.amazonaws.com", "lamda.amazonaws.com"),
            2,
            "no role trusts `lamda.amazonaws.com`: take the entry out",
        ),
        (
            entry.replace("service = \"lambda.amazonaws.com\"", "role = \"app.GoneRole\""),
            2,
            "no template has the role `app.GoneRole`: take the entry out",
        ),
        (entry.replace("\"page\"", "\" \""), 3, "is empty: name the page"),
        (entry.replace("source", "sorce"), 3, "unknown field `sorce`"),
        (entry.replace("source = \"page\"\n", ""), 1, "missing field `source`"),
        (entry.replace("PutLogEvents", "PutLogEvent"), 4, "did you mean"),
        (
            format!("{entry}[[waived]]\nof = \"lambda.amazonaws.com\"\ndo = [\"logs:Put*\"]\nwhy = \"x\"\n"),
            7,
            "leaves nothing out",
        ),
        (
            format!("{entry}[[waived]]\nof = \"lambda.amazonaws.com\"\ndo = []\nwhy = \"\"\n"),
            8,
            "without a reason",
        ),
        (
            format!(
                "{entry}[[waived]]\nof = \"lambda.amazonaws.com\"\nrole = \"app.GoneRole\"\ndo = []\nwhy = \"x\"\n"
            ),
            7,
            "take the waiver out",
        ),
        (format!("{entry}[[waived]]\nof = \"lambda.amazonaws.com\"\ndo = []\n"), 5, "missing field `why`"),
        (entry.replace("source", "role = \"app.CheckinRole\"\nsource"), 4, "either a `service` or a `role`"),
    ];
    for (text, line, says) in table {
        let all = found(&files(), &text);
        let one = all.iter().find(|one| one.message.contains(says));
        let one = one.unwrap_or_else(|| panic!("{says}: {all:?}"));
        assert_eq!((one.file.as_str(), one.line), ("xtask/data/service-needs.toml", line), "{one}");
    }
}
