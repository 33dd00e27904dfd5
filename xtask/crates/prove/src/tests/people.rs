//! The policies of people: that they fit, and that they allow what the tool and CloudFormation call.

use std::collections::BTreeSet;

use super::super::world::World;
use super::super::*;
use super::{config_of, files};
use crate::needs::Wanted;
use causeway_iam::{Caller, Decision, Kind, Limit, Place, Request, Statement, decide, size};
use causeway_testing::expander;

/// Everything deployed on paper, whatever its conditions say.
fn everything(proof: &Proof<'_, '_>) -> World {
    World::build(proof.worlds.ground, &matrix::Variant::default(), None, true)
}

/// Whether a policy allows a call; what decided where it does not.
fn refused(world: &World, account: &str, policy: &Value, wanted: &Wanted) -> Option<String> {
    let (id, _) = world.accounts.iter().find(|(_, name)| *name == account).unwrap();
    let caller = Caller::Role { arn: format!("arn:aws:iam::{id}:role/causeway-bootstrap") };
    let place =
        |n: usize| Place { file: "policy".into(), line: n, of: account.to_owned(), sid: n.to_string() };
    let statements = policy["Statement"].as_array().unwrap().iter().enumerate();
    let statements: Vec<Statement> = statements
        .map(|(n, value)| Statement::parse(value, place(n), Kind::Identity, true, "aws", n).unwrap())
        .collect();
    let person = ask::Asker::with(world, "person", caller, statements);
    let owner = world.owner(&wanted.on, id);
    let request =
        Request::new(&person.caller, &wanted.action, &wanted.on, owner, &world.setting, &wanted.with)
            .unwrap();
    let bearing = person.bearing(world, &request);
    let verdict = decide(&request, &bearing, &mut |s, r| s.matches(r)).unwrap();
    (verdict.decision != Decision::Allow).then(|| format!("{account}: {wanted:?}: {verdict:?}"))
}

#[test]
fn people_may_do_what_they_do_and_their_policies_fit() {
    let files = files();
    let config = config_of(&files);
    with(&files, &config, &**expander(), |proof| {
        let world = everything(proof);
        let sets: [(_, rights::Calls); 2] = [
            (proof.bootstrap_policies(), rights::bootstrap_calls),
            (proof.leaving_policies(), rights::leaving_calls),
        ];
        for ((policies, problems), calls) in sets {
            assert_eq!(problems, []);
            for (account, policy) in &policies {
                assert!(size(policy) <= Limit::INLINE.most, "{account}: {}", size(policy));
                let calls = calls(proof.worlds.ground, &world, account, &mut Vec::new());
                assert!(calls.len() > 30, "{account}: {}", calls.len());
                let missing: Vec<String> =
                    calls.iter().filter_map(|wanted| refused(&world, account, policy, wanted)).collect();
                assert_eq!(missing, Vec::<String>::new());
            }
            let text = serde_json::to_string(&policies).unwrap();
            assert!(!text.contains("\"*:*\"") && !text.contains("iam:*"));
        }
        assert_eq!(
            proof.bootstrap_policies(),
            proof.bootstrap_policies(),
            "the same input gives the same bytes"
        );
        let text = proof.bootstrap_policies().0["build"].to_string();
        for action in [
            "sns:Subscribe",
            "codeconnections:CreateConnection",
            "kms:CreateKey",
            "codepipeline:CreatePipeline",
        ] {
            assert!(text.contains(action), "{action}");
        }
    })
    .unwrap();
}

#[test]
fn whoever_bootstraps_may_lend_a_template_that_fits_into_no_request() {
    let written = |files: &Files| {
        with(files, &config_of(files), &**expander(), |proof| proof.bootstrap_policies().0).unwrap()
    };
    let lent = |policy: &Value| {
        let text = policy.to_string();
        (text.contains("-artifactbucket-*/templates/*"), text.contains("kms:GenerateDataKey"))
    };
    let mut files = files();
    assert_eq!(lent(&written(&files)["build"]), (false, false), "nothing is too large");
    let filler = "x".repeat(3_000);
    let rows: String = (0..20).map(|n| format!("  Row{n}: {{Type: String, Default: {filler}}}\n")).collect();
    let text = files["target-roles.yaml"].replacen("Parameters:\n", &format!("Parameters:\n{rows}"), 1);
    files.insert("target-roles.yaml".to_owned(), text);
    let policies = written(&files);
    assert_eq!(lent(&policies["build"]), (true, true));
    // The URL is signed by the build account's session: nobody else needs a right to it.
    assert_eq!(lent(&policies["dev"]), (false, false));
}

#[test]
fn leaving_allows_every_delete_handler_of_a_stack_without_a_role() {
    let files = files();
    with(&files, &config_of(&files), &**expander(), |proof| {
        let (world, ground) = (everything(proof), proof.worlds.ground);
        let (policies, _) = proof.leaving_policies();
        let mut asked = 0;
        for stack in world.stacks.iter().filter(|stack| stack.of != "app") {
            for resource in stack.resources.values() {
                let calls = needs::calls(ground, &world, stack, resource, &mut Vec::new());
                for (_, wanted) in calls.into_iter().filter(|(handler, _)| *handler == "delete") {
                    asked += 1;
                    assert_eq!(refused(&world, &stack.account, &policies[&stack.account], &wanted), None);
                }
            }
        }
        assert!(asked > 60, "{asked}");
        let build = policies["build"].to_string();
        for action in [
            "iam:DeleteRolePolicy",
            "iam:DetachGroupPolicy",
            "events:RemoveTargets",
            "codebuild:DeleteReport",
        ] {
            assert!(build.contains(action), "{action}");
        }
        for action in ["Create", "iam:Put", "iam:PassRole", "Update"] {
            let kept = build.replace("UpdateTerminationProtection", "");
            assert!(!kept.contains(action), "leaving makes nothing: {action} in {build}");
        }
    })
    .unwrap();
}

/// The operations that a file calls on clients of AWS: `self.s3.list_object_versions()` of an SDK, `self.kms.call("DescribeKey", …)`
/// of a service that is called in JSON.
fn operations(text: &str, clients: &[&str]) -> BTreeSet<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut all = BTreeSet::new();
    for client in clients {
        for (at, _) in text.match_indices(client) {
            let rest = &text[at + client.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if rest[name.len()..].starts_with("()") {
                all.insert(name);
                continue;
            }
            let named = match name.as_str() {
                "call" => rest.split_once("(\"").map(|(_, rest)| rest),
                "" => rest.strip_prefix('"'),
                _ => None,
            };
            all.extend(named.and_then(|named| named.split('"').next()).map(ToOwned::to_owned));
        }
    }
    all
}

#[test]
fn the_lists_of_calls_are_those_of_the_code() {
    // The action where it is not the operation's name ("Actions, resources, and condition keys for Amazon S3").
    let other = |operation: &str| match operation {
        "list_object_versions" => Some("ListBucketVersions"),
        "delete_objects" => Some("DeleteObjectVersion"),
        _ => None,
    };
    let action = |operation: &str| {
        let words = operation.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
        other(operation).map_or_else(|| words.collect(), ToOwned::to_owned)
    };
    let files = files();
    let both = with(&files, &config_of(&files), &**expander(), |proof| {
        (proof.bootstrap_policies().0, proof.leaving_policies().0)
    });
    let (bootstrap, leaving) = both.unwrap();
    let text = |policies: &BTreeMap<String, Value>| serde_json::to_string(policies).unwrap();
    let (bootstrap, leaving) = (text(&bootstrap), text(&leaving));
    let stacks = include_str!("../../../aws/src/cloudformation.rs").split("mod tests").next().unwrap();
    let changes = include_str!("../../../aws/src/cloudformation/change_sets.rs");
    let stacks = [stacks, include_str!("../../../aws/src/cloudformation/operations.rs"), changes].concat();
    let teardown = include_str!("../../../aws/src/teardown.rs").split("mod tests").next().unwrap();
    let region = include_str!("../../../aws/src/region.rs").split("mod tests").next().unwrap();
    let table = [
        (stacks.as_str(), &["self.client."][..], 14, &bootstrap),
        (teardown, &["self.s3.", "self.kms.", "self.dynamodb."][..], 8, &leaving),
        (region, &["ask(&CODECONNECTIONS,", "ask(&CODEDEPLOY,", "ask(&DYNAMODB,"][..], 3, &bootstrap),
        (region, &["ask(&CODECONNECTIONS,", "ask(&CODEDEPLOY,", "ask(&DYNAMODB,"][..], 3, &leaving),
    ];
    for (file, clients, least, policies) in table {
        let found = operations(file, clients);
        assert!(found.len() >= least, "{found:?}");
        for operation in found {
            let action: String = action(&operation);
            assert!(policies.contains(&format!(":{action}\"")), "{operation}: {action}");
        }
    }
}
