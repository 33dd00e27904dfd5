//! Conditions of a statement, one operator and key at a time.
//!
//! Source: IAM user guide, "IAM JSON policy elements: Condition operators" and "Policy elements: Variables and tags".

use std::collections::BTreeMap;

use iam_rs::{
    Arn, ConditionValue, Context, ContextValue, IAMAction, IAMEffect, IAMOperator, IAMPolicy, IAMRequest,
    IAMResource, IAMStatement, OperatorType, PolicyEvaluator, Principal, PrincipalId,
};
use serde_json::Value;

use crate::date;

/// One operator on one key.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The operator as it is written.
    pub operator: String,
    /// The key as it is written.
    pub key: String,
    /// What the key is compared with.
    pub values: Vec<String>,
    parsed: IAMOperator,
    /// Made once where no value holds a policy variable.
    fixed: Option<PolicyEvaluator>,
}

type Keys = BTreeMap<String, Vec<String>>;

impl Condition {
    /// Reads one entry of a `Condition` element.
    ///
    /// # Errors
    /// An operator that does not exist, or a value that the operator cannot read.
    pub fn parse(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        let parsed: IAMOperator = serde_json::from_value(Value::from(operator))
            .map_err(|_| format!("condition operator `{operator}` does not exist"))?;
        if values.is_empty() {
            return Err(format!("condition {operator} of `{key}` has no value"));
        }
        for value in &values {
            if escape(value).is_some() {
                return Err(format!(
                    "condition {operator} of `{key}`: the escape in `{value}` cannot be evaluated here"
                ));
            }
        }
        let boolean = matches!(parsed.category(), OperatorType::Boolean | OperatorType::Null);
        if boolean && values.iter().any(|value| value != "true" && value != "false") {
            return Err(format!("condition {operator} of `{key}` wants true or false"));
        }
        let plain = !values.iter().any(|value| value.contains("${"));
        let read = if plain && parsed.category() == OperatorType::Date {
            let read = |value: &String| {
                date::rfc3339(value).ok_or_else(|| {
                    format!("condition {operator} of `{key}` wants a date, such as 2020-04-01 or 2020-04-01T12:00:00Z")
                })
            };
            values.iter().map(read).collect::<Result<Vec<_>, _>>()?
        } else {
            values.clone()
        };
        let fixed = plain.then(|| evaluator(&parsed, key, read));
        Ok(Self { operator: operator.to_owned(), key: key.to_owned(), values, parsed, fixed })
    }

    /// The same condition without one of its several values; as it is where it has no such value, or no other.
    pub fn without(&self, value: usize) -> Self {
        let mut values = self.values.clone();
        if value < values.len() && values.len() > 1 {
            values.remove(value);
        }
        Self::parse(&self.operator, &self.key, values).unwrap_or_else(|_| self.clone())
    }

    /// Whether it holds with these keys. Without `variables` a `${…}` stands for itself.
    ///
    /// # Errors
    /// A value that the operator cannot read, for instance a text where a number belongs.
    pub fn holds(&self, keys: &Keys, variables: bool) -> Result<bool, String> {
        let filled: Vec<String>;
        let values = if self.fixed.is_none() && variables {
            filled = self.values.iter().filter_map(|value| interpolate(value, keys)).collect();
            &filled
        } else {
            &self.values
        };
        let negated = self.parsed.is_negated_operator();
        if values.is_empty() {
            // Every value held a variable that the request does not know: nothing matches it.
            return Ok(negated);
        }
        let found = keys.get(&self.key.to_ascii_lowercase());
        if self.parsed.category() == OperatorType::Arn {
            return Ok(self.arn(found, values, negated));
        }
        let mut context = Context::new();
        if let Some(found) = found {
            context.insert(self.key.clone(), self.typed(found));
        }
        let nobody = Principal::Aws(PrincipalId::String("000000000000".to_owned()));
        let arn = Arn::parse("arn:aws:any:::any").map_err(|e| e.to_string())?;
        let request = IAMRequest::new_with_context(nobody, "any:Any", arn, context);
        let result = match &self.fixed {
            Some(evaluator) => evaluator.evaluate(&request),
            None => evaluator(&self.parsed, &self.key, values.clone()).evaluate(&request),
        };
        Ok(result.map_err(|e| e.to_string())?.decision == iam_rs::Decision::Allow)
    }

    /// "ArnEquals and ArnLike behave identically", and each part between colons is compared by itself.
    fn arn(&self, found: Option<&Vec<String>>, values: &[String], negated: bool) -> bool {
        let any = self.operator.starts_with("ForAnyValue:");
        let Some(found) = found else {
            return negated && !any
                || self.operator.ends_with("IfExists")
                || self.operator.starts_with("ForAllValues:");
        };
        let fits = |asked: &String| values.iter().any(|pattern| arn_like(asked, pattern)) != negated;
        if self.operator.starts_with("ForAllValues:") || (negated && !any) {
            found.iter().all(fits)
        } else {
            found.iter().any(fits)
        }
    }

    fn typed(&self, found: &[String]) -> ContextValue {
        let texts = || match found {
            [one] => ContextValue::String(one.clone()),
            more => ContextValue::StringList(more.to_vec()),
        };
        match (self.parsed.category(), found) {
            (OperatorType::Boolean, [one]) => one.parse().map_or_else(|_| texts(), ContextValue::Boolean),
            (OperatorType::Boolean, more) => {
                let all: Result<Vec<bool>, _> = more.iter().map(|text| text.parse()).collect();
                all.map_or_else(|_| texts(), ContextValue::BooleanList)
            }
            _ => texts(),
        }
    }
}

/// A policy of this condition alone.
fn evaluator(operator: &IAMOperator, key: &str, mut values: Vec<String>) -> PolicyEvaluator {
    let one = if values.len() == 1 { values.pop() } else { None };
    let value = match one {
        Some(one) => match (operator.category(), one.parse()) {
            (OperatorType::Boolean, Ok(truth)) => ConditionValue::Boolean(truth),
            _ => ConditionValue::String(one),
        },
        None => ConditionValue::StringList(values),
    };
    let statement = IAMStatement::new(IAMEffect::Allow)
        .with_action(IAMAction::Single("*".to_owned()))
        .with_resource(IAMResource::Single("*".to_owned()))
        .with_condition(operator.clone(), key.to_owned(), value);
    PolicyEvaluator::with_policies(vec![IAMPolicy::new().add_statement(statement)])
}

/// Whether an ARN is like a pattern, part by part; `*` and `?` do not reach over a colon except in the last part.
fn arn_like(arn: &str, pattern: &str) -> bool {
    let mut parts = pattern.splitn(6, ':');
    let mut asked = arn.splitn(6, ':');
    loop {
        match (asked.next(), parts.next()) {
            (Some(text), Some(pattern)) if Arn::wildcard_match(text, pattern) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// A text with its policy variables filled; `None` where the request does not know one of them and it has no default.
///
/// Source: "Policy elements: Variables and tags": a variable without a value makes the whole statement fail to match.
pub(super) fn interpolate(text: &str, keys: &Keys) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("${") {
        out.push_str(&rest[..open]);
        let after = &rest[open + 2..];
        let close = after.find('}')?;
        let (key, fallback) = match after[..close].split_once(',') {
            Some((key, fallback)) => (key, Some(fallback.trim().trim_matches('\''))),
            None => (&after[..close], None),
        };
        let found = keys.get(&key.trim().to_ascii_lowercase()).and_then(|values| values.first());
        out.push_str(found.map(String::as_str).or(fallback)?);
        rest = &after[close + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// A wildcard or dollar sign that stands for itself in a value ("IAM policy elements: Variables and tags"), where there is one.
pub(crate) fn escape(text: &str) -> Option<&'static str> {
    ["${*}", "${?}", "${$}"].into_iter().find(|escape| text.contains(escape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let entry =
            |key: &str, values: &[&str]| (key.to_owned(), values.iter().map(ToString::to_string).collect());
        BTreeMap::from([
            entry("aws:principalarn", &["arn:aws:iam::222222222222:role/path/causeway-action"]),
            entry("aws:securetransport", &["true"]),
            entry("s3:prefix", &["packages/x"]),
            entry("aws:tagkeys", &["team", "cost"]),
            entry("s3:max-keys", &["10"]),
            entry("aws:username", &["ann"]),
            entry("aws:tokenissuetime", &["2024-05-01T00:00:00Z"]),
        ])
    }

    #[test]
    fn operators_do_what_the_guide_says() {
        let table = [
            ("StringEquals", "s3:prefix", "packages/x", true),
            ("StringEquals", "S3:Prefix", "packages/x", true),
            ("StringEquals", "s3:prefix", "packages/*", false),
            ("StringLike", "s3:prefix", "packages/*", true),
            ("StringEquals", "aws:SourceAccount", "1", false),
            ("StringEqualsIfExists", "aws:SourceAccount", "1", true),
            // Negated operators match when the key is absent.
            ("StringNotEquals", "aws:SourceAccount", "1", true),
            ("StringNotEquals", "s3:prefix", "packages/x", false),
            ("Null", "aws:SourceAccount", "true", true),
            ("Null", "s3:prefix", "true", false),
            ("Bool", "aws:SecureTransport", "false", false),
            ("Bool", "aws:SecureTransport", "true", true),
            ("BoolIfExists", "aws:PrincipalIsAWSService", "false", true),
            ("StringEquals", "aws:SecureTransport", "true", true),
            ("NumericLessThan", "s3:max-keys", "11", true),
            // ArnEquals takes wildcards, part by part.
            ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/path/causeway-action", true),
            ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/*", true),
            ("ArnLike", "aws:PrincipalArn", "arn:aws:*:role/*", false),
            ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/causeway-action", false),
            ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:role/*", false),
            ("ArnNotLike", "aws:SourceArn", "arn:aws:iam::*:role/*", true),
            ("ArnLikeIfExists", "aws:SourceArn", "arn:aws:sns:*:*:*", true),
            ("ForAnyValue:StringEquals", "aws:TagKeys", "cost", true),
            ("ForAllValues:StringEquals", "aws:TagKeys", "cost", false),
            ("ForAllValues:StringEquals", "aws:SourceVpc", "cost", true),
            // A key that is not there: true for all of its values, false for any, negated or not.
            ("ForAnyValue:StringEquals", "aws:SourceVpc", "cost", false),
            ("ForAnyValue:StringLike", "aws:SourceVpc", "*", false),
            ("ForAllValues:StringNotEquals", "aws:SourceVpc", "cost", true),
            ("ForAnyValue:StringNotEquals", "aws:SourceVpc", "cost", false),
            ("ForAllValues:StringNotEquals", "aws:TagKeys", "cost", false),
            ("ForAnyValue:StringNotEquals", "aws:TagKeys", "cost", true),
            ("ForAnyValue:StringLike", "aws:TagKeys", "c*", true),
            ("ForAllValues:StringLike", "aws:TagKeys", "*", true),
            ("ForAllValues:ArnLike", "aws:SourceArn", "arn:aws:sns:*:*:*", true),
            ("ForAnyValue:ArnLike", "aws:SourceArn", "arn:aws:sns:*:*:*", false),
            ("ForAnyValue:ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:*:*", false),
            ("StringLike", "aws:SourceVpc", "*", false),
            ("StringNotLike", "aws:SourceVpc", "*", true),
            ("StringNotEqualsIfExists", "aws:SourceVpc", "x", true),
            ("StringNotEqualsIfExists", "s3:prefix", "packages/x", false),
            ("StringEqualsIfExists", "s3:prefix", "other", false),
            ("StringEqualsIgnoreCase", "s3:prefix", "PACKAGES/x", true),
            ("StringNotEqualsIgnoreCase", "s3:prefix", "PACKAGES/x", false),
            ("StringEquals", "s3:prefix", "PACKAGES/x", false),
            ("StringLike", "s3:prefix", "PACKAGES/*", false),
            ("NumericLessThan", "s3:signatureage", "11", false),
            ("NumericLessThanIfExists", "s3:signatureage", "11", true),
            ("NumericNotEquals", "s3:signatureage", "11", true),
            ("NumericGreaterThanEquals", "s3:max-keys", "10", true),
            ("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", false),
            ("DateLessThanIfExists", "aws:CurrentTime", "2020-01-01T00:00:00Z", true),
            ("DateLessThan", "aws:CurrentTime", "2020-04-01", false),
            ("DateGreaterThanIfExists", "aws:CurrentTime", "1585699200", true),
            ("DateGreaterThan", "aws:TokenIssueTime", "2020-04", true),
            ("DateLessThan", "aws:TokenIssueTime", "2020-04-01T00:00Z", false),
            ("IpAddress", "aws:SourceIp", "10.0.0.0/8", false),
            ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", true),
            ("IpAddressIfExists", "aws:SourceIp", "10.0.0.0/8", true),
            ("Bool", "aws:MultiFactorAuthPresent", "true", false),
            ("Bool", "aws:MultiFactorAuthPresent", "false", false),
            ("BoolIfExists", "aws:MultiFactorAuthPresent", "true", true),
            ("Null", "aws:MultiFactorAuthPresent", "false", false),
            ("Null", "aws:TagKeys", "false", true),
            // Policy variables.
            ("StringLike", "s3:prefix", "packages/${aws:username}", false),
            ("StringEquals", "aws:username", "${aws:username}", true),
            ("StringEquals", "aws:username", "${aws:nobody}", false),
            ("StringNotEquals", "aws:username", "${aws:nobody}", true),
            ("StringEquals", "aws:username", "${aws:nobody, 'ann'}", true),
        ];
        for (operator, key, value, expected) in table {
            let condition = Condition::parse(operator, key, vec![value.to_owned()]).unwrap();
            assert_eq!(condition.holds(&keys(), true).unwrap(), expected, "{operator} {key} {value}");
        }
    }

    #[test]
    fn several_values_are_or_and_negated_nor() {
        let two = |operator: &str| {
            Condition::parse(operator, "s3:prefix", vec!["a".into(), "packages/x".into()]).unwrap()
        };
        assert!(two("StringEquals").holds(&keys(), true).unwrap());
        assert!(!two("StringNotEquals").holds(&keys(), true).unwrap());
    }

    #[test]
    fn without_variables_the_text_stands_for_itself() {
        let condition =
            Condition::parse("StringEquals", "aws:username", vec!["${aws:username}".into()]).unwrap();
        assert!(!condition.holds(&keys(), false).unwrap());
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        let table = [
            ("NullIfExists", "true", "does not exist"),
            ("StringEqual", "x", "does not exist"),
            ("Bool", "yes", "true or false"),
            ("StringLike", "a${*}", "escape"),
            ("DateLessThan", "2020-4-1", "wants a date"),
            ("DateGreaterThanIfExists", "soon", "wants a date"),
        ];
        for (operator, value, word) in table {
            let error = Condition::parse(operator, "aws:username", vec![value.to_owned()]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
