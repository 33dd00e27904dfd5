//! Each stack: whether it can be deployed, how it stands, its protection and its mark.

use causeway_aws::Account;
use causeway_aws::cloudformation::{StackInfo, Stacks};
use causeway_machine::clock::Stopwatch;
use causeway_model::config::{Config, DeployedBy, Instance};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::health;
use causeway_model::ownership::{self, ISOLATED};
use causeway_model::stack::{Outcome as How, Phase, StackStatus};
use causeway_model::template;

use super::Doctor;

impl Doctor<'_> {
    /// The isolated stacks of an account that can never be deployed again; the names of those that were removed.
    pub(super) async fn isolated(
        &mut self,
        config: &Config,
        account: &Account,
        fix: bool,
    ) -> anyhow::Result<Vec<String>> {
        let watch = Stopwatch::start();
        let prefix = format!("{}-isolated-", config.project);
        let all = match Stacks::new(account).named(&prefix).await {
            Ok(all) => all,
            Err(error) => {
                self.note(&format!("isolated-{}", account.name), watch, Err(from_error(&error)));
                return Ok(Vec::new());
            }
        };
        let mut changed = Vec::new();
        for (name, _) in all {
            let short = name.strip_prefix(&format!("{}-", config.project)).unwrap_or(&name);
            let finding = format!("stack-{}-{short}", account.name);
            let watch = Stopwatch::start();
            match Stacks::new(account).describe(&name).await {
                Ok(Some(info)) if is_dead(&info) => {
                    changed.extend(self.dead(account, &finding, &name, watch, fix).await?);
                }
                Ok(Some(info)) => {
                    let stack = Seen {
                        account,
                        name: &name,
                        info: &info,
                        by_bootstrap: false,
                        is_to_be_protected: false,
                    };
                    self.standing(&finding, watch, &stack, (&config.project, ISOLATED)).await;
                }
                Ok(None) => {}
                Err(error) => self.note(&finding, watch, Err(from_error(&error))),
            }
        }
        Ok(changed)
    }

    /// A stack and whether it can be deployed; the name of one that was removed.
    pub(super) async fn stack(
        &mut self,
        config: &Config,
        account: &Account,
        instance: &Instance,
        fix: bool,
    ) -> anyhow::Result<Option<String>> {
        let watch = Stopwatch::start();
        let name = config.stack_name(instance);
        let finding = format!("stack-{}-{}", instance.account, instance.stack);
        let stacks = Stacks::new(account);
        let info = match stacks.describe(&name).await {
            Ok(Some(info)) => info,
            Ok(None) => {
                let next = if config
                    .stack(&instance.stack)
                    .is_some_and(|stack| stack.deployed_by == DeployedBy::Pipeline)
                {
                    "not deployed yet; the pipeline does"
                } else {
                    "not deployed yet; cargo xtask bootstrap does"
                };
                self.note(&finding, watch, Ok(next.to_owned()));
                return Ok(None);
            }
            Err(error) => {
                self.note(&finding, watch, Err(from_error(&error)));
                return Ok(None);
            }
        };
        let by_bootstrap =
            config.stack(&instance.stack).is_some_and(|stack| stack.deployed_by == DeployedBy::Bootstrap);
        if !is_dead(&info) || by_bootstrap {
            let is_to_be_protected =
                config.accounts.get(&instance.account).is_some_and(|found| found.protected);
            let stack = Seen { account, name: &name, info: &info, by_bootstrap, is_to_be_protected };
            self.standing(&finding, watch, &stack, (&config.project, &instance.stack)).await;
            self.pipelines(account, &name).await;
            if config.stack(&instance.stack).is_some_and(|s| s.deployed_by == DeployedBy::Pipeline) {
                self.alarms(account, instance, &name).await;
            }
            return Ok(None);
        }
        self.dead(account, &finding, &name, watch, fix).await
    }

    /// How a stack stands, with its protection and its mark.
    async fn standing(&mut self, finding: &str, watch: Stopwatch, seen: &Seen<'_>, should_be: (&str, &str)) {
        // One that was only planned has no template yet ("GetTemplate" refuses it).
        let text = match seen.info.status {
            StackStatus::Review => String::new(),
            _ => match Stacks::new(seen.account).template(seen.name).await {
                Ok(text) => text,
                Err(error) => return self.note(finding, watch, Err(from_error(&error))),
            },
        };
        let root = template::parse(&text).ok();
        let complaints = health::of_stack(&health::Stack {
            name: seen.name,
            status: &seen.info.status,
            by_bootstrap: seen.by_bootstrap,
            protected: seen.info.protected,
            is_to_be_protected: seen.is_to_be_protected,
            mark: root.as_ref().and_then(ownership::mark),
            should_be,
        });
        self.judge(finding, watch, &seen.info.status.to_string(), complaints);
        if self.drift && seen.info.status != StackStatus::Review {
            self.drift(finding, seen).await;
        }
    }

    /// A stack whose first create failed: what it holds, and, where that is wanted and confirmed, its removal.
    async fn dead(
        &mut self,
        account: &Account,
        finding: &str,
        name: &str,
        watch: Stopwatch,
        fix: bool,
    ) -> anyhow::Result<Option<String>> {
        let stacks = Stacks::new(account);
        let held = stacks.held(name).await?;
        let holds: Vec<String> =
            held.iter().map(|(id, physical)| format!("{id} ({})", physical.resource_type)).collect();
        let holds = if holds.is_empty() {
            "nothing is left in it".to_owned()
        } else {
            format!("it holds {}", holds.join(", "))
        };
        let dead = Fault::new(Kind::Stuck, "deploy the stack", format!("{name} in {}", account.name))
            .why(format!(
                "it is in ROLLBACK_COMPLETE: its first create failed, so it can only be removed; {holds}"
            ))
            .next("cargo xtask doctor --fix removes it, after asking; then release again");
        self.note(finding, watch, Err(dead));
        if !fix || !self.context.out.confirm(&format!("Remove {name} in {}?", account.name)).await? {
            return Ok(None);
        }
        let watch = Stopwatch::start();
        let gone =
            stacks.delete(name, std::time::Duration::from_secs(3_600), &self.context.out.emitter()).await?;
        if gone.status != StackStatus::Absent {
            let why = gone.first_failure.unwrap_or_else(|| gone.status.to_string());
            return Err(Fault::failed("remove the stack", name)
                .why(why)
                .next("remove what blocks it in the console")
                .into());
        }
        // It is in order now.
        self.findings.pop();
        self.note(finding, watch, Ok("removed; the next release creates it anew".to_owned()));
        Ok(Some(format!("{}/{name}", account.name)))
    }
}

/// A stack that was found, and what is known of it from the configuration.
pub(super) struct Seen<'a> {
    pub(super) account: &'a Account,
    pub(super) name: &'a str,
    pub(super) info: &'a StackInfo,
    by_bootstrap: bool,
    is_to_be_protected: bool,
}

/// Whether the stack's first create failed, so that it can only be removed.
fn is_dead(info: &StackInfo) -> bool {
    info.status == StackStatus::Known(Phase::Rollback, How::Complete)
}
