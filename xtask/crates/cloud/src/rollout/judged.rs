//! What the alarms of a deployment have to say of it at its end: on a machine that is busy, less than on AWS.

use super::{Rollout, Way};
use crate::comparison::Comparison;
use crate::happenings::What;
use causeway_model::deployment::{Cause, End};
use causeway_model::latency::{self, Point};

impl Rollout {
    /// How a deployment ends that has come through. An engine that is late must not let a version pass that an alarm would
    /// have stopped, so the alarms are looked at once more. What each of them said in the course of it is told.
    pub(super) async fn judged(&self) -> End {
        let account = &self.key.0;
        if !self.cloud.alarms.settled().await {
            let why = "the alarms could not be evaluated after the last step".to_owned();
            self.tell(What::NoVerdict { function: self.short.clone(), why });
        }
        if let Some(alarm) = self.cloud.alarms.raised(account, &self.alarms) {
            self.restore(Way::Forth).await;
            return End::Failed(Cause::Alarm(alarm));
        }
        let comparison =
            Comparison { metrics: &self.cloud.metrics, deployments: &self.cloud.deployments, account };
        for (alarm, mut course) in self.cloud.alarms.courses_of(account, &self.alarms) {
            // The last answers lie in a period that is not over: no alarm has seen them.
            let last = comparison.unfinished(&alarm, self.cloud.clock.seconds());
            match last.filter(|period| period.of_new).map(|period| period.point) {
                Some(Point::Beyond) => {
                    course.lacks("the last answers of the new version were beyond the threshold, too late for an alarm".to_owned());
                }
                Some(point) => course.add(&point),
                None => {}
            }
            let waiting = comparison.waiting(&self.function, &self.new).into_iter().reduce(f64::max);
            if let Some(millis) =
                waiting.filter(|millis| latency::is_latency(&alarm) && alarm.breaches(*millis))
            {
                course.lacks(format!(
                    "a request had waited for the new version's answer for {millis:.0} ms when the shift was over, beyond the threshold of {}",
                    alarm.threshold
                ));
            }
            let (function, name, metric) = (self.short.clone(), alarm.name, alarm.metric);
            self.tell(What::Judged { function, alarm: name, metric, course });
        }
        End::Succeeded
    }
}
