//! `doctor --drift`: what an account itself says who may do what, compared with the templates that its stacks were deployed with.

use std::collections::BTreeMap;

use super::Doctor;
use super::stacks::Seen;
use causeway_aws::cloudformation::Stacks;
use causeway_aws::policies::Policies;
use causeway_machine::clock::Stopwatch;
use causeway_model::drift::{Deployed, Thing, Wanted, of_policy, of_role, things};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::health::{Complaint, Severity};
use causeway_model::template::{self, Pseudo};
use serde_json::json;

/// What puts it back. CloudFormation compares templates alone, so another deployment of the same one changes nothing.
const FIX: &str = "see in CloudTrail who changed it and why; put it back by hand as the template has it, or make the change in the \
                   template and deploy that: a deployment of the same template changes nothing";

impl Doctor<'_> {
    /// Compares every role, key and bucket of a stack.
    pub(super) async fn drift(&mut self, finding: &str, seen: &Seen<'_>) {
        let watch = Stopwatch::start();
        let name = format!("drift-{}", finding.trim_start_matches("stack-"));
        let all = match wanted(seen).await {
            Ok(all) => all,
            Err(error) => return self.note(&name, watch, Err(from_error(&error))),
        };
        let policies = Policies::new(seen.account);
        let (mut complaints, count) = (Vec::new(), all.len());
        for thing in all {
            let on = format!("{} of {} in {}", thing.id, seen.name, seen.account.name);
            let what = "compare with its template";
            match differences(&policies, &thing).await {
                Ok(found) => complaints.extend(found.into_iter().map(|why| Complaint {
                    severity: Severity::Error,
                    fault:
                        Fault::fact(Kind::Failed, "it is not as its template says", &on).why(why).next(FIX),
                })),
                Err(error) => complaints.push(Complaint {
                    severity: Severity::Error,
                    fault: Fault::failed(what, &on).why(from_error(&error).why).next(from_error(&error).next),
                }),
            }
        }
        let seen = match count {
            0 => "it has no role, key or bucket policy".to_owned(),
            count => format!("{count} roles, keys and bucket policies are as their template says"),
        };
        self.judge(&name, watch, &seen, complaints);
    }
}

/// What the stack's template wants.
async fn wanted(seen: &Seen<'_>) -> anyhow::Result<Vec<Thing>> {
    let stacks = Stacks::new(seen.account);
    let read = |text: &str| template::parse(text).map(|root| root.to_json());
    let mut found = read(&stacks.template(seen.name).await?)?;
    if found.get("Transform").is_some() {
        found = read(&stacks.processed_template(seen.name).await?)?;
    }
    // The emulator has some conditions in another form: what it was given is what it is compared with.
    if seen.account.loopback {
        causeway_cloud::lowered_policies(&mut found);
    }
    let resources = stacks.resources(seen.name).await?;
    let resources: BTreeMap<String, (String, String)> =
        resources.into_iter().map(|(id, physical)| (id, (physical.id, physical.resource_type))).collect();
    let region = seen.account.region();
    let pseudo = Pseudo {
        account_id: seen.account.id.clone(),
        region: region.to_owned(),
        partition: causeway_prove::partition(region).to_owned(),
        stack_name: seen.name.to_owned(),
        stack_id: seen.info.id.clone(),
    };
    let parameters = &seen.info.parameters;
    Ok(things(Deployed { template: &found, parameters, resources: &resources, pseudo: &pseudo }))
}

/// In what a thing of the account is not as its template says.
async fn differences(policies: &Policies, thing: &Thing) -> anyhow::Result<Vec<String>> {
    let name = &thing.physical;
    let wanted = thing.wanted.as_ref().map_err(|why| {
        Fault::failed("read the template", &thing.id).why(why).next("compare it by hand in the console")
    })?;
    Ok(match wanted {
        Wanted::Role(wanted) => match policies.role(name).await? {
            Some(found) => of_role(&thing.id, wanted, &found),
            None => vec![format!("the role {name} is gone")],
        },
        Wanted::Key(wanted) => of_policy("key policy", "it", wanted, &policies.key(name).await?),
        Wanted::Bucket(wanted) => {
            let found = policies.bucket(name).await?.unwrap_or_else(|| json!({"Statement": []}));
            of_policy("bucket policy", "it", wanted, &found)
        }
    })
}
