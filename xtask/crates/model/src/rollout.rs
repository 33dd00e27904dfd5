//! Traffic shifting: the schedule of a deployment configuration.
//!
//! Source: "Deployment configurations on an AWS Lambda compute platform" in the CodeDeploy user guide. A linear
//! configuration shifts its percentage at the start of each increment, the first one at once
//! (`TimeBasedLinear.linearPercentage` in the API reference).

use serde_json::{Value, json};

/// What AWS's own configurations for Lambda are called before SAM's short name.
pub const AWS_PREFIX: &str = "CodeDeployDefault.Lambda";

/// How traffic moves from the old version to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shifting {
    /// All of it at once.
    AllAtOnce,
    /// A first share, and the rest after some minutes.
    Canary {
        /// The first share in percent.
        percent: u32,
        /// Minutes until the rest.
        minutes: u32,
    },
    /// Equal shares, some minutes apart.
    Linear {
        /// Each share in percent.
        percent: u32,
        /// Minutes between two shares.
        minutes: u32,
    },
}

/// From this minute on the new version gets this share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// Minutes of AWS since the shift began.
    pub minute: u32,
    /// Percent for the new version.
    pub weight: u32,
}

/// A deployment configuration that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown deployment configuration {0:?}; known are AllAtOnce, Canary10Percent{{5,10,15,30}}Minutes and Linear10PercentEvery{{1,2,3,10}}Minute(s)"
)]
pub struct UnknownShifting(pub String);

impl Shifting {
    /// The configuration of that name: SAM's (`Linear10PercentEvery1Minute`) or CodeDeploy's
    /// (`CodeDeployDefault.LambdaLinear10PercentEvery1Minute`).
    ///
    /// # Errors
    /// A name that is not among AWS's own.
    pub fn parse(name: &str) -> Result<Self, UnknownShifting> {
        let short = name.strip_prefix(AWS_PREFIX).unwrap_or(name);
        Ok(match short {
            "AllAtOnce" => Shifting::AllAtOnce,
            "Canary10Percent5Minutes" => Shifting::Canary { percent: 10, minutes: 5 },
            "Canary10Percent10Minutes" => Shifting::Canary { percent: 10, minutes: 10 },
            "Canary10Percent15Minutes" => Shifting::Canary { percent: 10, minutes: 15 },
            "Canary10Percent30Minutes" => Shifting::Canary { percent: 10, minutes: 30 },
            "Linear10PercentEvery1Minute" => Shifting::Linear { percent: 10, minutes: 1 },
            "Linear10PercentEvery2Minutes" => Shifting::Linear { percent: 10, minutes: 2 },
            "Linear10PercentEvery3Minutes" => Shifting::Linear { percent: 10, minutes: 3 },
            "Linear10PercentEvery10Minutes" => Shifting::Linear { percent: 10, minutes: 10 },
            _ => return Err(UnknownShifting(name.to_owned())),
        })
    }

    /// From the properties of an `AWS::CodeDeploy::DeploymentConfig`.
    ///
    /// # Errors
    /// A traffic routing that is not one of the three kinds, or without its numbers.
    pub fn custom(properties: &Value) -> Result<Self, UnknownShifting> {
        let routing = properties.get("TrafficRoutingConfig").unwrap_or(&Value::Null);
        let number = |path: &str| {
            let value = routing.pointer(path)?;
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
            u32::try_from(number).ok()
        };
        let unknown = || UnknownShifting(routing.to_string());
        Ok(match routing.get("Type").and_then(Value::as_str) {
            Some("AllAtOnce") => Shifting::AllAtOnce,
            Some("TimeBasedCanary") => Shifting::Canary {
                percent: number("/TimeBasedCanary/CanaryPercentage").ok_or_else(unknown)?,
                minutes: number("/TimeBasedCanary/CanaryInterval").ok_or_else(unknown)?,
            },
            Some("TimeBasedLinear") => Shifting::Linear {
                percent: number("/TimeBasedLinear/LinearPercentage").ok_or_else(unknown)?,
                minutes: number("/TimeBasedLinear/LinearInterval").ok_or_else(unknown)?,
            },
            _ => return Err(unknown()),
        })
    }

    /// As CodeDeploy's API describes it (`TrafficRoutingConfig` in the API reference).
    pub fn described(self) -> Value {
        match self {
            Shifting::AllAtOnce => json!({"type": "AllAtOnce"}),
            Shifting::Canary { percent, minutes } => json!({
                "type": "TimeBasedCanary",
                "timeBasedCanary": {"canaryPercentage": percent, "canaryInterval": minutes},
            }),
            Shifting::Linear { percent, minutes } => json!({
                "type": "TimeBasedLinear",
                "timeBasedLinear": {"linearPercentage": percent, "linearInterval": minutes},
            }),
        }
    }

    /// Every step of the schedule; the last one is 100 percent.
    pub fn schedule(self) -> Vec<Shift> {
        match self {
            Shifting::AllAtOnce => vec![Shift { minute: 0, weight: 100 }],
            Shifting::Canary { percent, minutes } => {
                vec![Shift { minute: 0, weight: percent.min(100) }, Shift { minute: minutes, weight: 100 }]
            }
            Shifting::Linear { percent, minutes } => {
                let percent = percent.clamp(1, 100);
                let steps = 100_u32.div_ceil(percent);
                (0..steps)
                    .map(|n| Shift { minute: n * minutes, weight: ((n + 1) * percent).min(100) })
                    .collect()
            }
        }
    }

    /// Minutes from the first step to the last one. Nobody watches a shift that takes none: all traffic has moved before any
    /// alarm can ring.
    pub fn minutes(self) -> u32 {
        self.schedule().last().map_or(0, |last| last.minute)
    }

    /// The minute at which the new version gets that share; `None` where it never does.
    pub fn minute_of(self, weight: u32) -> Option<u32> {
        self.schedule().iter().find(|shift| shift.weight == weight).map(|shift| shift.minute)
    }

    /// Minutes of shift that are left when the new version has had that share for so many minutes. A step that is late is
    /// still to come.
    pub fn minutes_to_go(self, weight: u32, had_for: u32) -> u32 {
        let schedule = self.schedule();
        let last = schedule.last().map_or(0, |last| last.minute);
        let now = schedule.iter().rfind(|shift| shift.weight <= weight).map_or(0, |shift| shift.minute);
        let next = schedule.iter().find(|shift| shift.weight > weight).map_or(last, |shift| shift.minute);
        last - now.saturating_add(had_for).min(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(name: &str) -> Vec<(u32, u32)> {
        Shifting::parse(name).unwrap().schedule().iter().map(|s| (s.minute, s.weight)).collect()
    }

    #[test]
    fn schedules_are_those_of_the_guide() {
        assert_eq!(pairs("AllAtOnce"), [(0, 100)]);
        assert_eq!(pairs("CodeDeployDefault.LambdaAllAtOnce"), [(0, 100)]);
        assert_eq!(pairs("Canary10Percent15Minutes"), [(0, 10), (15, 100)]);
        let linear: Vec<(u32, u32)> = (0..10).map(|n| (n, 10 * (n + 1))).collect();
        assert_eq!(pairs("Linear10PercentEvery1Minute"), linear);
        assert_eq!(pairs("CodeDeployDefault.LambdaLinear10PercentEvery3Minutes")[9], (27, 100));
        assert!(Shifting::parse("Linear50PercentEvery1Minute").is_err());
    }

    #[test]
    fn configurations_of_ones_own_are_read() {
        let canary = serde_json::json!({"TrafficRoutingConfig": {"Type": "TimeBasedCanary", "TimeBasedCanary": {"CanaryPercentage": 25, "CanaryInterval": "7"}}});
        assert_eq!(Shifting::custom(&canary).unwrap(), Shifting::Canary { percent: 25, minutes: 7 });
        let linear = serde_json::json!({"TrafficRoutingConfig": {"Type": "TimeBasedLinear", "TimeBasedLinear": {"LinearPercentage": 50, "LinearInterval": 2}}});
        assert_eq!(Shifting::custom(&linear).unwrap(), Shifting::Linear { percent: 50, minutes: 2 });
        for bad in
            [serde_json::json!({}), serde_json::json!({"TrafficRoutingConfig": {"Type": "TimeBasedLinear"}})]
        {
            assert!(Shifting::custom(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn minutes_to_go_are_those_of_the_schedule() {
        let linear = Shifting::Linear { percent: 20, minutes: 3 };
        assert_eq!([0, 20, 40, 80, 100].map(|weight| linear.minutes_to_go(weight, 0)), [12, 12, 9, 3, 0]);
        assert_eq!([0, 1, 2, 3, 9].map(|had_for| linear.minutes_to_go(40, had_for)), [9, 8, 7, 6, 6]);
        assert_eq!([20, 40, 50].map(|weight| linear.minute_of(weight)), [Some(0), Some(3), None]);
        let canary = Shifting::Canary { percent: 25, minutes: 7 };
        assert_eq!([0, 5, 8].map(|had_for| canary.minutes_to_go(25, had_for)), [7, 2, 0]);
        assert_eq!((canary.minute_of(100), Shifting::AllAtOnce.minutes_to_go(0, 0)), (Some(7), 0));
    }

    #[test]
    fn every_schedule_rises_to_a_hundred() {
        for percent in 1..=100 {
            for shifting in
                [Shifting::Linear { percent, minutes: 3 }, Shifting::Canary { percent, minutes: 3 }]
            {
                let steps = shifting.schedule();
                assert_eq!(steps.last().unwrap().weight, 100);
                assert!(
                    steps.windows(2).all(|w| w[0].weight <= w[1].weight && w[0].minute < w[1].minute),
                    "{shifting:?}"
                );
            }
        }
    }
}
