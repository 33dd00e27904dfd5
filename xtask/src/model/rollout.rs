//! Traffic shifting: the schedule of a deployment configuration.
//!
//! Source: "Deployment configurations on an AWS Lambda compute platform" in the CodeDeploy user guide. A linear
//! configuration shifts its percentage at the start of each increment, the first one at once
//! (`TimeBasedLinear.linearPercentage` in the API reference).

/// How traffic moves from the old version to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shifting {
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
pub(crate) struct Shift {
    /// Minutes of AWS since the shift began.
    pub(crate) minute: u32,
    /// Percent for the new version.
    pub(crate) weight: u32,
}

/// A deployment configuration that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown deployment configuration {0:?}; known are AllAtOnce, Canary10Percent{{5,10,15,30}}Minutes and Linear10PercentEvery{{1,2,3,10}}Minute(s)"
)]
pub(crate) struct UnknownShifting(pub(crate) String);

impl Shifting {
    /// The configuration of that name: SAM's (`Linear10PercentEvery1Minute`) or CodeDeploy's
    /// (`CodeDeployDefault.LambdaLinear10PercentEvery1Minute`).
    ///
    /// # Errors
    /// A name that is not among AWS's own.
    pub(crate) fn parse(name: &str) -> Result<Self, UnknownShifting> {
        let short = name.strip_prefix("CodeDeployDefault.Lambda").unwrap_or(name);
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

    /// Every step of the schedule; the last one is 100 percent.
    pub(crate) fn schedule(self) -> Vec<Shift> {
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
