//! What alarms have to say of a deployment when it is over.

use super::*;
use crate::alarms;
use crate::metrics::{Answered, Invocation};
use causeway_model::alarm::{Alarm, Comparison, Missing, Statistic};
use causeway_model::deployment::{Cause, End};
use causeway_model::latency::Course;

/// The deployment's alarm on its new version: the slowest answer of a minute.
fn slow() -> Alarm {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Alarm {
        name: format!("{FUNCTION}-errors"),
        namespace: "AWS/Lambda".to_owned(),
        metric: "Duration".to_owned(),
        dimensions: vec![
            pair("ExecutedVersion", "2"),
            pair("FunctionName", FUNCTION),
            pair("Resource", &format!("{FUNCTION}:live")),
        ],
        statistic: Statistic::Maximum,
        period: 60,
        evaluation_periods: 1,
        datapoints_to_alarm: 1,
        threshold: 2_000.0,
        comparison: Comparison::Above,
        missing: Missing::NotBreaching,
    }
}

impl World {
    /// A version answers now.
    fn answers(&self, version: &str, millis: f64) {
        let call = Invocation {
            function: FUNCTION,
            alias: Some("live"),
            version,
            failed: false,
            throttled: false,
            millis,
        };
        let at = self.cloud.clock.seconds();
        let answered = Answered { began: at, ..Answered::http(ACCOUNT, "a", 200, millis) };
        self.cloud.metrics.record(at, &answered, Some(&call));
    }

    /// Looks at the alarm.
    async fn look(&self, now: f64) {
        alarms::look(&self.cloud, ACCOUNT, vec![(slow(), State::Ok)], now).await.unwrap();
    }

    /// What each alarm said of the deployment.
    async fn judged(&self) -> Vec<Course> {
        let all = self.cloud.happenings.after(0, false).await;
        let own = all.into_iter().filter_map(|happening| match happening.what {
            What::Judged { course, .. } => Some(course),
            _ => None,
        });
        own.collect()
    }
}

/// A deployment whose shift is over; its alarm has been looked at, and the minute that goes on now does not end.
async fn shifted() -> (World, Rollout) {
    let world = World::new(Hooks::Good).await;
    world.cloud.clock.set_minute(HANGS);
    let rollout = world.rollout(FUNCTION, AT_ONCE, false);
    let _stop = world.cloud.deployments.begin(rollout.described());
    rollout.begun.get_or_init(Instant::now);
    world.cloud.alarms.begin(ACCOUNT, &rollout.alarms);
    rollout.step(Way::Forth, 0, 100).await.unwrap();
    world.look(world.cloud.clock.seconds()).await;
    (world, rollout)
}

#[tokio::test]
async fn the_last_answers_count_though_no_alarm_has_seen_them() {
    for (what, old, new, judged, unjudged) in [
        ("nobody was asked", None, None, 0, 0),
        ("a quick answer", None, Some(10.0), 1, 0),
        ("a slow one without an old one", None, Some(5_000.0), 0, 1),
        ("a slow one, and the old one is slow", Some(4_000.0), Some(5_000.0), 0, 1),
        ("a slow one, and the old one is quick: too late to stop it", Some(10.0), Some(5_000.0), 0, 1),
        ("only the old one was asked", Some(10.0), None, 0, 0),
    ] {
        let (world, rollout) = shifted().await;
        for (version, millis) in [("1", old), ("2", new)] {
            if let Some(millis) = millis {
                world.answers(version, millis);
            }
        }
        assert_eq!(rollout.judged().await, End::Succeeded, "{what}");
        let found = world.judged().await;
        assert_eq!(found.len(), 1, "{what}: only the alarm that is evaluated");
        assert_eq!((found[0].judged, found[0].unjudged), (judged, unjudged), "{what}: {found:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_still_waited_for_is_no_good_one() {
    let (world, rollout) = shifted().await;
    let _old = world.cloud.metrics.depart(ACCOUNT, FUNCTION, "1", 0.0);
    let mut quick = slow();
    quick.threshold = -1.0;
    // Every wait is beyond this threshold, so the test waits for none.
    alarms::look(&world.cloud, ACCOUNT, vec![(quick, State::Ok)], world.cloud.clock.seconds()).await.unwrap();
    assert_eq!(rollout.judged().await, End::Succeeded);
    assert_eq!(world.judged().await[0], Course::default(), "the old one's is none of its");
    let _new = world.cloud.metrics.depart(ACCOUNT, FUNCTION, "2", 0.0);
    assert_eq!(rollout.judged().await, End::Succeeded);
    let course = world.judged().await.pop().unwrap();
    assert!(!course.is_verdict() && course.why.as_ref().unwrap().contains("had waited"), "{course:?}");
}

#[tokio::test]
async fn an_alarm_that_the_engine_sees_late_still_stops_it() {
    let (world, rollout) = shifted().await;
    world.raise("stub-errors");
    assert_eq!(rollout.judged().await, End::Failed(Cause::Alarm("stub-errors".into())));
    assert_eq!(world.leads(FUNCTION).await, Alias::to("1"));
}
