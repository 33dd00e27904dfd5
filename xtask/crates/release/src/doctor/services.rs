//! Whether a region has what a release needs.

use causeway_aws::region::Presence;
use causeway_model::fault::Fault;

/// What a region has, in words; the fault names what it lacks.
pub(super) fn services(region: &str, presence: &Presence) -> Result<String, Fault> {
    if presence.missing.is_empty() {
        let (answered, resolved) = (presence.answered.join(", "), presence.resolved.join(", "));
        return Ok(format!(
            "{region} has {answered} (they answered) and {resolved} (their names have addresses)"
        ));
    }
    Err(Fault::failed("find the services", region)
        .why(format!("no sign of {}", presence.missing.join(", ")))
        .next(
            "see that the network and its DNS are up; else choose a region that has them, in cfn/stacks.toml",
        ))
}

/// An endpoint that cannot be resolved is most likely a region that does not exist or lacks the service.
pub(super) fn unreachable_region(fault: Fault, region: &str) -> Fault {
    if fault.why.contains("dns error") || fault.why.contains("failed to lookup") {
        let next =
            format!("see that {region} is a region with all services used here, and that the network is up");
        return Fault { next, ..fault };
    }
    fault
}
