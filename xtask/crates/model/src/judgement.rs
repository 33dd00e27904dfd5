//! Whether a release could be judged on this machine, and what is said where it could not.

use serde::Serialize;

use super::fault::{Fault, Kind};
use super::latency::Course;

/// What one alarm of a deployment said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The environment.
    pub env: String,
    /// The function.
    pub function: String,
    /// The alarm's name.
    pub alarm: String,
    /// Its metric.
    pub metric: String,
    /// What its periods said.
    pub course: Course,
}

/// What was not rehearsed, for the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotRehearsed {
    /// What it is.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// Everything that was judged in a run, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgements {
    /// Alarms of deployments that succeeded.
    pub alarms: Vec<Judgement>,
    /// Environment, function and reason of what nothing can be said about.
    pub none: Vec<(String, String, String)>,
}

impl Judgements {
    /// The first alarm that gave no verdict, where no later environment made up for it: there the same function was judged
    /// by the same metric.
    fn open(&self) -> Option<&Judgement> {
        self.alarms.iter().enumerate().find_map(|(n, one)| {
            let later = self.alarms.get(n + 1..).unwrap_or_default();
            let made_up = later.iter().any(|other| {
                other.env != one.env
                    && (&other.function, &other.metric) == (&one.function, &one.metric)
                    && other.course.judged > 0
                    && other.course.is_verdict()
            });
            (!one.course.is_verdict() && !made_up).then_some(one)
        })
    }

    /// Why a release that came through is not called released.
    pub fn unjudged(&self) -> Option<Fault> {
        let (on, why) = match (self.none.first(), self.open()) {
            (Some((env, function, why)), _) => (format!("{function} in {env}"), why.clone()),
            (None, Some(open)) => {
                let Course { judged, unjudged, why } = &open.course;
                let why = why.clone().unwrap_or_default();
                let of = judged + unjudged;
                (open.alarm.clone(), format!("no verdict in {unjudged} of {of} periods: {why}"))
            }
            (None, None) => return None,
        };
        Some(too_busy("judge the release", on, why))
    }

    /// A failure of an environment's deployment, which this machine may explain: then it is none of the release's. What a
    /// function failed by is told with its name, so another function's lateness excuses nothing.
    pub fn excuse(&self, env: &str, fault: Fault) -> Fault {
        let named = |function: &str| {
            let own = format!("{function}: ");
            let whole =
                |at: usize| !fault.why[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
            fault.on == function || fault.why.match_indices(&own).any(|(at, _)| whole(at))
        };
        match self.none.iter().find(|(of, function, _)| of == env && named(function)) {
            Some((_, function, why)) => {
                let why = format!("{function}: {why}; what came of it: {}", fault.why);
                too_busy(&fault.what, fault.on, why)
            }
            None => fault,
        }
    }

    /// What the result names as not rehearsed.
    pub fn not_rehearsed(&self) -> Vec<NotRehearsed> {
        let alarms = self.alarms.iter().filter_map(|one| {
            let why = one.course.why.clone()?;
            let of = one.course.judged + one.course.unjudged;
            let what = format!("{} of {of} periods of the alarm {}", one.course.unjudged, one.alarm);
            Some(NotRehearsed { what, why })
        });
        let none = self.none.iter().map(|(env, function, why)| NotRehearsed {
            what: format!("a verdict about {function} in {env}"),
            why: why.clone(),
        });
        alarms.chain(none).collect()
    }
}

/// A failure that says nothing of the release, since this machine explains it.
pub fn too_busy(what: &str, on: String, why: String) -> Fault {
    Fault::new(Kind::TimedOut, what, on)
        .why(format!("this machine is too busy to judge: {why}"))
        .next("rehearse again when less runs beside it, or with longer minutes, for instance --minute 4s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(env: &str, function: &str, metric: &str, judged: u32, unjudged: u32) -> Judgement {
        let why = (unjudged > 0).then(|| "both were slow".to_owned());
        Judgement {
            env: env.into(),
            function: function.into(),
            alarm: format!("{env}-{function}-{metric}"),
            metric: metric.into(),
            course: Course { judged, unjudged, why },
        }
    }

    #[test]
    fn a_release_is_released_where_its_alarms_judged_it() {
        let table: Vec<(&str, Vec<Judgement>, Option<&str>)> = vec![
            ("nothing shifted", vec![], None),
            ("all judged", vec![judgement("prod", "f", "Duration", 8, 0)], None),
            ("most judged", vec![judgement("prod", "f", "Duration", 8, 2)], None),
            ("no requests", vec![judgement("prod", "f", "Duration", 0, 0)], None),
            ("none judged", vec![judgement("prod", "f", "Duration", 0, 3)], Some("prod-f-Duration")),
            ("few judged", vec![judgement("prod", "f", "Duration", 2, 2)], Some("prod-f-Duration")),
            (
                "not in dev, but in prod",
                vec![judgement("dev", "f", "Duration", 0, 1), judgement("prod", "f", "Duration", 8, 0)],
                None,
            ),
            (
                "not in dev, and prod had no requests",
                vec![judgement("dev", "f", "Duration", 0, 1), judgement("prod", "f", "Duration", 0, 0)],
                Some("dev-f-Duration"),
            ),
            (
                "in dev, but not in prod",
                vec![judgement("dev", "f", "Duration", 8, 0), judgement("prod", "f", "Duration", 0, 1)],
                Some("prod-f-Duration"),
            ),
            (
                "another function or metric makes up for nothing",
                vec![
                    judgement("dev", "f", "Duration", 0, 1),
                    judgement("prod", "g", "Duration", 8, 0),
                    judgement("prod", "f", "Errors", 8, 0),
                ],
                Some("dev-f-Duration"),
            ),
        ];
        for (what, alarms, expected) in table {
            let fault = Judgements { alarms, none: vec![] }.unjudged();
            assert_eq!(fault.as_ref().map(|fault| fault.on.as_str()), expected, "{what}");
            if let Some(fault) = fault {
                assert_eq!(fault.kind, Kind::TimedOut);
                assert!(
                    fault.why.contains("too busy to judge") && fault.why.contains("both were slow"),
                    "{fault}"
                );
            }
        }
    }

    #[test]
    fn a_failure_that_the_machine_explains_is_none_of_the_releases() {
        let none = vec![("prod".to_owned(), "f".to_owned(), "it ran out of time".to_owned())];
        let judgements = Judgements { alarms: vec![], none };
        let fault = Fault::new(Kind::RolledBack, "deploy the stack", "s")
            .why("UPDATE_ROLLBACK_COMPLETE: f: the hook failed");
        let excused = judgements.excuse("prod", fault.clone());
        assert_eq!((excused.kind, excused.on.as_str()), (Kind::TimedOut, "s"));
        for part in ["too busy to judge", "it ran out of time", "the hook failed"] {
            assert!(excused.why.contains(part), "{part}: {excused}");
        }
        assert_eq!(judgements.excuse("dev", fault.clone()), fault, "another environment's");
        let other = fault.clone().why("UPDATE_ROLLBACK_COMPLETE: pdf: the alarm g-errors went off");
        assert_eq!(judgements.excuse("prod", other.clone()), other, "another function's own cause");
        assert_eq!(Judgements::default().excuse("prod", fault.clone()), fault);
        assert_eq!(judgements.unjudged().unwrap().on, "f in prod");
    }

    #[test]
    fn what_was_left_open_is_named_even_where_the_release_was_judged() {
        let alarms = vec![judgement("prod", "f", "Duration", 7, 2), judgement("prod", "f", "Errors", 9, 0)];
        let judgements = Judgements { alarms, none: vec![] };
        let expected = NotRehearsed {
            what: "2 of 9 periods of the alarm prod-f-Duration".into(),
            why: "both were slow".into(),
        };
        assert_eq!((judgements.unjudged(), judgements.not_rehearsed()), (None, vec![expected]));
    }
}
