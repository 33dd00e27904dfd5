//! The store against scripted answers: what a real table seldom does, and must not break anything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/server.rs"]
mod server;
#[path = "support/table.rs"]
mod table;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use api::cursor::Page;
use api::model::{Location, Partition, Registration};
use api::store::{Consistency, DynamoStore, Store, Stretch};
use serde_json::{Value, json};
use server::Seen;
use uuid::Uuid;

type Log = Arc<Mutex<Vec<Seen>>>;

/// A store whose service gives these answers in turn, and the requests it got.
async fn scripted(answers: Vec<(u16, Value)>) -> (DynamoStore, Log) {
    let log = Log::default();
    let (seen, answers) = (log.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
    let address = server::start(move |request| {
        seen.lock().unwrap().push(request);
        let (status, body) =
            answers.lock().unwrap().pop_front().unwrap_or((500, json!({"__type": "OutOfScript"})));
        async move { server::json(status, &[("x-amzn-requestid", "REQUEST")], &body) }
    })
    .await;
    (table::store(&format!("http://{address}"), "table"), log)
}

fn error(code: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "Jane Doe"})
}

fn registration() -> Registration {
    Registration {
        id: Uuid::new_v4(),
        location_id: Uuid::new_v4(),
        location_name: "Desk 14".to_owned(),
        timestamp: "2024-02-29T08:15:00.000001Z".parse().unwrap(),
        name: "Jane Doe".to_owned(),
        phone_number: "112".to_owned(),
        email: "jane@example.com".to_owned(),
    }
}

fn item(registration: &Registration) -> Value {
    json!({
        "pk": {"S": "Reg_2024-02-29"}, "sk": {"S": registration.sort_key()},
        "locationId": {"S": registration.location_id.to_string()}, "locationName": {"S": registration.location_name},
        "name": {"S": registration.name}, "phoneNumber": {"S": registration.phone_number},
        "email": {"S": registration.email}, "expiresAt": {"N": "99"},
    })
}

fn location(number: u8) -> Value {
    json!({"pk": {"S": "LOCATION"}, "sk": {"S": Uuid::from_u128(number.into()).to_string()}, "locationName": {"S": "x"}})
}

fn key(item: &Value) -> Value {
    json!({"pk": item["pk"], "sk": item["sk"]})
}

fn page(limit: usize) -> Page {
    Page { limit, after: None }
}

#[tokio::test]
async fn a_put_never_overwrites_and_names_every_attribute() {
    let (store, log) = scripted(vec![(200, json!({}))]).await;
    let registration = registration();
    store.add_registration(&registration, 99).await.unwrap();
    let sent = log.lock().unwrap()[0].clone();
    assert_eq!(sent.line, "POST / DynamoDB_20120810.PutItem");
    assert_eq!(sent.body["Item"], item(&registration));
    assert_eq!(sent.body["ConditionExpression"], "attribute_not_exists(pk)");
}

#[tokio::test]
async fn a_put_that_meets_its_own_item_is_done() {
    let registration = registration();
    let mut refusal = error("ConditionalCheckFailedException");
    refusal["Item"] = item(&registration);
    // The first answer is lost on the way: the SDK asks again and finds what it wrote.
    let (store, log) = scripted(vec![(500, error("InternalServerError")), (400, refusal.clone())]).await;
    assert_eq!(store.add_registration(&registration, 99).await, Ok(()));
    assert_eq!(log.lock().unwrap().len(), 2);

    refusal["Item"]["name"]["S"] = json!("Somebody else");
    for refusal in [refusal, error("ConditionalCheckFailedException")] {
        let (store, _) = scripted(vec![(400, refusal)]).await;
        let refused = store.add_registration(&registration, 99).await.unwrap_err();
        assert_eq!(
            (refused.operation, refused.code.as_str()),
            ("PutItem", "ConditionalCheckFailedException")
        );
    }
}

#[tokio::test]
async fn an_error_keeps_its_code_and_loses_its_message() {
    let (store, _) = scripted(vec![(400, error("AccessDeniedException"))]).await;
    let error = store.location(Uuid::new_v4()).await.unwrap_err();
    assert_eq!((error.operation, error.code.as_str()), ("GetItem", "AccessDeniedException"));
    assert_eq!(error.service_request_id.as_deref(), Some("REQUEST"));
    assert!(!format!("{error} {error:?}").contains("Jane"));
    let (store, _) = scripted(vec![(200, json!("nonsense"))]).await;
    assert_eq!(
        store.location(Uuid::new_v4()).await.map_err(|error| error.code),
        Err("NoErrorCode".to_owned())
    );
}

#[tokio::test]
async fn an_item_that_is_none_of_ours_is_an_error() {
    for broken in [json!({"pk": {"S": "LOCATION"}}), json!({"sk": {"S": "x"}, "locationName": {"S": "x"}})] {
        let (store, _) = scripted(vec![(200, json!({"Item": broken}))]).await;
        let error = store.location(Uuid::new_v4()).await.unwrap_err();
        assert_eq!(error.code, "UnreadableItem");
    }
}

#[tokio::test]
async fn a_page_that_the_service_cut_is_read_on() {
    let answers = vec![
        (200, json!({"Items": [location(1), location(2)], "LastEvaluatedKey": key(&location(2))})),
        (200, json!({"Items": [], "LastEvaluatedKey": key(&location(3))})),
        (200, json!({"Items": [location(4), location(5)], "LastEvaluatedKey": key(&location(5))})),
    ];
    let (store, log) = scripted(answers).await;
    let listing = store.locations(&page(3)).await.unwrap();
    let ids: Vec<Uuid> = listing.items.iter().map(|location: &Location| location.id).collect();
    assert_eq!(ids, [1, 2, 4].map(Uuid::from_u128));
    assert_eq!(listing.next, Some(Uuid::from_u128(4).to_string()));
    let log = log.lock().unwrap();
    let limits: Vec<&Value> = log.iter().map(|seen| &seen.body["Limit"]).collect();
    assert_eq!(limits, [&json!(4), &json!(2), &json!(2)]);
    assert_eq!(log[1].body["ExclusiveStartKey"], key(&location(2)));
    assert!(
        log.iter().all(|seen| seen.body["ExpressionAttributeValues"] == json!({":pk": {"S": "LOCATION"}}))
    );
}

#[tokio::test]
async fn a_filter_that_fits_nobody_does_not_read_for_ever() {
    let last = registration();
    let empty = (200, json!({"Items": [], "LastEvaluatedKey": key(&item(&last))}));
    let (store, log) = scripted(vec![empty; 20]).await;
    let day = last.timestamp.day();
    let listing = store.registrations(day, Some(Uuid::new_v4()), 1, &page(10)).await.unwrap();
    assert!(listing.items.is_empty());
    let next = listing.next.unwrap();
    assert!(next == last.sort_key() && Partition::Day(day).holds(&next));
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 8);
    assert_eq!(log[0].body["FilterExpression"], "expiresAt > :now AND locationId = :location");
    assert_eq!(log[0].body["Limit"], Value::Null);
}

#[tokio::test]
async fn a_stretch_is_one_read_between_two_keys() {
    let row = registration();
    let (day, places) = (row.timestamp.day(), vec![row.location_id, Uuid::from_u128(1)]);
    let whole = (200, json!({"Items": [item(&row)]}));
    let part = (200, json!({"Items": [], "LastEvaluatedKey": key(&item(&row))}));
    let (store, log) = scripted(vec![whole, part]).await;
    let read = store.stretch(&Stretch::whole(day, 7), Consistency::Strong).await.unwrap();
    assert_eq!((read.items, read.next), (vec![row.clone()], None));
    let stretch = Stretch { places, ..Stretch::between(day, row.timestamp, row.timestamp, 7) };
    let read = store.stretch(&stretch.behind(&row.sort_key()), Consistency::Eventual).await.unwrap();
    assert_eq!((read.items, read.next), (vec![], Some(row.sort_key())));
    let log = log.lock().unwrap();
    let values = |at: usize| log[at].body["ExpressionAttributeValues"].clone();
    let (pk, now) = (json!({"S": "Reg_2024-02-29"}), json!({"N": "7"}));
    assert_eq!(log[0].body["KeyConditionExpression"], "pk = :pk AND sk BETWEEN :from AND :to");
    assert_eq!(log[0].body["FilterExpression"], "expiresAt > :now");
    let days = json!({":pk": pk, ":now": now, ":from": {"S": "2024-02-29"}, ":to": {"S": "2024-02-29U"}});
    assert_eq!(values(0), days);
    assert_eq!(log[1].body["FilterExpression"], "expiresAt > :now AND locationId IN (:place0, :place1)");
    assert_eq!(values(1)[":from"]["S"], format!("{}!", row.sort_key()));
    assert_eq!(values(1)[":to"]["S"], format!("{}$", row.timestamp));
    assert_eq!(values(1)[":place1"]["S"], Uuid::from_u128(1).to_string());
}

#[tokio::test]
async fn a_deletion_tells_whether_there_was_anything() {
    let row = registration();
    let (store, log) =
        scripted(vec![(200, json!({})), (400, error("ConditionalCheckFailedException"))]).await;
    for was_there in [true, false] {
        assert_eq!(store.remove_registration(row.timestamp.day(), &row.sort_key()).await, Ok(was_there));
    }
    let sent = log.lock().unwrap()[0].clone();
    assert_eq!(sent.line, "POST / DynamoDB_20120810.DeleteItem");
    assert_eq!(sent.body["Key"], key(&item(&row)));
    assert_eq!(sent.body["ConditionExpression"], "attribute_exists(pk)");
}

/// What the contract promises of each read decides, since a consistent one costs twice as much.
#[tokio::test]
async fn a_read_is_consistent_where_the_contract_needs_it_and_nowhere_else() {
    let row = registration();
    let day = row.timestamp.day();
    let empty = (200, json!({"Items": []}));
    let (store, log) = scripted(vec![empty; 5]).await;
    store.location(row.location_id).await.unwrap();
    store.registrations(day, None, 7, &page(1)).await.unwrap();
    store.stretch(&Stretch::whole(day, 7), Consistency::Strong).await.unwrap();
    store.stretch(&Stretch::whole(day, 7), Consistency::Eventual).await.unwrap();
    store.locations(&page(1)).await.unwrap();
    let log = log.lock().unwrap();
    let consistent: Vec<&Value> = log.iter().map(|seen| &seen.body["ConsistentRead"]).collect();
    assert_eq!(consistent, [true, true, true, false, false]);
}

#[tokio::test]
async fn a_throttled_request_is_tried_again() {
    let answers =
        vec![(400, error("ProvisionedThroughputExceededException")), (200, json!({"Items": [location(1)]}))];
    let (store, log) = scripted(answers).await;
    assert_eq!(store.locations(&page(1)).await.map(|listing| listing.items.len()), Ok(1));
    assert_eq!(log.lock().unwrap().len(), 2);
}
