//! The slips of `xtask/data/release-slips.toml`, made one by one: each must be refused.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slips {
    slips: Vec<Slip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slip {
    says: String,
    file: String,
    #[serde(default)]
    at: String,
    from: String,
    to: String,
}

fn made(slip: &Slip) -> Files {
    let mut files = files();
    let text = &files[&slip.file];
    let behind = text.find(&slip.at).unwrap_or_else(|| panic!("{} has no {:?}", slip.file, slip.at));
    let (head, tail) = text.split_at(behind);
    assert!(tail.contains(&slip.from), "{}: {:?} is not behind {:?}", slip.file, slip.from, slip.at);
    let text = format!("{head}{}", tail.replacen(&slip.from, &slip.to, 1));
    files.insert(slip.file.clone(), text);
    files
}

fn judged(files: &Files) -> crate::rules::Judged {
    let judged = rules_of(files, &config_of(files), &**expander()).unwrap();
    assert!(judged.problems.is_empty(), "{:#?}", judged.problems);
    judged
}

fn broken(files: &Files) -> Vec<String> {
    let judged = judged(files);
    judged.violations.iter().map(|one| format!("rule {}: {}: {}", one.rule, one.thing, one.what)).collect()
}

#[test]
fn every_slip_is_refused() {
    let slips: Slips = toml::from_str(include_str!("../../../../data/release-slips.toml")).unwrap();
    assert!(slips.slips.len() >= 30);
    let mut passed = Vec::new();
    for slip in &slips.slips {
        let caught = broken(&made(slip));
        if caught.is_empty() {
            passed.push(slip.says.as_str());
        }
    }
    assert_eq!(passed, Vec::<&str>::new());
}

#[test]
fn the_templates_keep_every_rule() {
    let judged = judged(&files());
    let violations: Vec<String> = judged.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(judged.warnings, Vec::<Problem>::new());
    assert!(judged.asked > 200, "{}", judged.asked);
}

/// The rules with one more.
fn with_rule(mut files: Files, rule: &str) -> Files {
    files.get_mut("release-rules.toml").unwrap().push_str(rule);
    files
}

const QUEUES: &str = r#"
[[rules]]
id = "queues-have-dead-letters"
reason = "what cannot be worked on is looked at by a person, and not tried for ever"
for = "AWS::SQS::Queue"
where = [{ at = "<-AWS::SQS::Queue(RedrivePolicy.deadLetterTargetArn)", present = false }]
must = [{ at = "RedrivePolicy.deadLetterTargetArn->@type", equals = "AWS::SQS::Queue" }]
"#;

const MEMORY: &str = r#"
[[rules]]
id = "small-functions"
reason = "memory costs"
for = "AWS::Lambda::Function"
must = [{ at = "MemorySize", at-most = 512 }]
"#;

/// A queue of the application, as an engineer would add it.
fn with_queue(properties: &str) -> Files {
    edited(
        "app.yaml",
        "  # -------------------------------------------------------------------------------------------------------------- table --\n",
        &format!("  Work:\n    Type: AWS::SQS::Queue\n{properties}  # -- table --\n"),
    )
}

#[test]
fn a_rule_that_nobody_thought_of_is_enforced() {
    let nothing_there = judged(&with_rule(files(), QUEUES));
    assert_eq!(nothing_there.violations, []);
    let warning = nothing_there.warnings.first().unwrap();
    assert!(
        warning.file == rules_file() && warning.message.contains("nothing is in class `AWS::SQS::Queue`"),
        "{warning}"
    );

    let broken_by = |files: Files, rule: &str| -> Vec<String> { broken(&with_rule(files, rule)) };
    let without = broken_by(with_queue(""), QUEUES);
    assert!(
        without.iter().all(|one| one.starts_with("rule queues-have-dead-letters: Work (AWS::SQS::Queue)")),
        "{without:#?}"
    );
    assert_eq!(without.len(), 2, "dev and prod: {without:#?}");
    let with = "    Properties:\n      RedrivePolicy:\n        deadLetterTargetArn: !GetAtt Dead.Arn\n        maxReceiveCount: 3\n  Dead:\n    Type: AWS::SQS::Queue\n";
    assert_eq!(broken_by(with_queue(with), QUEUES), Vec::<String>::new());
    let elsewhere = with.replace("!GetAtt Dead.Arn", "!GetAtt Table.Arn");
    assert_eq!(
        broken_by(with_queue(&elsewhere), QUEUES).len(),
        4,
        "a table is no queue, and Dead is nobody's"
    );

    assert_eq!(broken_by(files(), MEMORY), Vec::<String>::new());
    let large = broken_by(edited("app.yaml", "    MemorySize: 256\n", "    MemorySize: 769\n"), MEMORY);
    assert_eq!(large.len(), 12, "six functions in two environments: {large:#?}");
    let one = edited(
        "app.yaml",
        "      Description: The check-in API.\n",
        "      Description: The check-in API.\n      MemorySize: 700\n",
    );
    assert_eq!(broken_by(one, MEMORY).len(), 2);
}

fn rules_file() -> &'static str {
    "cfn/release-rules.toml"
}

#[test]
fn a_rule_that_cannot_be_read_is_reported_with_its_line_and_what_to_do() {
    let rule = |text: &str| format!("[[rules]]\nid = \"x\"\nreason = \"y\"\n{text}\n");
    let table = [
        (
            rule("for = \"serving-funktion\"\nexists = \"in-the-project\""),
            3,
            "did you mean `serving-function`?",
        ),
        (rule("for = \"AWS::SQS::Queu\"\nexists = \"in-the-project\""), 3, "did you mean `AWS::SQS::Queue`?"),
        (
            rule("for = \"AWS::SQS::Queue\"\nmust = [{ at = \"RedrivePolicies\", present = true }]"),
            4,
            "AWS::SQS::Queue has no property `RedrivePolicies`",
        ),
        (
            rule("for = \"hook\"\nmust = [{ at = \"TimeOut\", at-least = 3 }]"),
            4,
            "AWS::Lambda::Function has no property `TimeOut`",
        ),
        (
            rule("for = \"hook\"\nmust = [{ at = \"@enviroment\", present = true }]"),
            4,
            "there is no fact `@enviroment`",
        ),
        (rule("for = \"hook\"\nmust = [{ at = \"Timeout\", at-lest = 3 }]"), 4, "unknown field `at-lest`"),
        (rule("for = \"hook\"\nmust = [{ at = \"Timeout\" }]"), 4, "a condition without a comparison"),
        (
            rule("for = \"hook\"\nmust = [{ at = \"Timeout\", at-least = 3, at-most = 4 }]"),
            4,
            "more than one comparison",
        ),
        (rule("for = \"hook\"\nmust = [{ at = \"A[b\", present = true }]"), 4, "a `[` does not close"),
        (
            rule("for = \"hook\"\nmust = [{ at = \"Role\", refers-to = \"rolle\" }]"),
            4,
            "there is no class `rolle`",
        ),
        (
            rule("for = \"hook\"\nmust = [{ at = \"Role\", equals = \"{<<hok.@id}\" }]"),
            4,
            "there is no class `hok`",
        ),
        (rule("for = \"hook\""), 1, "asks nothing"),
        (
            "[[rules]]\nid = \"x\"\nfor = \"hook\"\nexists = \"in-the-project\"\n".to_owned(),
            0,
            "missing field `reason`",
        ),
        (
            "[[rules]]\nid = \"x\"\nreason = \" \"\nfor = \"hook\"\nexists = \"in-the-project\"\n".to_owned(),
            2,
            "the reason is empty",
        ),
        (rule("for = \"hook\"\nexists = \"somewhere\""), 4, "unknown variant `somewhere`"),
        ("[classes.circle]\nof = \"circle\"\nsays = \"x\"\n".to_owned(), 0, "made of itself"),
    ];
    let before = files()["release-rules.toml"].lines().count();
    for (text, line, says) in table {
        let files = with_rule(files(), &text);
        let judged = rules_of(&files, &config_of(&files), &**expander()).unwrap();
        let found = judged.problems.iter().find(|problem| problem.message.contains(says));
        let found = found.unwrap_or_else(|| panic!("{says}: {:#?}", judged.problems));
        assert_eq!((found.file.as_str(), found.line), (rules_file(), before + 1 + line), "{found}");
    }
    let mut none = files();
    none.remove("release-rules.toml");
    let judged = rules_of(&none, &config_of(&none), &**expander()).unwrap();
    assert!(judged.problems[0].message.contains("the file is missing"));
}

/// The mutants of the templates' meaning, or every n-th of them.
fn mutants(every: usize, first: usize) -> crate::mutate::Mutation {
    mutants_of(&files(), every, first)
}

fn mutants_of(files: &Files, every: usize, first: usize) -> crate::mutate::Mutation {
    with(files, &config_of(files), &**expander(), |proof| rules::mutants(proof.worlds.ground, every, first))
        .unwrap()
}

fn unexplained(mutation: &crate::mutate::Mutation) -> Vec<&str> {
    mutation.unexplained().map(|mutant| mutant.name.as_str()).collect()
}

#[test]
fn a_sample_of_what_the_templates_mean_cannot_change_unnoticed() {
    // Every 41st, from a number that was drawn after the rules were written.
    let mutation = mutants(41, 40);
    assert!(mutation.mutants.len() > 15, "{}", mutation.mutants.len());
    assert_eq!(unexplained(&mutation), Vec::<&str>::new());
}

#[test]
#[ignore = "it takes minutes: check --full runs it"]
fn what_the_templates_mean_cannot_change_unnoticed() {
    // A resource that is turned off has no mutants, and its survivors are no mistake.
    let without = edited("stacks.toml", "IsolatedStacks = true", "IsolatedStacks = false");
    assert_eq!(mutants_of(&without, 1, 0).problems, []);
    let mutation = mutants(1, 0);
    assert_eq!(mutation.problems, []);
    let (mut all, mut noticed) = (0, 0);
    for (kind, (made, caught)) in mutation.by_kind() {
        assert!(caught * 100 >= made * 90, "{kind}: {caught} of {made}");
        (all, noticed) = (all + made, noticed + caught);
    }
    assert!(all >= 600 && noticed * 100 >= all * 95, "{noticed} of {all}");
    assert_eq!(unexplained(&mutation), Vec::<&str>::new());
}
