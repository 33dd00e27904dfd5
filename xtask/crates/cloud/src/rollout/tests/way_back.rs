//! One function of a stack fails after another has finished: what becomes of the finished one.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_that_fails_stops_what_is_at_work_and_deploys_back_what_is_done() {
    let world = World::new(Hooks::Good).await;
    let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
    let rollouts = vec![
        world.rollout("done", AT_ONCE, false),
        world.rollout("bad", slow, false),
        world.rollout("at-work", slow, false),
    ];
    let alarm = async {
        world.reaches("done", 100).await;
        world.reaches("bad", 10).await;
        world.reaches("at-work", 10).await;
        world.raise("bad-errors");
    };
    let (failed, ()) = tokio::join!(world.carry(rollouts), alarm);
    assert_eq!(failed.unwrap_err(), "bad: alarm bad-errors is in ALARM");
    for function in ["done", "bad", "at-work"] {
        assert_eq!(world.weights(function).await.last().unwrap().1, 0, "{function}");
        assert_eq!(world.leads(function).await, Alias::to("1"), "{function}");
    }
    for function in ["bad", "at-work"] {
        assert_eq!(world.told(&format!("d-{function}")).0, "Stopped", "{function}");
    }
    // It had succeeded, and so has the deployment back.
    for id in ["d-done", "d-doneB"] {
        assert_eq!(world.told(id), ("Succeeded".to_owned(), String::new()), "{id}");
    }
}

/// One function fails after the other has finished: the finished one is deployed back under its group, with its hooks and
/// its schedule, and that this is simulated is said with its source.
#[tokio::test(start_paused = true)]
async fn a_finished_function_is_deployed_back_under_its_group() {
    for (done, bad) in [("checkin", "contacts"), ("contacts", "checkin")] {
        let world = World::new(Hooks::Good).await;
        let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
        let rollouts = vec![world.rollout(done, LINEAR, true), world.rollout(bad, slow, false)];
        let alarm = async {
            world.reaches(done, 100).await;
            while world.told(&format!("d-{done}")).0 != "Succeeded" {
                sleep(Duration::from_millis(2)).await;
            }
            world.raise(&format!("{bad}-errors"));
        };
        let (failed, ()) = tokio::join!(world.carry(rollouts), alarm);
        assert_eq!(failed.unwrap_err(), format!("{bad}: alarm {bad}-errors is in ALARM"));
        // There and back again, each step at its minute, with the share that the release's version has.
        let there = pairs(&LINEAR.schedule());
        let back = LINEAR.schedule().into_iter().map(|shift| (shift.minute, 100 - shift.weight));
        let expected: Vec<(u32, u32)> = there.into_iter().chain(back).collect();
        assert_eq!(world.weights(done).await, expected);
        let parts = world.parts(done).await;
        let names: Vec<(&str, Status)> =
            parts.iter().map(|(sub, status, _)| (sub.as_str(), *status)).collect();
        let once =
            [("pre-hook", Status::Succeeded), ("shift", Status::Succeeded), ("post-hook", Status::Succeeded)];
        assert_eq!(names, [once, once].concat(), "both ways have their hooks");
        for function in [done, bad] {
            assert_eq!(world.leads(function).await, Alias::to("1"), "{function}");
        }
        let id = json!({"deploymentId": format!("d-{done}B")});
        let target = world.cloud.deployments.answer(ACCOUNT, "BatchGetDeploymentTargets", &id).unwrap().1;
        let target = &target["deploymentTargets"][0]["lambdaTarget"]["lambdaFunctionInfo"];
        assert_eq!((&target["currentVersion"], &target["targetVersion"]), (&json!("2"), &json!("1")));
        let warnings = world.warnings().await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for word in [done, "simulated", "from version 2 to 1", "unconfirmed", "291, 351"] {
            assert!(warnings[0].contains(word), "{word}: {warnings:?}");
        }
    }
}

/// An alarm that rings for both would stop the deployment back at once, and CloudFormation would be stuck.
#[tokio::test(start_paused = true)]
async fn a_deployment_back_that_fails_is_said_and_the_old_version_serves() {
    let world = World::new(Hooks::Good).await;
    let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
    let rollouts = vec![world.rollout("done", AT_ONCE, true), world.rollout("bad", slow, false)];
    let alarm = async {
        world.reaches("done", 100).await;
        while world.told("d-done").0 != "Succeeded" {
            sleep(Duration::from_millis(2)).await;
        }
        world.raise("api-5xx");
    };
    let (failed, ()) = tokio::join!(world.carry(rollouts), alarm);
    assert_eq!(failed.unwrap_err(), "bad: alarm api-5xx is in ALARM");
    assert_eq!(world.told("d-doneB"), ("Stopped".to_owned(), "ALARM_ACTIVE".to_owned()));
    assert_eq!(world.weights("done").await.last().unwrap().1, 0);
    assert_eq!(world.leads("done").await, Alias::to("1"));
    let warnings = world.warnings().await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for word in ["UPDATE_ROLLBACK_FAILED", "api-5xx", "docs/aws.md"] {
        assert!(warnings[1].contains(word), "{word}: {warnings:?}");
    }
}

/// While aliases are deployed back the stack is not settled, whatever the emulator says.
#[tokio::test(start_paused = true)]
async fn a_stack_is_at_work_from_its_failure_to_the_end_of_the_way_back() {
    let world = World::new(Hooks::Good).await;
    let slow = Shifting::Canary { percent: 10, minutes: 1_000 };
    let rollouts = vec![world.rollout("done", AT_ONCE, false), world.rollout("bad", slow, false)];
    let alarm = async {
        world.reaches("done", 100).await;
        world.raise("bad-errors");
    };
    let (failed, ()) = tokio::join!(carry_out(&world.cloud, &world.key, rollouts), alarm);
    let failed = failed.unwrap_err();
    assert!(
        world.cloud.deployments.at_work(ACCOUNT, STACK),
        "the deployment back stands in the list already"
    );
    failed.go_back().await;
    assert!(!world.cloud.deployments.at_work(ACCOUNT, STACK));
    assert_eq!(world.leads("done").await, Alias::to("1"));
}
