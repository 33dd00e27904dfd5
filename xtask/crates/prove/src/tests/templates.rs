//! What no linter sees in our templates: facts of AWS that the design rests on.

use serde_json::Value;

use super::super::names::Names;
use super::super::stack::Stack;
use super::super::world::{Ground, World};
use super::super::{matrix, types};
use super::{config_of, files};
use causeway_iam::{Effect, Guard};

fn with_world<T>(work: impl FnOnce(&Ground<'_>, &World) -> T) -> T {
    let files = files();
    let config = config_of(&files);
    let matrix = matrix::parse(&files["access-matrix.toml"]).unwrap();
    let ground = Ground::new(&config, &matrix, types::known().unwrap(), &files, &**super::expander());
    let world = World::build(&ground, &matrix::Variant::default(), None, false);
    work(&ground, &world)
}

fn properties<'s>(stack: &'s Stack, kind: &'s str) -> impl Iterator<Item = &'s Value> {
    stack
        .resources
        .values()
        .filter(move |resource| resource.kind == kind)
        .map(|resource| &resource.properties)
}

#[test]
fn the_approvers_policy_names_a_gate_that_exists() {
    with_world(|ground, world| {
        let stack = world.stack_for("pipeline", "dev").unwrap();
        let names = Names::new(stack, ground.types);
        let pipeline = &stack.resources["Pipeline"];
        let name = names.name(pipeline).unwrap();
        let stages = pipeline.properties["Stages"].as_array().unwrap();
        let mut gates = Vec::new();
        for stage in stages {
            for action in stage["Actions"].as_array().unwrap() {
                if action["ActionTypeId"]["Category"] == "Approval" {
                    gates.push(format!(
                        "{name}/{}/{}",
                        stage["Name"].as_str().unwrap(),
                        action["Name"].as_str().unwrap()
                    ));
                }
            }
        }
        assert_eq!(gates.len(), 1);
        let policy = world.managed.iter().find(|(arn, _)| arn.ends_with("-approver")).unwrap().1;
        let decides = policy
            .iter()
            .find(|s| s.raw.actions.all.contains(&"codepipeline:PutApprovalResult".to_owned()))
            .unwrap();
        let on = &decides.raw.resources.as_ref().unwrap().all;
        assert_eq!(on.len(), 1);
        assert!(on[0].ends_with(&format!(":{}", gates[0])), "{} is not {}", on[0], gates[0]);
    });
}

#[test]
fn eventbridge_is_asked_for_no_source() {
    // EventBridge sends no aws:SourceArn and no aws:SourceAccount when it publishes to a topic.
    with_world(|_, world| {
        let mut seen = 0;
        for statement in world.guards.values().flat_map(|(_, all)| all) {
            let services: Vec<&str> = statement.raw.principal.iter().flat_map(|p| p.services()).collect();
            if services.contains(&"events.amazonaws.com") && statement.raw.effect == Effect::Allow {
                assert!(statement.raw.conditions.is_empty(), "{}", statement.place);
                seen += 1;
            }
        }
        assert!(seen > 0);
    });
}

#[test]
fn artifacts_outlive_an_approval_and_packages_never_expire() {
    with_world(|ground, world| {
        let base = world.stack_for("build-base", "dev").unwrap();
        let names = Names::new(base, ground.types);
        let bucket = &base.resources["ArtifactBucket"];
        let rules = names.property(bucket, "LifecycleConfiguration.Rules").unwrap().unwrap();
        let days = |value: &Value| value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok());
        let mut shortest = u64::MAX;
        for rule in rules.as_array().unwrap() {
            // A rule without a prefix would take versions of packages that a template still names.
            let prefix = rule["Prefix"].as_str().unwrap_or_default();
            assert!(
                !prefix.is_empty() && !prefix.starts_with("packages") && !"packages/".starts_with(prefix),
                "it reaches packages: {rule}"
            );
            if let Some(expires) = rule.get("ExpirationInDays").and_then(days)
                && ("causeway/".starts_with(prefix) || prefix == "causeway/")
            {
                shortest = shortest.min(expires);
            }
        }
        let pipeline = world.stack_for("pipeline", "dev").unwrap();
        let actions = properties(pipeline, "AWS::CodePipeline::Pipeline")
            .flat_map(|p| p["Stages"].as_array().unwrap())
            .flat_map(|stage| stage["Actions"].as_array().unwrap());
        let waits = actions
            .filter(|action| action["ActionTypeId"]["Category"] == "Approval")
            // Seven days, where the template says nothing ("Quotas in AWS CodePipeline").
            .map(|action| days(&action["TimeoutInMinutes"]).unwrap_or(10_080));
        let longest = waits.max().unwrap().div_ceil(24 * 60);
        assert!(
            shortest != u64::MAX && shortest > 2 * longest,
            "{shortest} days, an approval waits {longest}"
        );
    });
}

#[test]
fn codedeploy_can_call_the_hooks() {
    // CodeDeploy calls only functions whose name begins so; Lambda takes 64 characters.
    let mut files = files();
    let long =
        files["stacks.toml"].replacen("project = \"causeway\"", "project = \"project-of-twenty-ch\"", 1);
    let long = long
        .replace("prod = {", "production = {")
        .replace("[stacks.overrides.prod]", "[stacks.overrides.production]");
    let long = long.replace("account = \"prod\"", "account = \"production\"");
    files.insert("stacks.toml".to_owned(), long);
    let matrix = matrix::parse(&files["access-matrix.toml"]).unwrap();
    let config = causeway_model::config::parse(&files["stacks.toml"]).unwrap();
    let ground = Ground::new(&config, &matrix, types::known().unwrap(), &files, &**super::expander());
    let world = World::build(&ground, &matrix::Variant::default(), None, false);
    let mut hooks = 0;
    for stack in world.stacks.iter().filter(|stack| stack.of == "app") {
        let names = Names::new(stack, ground.types);
        for resource in stack.resources.values().filter(|resource| resource.kind == "AWS::Lambda::Function") {
            let name = names.name(resource).unwrap();
            assert!(name.len() <= 64, "{name} has {} characters", name.len());
            let is_hook = resource.id.ends_with("TrafficHook");
            assert_eq!(is_hook, name.starts_with("CodeDeployHook_"), "{name}");
            hooks += usize::from(is_hook);
        }
        for preference in properties(stack, "AWS::Lambda::Function")
            .filter_map(|p| p.pointer("/DeploymentPreference/Hooks"))
        {
            let text = preference.to_string();
            for resource in stack
                .resources
                .values()
                .filter(|resource| text.contains(&format!("\"Ref\":\"{}\"", resource.id)))
            {
                assert!(
                    names.name(resource).unwrap().starts_with("CodeDeployHook_"),
                    "{} is no hook's name",
                    resource.id
                );
            }
        }
    }
    assert!(hooks >= 4, "{hooks}");
}

#[test]
fn whoever_may_make_roles_must_give_them_the_boundary() {
    let makes =
        ["iam:createrole", "iam:putrolepolicy", "iam:putrolepermissionsboundary", "iam:attachrolepolicy"];
    with_world(|_, world| {
        let mut seen = 0;
        for statement in
            world.statements().filter(|s| s.raw.effect == Effect::Allow && s.place.file.starts_with("cfn/"))
        {
            if statement.raw.principal.is_some() {
                continue;
            }
            let fits = |action: &String| {
                let action = action.to_ascii_lowercase();
                makes.iter().any(|made| iam_rs::Arn::wildcard_match(made, &action))
            };
            if statement.raw.actions.negated || statement.raw.actions.all.iter().any(fits) {
                let boundary = statement
                    .raw
                    .conditions
                    .iter()
                    .find(|condition| condition.key == "iam:PermissionsBoundary");
                let boundary = boundary.unwrap_or_else(|| panic!("{} asks for no boundary", statement.place));
                assert!(
                    boundary.operator == "StringEquals"
                        && boundary.values.iter().all(|arn| arn.ends_with("-boundary"))
                );
                seen += 1;
            }
        }
        assert!(seen > 0);
        for role in world.roles.values() {
            let stack = &world.stacks[role.stack];
            assert!(
                stack.of != "app" || role.boundary.is_some(),
                "{} of the application has no boundary",
                role.id
            );
        }
    });
}

#[test]
fn no_role_trusts_a_role_that_must_exist_already() {
    // A role's ARN in a principal turns into a unique id when the role is deleted; accounts and services do not.
    with_world(|_, world| {
        for (arn, (guard, statements)) in &world.guards {
            for statement in statements.iter().filter(|_| *guard != Guard::Ordinary || arn.contains(":s3:::"))
            {
                let text = statement.to_json()["Principal"].to_string();
                assert!(!text.contains(":role/") && !text.contains(":user/"), "{}: {text}", statement.place);
            }
        }
    });
}

#[test]
fn the_template_that_makes_the_bucket_stays_below_the_limit_of_a_request() {
    let text = files().remove("build-base.yaml").unwrap();
    assert!(text.len() < 51_200, "build-base.yaml has {} bytes", text.len());
}

#[test]
fn an_alarm_that_refers_to_the_api_closes_a_circle_in_a_group() {
    // API → alias → (UpdatePolicy) deployment group → alarm → API: only what SAM makes of the template has it.
    let own = "          - !Ref CheckinNewVersionErrors\n";
    let files = super::edited("app.yaml", own, &format!("{own}          - !Ref ApiErrors\n"));
    let report = super::report(&files);
    let circles: Vec<_> =
        report.problems.iter().filter(|one| one.message.contains("Circular dependency")).collect();
    assert!(!circles.is_empty(), "{:?}", super::complaints(&report));
    let text = &files["app.yaml"];
    for circle in circles {
        let (_, ids) = circle.message.split_once("Circular dependency between resources: [").unwrap();
        let ids: Vec<&str> = ids.split(']').next().unwrap().split(", ").collect();
        for id in ["ApiErrors", "HttpApi", "CheckinFunctionAliaslive", "CheckinFunctionDeploymentGroup"] {
            assert!(ids.contains(&id), "{id}: {circle}");
        }
        assert!(!ids.iter().any(|id| id.starts_with("Contacts")), "{circle}");
        // The line is that of the first of them that somebody wrote.
        let line = |id: &&str| {
            let at = text.find(&format!("\n  {id}:\n"))?;
            Some(text[..=at].matches('\n').count() + 1)
        };
        assert_eq!(circle.file, "cfn/app.yaml", "{circle}");
        assert_eq!(Some(circle.line), ids.iter().filter_map(line).min(), "{circle}");
    }
}
