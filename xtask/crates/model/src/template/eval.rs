//! Evaluates intrinsic functions: what a template says once its parameters and resources are known.
//!
//! The rules are those of the CloudFormation user guide, "Intrinsic function reference" and "Condition functions".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The pseudo parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudo {
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::Partition`.
    pub partition: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// `AWS::StackId`.
    pub stack_id: String,
}

impl Pseudo {
    /// `AWS::URLSuffix`.
    pub fn url_suffix(&self) -> &'static str {
        url_suffix(&self.partition)
    }
}

/// Where references to resources lead.
pub trait Resolve {
    /// What `Ref` of the resource gives (`attribute` is `None`) or `Fn::GetAtt` of its attribute.
    fn resource(&self, logical_id: &str, attribute: Option<&str>) -> Option<Value>;
}

impl<F: Fn(&str, Option<&str>) -> Option<Value>> Resolve for F {
    fn resource(&self, logical_id: &str, attribute: Option<&str>) -> Option<Value> {
        self(logical_id, attribute)
    }
}

/// Why something could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A reference to something that the template does not have, or whose value is not known.
    #[error("nothing is known of `{0}`")]
    Unknown(String),
    /// A function that is not part of the language as we know it.
    #[error("unknown intrinsic function `{0}`")]
    Function(String),
    /// A function that asks an account or another stack.
    #[error("only CloudFormation can evaluate `{0}`; give the value as a parameter in cfn/stacks.toml")]
    OnlyAws(String),
    /// A function whose arguments have the wrong shape.
    #[error("`{0}` has arguments of the wrong shape")]
    Shape(String),
    /// A condition that refers to itself.
    #[error("condition `{0}` refers to itself")]
    Cycle(String),
}

/// Everything a template's values depend on.
pub struct Scope<'a> {
    /// The template in long form.
    pub template: &'a Value,
    /// Parameter values; a list parameter is an array.
    pub parameters: &'a BTreeMap<String, Value>,
    /// The pseudo parameters.
    pub pseudo: &'a Pseudo,
    /// Where references to resources lead.
    pub resources: &'a dyn Resolve,
}

impl Scope<'_> {
    /// The parameters of a stack from given texts and the template's defaults; list types become arrays.
    pub fn parameters_of(template: &Value, given: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
        let declared = template.get("Parameters").and_then(Value::as_object);
        let entries = declared.into_iter().flatten().filter_map(|(name, declaration)| {
            let text = given.get(name).cloned().or_else(|| declaration.get("Default").map(text_of))?;
            let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or("String");
            let value = if kind == "CommaDelimitedList" || kind.starts_with("List<") {
                text.split(',').map(|item| Value::from(item.trim())).collect()
            } else {
                Value::from(text)
            };
            Some((name.clone(), value))
        });
        entries.collect()
    }

    /// The value with every intrinsic function evaluated; `None` where it is `AWS::NoValue`.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn eval(&self, value: &Value) -> Result<Option<Value>, EvalError> {
        match value {
            Value::Array(items) => {
                let items: Result<Vec<Option<Value>>, EvalError> =
                    items.iter().map(|item| self.eval(item)).collect();
                Ok(Some(Value::Array(items?.into_iter().flatten().collect())))
            }
            Value::Object(map) => match single(map) {
                Some((name, argument)) if name == "Ref" || name.starts_with("Fn::") => {
                    self.call(name, argument)
                }
                _ => {
                    let mut out = Map::new();
                    for (key, item) in map {
                        if let Some(item) = self.eval(item)? {
                            out.insert(key.clone(), item);
                        }
                    }
                    Ok(Some(Value::Object(out)))
                }
            },
            scalar => Ok(Some(scalar.clone())),
        }
    }

    /// The text of a value that must come out as one scalar.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn text(&self, value: &Value) -> Result<String, EvalError> {
        match self.eval(value)? {
            Some(scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Ok(text_of(&scalar)),
            _ => Err(EvalError::Shape("a text".to_owned())),
        }
    }

    /// Whether a named condition of the template holds.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn condition(&self, name: &str) -> Result<bool, EvalError> {
        self.named_condition(name, 0)
    }

    fn named_condition(&self, name: &str, depth: usize) -> Result<bool, EvalError> {
        if depth > 32 {
            return Err(EvalError::Cycle(name.to_owned()));
        }
        let body = self.template.get("Conditions").and_then(|all| all.get(name));
        self.truth(body.ok_or_else(|| EvalError::Unknown(name.to_owned()))?, depth + 1)
    }

    fn truth(&self, value: &Value, depth: usize) -> Result<bool, EvalError> {
        let (name, argument) =
            value.as_object().and_then(single).ok_or_else(|| EvalError::Shape("a condition".to_owned()))?;
        let shape = || EvalError::Shape(name.to_owned());
        let list = || argument.as_array().ok_or_else(shape);
        match name {
            "Condition" => self.named_condition(argument.as_str().ok_or_else(shape)?, depth),
            "Fn::Equals" => match list()?.as_slice() {
                [left, right] => {
                    Ok(self.eval(left)?.map(|v| text_of(&v)) == self.eval(right)?.map(|v| text_of(&v)))
                }
                _ => Err(shape()),
            },
            "Fn::And" => list()?.iter().try_fold(true, |all, item| Ok(all & self.truth(item, depth)?)),
            "Fn::Or" => list()?.iter().try_fold(false, |any, item| Ok(any | self.truth(item, depth)?)),
            "Fn::Not" => match list()?.as_slice() {
                [item] => Ok(!self.truth(item, depth)?),
                _ => Err(shape()),
            },
            other => Err(EvalError::Function(other.to_owned())),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, EvalError> {
        let shape = || EvalError::Shape(name.to_owned());
        let list = || argument.as_array().ok_or_else(shape);
        match name {
            "Ref" => self.reference(argument.as_str().ok_or_else(shape)?),
            "Fn::GetAtt" => self.attribute(argument).map(Some),
            "Fn::Sub" => self.sub(argument).map(|text| Some(Value::String(text))),
            "Fn::Join" => match list()?.as_slice() {
                [Value::String(separator), items] => {
                    let items = self.eval(items)?.ok_or_else(shape)?;
                    let parts: Vec<String> =
                        items.as_array().ok_or_else(shape)?.iter().map(text_of).collect();
                    Ok(Some(Value::String(parts.join(separator))))
                }
                _ => Err(shape()),
            },
            "Fn::Split" => match list()?.as_slice() {
                [Value::String(separator), text] => {
                    let text = self.text(text)?;
                    Ok(Some(text.split(separator.as_str()).map(Value::from).collect()))
                }
                _ => Err(shape()),
            },
            "Fn::Select" => match list()?.as_slice() {
                [index, items] => {
                    let index: usize = self.text(index)?.parse().map_err(|_| shape())?;
                    let items = self.eval(items)?.ok_or_else(shape)?;
                    items.get(index).cloned().map(Some).ok_or_else(shape)
                }
                _ => Err(shape()),
            },
            "Fn::If" => match list()?.as_slice() {
                [Value::String(condition), yes, no] => {
                    self.eval(if self.condition(condition)? { yes } else { no })
                }
                _ => Err(shape()),
            },
            "Fn::FindInMap" => match list()?.as_slice() {
                [map, top, second] => {
                    let path = [self.text(map)?, self.text(top)?, self.text(second)?];
                    let found = path
                        .iter()
                        .try_fold(self.template.get("Mappings").unwrap_or(&Value::Null), |at, key| {
                            at.get(key)
                        });
                    found.cloned().map(Some).ok_or_else(|| EvalError::Unknown(path.join(".")))
                }
                _ => Err(shape()),
            },
            "Fn::Base64" => {
                use base64::Engine as _;
                Ok(Some(base64::engine::general_purpose::STANDARD.encode(self.text(argument)?).into()))
            }
            "Fn::ToJsonString" => {
                Ok(Some(Value::String(self.eval(argument)?.unwrap_or(Value::Null).to_string())))
            }
            "Fn::Cidr" | "Fn::GetAZs" | "Fn::ImportValue" | "Fn::Transform" => {
                Err(EvalError::OnlyAws(name.to_owned()))
            }
            other => Err(EvalError::Function(other.to_owned())),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, EvalError> {
        let pseudo = self.pseudo;
        let text = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::AccountId" => &pseudo.account_id,
            "AWS::Region" => &pseudo.region,
            "AWS::Partition" => &pseudo.partition,
            "AWS::StackName" => &pseudo.stack_name,
            "AWS::StackId" => &pseudo.stack_id,
            "AWS::URLSuffix" => url_suffix(&pseudo.partition),
            _ => {
                let known =
                    self.parameters.get(name).cloned().or_else(|| self.resources.resource(name, None));
                return known.map(Some).ok_or_else(|| EvalError::Unknown(name.to_owned()));
            }
        };
        Ok(Some(Value::from(text)))
    }

    fn attribute(&self, argument: &Value) -> Result<Value, EvalError> {
        let (resource, attribute) = match argument {
            Value::String(path) => path.split_once('.').map(|(r, a)| (r.to_owned(), a.to_owned())),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(resource), attribute] => Some((resource.clone(), self.text(attribute)?)),
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(|| EvalError::Shape("Fn::GetAtt".to_owned()))?;
        let value = self.resources.resource(&resource, Some(&attribute));
        value.ok_or_else(|| EvalError::Unknown(format!("{resource}.{attribute}")))
    }

    fn sub(&self, argument: &Value) -> Result<String, EvalError> {
        let shape = || EvalError::Shape("Fn::Sub".to_owned());
        let empty = Map::new();
        let (text, variables) = match argument {
            Value::String(text) => (text, &empty),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => (text, variables),
                _ => return Err(shape()),
            },
            _ => return Err(shape()),
        };
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(open) = rest.find("${") {
            out.push_str(&rest[..open]);
            let close = rest[open..].find('}').ok_or_else(shape)? + open;
            let name = rest[open + 2..close].trim();
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str("${");
                out.push_str(literal);
                out.push('}');
            } else if let Some(value) = variables.get(name) {
                out.push_str(&self.text(value)?);
            } else if name.contains('.') {
                out.push_str(&text_of(&self.attribute(&Value::from(name))?));
            } else {
                let value = self.reference(name)?.ok_or_else(shape)?;
                out.push_str(&text_of(&value));
            }
            rest = &rest[close + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The domain of AWS in a partition ("Pseudo parameters reference").
fn url_suffix(partition: &str) -> &'static str {
    if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// A mapping's only entry, as a call of an intrinsic function has.
pub fn single(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = map.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key, value)),
        _ => None,
    }
}

/// A scalar as CloudFormation writes it into a text; a list joined with commas.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn eval(source: &str) -> Result<Option<Value>, EvalError> {
        let text = format!(
            "Parameters:\n  Env: {{Type: String, Default: dev}}\n  Ids: {{Type: CommaDelimitedList, Default: '1, 2'}}\n\
             Mappings:\n  M: {{a: {{b: found}}}}\n\
             Conditions:\n  IsDev: !Equals [!Ref Env, dev]\n  IsProd: !Not [!Condition IsDev]\n  Loop: !Not [!Condition Loop]\n\
             Value: {source}\n"
        );
        let template = parse(&text).unwrap().to_json();
        let parameters = Scope::parameters_of(&template, &BTreeMap::new());
        let pseudo = Pseudo {
            account_id: "111111111111".into(),
            region: "eu-central-1".into(),
            partition: "aws".into(),
            stack_name: "s".into(),
            stack_id: "arn:s".into(),
        };
        let resources = |id: &str, attribute: Option<&str>| match (id, attribute) {
            ("Bucket", None) => Some(json!("the-bucket")),
            ("Bucket", Some("Arn")) => Some(json!("arn:aws:s3:::the-bucket")),
            _ => None,
        };
        let scope =
            Scope { template: &template, parameters: &parameters, pseudo: &pseudo, resources: &resources };
        scope.eval(&template["Value"])
    }

    #[test]
    fn functions_give_what_the_guide_says() {
        let table = [
            ("!Ref Env", json!("dev")),
            ("!Ref Ids", json!(["1", "2"])),
            ("!Ref AWS::Region", json!("eu-central-1")),
            ("!GetAtt Bucket.Arn", json!("arn:aws:s3:::the-bucket")),
            (
                "!Sub '${AWS::Partition}:${Bucket}:${Bucket.Arn}:${!Keep}:${Env}'",
                json!("aws:the-bucket:arn:aws:s3:::the-bucket:${Keep}:dev"),
            ),
            ("!Sub ['${X}-${Env}', {X: !Ref Bucket}]", json!("the-bucket-dev")),
            ("!Join ['/', [a, !Ref Env, 3]]", json!("a/dev/3")),
            ("!Select [1, !Split ['-', 'a-b-c']]", json!("b")),
            ("!If [IsDev, yes, no]", json!("yes")),
            ("!If [IsProd, yes, !Ref Env]", json!("dev")),
            ("!FindInMap [M, a, b]", json!("found")),
            ("[1, !Ref AWS::NoValue, 2]", json!([1, 2])),
            ("{a: !Ref AWS::NoValue, b: !Ref Env}", json!({"b": "dev"})),
            ("!Base64 hi", json!("aGk=")),
        ];
        for (source, expected) in table {
            assert_eq!(eval(source).unwrap(), Some(expected), "{source}");
        }
        assert_eq!(eval("!Ref AWS::NoValue").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_evaluated_is_named() {
        let table = [
            ("!Ref Nope", EvalError::Unknown("Nope".into())),
            ("!GetAtt Bucket.Nope", EvalError::Unknown("Bucket.Nope".into())),
            ("!Sub '${Nope}'", EvalError::Unknown("Nope".into())),
            ("!If [Nope, 1, 2]", EvalError::Unknown("Nope".into())),
            ("!If [Loop, 1, 2]", EvalError::Cycle("Loop".into())),
            ("!Cidr [a, b, c]", EvalError::OnlyAws("Fn::Cidr".into())),
            ("!ImportValue a", EvalError::OnlyAws("Fn::ImportValue".into())),
            ("!Sum [a, b]", EvalError::Function("Fn::Sum".into())),
            ("!Join [a]", EvalError::Shape("Fn::Join".into())),
            ("!Select [9, [a]]", EvalError::Shape("Fn::Select".into())),
            ("!Sub '${open'", EvalError::Shape("Fn::Sub".into())),
        ];
        for (source, expected) in table {
            assert_eq!(eval(source).unwrap_err(), expected, "{source}");
        }
    }
}
