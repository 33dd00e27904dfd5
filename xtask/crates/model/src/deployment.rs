//! A CodeDeploy deployment of one function as a state machine: what happens next, given what just happened.
//!
//! PreTraffic hook → weight steps → PostTraffic hook → done; or, from anywhere before that, back to the old version.
//! It does nothing itself: inputs go in, effects come out. Source: "Deployments on an AWS Lambda compute platform" and
//! "Stopping a deployment with CloudWatch alarms" in the CodeDeploy user guide.

use serde::Serialize;

use super::rollout::Shift;

/// A lifecycle hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Hook {
    /// `BeforeAllowTraffic`, SAM's PreTraffic.
    Before,
    /// `AfterAllowTraffic`, SAM's PostTraffic.
    After,
}

/// Why a deployment did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A hook failed, did not report, or could not be invoked.
    Hook(Hook, String),
    /// An alarm was in ALARM.
    Alarm(String),
    /// Somebody asked for it.
    Stop(String),
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The new version has all the traffic.
    Succeeded,
    /// The old version has all the traffic again.
    Failed(Cause),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// It begins; with an alarm that is in ALARM already, where there is one.
    Start(Option<String>),
    /// A hook reported, or will not any more.
    Reported(Hook, Result<(), String>),
    /// So many minutes of AWS have passed since the shift began.
    Minute(u32),
    /// An alarm went to ALARM.
    Alarm(String),
    /// Somebody asks to stop.
    Stop(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Invoke a hook and feed its report back.
    Invoke(Hook),
    /// The shift begins: count minutes from now.
    BeginShift,
    /// The new version gets this share from now on; the minute it belongs to.
    Weigh {
        /// Minutes since the shift began.
        minute: u32,
        /// Percent for the new version.
        weight: u32,
    },
    /// Feed `Minute` when that many have passed.
    WakeAt(u32),
    /// The shift is over.
    EndShift,
    /// All traffic to the old version again.
    Restore,
    /// It is over.
    Finish(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Before,
    Shifting,
    After,
    Over,
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    schedule: Vec<Shift>,
    next: usize,
    stage: Stage,
    before: bool,
    after: bool,
    weight: u32,
}

impl Deployment {
    /// With the steps of its schedule and the hooks it has.
    pub fn new(schedule: Vec<Shift>, before: bool, after: bool) -> Self {
        Self { schedule, next: 0, stage: Stage::Waiting, before, after, weight: 0 }
    }

    /// The share of the new version now, in percent.
    #[cfg(test)]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What is to be done about an input. Once it is over, nothing is.
    pub fn on(&mut self, input: Input) -> Vec<Effect> {
        match (self.stage, input) {
            (Stage::Over, _) => Vec::new(),
            (Stage::Waiting, Input::Start(Some(alarm))) => self.fail(Cause::Alarm(alarm)),
            (Stage::Waiting, Input::Start(None)) if self.before => {
                self.stage = Stage::Before;
                vec![Effect::Invoke(Hook::Before)]
            }
            (Stage::Waiting, Input::Start(None)) => self.begin_shift(),
            (_, Input::Alarm(alarm)) => self.fail(Cause::Alarm(alarm)),
            (_, Input::Stop(who)) => self.fail(Cause::Stop(who)),
            (Stage::Before, Input::Reported(Hook::Before, Ok(()))) => self.begin_shift(),
            (Stage::After, Input::Reported(Hook::After, Ok(()))) => self.succeed(),
            (Stage::Before, Input::Reported(Hook::Before, Err(why))) => {
                self.fail(Cause::Hook(Hook::Before, why))
            }
            (Stage::After, Input::Reported(Hook::After, Err(why))) => {
                self.fail(Cause::Hook(Hook::After, why))
            }
            (Stage::Shifting, Input::Minute(minute)) => self.steps(minute),
            // A report of another phase, a minute before the shift: nothing that changes anything.
            _ => Vec::new(),
        }
    }

    fn begin_shift(&mut self) -> Vec<Effect> {
        self.stage = Stage::Shifting;
        let mut effects = vec![Effect::BeginShift];
        effects.extend(self.steps(0));
        effects
    }

    /// Every step whose time has come.
    fn steps(&mut self, minute: u32) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(step) = self.schedule.get(self.next).filter(|step| step.minute <= minute) {
            self.weight = step.weight;
            effects.push(Effect::Weigh { minute: step.minute, weight: step.weight });
            self.next += 1;
        }
        match self.schedule.get(self.next) {
            Some(step) => effects.push(Effect::WakeAt(step.minute)),
            None => {
                effects.push(Effect::EndShift);
                if self.after {
                    self.stage = Stage::After;
                    effects.push(Effect::Invoke(Hook::After));
                } else {
                    effects.extend(self.succeed());
                }
            }
        }
        effects
    }

    fn succeed(&mut self) -> Vec<Effect> {
        self.stage = Stage::Over;
        vec![Effect::Finish(End::Succeeded)]
    }

    fn fail(&mut self, cause: Cause) -> Vec<Effect> {
        self.stage = Stage::Over;
        self.weight = 0;
        vec![Effect::Restore, Effect::Finish(End::Failed(cause))]
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Hook(Hook::Before, why) => write!(f, "the PreTraffic hook failed: {why}"),
            Cause::Hook(Hook::After, why) => write!(f, "the PostTraffic hook failed: {why}"),
            Cause::Alarm(name) => write!(f, "alarm {name} is in ALARM"),
            Cause::Stop(who) => write!(f, "it was stopped: {who}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rollout::Shifting;
    use super::*;

    fn linear(before: bool, after: bool) -> Deployment {
        Deployment::new(Shifting::parse("Linear10PercentEvery1Minute").unwrap().schedule(), before, after)
    }

    #[test]
    fn the_good_way_has_every_step_in_its_order() {
        let mut deployment = linear(true, true);
        assert_eq!(deployment.on(Input::Start(None)), [Effect::Invoke(Hook::Before)]);
        let first = deployment.on(Input::Reported(Hook::Before, Ok(())));
        assert_eq!(first, [Effect::BeginShift, Effect::Weigh { minute: 0, weight: 10 }, Effect::WakeAt(1)]);
        for minute in 1..9 {
            let effects = deployment.on(Input::Minute(minute));
            assert_eq!(
                effects,
                [Effect::Weigh { minute, weight: 10 * (minute + 1) }, Effect::WakeAt(minute + 1)]
            );
        }
        let last = deployment.on(Input::Minute(9));
        assert_eq!(
            last,
            [Effect::Weigh { minute: 9, weight: 100 }, Effect::EndShift, Effect::Invoke(Hook::After)]
        );
        assert_eq!(deployment.on(Input::Reported(Hook::After, Ok(()))), [Effect::Finish(End::Succeeded)]);
    }

    #[test]
    fn without_hooks_all_at_once_is_over_at_once() {
        let mut deployment = Deployment::new(Shifting::AllAtOnce.schedule(), false, false);
        let effects = deployment.on(Input::Start(None));
        let all = Effect::Weigh { minute: 0, weight: 100 };
        assert_eq!(effects, [Effect::BeginShift, all, Effect::EndShift, Effect::Finish(End::Succeeded)]);
    }

    #[test]
    fn an_alarm_that_is_there_already_stops_it_at_once() {
        let mut deployment = linear(true, true);
        let failed = End::Failed(Cause::Alarm("errors".into()));
        assert_eq!(
            deployment.on(Input::Start(Some("errors".into()))),
            [Effect::Restore, Effect::Finish(failed)]
        );
    }

    /// Driven as the engine drives it, woken when it asks to be: every step of every schedule comes at its minute, neither
    /// sooner nor later, and its share is the schedule's.
    #[test]
    fn every_step_hits_its_minute() {
        let mut random = fastrand::Rng::with_seed(10);
        for _ in 0..5_000 {
            let shifting = match random.u8(0..3) {
                0 => Shifting::AllAtOnce,
                1 => Shifting::Canary { percent: random.u32(1..100), minutes: random.u32(1..2_880) },
                _ => Shifting::Linear { percent: random.u32(1..100), minutes: random.u32(1..2_880) },
            };
            let mut deployment = Deployment::new(shifting.schedule(), false, random.bool());
            let (mut now, mut hits, mut effects) = (0, Vec::new(), deployment.on(Input::Start(None)));
            loop {
                let mut wake = None;
                for effect in &effects {
                    match effect {
                        Effect::Weigh { minute, weight } => {
                            assert_eq!(*minute, now, "{shifting:?}");
                            assert_eq!(deployment.weight(), *weight, "{shifting:?}: one step at a time");
                            hits.push(Shift { minute: now, weight: *weight });
                        }
                        Effect::WakeAt(minute) => wake = Some(*minute),
                        _ => {}
                    }
                }
                let Some(minute) = wake else { break };
                assert!(minute > now, "{shifting:?}: it is woken later, not at once");
                // One minute before, nothing happens but that it wants to be woken as before.
                if minute - now > 1 {
                    assert_eq!(deployment.on(Input::Minute(minute - 1)), [Effect::WakeAt(minute)]);
                }
                now = minute;
                effects = deployment.on(Input::Minute(now));
            }
            assert_eq!(hits, shifting.schedule(), "{shifting:?}");
            assert_eq!(deployment.weight(), 100, "{shifting:?}");
        }
    }

    /// Whatever comes in whatever order: weights rise until it is over, each step comes at its time, and it ends with
    /// all traffic at one version.
    #[test]
    fn no_interleaving_ends_between_two_versions() {
        let mut random = fastrand::Rng::with_seed(6);
        for round in 0..20_000 {
            let schedule = match random.u8(0..3) {
                0 => Shifting::AllAtOnce,
                1 => Shifting::Canary { percent: random.u32(1..100), minutes: random.u32(1..30) },
                _ => Shifting::Linear { percent: random.u32(1..101), minutes: random.u32(1..11) },
            }
            .schedule();
            let mut deployment = Deployment::new(schedule.clone(), random.bool(), random.bool());
            let (mut minute, mut steps, mut over, mut last) = (0, 0_usize, false, 0);
            let mut effects = deployment
                .on(Input::Start(random.bool().then(|| "a".to_owned()).filter(|_| random.u8(0..20) == 0)));
            for _ in 0..400 {
                for effect in &effects {
                    assert!(!over, "round {round}: nothing happens once it is over");
                    match effect {
                        Effect::Weigh { minute: at, weight } => {
                            assert!(*weight > last && *weight <= 100, "round {round}");
                            assert_eq!((*at, *weight), (schedule[steps].minute, schedule[steps].weight));
                            assert!(*at <= minute, "round {round}: not before its time");
                            (steps, last) = (steps + 1, *weight);
                        }
                        Effect::Finish(End::Succeeded) => {
                            over = true;
                            assert_eq!((deployment.weight(), steps), (100, schedule.len()), "round {round}");
                        }
                        Effect::Finish(End::Failed(_)) => {
                            over = true;
                            assert_eq!(deployment.weight(), 0, "round {round}");
                        }
                        _ => {}
                    }
                }
                if let Some(Effect::Finish(End::Failed(_))) = effects.last() {
                    assert_eq!(
                        effects[effects.len() - 2],
                        Effect::Restore,
                        "round {round}: the old version first"
                    );
                }
                let hook = if random.bool() { Hook::Before } else { Hook::After };
                let input = match random.u8(0..60) {
                    0 => Input::Alarm("a".into()),
                    1 => Input::Stop("me".into()),
                    2 => Input::Reported(hook, Err("no".into())),
                    3..=20 => Input::Reported(hook, Ok(())),
                    21 => Input::Start(None),
                    _ => {
                        minute += random.u32(0..4);
                        Input::Minute(minute)
                    }
                };
                // An alarm and a stop end it from anywhere, at once and as what they are.
                let cause = match &input {
                    Input::Alarm(name) => Some(Cause::Alarm(name.clone())),
                    Input::Stop(who) => Some(Cause::Stop(who.clone())),
                    _ => None,
                };
                effects = deployment.on(input);
                if let Some(cause) = cause.filter(|_| !over) {
                    let end = [Effect::Restore, Effect::Finish(End::Failed(cause))];
                    assert_eq!(effects, end, "round {round}");
                }
            }
            assert!(over, "round {round}: whatever comes, it ends");
        }
    }
}
