//! Calls of CloudWatch: the emulator answers them, and the alarm engine hears of what clients put and set.
//!
//! Clients speak CBOR ("Smithy RPC v2 CBOR protocol"), JSON with a target header, or the query protocol.

use axum::response::Response;
use serde_json::{Map, Value};

use super::{Call, Front};
use crate::metrics::Metric;
use crate::shown;
use causeway_machine::clock;
use causeway_model::alarm::State;
use causeway_model::latency::Sample;

/// Calls that read what was measured.
const READS: [&str; 3] = ["GetMetricData", "GetMetricStatistics", "ListMetrics"];
/// A value that is not older than so many seconds is one of now: on its way it waited for nothing but this machine.
const FRESH: f64 = 5.0;
/// How many values one datum may stand for.
const MOST: f64 = 100_000.0;

/// Passes a call of CloudWatch on.
///
/// # Errors
/// The emulator does not answer.
pub(super) async fn answer(front: &Front, call: &Call) -> anyhow::Result<Response> {
    let operation = operation(call);
    if READS.contains(&operation.as_str()) {
        shown::show(&front.cloud).await?;
    }
    let response = front.pass(call).await?;
    // The emulator has looked at the caller's rights by now.
    let concerns_alarms = ["PutMetricData", "SetAlarmState"].contains(&operation.as_str());
    if response.status().is_success()
        && concerns_alarms
        && let Err(why) = heard(front, call, &operation)
    {
        tracing::warn!(operation, why, "the alarms do not hear of a call of CloudWatch");
    }
    Ok(response)
}

/// Tells the engine what a client did.
fn heard(front: &Front, call: &Call, operation: &str) -> Result<(), String> {
    let account = front.cloud.identities.account(&call.access_key);
    let account =
        account.ok_or("its caller's session began inside the emulator, so its account is not known")?;
    let input = input(call)?;
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let now = front.cloud.clock.seconds();
    if operation == "SetAlarmState" {
        let state = match text("StateValue") {
            "OK" => State::Ok,
            "ALARM" => State::Raised,
            "INSUFFICIENT_DATA" => State::InsufficientData,
            other => return Err(format!("{other:?} is no state of an alarm")),
        };
        front.cloud.alarms.set_by_client(&account, text("AlarmName"), state, now);
        front.cloud.tell_alarm(&account, text("AlarmName"), state, text("StateReason"));
        return Ok(());
    }
    let data = input.get("MetricData").and_then(Value::as_array).ok_or("it has no MetricData")?;
    for datum in data {
        let dimensions = datum.get("Dimensions").and_then(Value::as_array).into_iter().flatten();
        let mut dimensions: Vec<(String, String)> = dimensions
            .filter_map(|d| Some((d.get("Name")?.as_str()?.to_owned(), d.get("Value")?.as_str()?.to_owned())))
            .collect();
        dimensions.sort();
        let metric = Metric {
            account: account.clone(),
            namespace: text("Namespace").to_owned(),
            name: datum.get("MetricName").and_then(Value::as_str).unwrap_or_default().to_owned(),
            dimensions,
        };
        let age = seconds(datum.get("Timestamp"))
            .map_or(0.0, |at| clock::now().as_millisecond() as f64 / 1_000.0 - at);
        let minute = front.cloud.clock.minute().as_secs_f64();
        let at = if age.abs() <= FRESH { now } else { now - age / minute * 60.0 };
        for value in values(datum)? {
            front.cloud.metrics.keep(&metric, (at, at), Sample { value, millis: 0.0, late: false }, None);
        }
    }
    Ok(())
}

/// The values of a datum: one, several with how often each came, or as many as a statistic set counts, with its sum and
/// its extremes.
fn values(datum: &Value) -> Result<Vec<f64>, String> {
    let number = |value: Option<&Value>| value.and_then(as_number);
    let too_many = |count: f64| format!("a datum stands for {count} values, at most {MOST} are kept here");
    if let Some(set) = datum.get("StatisticValues") {
        let part = |name: &str| number(set.get(name)).ok_or_else(|| format!("a statistic set has no {name}"));
        let (count, sum) = (part("SampleCount")?, part("Sum")?);
        let (least, most) = (part("Minimum")?, part("Maximum")?);
        if count > MOST {
            return Err(too_many(count));
        }
        let count = count.round().max(0.0) as usize;
        return Ok(match count {
            0 => Vec::new(),
            1 => vec![sum],
            2 => vec![least, most],
            more => {
                let other = (sum - least - most) / (more - 2) as f64;
                let mut all = vec![other; more - 2];
                all.extend([least, most]);
                all
            }
        });
    }
    let Some(values) = datum.get("Values").and_then(Value::as_array).filter(|values| !values.is_empty())
    else {
        return Ok(vec![number(datum.get("Value")).ok_or("a datum has no value")?]);
    };
    let counts = datum.get("Counts").and_then(Value::as_array);
    let mut all = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let value = as_number(value).ok_or("a value is no number")?;
        let count = counts.and_then(|counts| number(counts.get(n))).unwrap_or(1.0);
        if all.len() as f64 + count > MOST {
            return Err(too_many(count));
        }
        all.extend(std::iter::repeat_n(value, count.round().max(0.0) as usize));
    }
    Ok(all)
}

/// Seconds since 1970, as a number or a text.
fn seconds(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    as_number(value).or_else(|| Some(clock::milliseconds_of(value.as_str()?)? as f64 / 1_000.0))
}

/// A number; in the query protocol it is a text.
fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    call.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_cbor(call: &Call) -> bool {
    header(call, "smithy-protocol") == "rpc-v2-cbor"
}

/// The operation of a call.
fn operation(call: &Call) -> String {
    if is_cbor(call) {
        return call.parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some((_, operation)) = header(call, "x-amz-target").rsplit_once('.') {
        return operation.to_owned();
    }
    let mut pairs = form_urlencoded::parse(&call.body);
    pairs.find(|(name, _)| name == "Action").map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// What a call says.
fn input(call: &Call) -> Result<Value, String> {
    let encoding = header(call, "content-encoding");
    if !["", "identity", "aws-chunked"].contains(&encoding) {
        return Err(format!("its body is compressed ({encoding})"));
    }
    if is_cbor(call) {
        let value: ciborium::Value = ciborium::from_reader(call.body.as_ref())
            .map_err(|error| format!("its body is no CBOR: {error}"))?;
        return Ok(json_of(value));
    }
    if !header(call, "x-amz-target").is_empty() {
        return serde_json::from_slice(&call.body).map_err(|error| format!("its body is no JSON: {error}"));
    }
    let mut root = Value::Object(Map::new());
    for (name, value) in form_urlencoded::parse(&call.body) {
        insert(&mut root, &name, &value);
    }
    Ok(listed(root))
}

/// CBOR as JSON: tags mark times, which are numbers in both.
fn json_of(value: ciborium::Value) -> Value {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Integer(number) => i64::try_from(number).map_or(Value::Null, Value::from),
        Cbor::Float(number) => Value::from(number),
        Cbor::Text(text) => text.into(),
        Cbor::Bool(is) => is.into(),
        Cbor::Tag(_, inner) => json_of(*inner),
        Cbor::Array(items) => items.into_iter().map(json_of).collect(),
        Cbor::Map(entries) => {
            let entries = entries.into_iter().filter_map(|(key, value)| match key {
                Cbor::Text(key) => Some((key, json_of(value))),
                _ => None,
            });
            Value::Object(entries.collect())
        }
        _ => Value::Null,
    }
}

/// Puts a member of the query protocol (`MetricData.member.1.Value`) where it belongs.
fn insert(root: &mut Value, name: &str, value: &str) {
    let mut at = root;
    for part in name.split('.').filter(|part| *part != "member") {
        let Value::Object(map) = at else { return };
        at = map.entry(part).or_insert_with(|| Value::Object(Map::new()));
    }
    *at = value.into();
}

/// Makes lists of what is numbered from 1 on.
fn listed(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let mut numbered: Vec<(usize, Value)> = Vec::new();
    let mut named = Map::new();
    for (key, value) in map {
        match key.parse() {
            Ok(number) => numbered.push((number, listed(value))),
            Err(_) => {
                named.insert(key, listed(value));
            }
        }
    }
    if numbered.is_empty() || !named.is_empty() {
        return Value::Object(named);
    }
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, value)| value).collect()
}
