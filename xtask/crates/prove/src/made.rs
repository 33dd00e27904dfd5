//! Resource types that nobody described: names, ARNs and calls as AWS's schemas and IAM's lists have them.
//!
//! A schema names every call that a handler may make, whatever the properties say. Calls of the type's own service are asked on the
//! resource. A call of another service is asked where a property holds an ARN of that service, on that ARN: what no property names,
//! no handler needs. What the schemas do not say (the shape of `Ref`, which property brings about which call) is described in
//! `resource-types.toml` for the types of our own templates.

use std::collections::BTreeMap;

use super::types::{Generated, Type};
use causeway_iam::Catalogue;

const DATA: &str = include_str!("../../../data/handler-permissions.txt");

/// The types and their lines.
pub(super) fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    DATA.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

/// What a line says of a type.
pub(super) fn of(kind: &str, line: &str) -> Type {
    let word =
        |mark: &str| line.split(' ').find_map(|word| word.strip_prefix(mark)).filter(|text| !text.is_empty());
    let list =
        |mark: &str| -> Vec<&str> { word(mark).into_iter().flat_map(|text| text.split(',')).collect() };
    let own = word("own=").unwrap_or_default();
    let last = kind.rsplit("::").next().unwrap_or_default();
    let calls = |mark: &str| -> Vec<String> {
        let mut all = Vec::new();
        for text in word(mark).into_iter().flat_map(|text| text.split(';')) {
            let Some((prefix, names)) = text.split_once(':') else { continue };
            for name in names.split(',') {
                // A name that IAM does not have is no permission, whatever the schema says.
                let actions = Catalogue::get().expand(&format!("{prefix}:{name}")).unwrap_or_default();
                all.extend(actions.into_iter().map(|action| one(&action, prefix == own, last)));
            }
        }
        all.sort();
        all.dedup();
        all
    };
    let create = calls("c=");
    let arn = create
        .iter()
        .chain(&calls("d="))
        .filter_map(|call| call.split_once(" on ").map(|(_, on)| on.to_owned()))
        .find(|on| on.ends_with("{name}") && !on.starts_with('{'));
    let arn = arn.unwrap_or_else(|| {
        format!("arn:{{partition}}:{own}:{{region}}:{{account}}:{}/{{name}}", last.to_lowercase())
    });
    let given = |attribute: &str| {
        if attribute.ends_with("Arn") && (attribute == "Arn" || attribute == format!("{last}Arn")) {
            arn.clone()
        } else {
            format!("{{name}}.{attribute}")
        }
    };
    let mut att: BTreeMap<String, String> =
        list("att=").into_iter().map(|name| (name.to_owned(), given(name))).collect();
    att.entry("Arn".to_owned()).or_insert_with(|| arn.clone());
    let identifiers = list("id=");
    let name = word("name=").map(ToOwned::to_owned);
    let reference = match identifiers.as_slice() {
        [one] if one.ends_with("Arn") => arn.clone(),
        _ => "{name}".to_owned(),
    };
    Type {
        name,
        generated: Generated::Plain,
        reference,
        att,
        on: vec![arn],
        create,
        update: calls("u="),
        delete: calls("d="),
        tag: calls("t="),
        source: None,
        needs: Vec::new(),
        apart: Vec::new(),
    }
}

/// A call and what it is asked on: of the type's own service the resource, of another what the properties name.
fn one(action: &str, is_own: bool, last: &str) -> String {
    let kinds = Catalogue::get().arns(action).unwrap_or_default();
    if !is_own {
        return format!("{action} on {{named}}");
    }
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let mine = kinds.iter().find(|(kind, _)| plain(kind) == last.to_lowercase());
    match mine.or_else(|| kinds.first()) {
        None => format!("{action} on *"),
        Some((_, arn)) => format!("{action} on {}", pattern(arn)),
    }
}

/// `${Account}` and the like as placeholders of `resource-types.toml`, and whatever else stands for a part as the name.
fn pattern(arn: &str) -> String {
    let mut out = String::new();
    let mut rest = arn;
    while let Some(open) = rest.find("${") {
        out.push_str(rest.get(..open).unwrap_or_default());
        let after = rest.get(open + 2..).unwrap_or_default();
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(match name {
            "Partition" => "{partition}",
            "Region" => "{region}",
            "Account" => "{account}",
            _ => "{name}",
        });
        rest = after;
    }
    out.push_str(rest);
    out
}
