//! Metrics in log lines: what CloudWatch takes out of a line in the embedded metric format.
//!
//! A line that is no JSON object with a member `_aws` is a log line like any other. One that has it and breaks a rule is
//! ignored by CloudWatch without a word to whoever wrote it, so the rule that it breaks is named here.
//!
//! Source: "Specification: Embedded metric format" in the CloudWatch user guide, with its JSON schema; units are those of
//! `MetricDatum` in the CloudWatch API reference.

use serde_json::{Map, Value};

/// How many metrics a directive may define.
const MOST_METRICS: usize = 100;
/// How many dimensions a set may have.
const MOST_DIMENSIONS: usize = 30;
/// How many values a metric may have in one line.
const MOST_VALUES: usize = 100;
/// The longest name of a namespace or metric, and the longest value of a dimension.
const LONGEST: usize = 1_024;
/// The longest name of a dimension.
const LONGEST_DIMENSION: usize = 250;
/// The units that CloudWatch knows besides `None`.
const UNITS: [&str; 26] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
];

/// The values of one metric under one set of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// For instance `Causeway`.
    pub namespace: String,
    /// For instance `Faults`.
    pub metric: String,
    /// `None` where the line names none.
    pub unit: String,
    /// Name and value of each dimension, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// The values.
    pub values: Vec<f64>,
    /// Milliseconds since 1970, as the line says.
    pub timestamp: i64,
}

/// The metrics of a log line; `None` for a line that has none.
///
/// # Errors
/// The rule that a line breaks which claims to have some.
pub fn read(line: &str) -> Option<Result<Vec<Series>, String>> {
    // Most lines are no metrics; whoever wrote these has this word in them.
    if !line.contains("\"_aws\"") {
        return None;
    }
    let Ok(Value::Object(root)) = serde_json::from_str(line) else { return None };
    let meta = root.get("_aws")?;
    Some(directives(meta, &root))
}

fn directives(meta: &Value, root: &Map<String, Value>) -> Result<Vec<Series>, String> {
    let Value::Object(meta) = meta else { return Err("_aws is no object".to_owned()) };
    // Logs that are no metrics may have an `_aws` as well, but then without this member.
    let timestamp = meta.get("Timestamp").and_then(Value::as_i64).filter(|at| *at >= 0);
    let timestamp = timestamp.ok_or("_aws.Timestamp is no number of milliseconds")?;
    let directives = meta.get("CloudWatchMetrics").and_then(Value::as_array);
    let directives = directives.ok_or("_aws.CloudWatchMetrics is no array")?;
    let mut all = Vec::new();
    for directive in directives {
        all.extend(series(directive, root, timestamp)?);
    }
    Ok(all)
}

/// What one directive defines.
fn series(directive: &Value, root: &Map<String, Value>, timestamp: i64) -> Result<Vec<Series>, String> {
    let namespace =
        name(directive.get("Namespace"), LONGEST).ok_or("a Namespace is no text of 1 to 1024 characters")?;
    let sets = directive.get("Dimensions").and_then(Value::as_array).ok_or("Dimensions is no array")?;
    let sets = sets.iter().map(|set| dimensions(set, root)).collect::<Result<Vec<_>, _>>()?;
    let metrics = directive.get("Metrics").and_then(Value::as_array).ok_or("Metrics is no array")?;
    if metrics.len() > MOST_METRICS {
        return Err(format!("{} metrics in a directive, at most {MOST_METRICS} may be", metrics.len()));
    }
    let mut all = Vec::new();
    for definition in metrics {
        let metric = name(definition.get("Name"), LONGEST)
            .ok_or("a metric's Name is no text of 1 to 1024 characters")?;
        let unit = match definition.get("Unit") {
            None => "None",
            Some(unit) => unit
                .as_str()
                .filter(|unit| *unit == "None" || UNITS.contains(unit))
                .ok_or_else(|| format!("the unit of {metric} is none of CloudWatch's: {unit}"))?,
        };
        if let Some(resolution) = definition.get("StorageResolution")
            && ![Some(1), Some(60)].contains(&resolution.as_i64())
        {
            return Err(format!("the StorageResolution of {metric} is {resolution}, it may be 1 or 60"));
        }
        let values = values(root.get(metric)).map_err(|why| format!("the value of {metric} {why}"))?;
        all.extend(sets.iter().map(|dimensions| Series {
            namespace: namespace.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            dimensions: dimensions.clone(),
            values: values.clone(),
            timestamp,
        }));
    }
    Ok(all)
}

/// A set of dimensions, each with its value, which stands beside `_aws`.
fn dimensions(set: &Value, root: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let set = set.as_array().ok_or("a set of dimensions is no array")?;
    if set.len() > MOST_DIMENSIONS {
        return Err(format!("{} dimensions in a set, at most {MOST_DIMENSIONS} may be", set.len()));
    }
    let mut all = Vec::new();
    for dimension in set {
        let key = name(Some(dimension), LONGEST_DIMENSION)
            .ok_or("a dimension's name is no text of 1 to 250 characters")?;
        let value = name(root.get(key), LONGEST)
            .ok_or_else(|| format!("the value of the dimension {key} is no text of 1 to 1024 characters"))?;
        all.push((key.to_owned(), value.to_owned()));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// A text of so many characters.
fn name(value: Option<&Value>, longest: usize) -> Option<&str> {
    let text = value?.as_str()?;
    (!text.trim().is_empty() && text.chars().count() <= longest).then_some(text)
}

/// A number or an array of them.
fn values(value: Option<&Value>) -> Result<Vec<f64>, String> {
    let no_number = || "is no number".to_owned();
    match value {
        Some(Value::Number(number)) => Ok(vec![number.as_f64().ok_or_else(no_number)?]),
        Some(Value::Array(all)) if all.len() > MOST_VALUES => {
            Err(format!("has {} numbers, at most {MOST_VALUES} may be", all.len()))
        }
        Some(Value::Array(all)) => all.iter().map(|one| one.as_f64().ok_or_else(no_number)).collect(),
        Some(_) => Err(no_number()),
        None => Err("is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line() -> Value {
        json!({
            "_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [
                {"Namespace": "Own", "Dimensions": [["F", "A"], ["V", "A", "F"], []], "Metrics": [
                    {"Name": "Faults", "Unit": "Count"}, {"Name": "Latency", "StorageResolution": 60}]},
            ]},
            "F": "f", "A": "live", "V": "4", "Faults": 1, "Latency": [1.5, 2], "other": {"any": "thing"},
        })
    }

    #[test]
    fn each_metric_counts_under_each_set_of_dimensions() {
        let found = read(&line().to_string()).unwrap().unwrap();
        assert_eq!(found.len(), 6);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = Series {
            namespace: "Own".into(),
            metric: "Faults".into(),
            unit: "Count".into(),
            dimensions: vec![pair("A", "live"), pair("F", "f"), pair("V", "4")],
            values: vec![1.0],
            timestamp: 1_700_000_000_000,
        };
        assert_eq!(found[1], expected);
        assert_eq!((found[2].dimensions.len(), found[3].unit.as_str()), (0, "None"));
        assert_eq!(found[5].values, [1.5, 2.0]);
    }

    #[test]
    fn a_line_without_metrics_is_no_mistake() {
        for line in [
            "",
            "text with \"_aws\" in it",
            "{\"message\": \"hello\"}",
            "[{\"_aws\": {}}]",
            "{\"_aws\": {\"Timest",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_that_breaks_a_rule_is_ignored_and_the_rule_named() {
        let directive = "/_aws/CloudWatchMetrics/0";
        let many = |count: usize| (0..count).map(|n| json!({"Name": format!("m{n}")})).collect::<Vec<_>>();
        let keys = |count: usize| (0..count).map(|_| json!("F")).collect::<Vec<_>>();
        for (pointer, value, said) in [
            ("/_aws".to_owned(), json!(1), "no object"),
            ("/_aws/Timestamp".to_owned(), json!("today"), "Timestamp"),
            ("/_aws/Timestamp".to_owned(), json!(-1), "Timestamp"),
            ("/_aws/CloudWatchMetrics".to_owned(), json!({}), "CloudWatchMetrics"),
            (format!("{directive}/Namespace"), json!(""), "Namespace"),
            (format!("{directive}/Namespace"), json!("x".repeat(1_025)), "Namespace"),
            (format!("{directive}/Dimensions"), Value::Null, "Dimensions"),
            (format!("{directive}/Dimensions/0"), json!("F"), "no array"),
            (format!("{directive}/Dimensions/0"), json!(keys(31)), "31 dimensions"),
            (format!("{directive}/Dimensions/0/0"), json!("gone"), "gone"),
            ("/F".to_owned(), json!(4), "dimension F"),
            ("/F".to_owned(), json!("x".repeat(1_025)), "dimension F"),
            (format!("{directive}/Metrics"), json!(many(101)), "101 metrics"),
            (format!("{directive}/Metrics/0/Name"), json!(7), "Name"),
            (format!("{directive}/Metrics/0/Unit"), json!("Pieces"), "Pieces"),
            (format!("{directive}/Metrics/1/StorageResolution"), json!(30), "30"),
            ("/Faults".to_owned(), json!("1"), "no number"),
            ("/Faults".to_owned(), json!(vec![1; 101]), "101 numbers"),
            ("/Latency/0".to_owned(), json!(null), "no number"),
        ] {
            let mut broken = line();
            *broken.pointer_mut(&pointer).unwrap() = value;
            let why = read(&broken.to_string()).unwrap().unwrap_err();
            assert!(why.contains(said), "{pointer}: {why}");
        }
        let mut absent = line();
        absent.as_object_mut().unwrap().remove("Latency");
        assert!(read(&absent.to_string()).unwrap().unwrap_err().contains("Latency is missing"));
        let mut most = line();
        *most.pointer_mut(&format!("{directive}/Dimensions/0")).unwrap() = json!(keys(30));
        *most.pointer_mut("/Faults").unwrap() = json!(vec![1; 100]);
        assert!(read(&most.to_string()).unwrap().is_ok());
    }
}
