//! A request: who asks what of which resource, with the condition keys that AWS fills in itself.
//!
//! Source: IAM user guide, "AWS global condition context keys"; AWS KMS developer guide, "kms:ViaService".

use std::collections::BTreeMap;

use iam_rs::{Arn, IAMRequest, Principal, PrincipalId};

use super::principal::Caller;

/// Where requests are made: what keys are filled with besides the request itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The region.
    pub region: String,
    /// The partition.
    pub partition: String,
    /// The domain of AWS there.
    pub url_suffix: String,
    /// The organization that our accounts are in.
    pub organization: Option<String>,
    /// Our accounts.
    pub accounts: Vec<String>,
}

/// Who asks what of which resource.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The action.
    pub action: String,
    /// The resource's ARN, or `*` for an action that takes none.
    pub resource: String,
    /// The account that the resource belongs to.
    pub owner: String,
    /// Condition keys by lower-case name; IAM does not mind their case.
    pub keys: BTreeMap<String, Vec<String>>,
    /// The request in the words of `iam-rs`, which sees action and resource only.
    pub(super) plain: IAMRequest,
}

impl Request {
    /// A request with every key that AWS fills in; `given` come from the request itself and win.
    ///
    /// # Errors
    /// The resource is neither `*` nor an ARN.
    pub fn new(
        caller: &Caller,
        action: &str,
        resource: &str,
        owner: &str,
        setting: &Setting,
        given: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, String> {
        let mut keys = filled(caller, owner, setting);
        for (key, values) in given {
            keys.insert(key.to_ascii_lowercase(), values.clone());
        }
        let arn = if resource == "*" { "arn:aws:any:::any" } else { resource };
        let arn = Arn::parse(arn).map_err(|_| format!("`{resource}` is neither `*` nor an ARN"))?;
        // The caller is our own layer's matter; iam-rs wants a valid one.
        let nobody = Principal::Aws(PrincipalId::String("000000000000".to_owned()));
        Ok(Self {
            caller: caller.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            owner: owner.to_owned(),
            keys,
            plain: IAMRequest::new(nobody, action, arn),
        })
    }
}

fn filled(caller: &Caller, owner: &str, setting: &Setting) -> BTreeMap<String, Vec<String>> {
    let mut keys = BTreeMap::new();
    let mut put = |key: &str, value: &str| keys.insert(key.to_owned(), vec![value.to_owned()]);
    put("aws:securetransport", "true");
    put("aws:requestedregion", &setting.region);
    put("aws:resourceaccount", owner);
    put("aws:viaawsservice", "false");
    if let (Some(organization), true) = (&setting.organization, setting.accounts.iter().any(|a| a == owner)) {
        put("aws:resourceorgid", organization);
    }
    match caller {
        Caller::Role { arn } | Caller::User { arn } => {
            let account = caller.account().unwrap_or_default();
            // "aws:PrincipalArn": for sessions of a role it is the role's ARN, not the session's.
            put("aws:principalarn", arn);
            put("aws:principalaccount", account);
            put("aws:principalisawsservice", "false");
            put("kms:calleraccount", account);
            if let (Some(organization), true) =
                (&setting.organization, setting.accounts.iter().any(|a| a == account))
            {
                put("aws:principalorgid", organization);
            }
            if matches!(caller, Caller::Role { .. }) {
                put("aws:principaltype", "AssumedRole");
                put("aws:userid", "AROAEXAMPLE:session");
            } else {
                put("aws:principaltype", "User");
                put("aws:userid", "AIDAEXAMPLE");
            }
        }
        Caller::Service { name } => {
            put("aws:principalisawsservice", "true");
            put("aws:principalservicename", name);
            put("aws:principalservicenameslist", name);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            region: "eu-central-1".into(),
            partition: "aws".into(),
            url_suffix: "amazonaws.com".into(),
            organization: Some("o-abc".into()),
            accounts: vec!["111111111111".into()],
        }
    }

    fn keys(caller: Caller) -> BTreeMap<String, Vec<String>> {
        Request::new(
            &caller,
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            "111111111111",
            &setting(),
            &BTreeMap::new(),
        )
        .unwrap()
        .keys
    }

    #[test]
    fn a_session_is_known_by_its_role() {
        let keys = keys(Caller::Role { arn: "arn:aws:iam::111111111111:role/p/r".into() });
        assert_eq!(keys["aws:principalarn"], ["arn:aws:iam::111111111111:role/p/r"]);
        assert_eq!(keys["aws:principalaccount"], ["111111111111"]);
        assert_eq!(keys["aws:principalorgid"], ["o-abc"]);
        assert_eq!(keys["aws:principalisawsservice"], ["false"]);
    }

    #[test]
    fn a_stranger_has_no_organization_of_ours() {
        let keys = keys(Caller::Role { arn: "arn:aws:iam::999999999999:role/r".into() });
        assert!(!keys.contains_key("aws:principalorgid"));
        assert_eq!(keys["aws:resourceorgid"], ["o-abc"]);
    }

    #[test]
    fn a_service_has_a_name_and_no_account() {
        let keys = keys(Caller::Service { name: "events.amazonaws.com".into() });
        assert_eq!(keys["aws:principalservicename"], ["events.amazonaws.com"]);
        assert_eq!(keys["aws:principalisawsservice"], ["true"]);
        for absent in ["aws:principalarn", "aws:principalaccount", "aws:principalorgid"] {
            assert!(!keys.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn what_the_request_says_wins() {
        let caller = Caller::Service { name: "s3.amazonaws.com".into() };
        let given = BTreeMap::from([("AWS:SecureTransport".to_owned(), vec!["false".to_owned()])]);
        let request = Request::new(&caller, "s3:GetObject", "*", "1", &setting(), &given).unwrap();
        assert_eq!(request.keys["aws:securetransport"], ["false"]);
        assert!(Request::new(&caller, "s3:GetObject", "b/k", "1", &setting(), &given).is_err());
    }
}
