//! The decision on a request, from every policy that bears on it.
//!
//! Source: IAM user guide, "Policy evaluation logic", "How AWS enforcement code logic evaluates requests to allow or
//! deny access" and "Cross-account policy evaluation logic"; "Permissions boundaries for IAM entities" for what an
//! implicit deny of a boundary cuts off; AWS KMS developer guide, "Key policies in AWS KMS" for keys.

use super::principal::{Caller, Principal, Who};
use super::request::Request;
use super::statement::{Effect, Lack, Matched, Place, Statement};

/// What kind of resource a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Bucket, topic, function: in its own account an identity policy suffices.
    Ordinary,
    /// A key: "No AWS principal, including the account root user or key creator, has any permissions to a KMS key unless
    /// they are explicitly allowed" in the key policy; `:root` lets the account's identity policies decide.
    Key,
    /// A role's trust: it must allow, in its own account, too.
    Trust,
}

/// The policy of the resource that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ResourcePolicy<'a> {
    /// What it is attached to.
    pub guard: Guard,
    /// Its statements.
    pub statements: &'a [Statement],
}

/// Every policy that bears on a request.
#[derive(Debug, Clone, Default)]
pub struct Bearing<'a> {
    /// The policies of the caller.
    pub identity: Vec<&'a [Statement]>,
    /// The caller's permissions boundary.
    pub boundary: Option<&'a [Statement]>,
    /// The session policy.
    pub session: Option<&'a [Statement]>,
    /// The service control policies of the caller's account, besides FullAWSAccess.
    pub scps: Vec<&'a [Statement]>,
    /// The policy of the resource, where it has one.
    pub resource: Option<ResourcePolicy<'a>>,
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Denied by a statement.
    ExplicitDeny,
    /// Denied because nothing allows it.
    ImplicitDeny,
}

/// A decision and the statements that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How the request ends.
    pub decision: Decision,
    /// The statements that decided: the grants of an allow, the statement of a deny.
    pub by: Vec<Place>,
    /// What is lacking in an implicit deny, as in "the key policy".
    pub lacking: Option<&'static str>,
    /// The statement that came nearest to deciding otherwise, and what kept it from applying.
    pub near: Option<(Place, Lack)>,
}

impl Verdict {
    /// Whether the request is allowed.
    pub fn allowed(&self) -> bool {
        self.decision == Decision::Allow
    }

    fn allow(by: Vec<Place>) -> Self {
        Self { decision: Decision::Allow, by, lacking: None, near: None }
    }
}

type Match<'m> = dyn FnMut(&Statement, &Request) -> Result<Matched, String> + 'm;

/// Decides a request: in go the request and the policies, out come the decision and the statements that made it.
///
/// `matcher` says what a statement says about the request: [`Statement::matches`], unless a caller keeps answers or tries what
/// would be if a statement were not there ([`Matched::GONE`]). It is asked at most once for each statement and layer.
///
/// # Errors
/// A statement that cannot be evaluated, in the matcher's words.
pub fn decide(request: &Request, bearing: &Bearing<'_>, matcher: &mut Match<'_>) -> Result<Verdict, String> {
    // "An explicit deny in any of these policies overrides the allow."
    let resource = bearing.resource.map(|policy| policy.statements);
    let service = matches!(request.caller, Caller::Service { .. });
    let layers = bearing
        .scps
        .iter()
        .copied()
        .chain(resource)
        .chain(bearing.identity.iter().copied())
        .chain(bearing.boundary)
        .chain(bearing.session);
    for statement in layers.flatten().filter(|statement| statement.raw.effect == Effect::Deny) {
        let matched = matcher(statement, request)?;
        // "NotPrincipal … with a Deny effect will always deny any IAM principal that has a permissions boundary policy
        // attached, regardless of the values specified" ("Permissions boundaries for IAM entities").
        let spared = bearing.boundary.is_some()
            && matched.lack == Some(Lack::Principal)
            && statement.raw.principal.as_ref().is_some_and(Principal::is_negated);
        if matched.applies() || (spared && statement.lacks_otherwise(request)?.is_none()) {
            let by = vec![statement.place.clone()];
            return Ok(Verdict { decision: Decision::ExplicitDeny, by, lacking: None, near: None });
        }
    }
    let mut near = Near::default();
    let (granted, grant) = grant(request, resource, matcher, &mut near)?;
    if service {
        // A service acting for itself has no policies of its own, and service control policies do not apply to it.
        return Ok(if granted >= Who::Named {
            Verdict::allow(grant)
        } else {
            near.deny("the resource's policy")
        });
    }
    let guard = bearing.resource.map_or(Guard::Ordinary, |policy| policy.guard);
    let same_account = request.caller.account() == Some(request.owner.as_str());
    if granted == Who::No && (!same_account || guard != Guard::Ordinary) {
        return Ok(near.deny(match guard {
            Guard::Key => "the key policy",
            Guard::Trust => "the trust policy",
            Guard::Ordinary => "the resource's policy",
        }));
    }
    // "Resource-based policies that grant permissions to an IAM role session ARN grant directly": no implicit deny in a
    // boundary or session policy matters, nor for what is granted with "a wildcard(*) in the Principal element". For a
    // role's ARN it does; for a user's ARN it does not.
    if same_account && granted >= Who::Any {
        return Ok(Verdict::allow(grant));
    }
    let user = matches!(request.caller, Caller::User { .. });
    if same_account && granted == Who::Named && user {
        return Ok(Verdict::allow(grant));
    }
    let mut by = grant;
    let direct = same_account && granted >= Who::Named;
    if !direct {
        // What kept the resource's policy from granting it says nothing about the caller's.
        near = Near::default();
        match first_allow(request, bearing.identity.iter().copied().flatten(), matcher, &mut near)? {
            Some(place) => by.insert(0, place),
            None => return Ok(near.deny("the caller's policies")),
        }
    }
    for (layer, what) in
        [(bearing.boundary, "the permissions boundary"), (bearing.session, "the session policy")]
    {
        let Some(statements) = layer else { continue };
        near = Near::default();
        match first_allow(request, statements.iter(), matcher, &mut near)? {
            Some(place) => by.push(place),
            None => return Ok(near.deny(what)),
        }
    }
    Ok(Verdict::allow(by))
}

/// The strongest grant of a resource's policy, with the statement that makes it.
fn grant(
    request: &Request,
    statements: Option<&[Statement]>,
    matcher: &mut Match<'_>,
    near: &mut Near,
) -> Result<(Who, Vec<Place>), String> {
    let mut best = (Who::No, Vec::new());
    for statement in
        statements.into_iter().flatten().filter(|statement| statement.raw.effect == Effect::Allow)
    {
        let matched = matcher(statement, request)?;
        if matched.applies() && matched.who > best.0 {
            best = (matched.who, vec![statement.place.clone()]);
        }
        near.see(statement, matched);
    }
    Ok(best)
}

fn first_allow<'a>(
    request: &Request,
    statements: impl Iterator<Item = &'a Statement>,
    matcher: &mut Match<'_>,
    near: &mut Near,
) -> Result<Option<Place>, String> {
    for statement in statements.filter(|statement| statement.raw.effect == Effect::Allow) {
        let matched = matcher(statement, request)?;
        if matched.applies() {
            return Ok(Some(statement.place.clone()));
        }
        near.see(statement, matched);
    }
    Ok(None)
}

/// The statement that came nearest to applying.
#[derive(Default)]
struct Near(Option<(Place, Lack)>);

impl Near {
    fn see(&mut self, statement: &Statement, matched: Matched) {
        let Some(lack) = matched.lack else { return };
        if lack > Lack::Action && self.0.as_ref().is_none_or(|(_, best)| lack > *best) {
            self.0 = Some((statement.place.clone(), lack));
        }
    }

    fn deny(self, lacking: &'static str) -> Verdict {
        Verdict { decision: Decision::ImplicitDeny, by: Vec::new(), lacking: Some(lacking), near: self.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::super::request::Setting;
    use super::super::statement::Kind;
    use super::*;

    const A: &str = "111111111111";
    const B: &str = "222222222222";

    fn statements(of: &str, kind: Kind, all: &[Value]) -> Vec<Statement> {
        let place = |n: usize| Place { file: "t".into(), line: n + 1, of: of.into(), sid: n.to_string() };
        all.iter()
            .enumerate()
            .map(|(n, v)| Statement::parse(v, place(n), kind, true, "aws", n).unwrap())
            .collect()
    }

    #[derive(Default)]
    struct World {
        identity: Vec<Value>,
        boundary: Option<Vec<Value>>,
        session: Option<Vec<Value>>,
        scp: Vec<Value>,
        resource: Option<(Guard, Vec<Value>)>,
    }

    fn ask(world: &World, caller: &Caller, action: &str, resource: &str, keys: &[(&str, &str)]) -> Verdict {
        let setting = Setting {
            region: "eu-central-1".into(),
            partition: "aws".into(),
            url_suffix: "amazonaws.com".into(),
            organization: None,
            accounts: vec![A.into(), B.into()],
        };
        let given: BTreeMap<String, Vec<String>> =
            keys.iter().map(|(k, v)| ((*k).into(), vec![(*v).into()])).collect();
        let request = Request::new(caller, action, resource, A, &setting, &given).unwrap();
        let identity = statements("identity", Kind::Identity, &world.identity);
        let boundary = world.boundary.as_ref().map(|all| statements("boundary", Kind::Identity, all));
        let session = world.session.as_ref().map(|all| statements("session", Kind::Identity, all));
        let scp = statements("scp", Kind::Identity, &world.scp);
        let policy = world.resource.as_ref().map(|(guard, all)| {
            let kind = if *guard == Guard::Trust { Kind::Trust } else { Kind::Resource };
            (*guard, statements("resource", kind, all))
        });
        let bearing = Bearing {
            identity: vec![&identity],
            boundary: boundary.as_deref(),
            session: session.as_deref(),
            scps: vec![&scp],
            resource: policy.as_ref().map(|(guard, all)| ResourcePolicy { guard: *guard, statements: all }),
        };
        decide(&request, &bearing, &mut |statement, request| statement.matches(request)).unwrap()
    }

    fn role(account: &str) -> Caller {
        Caller::Role { arn: format!("arn:aws:iam::{account}:role/r") }
    }

    fn allow(action: &str, resource: &str) -> Value {
        json!({"Effect": "Allow", "Action": action, "Resource": resource})
    }

    fn grant_to(principal: Value, action: &str) -> Value {
        json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"})
    }

    const OBJECT: &str = "arn:aws:s3:::bucket/key";
    const KEY: &str = "arn:aws:kms:eu-central-1:111111111111:key/k";

    #[test]
    fn within_an_account_either_side_suffices_and_across_accounts_both_must_allow() {
        let bucket = |principal: Value| Some((Guard::Ordinary, vec![grant_to(principal, "s3:*")]));
        let own = vec![allow("s3:GetObject", OBJECT)];
        let role_b = json!({"AWS": format!("arn:aws:iam::{B}:role/r")});
        let role_a = json!({"AWS": format!("arn:aws:iam::{A}:role/r")});
        type Case = (&'static str, Vec<Value>, Option<(Guard, Vec<Value>)>, bool, &'static str);
        let table: [Case; 8] = [
            (A, own.clone(), None, true, ""),
            (A, vec![], bucket(role_a), true, ""),
            (A, vec![], bucket(json!({"AWS": A})), false, "the caller's policies"),
            (A, vec![], None, false, "the caller's policies"),
            (B, own.clone(), None, false, "the resource's policy"),
            (B, vec![], bucket(role_b.clone()), false, "the caller's policies"),
            (B, own.clone(), bucket(role_b), true, ""),
            (B, own, bucket(json!({"AWS": B})), true, ""),
        ];
        for (account, identity, resource, expected, lacking) in table {
            let world = World { identity, resource, ..World::default() };
            let verdict = ask(&world, &role(account), "s3:GetObject", OBJECT, &[]);
            assert_eq!(verdict.allowed(), expected, "{account} {verdict:?}");
            assert_eq!(verdict.lacking.unwrap_or_default(), lacking);
        }
    }

    #[test]
    fn a_key_gives_nobody_access_by_itself() {
        let identity = vec![allow("kms:Decrypt", KEY)];
        let root = json!({"AWS": format!("arn:aws:iam::{A}:root")});
        let named = json!({"AWS": format!("arn:aws:iam::{A}:role/r")});
        let key = |principal: &Value| Some((Guard::Key, vec![grant_to(principal.clone(), "kms:Decrypt")]));
        let table = [
            // No implicit access of the account, whatever the identity policy says.
            (identity.clone(), Some((Guard::Key, vec![])), false),
            // `:root` lets the identity policies decide.
            (identity.clone(), key(&root), true),
            (vec![], key(&root), false),
            // A role by name needs nothing else.
            (vec![], key(&named), true),
        ];
        for (identity, resource, expected) in table {
            let world = World { identity, resource, ..World::default() };
            assert_eq!(ask(&world, &role(A), "kms:Decrypt", KEY, &[]).allowed(), expected);
        }
    }

    #[test]
    fn a_role_is_assumed_only_with_its_trust() {
        let target = format!("arn:aws:iam::{A}:role/t");
        let trust = |statement: Value| Some((Guard::Trust, vec![statement]));
        let root = json!({"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"});
        let world = World {
            identity: vec![allow("sts:AssumeRole", "*")],
            resource: Some((Guard::Trust, vec![])),
            ..World::default()
        };
        assert_eq!(ask(&world, &role(A), "sts:AssumeRole", &target, &[]).lacking, Some("the trust policy"));
        let world = World { resource: trust(root.clone()), ..World::default() };
        assert_eq!(
            ask(&world, &role(A), "sts:AssumeRole", &target, &[]).lacking,
            Some("the caller's policies")
        );
        let world = World {
            identity: vec![allow("sts:AssumeRole", &target)],
            resource: trust(root),
            ..World::default()
        };
        assert!(ask(&world, &role(A), "sts:AssumeRole", &target, &[]).allowed());
        let service = json!({"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole",
            "Condition": {"StringEqualsIfExists": {"aws:SourceAccount": A}}});
        let world = World { resource: trust(service), ..World::default() };
        let cloudformation = Caller::Service { name: "cloudformation.amazonaws.com".into() };
        assert!(ask(&world, &cloudformation, "sts:AssumeRole", &target, &[]).allowed());
        let foreign = ask(&world, &cloudformation, "sts:AssumeRole", &target, &[("aws:SourceAccount", B)]);
        assert_eq!(foreign.near.unwrap().1, Lack::Condition("StringEqualsIfExists aws:SourceAccount".into()));
        let other = Caller::Service { name: "codepipeline.amazonaws.com".into() };
        assert!(!ask(&world, &other, "sts:AssumeRole", &target, &[]).allowed());
    }

    #[test]
    fn an_explicit_deny_anywhere_wins() {
        let deny = json!({"Effect": "Deny", "Action": "s3:*", "Resource": "*"});
        let everything = || vec![allow("s3:*", "*")];
        let worlds = [
            World { identity: vec![allow("s3:*", "*"), deny.clone()], ..World::default() },
            World {
                identity: everything(),
                boundary: Some(vec![allow("s3:*", "*"), deny.clone()]),
                ..World::default()
            },
            World {
                identity: everything(),
                session: Some(vec![allow("s3:*", "*"), deny.clone()]),
                ..World::default()
            },
            World { identity: everything(), scp: vec![deny.clone()], ..World::default() },
            World {
                identity: everything(),
                resource: Some((
                    Guard::Ordinary,
                    vec![json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})],
                )),
                ..World::default()
            },
        ];
        for world in worlds {
            let verdict = ask(&world, &role(A), "s3:GetObject", OBJECT, &[]);
            assert_eq!(verdict.decision, Decision::ExplicitDeny);
            assert_eq!(verdict.by.len(), 1);
        }
    }

    #[test]
    fn boundaries_and_session_policies_cut_off() {
        let named = json!({"AWS": format!("arn:aws:iam::{A}:role/r")});
        let session = json!({"AWS": format!("arn:aws:sts::{A}:assumed-role/r/session")});
        let bucket = |principal: Value| Some((Guard::Ordinary, vec![grant_to(principal, "s3:*")]));
        let empty = || Some(vec![allow("sns:Publish", "*")]);
        let table = [
            (
                World { identity: vec![allow("s3:*", "*")], boundary: empty(), ..World::default() },
                Some("the permissions boundary"),
            ),
            (
                World { identity: vec![allow("s3:*", "*")], session: empty(), ..World::default() },
                Some("the session policy"),
            ),
            (
                World { resource: bucket(named.clone()), boundary: empty(), ..World::default() },
                Some("the permissions boundary"),
            ),
            (
                World {
                    resource: bucket(session.clone()),
                    boundary: empty(),
                    session: empty(),
                    ..World::default()
                },
                None,
            ),
            (
                World {
                    identity: vec![allow("s3:*", "*")],
                    boundary: Some(vec![allow("s3:GetObject", "*")]),
                    ..World::default()
                },
                None,
            ),
        ];
        for (world, lacking) in table {
            assert_eq!(ask(&world, &role(A), "s3:GetObject", OBJECT, &[]).lacking, lacking);
        }
        let user = Caller::User { arn: format!("arn:aws:iam::{A}:user/u") };
        let world =
            World { resource: bucket(json!({"AWS": user.id()})), boundary: empty(), ..World::default() };
        assert!(ask(&world, &user, "s3:GetObject", OBJECT, &[]).allowed());
    }

    #[test]
    fn not_action_not_resource_and_variables() {
        let all_but = json!({"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"});
        let world = World { identity: vec![all_but], ..World::default() };
        assert!(ask(&world, &role(A), "s3:GetObject", OBJECT, &[]).allowed());
        assert!(!ask(&world, &role(A), "s3:DeleteObject", OBJECT, &[]).allowed());
        let elsewhere =
            json!({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::bucket/*"});
        let world = World { identity: vec![elsewhere], ..World::default() };
        assert!(!ask(&world, &role(A), "s3:GetObject", OBJECT, &[]).allowed());
        let own = allow("s3:GetObject", "arn:aws:s3:::bucket/${aws:PrincipalAccount}/*");
        let world = World { identity: vec![own], ..World::default() };
        assert!(ask(&world, &role(A), "s3:GetObject", &format!("arn:aws:s3:::bucket/{A}/k"), &[]).allowed());
        assert!(!ask(&world, &role(A), "s3:GetObject", OBJECT, &[]).allowed());
        let unknown = allow("s3:GetObject", "arn:aws:s3:::bucket/${aws:nobody}*");
        let world = World { identity: vec![unknown], ..World::default() };
        assert!(!ask(&world, &role(A), "s3:GetObject", OBJECT, &[]).allowed());
    }

    #[test]
    fn an_action_without_resources_wants_the_star() {
        let world = World {
            identity: vec![allow("logs:CreateLogDelivery", "arn:aws:logs:*:*:*")],
            ..World::default()
        };
        assert!(!ask(&world, &role(A), "logs:CreateLogDelivery", "*", &[]).allowed());
        let world = World { identity: vec![allow("logs:CreateLogDelivery", "*")], ..World::default() };
        assert!(ask(&world, &role(A), "logs:CreateLogDelivery", "*", &[]).allowed());
    }

    #[test]
    fn the_nearest_statement_is_named() {
        let identity = vec![
            allow("s3:GetObject", "arn:aws:s3:::other/*"),
            json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "v"}}}),
        ];
        let verdict = ask(&World { identity, ..World::default() }, &role(A), "s3:GetObject", OBJECT, &[]);
        let (place, lack) = verdict.near.unwrap();
        assert_eq!((place.line, lack), (2, Lack::Condition("StringEquals aws:SourceVpc".into())));
    }
}
