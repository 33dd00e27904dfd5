//! Calls of CloudWatch: the emulator answers them, and the alarm engine hears of what clients put and set.
//!
//! Clients speak CBOR ("Smithy RPC v2 CBOR protocol"), JSON with a target header, or the query protocol. SDKs compress what is
//! longer than 10 KB with gzip ("Request compression" in the AWS SDKs and Tools reference).

use std::borrow::Cow;
use std::io::Read as _;

use axum::response::Response;
use flate2::read::GzDecoder;
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
/// How long a body may be once it is decompressed; AWS takes 1 MB ("PutMetricData" in the API reference).
const LONGEST: u64 = 16 * 1024 * 1024;

/// Passes a call of CloudWatch on.
///
/// # Errors
/// The emulator does not answer.
pub(super) async fn answer(front: &Front, call: &Call) -> anyhow::Result<Response> {
    let body = body(call);
    let operation = operation(call, body.as_deref().unwrap_or_default());
    if READS.contains(&operation.as_str()) {
        shown::show(&front.cloud).await?;
    }
    let response = front.pass(call).await?;
    // The emulator has looked at the caller's rights by now.
    let heard = match (operation.as_str(), body) {
        _ if !response.status().is_success() => Ok(()),
        ("PutMetricData" | "SetAlarmState", Ok(body)) => heard(front, call, &operation, &body),
        // Of a call of the query protocol whose body cannot be read nobody knows what it is.
        ("PutMetricData" | "SetAlarmState" | "", Err(why)) => Err(why),
        _ => Ok(()),
    };
    if let Err(why) = heard {
        tracing::warn!(operation, why, "the alarms do not hear of a call of CloudWatch");
    }
    Ok(response)
}

/// Tells the engine what a client did.
fn heard(front: &Front, call: &Call, operation: &str, body: &[u8]) -> Result<(), String> {
    let account = front.cloud.identities.account(&call.access_key);
    let account =
        account.ok_or("its caller's session began inside the emulator, so its account is not known")?;
    let input = input(call, body)?;
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
        for value in values_of(datum)? {
            front.cloud.metrics.keep(&metric, (at, at), Sample { value, millis: 0.0, late: false }, None);
        }
    }
    Ok(())
}

/// The values of a datum: one, several with how often each came, or as many as a statistic set counts, with its sum and
/// its extremes.
fn values_of(datum: &Value) -> Result<Vec<f64>, String> {
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

/// The body of a call, decompressed.
fn body(call: &Call) -> Result<Cow<'_, [u8]>, String> {
    let encodings = header(call, "content-encoding").split(',').map(str::trim);
    let encodings: Vec<&str> = encodings.filter(|name| !["", "identity"].contains(name)).collect();
    match encodings.as_slice() {
        [] => Ok(Cow::Borrowed(&call.body)),
        ["gzip"] => {
            let mut whole = Vec::new();
            let mut decoder = GzDecoder::new(call.body.as_ref()).take(LONGEST + 1);
            decoder.read_to_end(&mut whole).map_err(|error| format!("its body is no gzip: {error}"))?;
            if whole.len() as u64 > LONGEST {
                return Err(format!("its body is longer than {LONGEST} bytes"));
            }
            Ok(Cow::Owned(whole))
        }
        other => Err(format!("its body is encoded ({})", other.join(", "))),
    }
}

/// The operation of a call.
fn operation(call: &Call, body: &[u8]) -> String {
    if is_cbor(call) {
        return call.parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some((_, operation)) = header(call, "x-amz-target").rsplit_once('.') {
        return operation.to_owned();
    }
    let mut pairs = form_urlencoded::parse(body);
    pairs.find(|(name, _)| name == "Action").map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// What a call says.
fn input(call: &Call, body: &[u8]) -> Result<Value, String> {
    if is_cbor(call) {
        let value: ciborium::Value =
            ciborium::from_reader(body).map_err(|error| format!("its body is no CBOR: {error}"))?;
        return Ok(json_of(value));
    }
    if !header(call, "x-amz-target").is_empty() {
        return serde_json::from_slice(body).map_err(|error| format!("its body is no JSON: {error}"));
    }
    let mut root = Value::Object(Map::new());
    for (name, value) in form_urlencoded::parse(body) {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::super::tests::front_that;
    use super::*;
    use crate::edge_stub::ACCOUNT;
    use crate::stub_emulator::{Answer, Emulator};

    const TARGET: &str = "GraniteServiceVersion20100801";

    async fn front() -> (Emulator, Front) {
        front_that(|_, _| Some(Answer::new(200, "{}"))).await
    }

    fn call(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Call {
        let mut request = http::Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Call {
            parts: Arc::new(request.body(()).unwrap().into_parts().0),
            body: body.into(),
            access_key: ACCOUNT.to_owned(),
            service: "monitoring".to_owned(),
        }
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// A call in each protocol: what names it, its path, its headers, its body.
    type Protocol = (&'static str, String, Vec<(&'static str, String)>, Vec<u8>);

    /// An operation in each protocol.
    fn protocols(operation: &str, input: &Value, form: &[(&str, &str)]) -> [Protocol; 3] {
        let mut cbor = Vec::new();
        ciborium::into_writer(input, &mut cbor).unwrap();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", operation)
            .append_pair("Version", "2010-08-01")
            .extend_pairs(form)
            .finish();
        let target = vec![("x-amz-target", format!("{TARGET}.{operation}"))];
        let path = format!("/service/{TARGET}/operation/{operation}");
        [
            ("JSON", "/".to_owned(), target, input.to_string().into_bytes()),
            ("CBOR", path, vec![("smithy-protocol", "rpc-v2-cbor".to_owned())], cbor),
            ("query", "/".to_owned(), Vec::new(), form.into_bytes()),
        ]
    }

    /// The values that the alarms see of a metric, of whatever time.
    fn values(front: &Front, name: &str, dimensions: &[(&str, &str)]) -> Vec<f64> {
        let metric = Metric {
            account: ACCOUNT.to_owned(),
            namespace: "Own".to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        let mut all = front.cloud.metrics.values(&metric, 600.0, 6_000.0, 1).concat();
        all.extend(front.cloud.metrics.values(&metric, 6_600.0, 6_000.0, 1).concat());
        all
    }

    #[tokio::test]
    async fn what_a_client_puts_counts_in_every_protocol_compressed_or_not() {
        let input = json!({"Namespace": "Own", "MetricData": [
            {"MetricName": "one", "Value": 2.5, "Dimensions": [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}]},
            {"MetricName": "many", "Values": [1.0, 7.0], "Counts": [2.0, 1.0]}]});
        let form = [
            ("Namespace", "Own"),
            ("MetricData.member.1.MetricName", "one"),
            ("MetricData.member.1.Value", "2.5"),
            ("MetricData.member.1.Dimensions.member.1.Name", "b"),
            ("MetricData.member.1.Dimensions.member.1.Value", "2"),
            ("MetricData.member.1.Dimensions.member.2.Name", "a"),
            ("MetricData.member.1.Dimensions.member.2.Value", "1"),
            ("MetricData.member.2.MetricName", "many"),
            ("MetricData.member.2.Values.member.1", "1"),
            ("MetricData.member.2.Values.member.2", "7"),
            ("MetricData.member.2.Counts.member.1", "2"),
            ("MetricData.member.2.Counts.member.2", "1"),
        ];
        for (protocol, path, headers, plain) in protocols("PutMetricData", &input, &form) {
            for encoding in ["", "identity", "gzip"] {
                let (emulator, front) = front().await;
                let body = if encoding == "gzip" { gzip(&plain) } else { plain.clone() };
                let mut headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                headers.extend(Some(("content-encoding", encoding)).filter(|(_, value)| !value.is_empty()));
                let answer = answer(&front, &call(&path, &headers, body)).await.unwrap();
                assert_eq!((answer.status().as_u16(), emulator.asked().len()), (200, 1));
                let what = format!("{protocol} {encoding:?}");
                assert_eq!(values(&front, "one", &[("a", "1"), ("b", "2")]), [2.5], "{what}");
                assert_eq!(values(&front, "many", &[]), [1.0, 1.0, 7.0], "{what}");
                assert_eq!(front.cloud.metrics.count_unseen(), 0, "{what}: the emulator has it already");
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_was_refused_does_not_count_and_is_passed_on() {
        let input = json!({"Namespace": "Own", "MetricData": [{"MetricName": "one", "Value": 1.0}]});
        let plain = input.to_string().into_bytes();
        let whole = gzip(&plain);
        let bomb = gzip(&vec![b' '; usize::try_from(LONGEST).unwrap() + 1]);
        let cases = [
            ("gzip", whole[..whole.len() - 9].to_vec(), Err("its body is no gzip: ")),
            ("gzip", plain.clone(), Err("its body is no gzip: ")),
            ("br", plain.clone(), Err("its body is encoded (br)")),
            ("gzip, gzip", gzip(&whole), Err("its body is encoded (gzip, gzip)")),
            ("gzip", bomb, Err("its body is longer than 16777216 bytes")),
            (" GZIP ", whole.clone(), Err("its body is encoded (GZIP)")),
            ("gzip", whole, Ok(())),
        ];
        let target = format!("{TARGET}.PutMetricData");
        for (encoding, bytes, read) in cases {
            let (emulator, front) = front().await;
            let call = call("/", &[("x-amz-target", &target), ("content-encoding", encoding)], bytes);
            let found = body(&call).map(|_| ());
            match (&found, read) {
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{encoding}: {found}"),
                _ => assert_eq!(found.is_ok(), read.is_ok(), "{encoding}: {found:?}"),
            }
            answer(&front, &call).await.unwrap();
            assert_eq!(emulator.asked().len(), 1, "{encoding}: whether it is good is the emulator's to say");
            assert_eq!(values(&front, "one", &[]).len(), usize::from(read.is_ok()), "{encoding}");
        }
        let (_emulator, front) = front_that(|_, _| Some(Answer::new(403, "{}"))).await;
        answer(&front, &call("/", &[("x-amz-target", &target)], plain)).await.unwrap();
        assert_eq!(values(&front, "one", &[]), [0.0; 0], "the caller may not put it");
    }

    #[tokio::test]
    async fn a_state_that_a_client_sets_stops_who_waits_for_it() {
        for (protocol, path, headers, body) in protocols(
            "SetAlarmState",
            &json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "tried"}),
            &[("AlarmName", "a"), ("StateValue", "ALARM"), ("StateReason", "tried")],
        ) {
            let (_emulator, front) = front().await;
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let raised = || front.cloud.alarms.raised(ACCOUNT, &["a".to_owned()]);
            assert_eq!(raised(), None, "{protocol}");
            answer(&front, &call(&path, &headers, body)).await.unwrap();
            assert_eq!(raised().as_deref(), Some("a"), "{protocol}");
        }
    }

    #[tokio::test]
    async fn who_reads_sees_what_was_measured_until_then() {
        for (operation, puts) in [("GetMetricData", 1), ("GetMetricStatistics", 1), ("DescribeAlarms", 0)] {
            let (emulator, front) = front().await;
            let metric = Metric {
                account: ACCOUNT.to_owned(),
                namespace: "Own".to_owned(),
                name: "one".to_owned(),
                dimensions: Vec::new(),
            };
            let sample = Sample { value: 1.0, millis: 0.0, late: false };
            front.cloud.metrics.put(&metric, "Count", 0, (1.0, 1.0), sample, None);
            let target = format!("{TARGET}.{operation}");
            answer(&front, &call("/", &[("x-amz-target", &target)], b"{}".to_vec())).await.unwrap();
            let asked: Vec<String> =
                emulator.asked().iter().map(crate::stub_emulator::Asked::action).collect();
            let expected: Vec<&str> = std::iter::repeat_n("PutMetricData", puts).chain([operation]).collect();
            assert_eq!(asked, expected);
        }
    }

    #[test]
    fn a_datum_stands_for_as_many_values_as_it_says() {
        let set = |count: f64, sum: f64, least: f64, most: f64| json!({"StatisticValues": {"SampleCount": count, "Sum": sum, "Minimum": least, "Maximum": most}});
        for (datum, expected) in [
            (json!({"Value": 3}), Ok(vec![3.0])),
            (json!({"Value": "3.5"}), Ok(vec![3.5])),
            (json!({"Values": [], "Value": 1}), Ok(vec![1.0])),
            (json!({"Values": [1, 2]}), Ok(vec![1.0, 2.0])),
            (json!({"Values": [1, 2], "Counts": [0, 2]}), Ok(vec![2.0, 2.0])),
            (set(0.0, 0.0, 0.0, 0.0), Ok(vec![])),
            (set(1.0, 4.0, 4.0, 4.0), Ok(vec![4.0])),
            (set(2.0, 5.0, 1.0, 4.0), Ok(vec![1.0, 4.0])),
            (set(4.0, 10.0, 1.0, 5.0), Ok(vec![2.0, 2.0, 1.0, 5.0])),
            (json!({}), Err("a datum has no value")),
            (json!({"Value": "much"}), Err("a datum has no value")),
            (json!({"Values": [1, "x"]}), Err("a value is no number")),
            (json!({"Values": [1], "Counts": [1e9]}), Err("a datum stands for ")),
            (set(1e9, 1.0, 0.0, 1.0), Err("a datum stands for ")),
            (json!({"StatisticValues": {"SampleCount": 1}}), Err("a statistic set has no Sum")),
        ] {
            match (values_of(&datum), expected) {
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{datum}: {found}"),
                (found, expected) => assert_eq!(found, expected.map_err(ToOwned::to_owned), "{datum}"),
            }
        }
    }

    #[tokio::test]
    async fn a_value_of_earlier_lies_in_the_seconds_of_earlier() {
        let (_emulator, front) = front().await;
        // A minute of AWS is a minute here, so two minutes ago are two of its minutes.
        let now = clock::now().as_second();
        let at = now - 120;
        let input =
            json!({"Namespace": "Own", "MetricData": [{"MetricName": "one", "Value": 1.0, "Timestamp": at}]});
        let target = format!("{TARGET}.PutMetricData");
        answer(&front, &call("/", &[("x-amz-target", &target)], input.to_string().into_bytes()))
            .await
            .unwrap();
        let metric = Metric {
            account: ACCOUNT.to_owned(),
            namespace: "Own".to_owned(),
            name: "one".to_owned(),
            dimensions: Vec::new(),
        };
        let now = front.cloud.clock.seconds();
        assert_eq!(front.cloud.metrics.periods(&metric, now - 60.0, 3_600.0, 1).concat().len(), 1);
        assert!(front.cloud.metrics.periods(&metric, now + 1.0, 61.0, 1).concat().is_empty());
    }
}
