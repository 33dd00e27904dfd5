//! The contract, `openapi.yaml`, as tests ask about it.

use serde_json::Value;

use super::yaml;

/// One operation of the contract.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Operation {
    /// The method in capitals.
    pub(crate) method: String,
    pub(crate) path: String,
    /// The operation id.
    pub(crate) id: String,
    /// The function that answers: the operation's only tag.
    pub(crate) function: String,
    /// The query parameters, in their order.
    pub(crate) query: Vec<String>,
    /// Whether a deployment may ask for a signature.
    pub(crate) protected: bool,
}

/// The whole document.
pub(crate) fn document() -> Value {
    yaml::read("openapi.yaml")
}

/// What `$ref` leads to; the value itself where there is none.
pub(crate) fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').unwrap();
            document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

/// All of its operations.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters.iter().map(|parameter| resolved(document, parameter));
            let query = query.filter(|parameter| parameter["in"] == "query");
            let tags = operation["tags"].as_array().unwrap();
            assert_eq!(tags.len(), 1, "{method} {path}");
            all.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                id: text("operationId"),
                function: tags[0].as_str().unwrap().to_owned(),
                query: query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
                protected: operation.get("security").is_some(),
            });
        }
    }
    all
}
