//! The third opinion on the access matrix: real calls of the deployed roles on a local cloud, which evaluates policies by
//! itself. The stacks are set up by roles that hold `prove --bootstrap-policies` and nothing else; the application is
//! deployed with empty packages (`app.rs`), so that its roles are there and nothing is compiled.

mod app;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Context;
use crate::gates_model::Judged;
use crate::real::{self, Answer, Ask, Real, Thing, compare};
use causeway_aws::cloudformation::Stacks;
use causeway_aws::raw;
use causeway_aws::{Account, Accounts, LocalWorld, OpenOptions, Unverified, assume_role};
use causeway_cloud::resident::{self, Keep};
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_model::calls::{Call, inline_policy, new_bucket, new_role, takes_away};
use causeway_model::config::{BUILD, Config};
use causeway_model::fault::{Fault, from_error};
use causeway_model::keys::Keys;
use causeway_prove::{self, Problem};
use causeway_release::bootstrap;

/// Where the cloud of this check keeps its things: one that a developer keeps up is left alone.
const CLOUD: &str = "target/causeway/check-calls";

/// How long a minute of AWS takes there.
const MINUTE: Duration = Duration::from_millis(200);

/// An account that is not ours: whose buckets the ones of others are.
const STRANGER: &str = "999999999999";

/// The role with the generated rights.
const PERSON: &str = "bootstrap-person";

/// What the templates say, before anything is deployed.
struct Paper {
    asks: Vec<Ask>,
    things: Vec<Thing>,
    rights: BTreeMap<String, Value>,
}

/// Sets up a local cloud with the generated rights, and makes every call that can be made.
///
/// # Errors
/// The cloud does not start, the rights do not do, or a call has no answer.
pub(super) async fn run(context: &Context) -> anyhow::Result<Judged> {
    let config = context.config()?;
    let paper = paper(context, &config).await?;
    let paths = Paths::of(&context.root).with_local(&context.root.join(CLOUD));
    let say = |text: &str| context.out.note(text);
    // A run that was cut off may have left one behind; its stacks would be there already.
    resident::down(&paths).await?;
    let found = resident::up(&config, &paths, &context.root, MINUTE, Keep::No, &say).await?;
    let result = check(context, &config, &paper, found.state().world(&paths)).await;
    // The bootstrap that must fail leaves what it planned.
    context.planned.take_back_before(&context.out, found.release()).await;
    result
}

async fn paper(context: &Context, config: &Config) -> anyhow::Result<Paper> {
    let files = causeway_prove_cmd::prove::read(&context.root.join("cfn"))?;
    let unreadable = |problem: Problem| Fault::failed("read the policies", "cfn").why(problem);
    let say = |text: &str| context.out.note(text);
    let expander = Expander::kept(&Paths::of(&context.root), &say).await?;
    let (asks, things, (rights, problems)) = causeway_prove::with(&files, config, &*expander, |proof| {
        (real::asks(proof.worlds(), proof.asked()), real::things(proof.worlds()), proof.bootstrap_policies())
    })
    .map_err(unreadable)?;
    match problems.into_iter().next() {
        Some(problem) => Err(unreadable(problem).into()),
        None => Ok(Paper { asks, things, rights }),
    }
}

async fn check(
    context: &Context,
    config: &Config,
    paper: &Paper,
    world: LocalWorld,
) -> anyhow::Result<Judged> {
    let options = OpenOptions { world: Some(world.clone()), ..OpenOptions::default() };
    let names: Vec<String> = config.accounts.keys().cloned().collect();
    let accounts = Unverified::open(config, &options).await?.verify(config, &names).await?;
    bootstrap_with_rights(context, config, &accounts, &paper.rights).await?;
    app::deploy(context, config, &accounts).await?;
    let real = real_names(config, &accounts, &paper.things).await?;
    let stranger = accounts.get(BUILD)?.with_keys("stranger", STRANGER, &world.root(STRANGER));
    for bucket in foreign(&paper.asks, &paper.things) {
        // A bucket that is nowhere is said to be so before anybody's rights are looked at.
        succeed(&stranger, &new_bucket(&bucket, &config.region)).await?;
    }
    let asked = paper.asks.len();
    let roles = paper.asks.iter().map(|ask| &ask.role).collect::<BTreeSet<_>>().len();
    let (answers, absent) = answers(config, &accounts, &real, &paper.asks).await?;
    let compared = compare(&answers, &absent)
        .map_err(|error| Fault::failed("compare with the local cloud", "").why(error))?;
    let data = json!({
        "asked": asked, "made": answers.len(), "agreed": compared.agreed,
        "expected_differences": compared.expected, "roles": roles, "roles_not_there": absent,
    });
    anyhow::ensure!(!answers.is_empty(), "no call of the matrix could be made");
    Ok(Judged { data, complaints: compared.complaints })
}

/// Bootstraps as roles that hold the generated policies alone. Before that it must fail without one of their statements.
async fn bootstrap_with_rights(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    rights: &BTreeMap<String, Value>,
) -> anyhow::Result<()> {
    let quiet = context.answering_yes();
    let mut people = accounts.clone();
    for (name, policy) in rights {
        let account = accounts.get(name)?;
        let arn =
            format!("arn:{}:iam::{}:role/{PERSON}", causeway_prove::partition(&config.region), account.id);
        succeed(account, &new_role(PERSON, &account.id, causeway_prove::partition(&config.region))).await?;
        succeed(account, &inline_policy(PERSON, &without(policy, "cloudformation:CreateChangeSet")?)).await?;
        let keys = assume_role(account, &arn, "person").await?;
        people = people.with(account.with_keys(name, &account.id, &keys));
    }
    match bootstrap::deploy(&quiet, config, &people, &bootstrap::Args::act()).await {
        Err(error) if format!("{error:#}").contains("CreateChangeSet") => {}
        Err(error) => {
            return Err(error.context("bootstrap without a right fails, but not for the lack of it"));
        }
        Ok(_) => {
            return Err(Fault::failed("bootstrap without cloudformation:CreateChangeSet", "the local cloud")
                .why("it went through, so the cloud does not look at the rights")
                .into());
        }
    }
    for (name, policy) in rights {
        succeed(accounts.get(name)?, &inline_policy(PERSON, policy)).await?;
    }
    let outcome = bootstrap::deploy(&quiet, config, &people, &bootstrap::Args::act()).await;
    let outcome = outcome.map_err(|error| {
        Fault::failed("bootstrap with the rights of prove --bootstrap-policies", "the local cloud")
            .why(from_error(&error))
            .next("add the right to xtask/src/model/prove/rights.rs, with its source")
    })?;
    anyhow::ensure!(
        outcome.error.is_none(),
        "bootstrap with the generated rights ended with {:?}",
        outcome.error
    );
    Ok(())
}

/// A policy without one action, which must be in it somewhere.
fn without(policy: &Value, action: &str) -> anyhow::Result<Value> {
    let mut policy = policy.clone();
    let mut gone = 0;
    let statements = policy["Statement"].as_array_mut().context("the policy has no statements")?;
    statements.retain_mut(|statement| {
        let before = gone;
        if let Some(actions) = statement["Action"].as_array_mut() {
            actions.retain(|one| {
                gone += usize::from(one == action);
                one != action
            });
            return !actions.is_empty();
        }
        gone += usize::from(statement["Action"] == action);
        gone == before
    });
    anyhow::ensure!(gone > 0, "the policy does not have {action}");
    Ok(policy)
}

async fn succeed(account: &Account, call: &Call) -> anyhow::Result<()> {
    let (status, said) = raw::send(account, call).await?;
    anyhow::ensure!((200..300).contains(&status), "the local cloud refused a set-up call: {status} {said}");
    Ok(())
}

/// The buckets that are asked for and that no stack has.
fn foreign(asks: &[Ask], things: &[Thing]) -> BTreeSet<String> {
    let buckets = asks.iter().filter_map(|ask| {
        let name = ask.resource.split_once(":s3:::")?.1;
        name.split('/').next().filter(|name| *name != "*").map(ToOwned::to_owned)
    });
    buckets.filter(|name| things.iter().all(|thing| thing.reference != *name)).collect()
}

/// What the made-up names are called in the cloud.
async fn real_names(config: &Config, accounts: &Accounts, things: &[Thing]) -> anyhow::Result<Real> {
    let mut stacks: BTreeMap<(&str, &str), BTreeMap<String, String>> = BTreeMap::new();
    for thing in things {
        let place = (thing.account.as_str(), thing.stack.as_str());
        if !config.accounts.contains_key(place.0) || stacks.contains_key(&place) {
            continue;
        }
        let service = Stacks::new(accounts.get(place.0)?);
        let found = match service.describe(place.1).await? {
            Some(_) => service.resources(place.1).await?,
            None => BTreeMap::new(),
        };
        stacks.insert(place, found.into_iter().map(|(id, physical)| (id, physical.id)).collect());
    }
    let pairs = things.iter().filter(|thing| thing.is_made_up()).filter_map(|thing| {
        let found = stacks.get(&(thing.account.as_str(), thing.stack.as_str()))?.get(&thing.id)?;
        Some((thing.reference.clone(), found.clone()))
    });
    Ok(Real::of(pairs))
}

/// A session of every role that is asked about; `None` where nobody can become it.
async fn sessions<'a>(
    config: &Config,
    accounts: &Accounts,
    real: &Real,
    asks: &'a [Ask],
) -> anyhow::Result<BTreeMap<&'a str, Option<Keys>>> {
    let mut all: BTreeMap<&str, Option<Keys>> = BTreeMap::new();
    for ask in asks {
        if !all.contains_key(ask.role.as_str()) {
            let account = accounts.get(account_of(config, &ask.role)?)?;
            all.insert(&ask.role, assume_role(account, &real.text(&ask.role), "asked").await.ok());
        }
    }
    // A role that trusts one other role alone is not for its account's root: that other role becomes it then.
    let trusted = asks.iter().filter(|ask| ask.allowed && ask.action == "sts:AssumeRole");
    for ask in trusted {
        let Some((role, None)) = all.get_key_value(ask.resource.as_str()) else { continue };
        let (role, Some(Some(keys))) = (*role, all.get(ask.role.as_str())) else { continue };
        let name = account_of(config, &ask.role)?;
        let account = accounts.get(name)?;
        let asking = account.with_keys(name, &account.id, keys);
        all.insert(role, assume_role(&asking, &real.text(role), "asked").await.ok());
    }
    Ok(all)
}

/// The name of the account that a role is in.
fn account_of<'a>(config: &'a Config, role: &str) -> anyhow::Result<&'a str> {
    let id = role.split(':').nth(4).unwrap_or_default();
    config.account_named_by_id(id).context("a role of an account that is not ours")
}

/// Makes the calls: what takes something away comes last. Also who is not there.
async fn answers(
    config: &Config,
    accounts: &Accounts,
    real: &Real,
    asks: &[Ask],
) -> anyhow::Result<(Vec<Answer>, BTreeSet<String>)> {
    let sessions = sessions(config, accounts, real, asks).await?;
    let lost = asks.iter().filter(|ask| sessions.get(ask.role.as_str()).is_some_and(Option::is_none));
    let absent = lost.map(|ask| ask.who.clone()).collect();
    let mut all = Vec::new();
    for last in [false, true] {
        let mut open: BTreeMap<&str, Vec<(Ask, Call)>> = BTreeMap::new();
        for ask in asks.iter().filter(|ask| takes_away(&ask.action) == last) {
            if let Some(call) = real.call(ask) {
                open.entry(&ask.role).or_default().push((ask.clone(), call));
            }
        }
        let mut begun = JoinSet::new();
        for (role, calls) in open {
            let Some(keys) = sessions.get(role).cloned().flatten() else { continue };
            let name = account_of(config, role)?;
            let account = accounts.get(name)?;
            let session = account.with_keys(name, &account.id, &keys);
            begun.spawn(async move { one_role(&session, calls).await });
        }
        while let Some(ended) = begun.join_next().await {
            all.extend(ended??);
        }
    }
    let order = |one: &Answer| {
        let ask = &one.ask;
        (ask.row.clone(), ask.role.clone(), ask.action.clone(), ask.resource.clone())
    };
    all.sort_by_cached_key(order);
    Ok((all, absent))
}

async fn one_role(session: &Account, calls: Vec<(Ask, Call)>) -> anyhow::Result<Vec<Answer>> {
    let mut known: HashMap<String, (bool, String)> = HashMap::new();
    let mut all = Vec::new();
    for (ask, call) in calls {
        // Several rows ask the same.
        let name = format!("{call:?}");
        let (allowed, said) = match known.get(&name) {
            Some(answer) => answer.clone(),
            None => raw::may(session, &call)
                .await
                .with_context(|| format!("row {}: {} asks {}", ask.row, ask.who, ask.action))?,
        };
        known.insert(name, (allowed, said.clone()));
        all.push(Answer { ask, allowed, said });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_others_are_those_that_no_stack_has() {
        let ask = |resource: &str| Ask {
            row: "X1".into(),
            who: "r".into(),
            role: "arn:aws:iam::1:role/r".into(),
            action: "s3:GetObject".into(),
            resource: resource.into(),
            keys: BTreeMap::new(),
            allowed: false,
        };
        let asks =
            [ask("arn:aws:s3:::ours/k"), ask("arn:aws:s3:::theirs/k"), ask("*"), ask("arn:aws:s3:::*")];
        let ours =
            Thing { account: "build".into(), stack: "s".into(), id: "B".into(), reference: "ours".into() };
        assert_eq!(foreign(&asks, &[ours]), BTreeSet::from(["theirs".to_owned()]));
    }

    #[test]
    fn a_right_is_taken_out_of_a_policy() {
        let policy =
            json!({"Statement": [{"Action": ["a:B", "a:C"]}, {"Action": ["a:C"]}, {"Action": "a:C"}]});
        assert_eq!(without(&policy, "a:C").unwrap(), json!({"Statement": [{"Action": ["a:B"]}]}));
        assert!(without(&policy, "a:D").is_err());
    }
}
