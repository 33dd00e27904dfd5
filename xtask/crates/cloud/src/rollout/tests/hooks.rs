//! Hooks: one that fails, has no time, dies, or takes long.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_moves_nothing_and_names_its_check() {
    let world = World::new(Hooks::Bad).await;
    let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await.unwrap_err();
    assert_eq!(
        failed,
        "stub: the PreTraffic hook failed: CodeDeployHook_pre reported Failed: version: it is 1, not 2"
    );
    assert_eq!(world.weights(FUNCTION).await, []);
    assert_eq!(world.moved(FUNCTION), []);
    assert_eq!(world.told("d-stub"), ("Failed".to_owned(), "HEALTH_CONSTRAINTS".to_owned()));
}

/// Its deployment fails in any case; what that says about the release is another question.
#[tokio::test(start_paused = true)]
async fn a_hook_that_ran_out_of_time_on_a_busy_machine_says_nothing_about_the_release() {
    let busy = Strain { ran: 1.0, waited: 3.0, late: 0.2, ..Strain::default() };
    let calls = usize::try_from(CALLS).unwrap();
    for (hooks, expected) in [
        (Hooks::Late(busy, calls), true),
        (Hooks::Late(Strain { waited: 0.1, ..busy }, calls), false),
        // What a check found is found on however busy a machine.
        (Hooks::Bad, false),
    ] {
        let world = World::new(hooks).await;
        if let Hooks::Bad = hooks {
            world.cloud.strains.add(Instant::now() + HANGS, busy);
        }
        let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await.unwrap_err();
        assert!(failed.contains("the PreTraffic hook failed"), "{failed}");
        assert_eq!(world.weights(FUNCTION).await, []);
        let said = world.without_verdict().await;
        assert_eq!(said.len(), usize::from(expected), "{said:?}");
        assert!(said.iter().all(|why| why.contains("ran out of time") && why.contains("75 %")), "{said:?}");
        // On a machine that had the time, nothing is done twice.
        assert_eq!(world.warnings().await.len(), if expected { calls - 1 } else { 0 });
    }
}

/// One that has the time the next time it is called is as good as any: nothing is rolled back.
#[tokio::test(start_paused = true)]
async fn a_hook_that_a_busy_machine_had_no_time_for_is_called_once_more() {
    let busy = Strain { ran: 1.0, waited: 3.0, late: 0.2, ..Strain::default() };
    let world = World::new(Hooks::Late(busy, 1)).await;
    assert_eq!(world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await, Ok(()));
    assert_eq!(world.without_verdict().await, Vec::<String>::new());
    let said = world.warnings().await;
    assert!(said.len() == 1 && said[0].contains("the pre-hook ran out of time"), "{said:?}");
    let ended = world.parts(FUNCTION).await;
    assert!(ended.iter().all(|(_, status, _)| *status == Status::Succeeded), "{ended:?}");
    assert_eq!(world.leads(FUNCTION).await, Alias::to("2"));
}

/// The cause of a failure is what a function failed by, and not what this machine had no time for in the same moment, though
/// that was known first.
#[tokio::test(start_paused = true)]
async fn an_alarm_comes_before_a_hook_that_had_no_time() {
    let busy = Strain { ran: 1.0, waited: 3.0, late: 0.2, ..Strain::default() };
    let world = World::new(Hooks::Late(busy, usize::MAX)).await;
    let (late, alarmed) = (world.rollout(FUNCTION, LINEAR, true), world.rollout("other", LINEAR, false));
    let failed = world.carry(vec![late, alarmed]).await.unwrap_err();
    assert!(failed.starts_with("other: ") && failed.contains("other-errors"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_dies_or_never_reports_is_waited_for_an_hour_of_aws() {
    for (hooks, said) in [(Hooks::Silent, "null"), (Hooks::Dead, "Runtime.ExitError")] {
        let world = World::new(hooks).await;
        let begin = Instant::now();
        let failed = world.carry(vec![world.rollout(FUNCTION, LINEAR, true)]).await.unwrap_err();
        assert!(failed.contains("did not report within 60 minutes") && failed.contains(said), "{failed}");
        let hour = MINUTE * 60;
        assert!(begin.elapsed() >= hour && begin.elapsed() < hour + TICK, "{:?}", begin.elapsed());
        assert_eq!(world.weights(FUNCTION).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_at_work_is_not_cut_short_by_short_minutes() {
    let world = World::new(Hooks::Slow).await;
    let begin = Instant::now();
    let rollout = world.rollout(FUNCTION, AT_ONCE, true);
    assert_eq!(world.carry(vec![rollout]).await, Ok(()));
    let both = MINUTE * 200;
    assert!(begin.elapsed() >= both && begin.elapsed() < both + TICK * 2, "longer than their hour each");
}
