//! The checks themselves: what each function must be able to do before it gets traffic, and after.
//!
//! The template chooses a suite by the variable `CHECKS`. Before traffic nothing is written: the version that is
//! being tested may be broken, and the data is everybody's. After it, the new version is what all clients write with
//! anyway.

use std::time::Duration;

use serde_json::Value;

use crate::check::{
    Check, Expected, GET, Step, Sweep, a_list, a_problem, an_empty_list, healthy, right_function,
};
use crate::settings::Phase;

/// The checks of one function.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// The function's short name, and the value of `CHECKS`.
    pub function: &'static str,
    /// Before traffic.
    pub pre: &'static [Check],
    /// After it.
    pub post: &'static [Check],
}

impl Suite {
    /// The checks of a phase.
    #[must_use]
    pub fn checks(&self, phase: Phase) -> &'static [Check] {
        match phase {
            Phase::PreTraffic => self.pre,
            Phase::PostTraffic => self.post,
        }
    }
}

/// Every function's checks.
pub const SUITES: &[Suite] = &[
    Suite {
        function: "checkin",
        pre: &[HEALTH, VERSION, READ, BAD_INPUT],
        post: &[HEALTH, VERSION, READ, BAD_INPUT, WRITE_READ_DELETE, API_HEALTH, API_VERSION],
    },
    Suite {
        function: "contacts",
        pre: &[CONTACTS_HEALTH, CONTACTS_VERSION, CONTACTS_READ, CONTACTS_BAD_INPUT],
        post: &[
            CONTACTS_HEALTH,
            CONTACTS_VERSION,
            CONTACTS_READ,
            CONTACTS_BAD_INPUT,
            CONTACTS_API_HEALTH,
            CONTACTS_API_VERSION,
        ],
    },
];

/// The name of the location that the hook writes and removes at once.
pub const MARK: &str = "causeway hook: removed at once";

/// The first question of a process pays for its cold start.
const COLD: Duration = Duration::from_secs(5);

/// The first question through the API waits for its address as well.
const FOUND: Duration = Duration::from_secs(8);

const HEALTH: Check = Check {
    name: "health",
    steps: &[Step { path: "/api/health", rule: healthy, within: COLD, ..GET }],
    sweep: None,
};

const VERSION: Check = Check {
    name: "version",
    steps: &[Step { path: "/api/version", rule: right_function, ..GET }],
    sweep: None,
};

/// The first use of the table pays for its connection.
const READ: Check = Check {
    name: "read",
    steps: &[Step { path: "/api/locations", query: "limit=1", rule: a_list, within: COLD, ..GET }],
    sweep: None,
};

const BAD_INPUT: Check = Check {
    name: "bad input is refused",
    steps: &[
        Step {
            method: "POST",
            path: "/api/locations",
            body: Some(r#"{"locationName":""}"#),
            status: 422,
            rule: a_problem,
            ..GET
        },
        Step { path: "/api/registrations", query: "dt=2026-02-30", status: 400, rule: a_problem, ..GET },
    ],
    sweep: None,
};

/// A location, because it is nobody's data.
const WRITE_READ_DELETE: Check = Check {
    name: "write, read, delete",
    steps: &[
        Step {
            method: "POST",
            path: "/api/locations",
            body: Some(r#"{"locationName":"causeway hook: removed at once"}"#),
            status: 201,
            rule: marked,
            keep: Some(("id", "/locationId")),
            ..GET
        },
        Step { path: "/api/locations/{id}", rule: marked, ..GET },
        Step { method: "DELETE", path: "/api/locations/{id}", status: 204, cleanup: true, ..GET },
        Step { path: "/api/locations/{id}", status: 404, ..GET },
    ],
    sweep: Some(Sweep {
        list: "/api/locations",
        field: "locationName",
        mark: MARK,
        id: "locationId",
        remove: "/api/locations/{id}",
    }),
};

/// The open routes as clients ask for them: an answer that API Gateway gives by itself, no call of the function shows.
const API_HEALTH: Check = Check {
    name: "health through the API",
    steps: &[Step { path: "/api/health", rule: healthy, through_api: true, within: FOUND, ..GET }],
    sweep: None,
};

const API_VERSION: Check = Check {
    name: "version through the API",
    steps: &[Step { path: "/api/version", rule: right_function, through_api: true, ..GET }],
    sweep: None,
};

const CONTACTS_API_HEALTH: Check = Check {
    name: "health through the API",
    steps: &[Step { path: "/api/contacts/health", rule: healthy, through_api: true, within: FOUND, ..GET }],
    sweep: None,
};

const CONTACTS_API_VERSION: Check = Check {
    name: "version through the API",
    steps: &[Step { path: "/api/contacts/version", rule: right_function, through_api: true, ..GET }],
    sweep: None,
};

const CONTACTS_HEALTH: Check = Check {
    name: "health",
    steps: &[Step { path: "/api/contacts/health", rule: healthy, within: COLD, ..GET }],
    sweep: None,
};

const CONTACTS_VERSION: Check = Check {
    name: "version",
    steps: &[Step { path: "/api/contacts/version", rule: right_function, ..GET }],
    sweep: None,
};

/// On a day long before this API nobody was anywhere.
const CONTACTS_READ: Check = Check {
    name: "read",
    steps: &[Step {
        path: "/api/contacts",
        query: "dt=2000-01-01&email=hook@causeway.invalid",
        rule: an_empty_list,
        within: COLD,
        ..GET
    }],
    sweep: None,
};

const CONTACTS_BAD_INPUT: Check = Check {
    name: "bad input is refused",
    steps: &[
        Step { path: "/api/contacts", query: "dt=2000-01-01", status: 400, rule: a_problem, ..GET },
        Step {
            path: "/api/contacts",
            query: "dt=2000-01-01&email=hook@causeway.invalid&window=0",
            status: 400,
            rule: a_problem,
            ..GET
        },
    ],
    sweep: None,
};

/// The rule for the location that the hook made: it carries the mark.
fn marked(body: &Value, _: &Expected) -> Result<(), String> {
    if body["locationName"] == MARK { Ok(()) } else { Err("it is not the location that was made".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hook, sweep};

    #[test]
    fn nothing_is_written_before_traffic() {
        for suite in SUITES {
            for check in suite.pre {
                let writes = check.steps.iter().any(|step| step.method != "GET" && step.status < 300);
                assert!(!writes && check.sweep.is_none(), "{} {}", suite.function, check.name);
            }
        }
    }

    #[test]
    fn what_is_written_carries_the_mark_and_is_swept() {
        for check in SUITES.iter().flat_map(|suite| suite.post) {
            for step in check.steps.iter().filter(|step| step.method == "POST" && step.status < 300) {
                let body: Value = serde_json::from_str(step.body.unwrap()).unwrap();
                let sweep = check.sweep.unwrap();
                assert_eq!(body[sweep.field], sweep.mark, "{}", check.name);
                assert!(check.steps.iter().any(|step| step.method == "DELETE" && step.cleanup));
            }
        }
    }

    /// The shortest time that the template gives a hook.
    fn time_of_a_hook() -> Duration {
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../cfn/app.yaml");
        let template = std::fs::read_to_string(template).unwrap();
        let hooks = template.split("FunctionName: !Sub CodeDeployHook_").skip(1);
        let times = hooks.map(|hook| {
            let row = hook.lines().map(str::trim).find_map(|row| row.strip_prefix("Timeout: "));
            row.unwrap().parse().unwrap()
        });
        let times: Vec<u64> = times.collect();
        assert_eq!(times.len(), SUITES.len() * 2, "each function has both hooks: {times:?}");
        Duration::from_secs(times.into_iter().min().unwrap())
    }

    /// The longest time that a phase can take: every answer comes at the last moment, or not at all.
    fn longest(phase: Phase, checks: &[Check]) -> Duration {
        let before = match phase {
            Phase::PreTraffic => hook::CODE_WITHIN,
            Phase::PostTraffic => Duration::ZERO,
        };
        let steps = checks.iter().flat_map(|check| check.steps).map(|step| step.within);
        let sweeps = checks.iter().filter(|check| check.sweep.is_some()).map(|_| sweep::IN_ALL);
        before + steps.chain(sweeps).sum::<Duration>()
    }

    #[test]
    fn the_time_is_enough_even_when_nothing_answers() {
        let checks_have = time_of_a_hook() - hook::RESERVE;
        for suite in SUITES {
            for phase in [Phase::PreTraffic, Phase::PostTraffic] {
                let longest = longest(phase, suite.checks(phase));
                assert!(longest < checks_have, "{} {phase:?}: {longest:?}", suite.function);
            }
        }
    }
}
