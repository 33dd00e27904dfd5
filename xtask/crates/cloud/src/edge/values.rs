//! Parts of a stack's template as they are deployed: conditions decided, references filled in where they are known.

use serde_json::{Map, Value};

use causeway_model::template::single;

/// Says what the stack's parameters and resources make of its template.
pub(super) struct Values<'a> {
    /// Whether a condition holds.
    pub(super) holds: &'a (dyn Fn(&str) -> anyhow::Result<bool> + Sync),
    /// What an intrinsic function gives; `None` where that is not known here.
    pub(super) call: &'a (dyn Fn(&Value) -> Option<Value> + Sync),
    /// The physical id of a resource; `None` where the stack has no such one.
    pub(super) physical: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

impl Values<'_> {
    /// The value as it is deployed; `None` for `AWS::NoValue`. A function that is not known stays as it is written.
    ///
    /// # Errors
    /// A condition cannot be decided: in doubt nothing is said.
    pub(super) fn deployed(&self, value: &Value) -> anyhow::Result<Option<Value>> {
        match value {
            Value::Array(items) => {
                let items: Vec<Option<Value>> =
                    items.iter().map(|item| self.deployed(item)).collect::<anyhow::Result<_>>()?;
                Ok(Some(items.into_iter().flatten().collect()))
            }
            Value::Object(map) => match single(map) {
                Some(("Ref", name)) if name == "AWS::NoValue" => Ok(None),
                Some(("Fn::If", Value::Array(parts))) => match parts.as_slice() {
                    [Value::String(condition), yes, no] => {
                        self.deployed(if (self.holds)(condition)? { yes } else { no })
                    }
                    _ => Ok(Some(value.clone())),
                },
                Some((name, _)) if name == "Ref" || name.starts_with("Fn::") => {
                    Ok(Some((self.call)(value).unwrap_or_else(|| value.clone())))
                }
                _ => {
                    let mut all = Map::new();
                    for (key, item) in map {
                        if let Some(item) = self.deployed(item)? {
                            all.insert(key.clone(), item);
                        }
                    }
                    Ok(Some(Value::Object(all)))
                }
            },
            scalar => Ok(Some(scalar.clone())),
        }
    }

    /// The properties of a resource as they are deployed.
    ///
    /// # Errors
    /// As for [`Values::deployed`].
    pub(super) fn properties(&self, definition: &Value) -> anyhow::Result<Value> {
        let properties = definition.get("Properties").unwrap_or(&Value::Null);
        Ok(self.deployed(properties)?.unwrap_or(Value::Null))
    }
}
