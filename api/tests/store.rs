//! The store against a real DynamoDB endpoint, named by `CAUSEWAY_TEST_DYNAMODB`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/table.rs"]
mod table;

use api::cursor::Page;
use api::model::{Day, Location, Moment, Registration};
use api::store::{Consistency, DynamoStore, Store, Stretch};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use uuid::Uuid;

/// A time all registrations of these tests expire after, and one they expire before.
const EARLY: i64 = 1_000_000_000;
const LATE: i64 = 4_000_000_000;

#[tokio::test]
#[ignore = "it needs CAUSEWAY_TEST_DYNAMODB, the URL of a DynamoDB endpoint: check runs it beside a local cloud"]
async fn the_store_keeps_its_promises() {
    let endpoint = std::env::var("CAUSEWAY_TEST_DYNAMODB").unwrap_or_else(|_| {
        panic!("the store's tests need CAUSEWAY_TEST_DYNAMODB=<URL of a DynamoDB endpoint>")
    });
    let client = table::client(&endpoint);
    let name = format!("causeway-test-{}", Uuid::new_v4());
    create_table(&client, &name).await;
    let store = table::store(&endpoint, &name);
    // A task of its own, so that the table goes even when an assertion fails.
    let outcome = tokio::spawn(async move {
        a_location_lives(&store).await;
        locations_come_in_pages(&store).await;
        registrations_of_one_microsecond_are_both_kept(&store).await;
        what_has_expired_is_hidden(&store).await;
        a_registration_is_removed(&store).await;
        more_than_a_megabyte_is_read_whole(&store).await;
    })
    .await;
    client.delete_table().table_name(&name).send().await.unwrap();
    outcome.unwrap();
}

async fn create_table(client: &Client, name: &str) {
    let mut table = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, key_type) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let definition = AttributeDefinition::builder().attribute_name(attribute);
        let key = KeySchemaElement::builder().attribute_name(attribute).key_type(key_type);
        table = table
            .attribute_definitions(definition.attribute_type(ScalarAttributeType::S).build().unwrap())
            .key_schema(key.build().unwrap());
    }
    table.send().await.unwrap();
    for _ in 0..100 {
        let table = client.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        if table.table_status.is_some_and(|status| status.as_str() == "ACTIVE") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the table did not become active");
}

fn page(limit: usize) -> Page {
    Page { limit, after: None }
}

fn registration(time: &str, location_id: Uuid, name: &str) -> Registration {
    Registration {
        id: Uuid::new_v4(),
        location_id,
        location_name: "Desk 14".to_owned(),
        timestamp: time.parse().unwrap(),
        name: name.to_owned(),
        phone_number: "+49 30 1234567".to_owned(),
        email: "jane@example.com".to_owned(),
    }
}

async fn all(
    store: &DynamoStore,
    day: Day,
    location: Option<Uuid>,
    limit: usize,
) -> (Vec<Registration>, usize) {
    let (mut rows, mut pages, mut page) = (Vec::new(), 0, page(limit));
    loop {
        let listing = store.registrations(day, location, EARLY, &page).await.unwrap();
        assert!(listing.items.len() <= limit);
        rows.extend(listing.items);
        pages += 1;
        page.after = listing.next;
        if page.after.is_none() {
            return (rows, pages);
        }
    }
}

async fn a_location_lives(store: &DynamoStore) {
    let location = Location { id: Uuid::new_v4(), name: "Zoë's corner 👩‍💻".to_owned() };
    assert_eq!(store.location(location.id).await, Ok(None));
    assert_eq!(store.remove_location(location.id).await, Ok(false));
    store.add_location(&location).await.unwrap();
    assert_eq!(store.location(location.id).await, Ok(Some(location.clone())));
    let usurper = Location { name: "Another".to_owned(), ..location.clone() };
    let refused = store.add_location(&usurper).await.unwrap_err();
    assert_eq!(refused.code, "ConditionalCheckFailedException");
    assert_eq!(
        store.add_location(&location).await,
        Ok(()),
        "the same item again is a lost answer asked for again"
    );
    assert_eq!(store.location(location.id).await, Ok(Some(location.clone())));
    assert_eq!(store.remove_location(location.id).await, Ok(true));
    assert_eq!(store.location(location.id).await, Ok(None));
}

async fn locations_come_in_pages(store: &DynamoStore) {
    let mut expected = Vec::new();
    for number in 0..25 {
        let location = Location { id: Uuid::new_v4(), name: format!("Desk {number}") };
        store.add_location(&location).await.unwrap();
        expected.push(location);
    }
    expected.sort_by_key(|location| location.id.to_string());
    for limit in [1, 7, 24, 25, 26, 1000] {
        let (mut found, mut page) = (Vec::new(), page(limit));
        loop {
            let listing = store.locations(&page).await.unwrap();
            found.extend(listing.items);
            page.after = listing.next;
            if page.after.is_none() {
                break;
            }
            assert_eq!(found.len() % limit, 0, "a page before the last is full");
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

async fn registrations_of_one_microsecond_are_both_kept(store: &DynamoStore) {
    let place = Uuid::new_v4();
    let mut twins = [
        registration("2024-02-28T23:59:59.999999Z", place, "Jane"),
        registration("2024-02-28T23:59:59.999999Z", place, "John"),
    ];
    for twin in &twins {
        store.add_registration(twin, LATE).await.unwrap();
    }
    twins.sort_by_key(Registration::sort_key);
    let day = twins[0].timestamp.day();
    assert_eq!(all(store, day, None, 1000).await, (twins.to_vec(), 1));
    assert_eq!(all(store, day, Some(place), 1).await.0, twins.to_vec());
    assert_eq!(all(store, day, Some(Uuid::new_v4()), 1).await.0, []);
    assert_eq!(all(store, "2024-02-29".parse().unwrap(), None, 1000).await.0, []);
    // Even with the same key nothing is overwritten.
    let forged = Registration { name: "Mallory".to_owned(), ..twins[0].clone() };
    let refused = store.add_registration(&forged, LATE).await.unwrap_err();
    assert_eq!(refused.code, "ConditionalCheckFailedException");
    assert_eq!(all(store, day, None, 1000).await.0, twins.to_vec());
}

async fn what_has_expired_is_hidden(store: &DynamoStore) {
    let gone = registration("2024-01-01T12:00:00.000000Z", Uuid::new_v4(), "Jane");
    store.add_registration(&gone, EARLY).await.unwrap();
    assert_eq!(all(store, gone.timestamp.day(), None, 1000).await.0, []);
    assert_eq!(all(store, gone.timestamp.day(), Some(gone.location_id), 1000).await.0, []);
}

async fn a_registration_is_removed(store: &DynamoStore) {
    let row = registration("2024-01-02T12:00:00.000000Z", Uuid::new_v4(), "Jane");
    let day = row.timestamp.day();
    assert_eq!(store.remove_registration(day, &row.sort_key()).await, Ok(false));
    store.add_registration(&row, LATE).await.unwrap();
    assert_eq!(store.remove_registration(day, &row.sort_key()).await, Ok(true));
    assert_eq!(all(store, day, None, 1000).await.0, []);
}

/// All of a stretch, and in how many reads.
async fn stretched(store: &DynamoStore, mut stretch: Stretch) -> (Vec<Registration>, usize) {
    let (mut rows, mut reads) = (Vec::new(), 0);
    loop {
        let read = store.stretch(&stretch, Consistency::Strong).await.unwrap();
        rows.extend(read.items);
        reads += 1;
        let Some(next) = read.next else { return (rows, reads) };
        stretch = stretch.behind(&next);
    }
}

async fn more_than_a_megabyte_is_read_whole(store: &DynamoStore) {
    // About 1.3 kB each: 2 MB in all, of which the service reads 1 MB at a time.
    const COUNT: usize = 1600;
    let (rare, common) = (Uuid::new_v4(), Uuid::new_v4());
    let name = "𝄞".repeat(100);
    let mut expected = Vec::new();
    for batch in 0..COUNT / 16 {
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..16 {
            let number = batch * 16 + at;
            let place = if number % 400 == 399 { rare } else { common };
            let time = format!("2024-02-29T08:00:00.{number:06}Z");
            let row = Registration { location_name: name.clone(), ..registration(&time, place, &name) };
            let row = Registration { email: format!("{}@{}.x", "e".repeat(60), "d".repeat(60)), ..row };
            expected.push(row.clone());
            let store = store.clone();
            tasks.spawn(async move { store.add_registration(&row, LATE).await });
        }
        for outcome in tasks.join_all().await {
            outcome.unwrap();
        }
    }
    expected.sort_by_key(Registration::sort_key);
    let day = expected[0].timestamp.day();
    let megabytes = serde_json::to_string(&expected).unwrap().len() / 1_000_000;
    assert!(megabytes >= 1, "the test writes too little");
    for (limit, pages) in [(1000, 2), (1600, 1), (333, 5)] {
        let (found, read) = all(store, day, None, limit).await;
        assert!(found == expected, "{} of {COUNT} in pages of {limit}", found.len());
        assert_eq!(read, pages, "pages of {limit}");
    }
    let few: Vec<Registration> = expected.iter().filter(|row| row.location_id == rare).cloned().collect();
    for limit in [1, 2, 3, 4, 1000] {
        let (found, _) = all(store, day, Some(rare), limit).await;
        assert!(found == few && few.len() == 4, "a filter in pages of {limit}");
    }
    let (found, reads) = stretched(store, Stretch::whole(day, EARLY)).await;
    assert!(found == expected && reads > 1, "{} of {COUNT} in {reads} reads", found.len());
    let only = Stretch { places: vec![rare, Uuid::new_v4()], ..Stretch::whole(day, EARLY) };
    assert!(stretched(store, only).await.0 == few, "a place");
    let (from, to) = (expected[10].timestamp, expected[20].timestamp);
    let middle = Stretch::between(day, from, to, EARLY);
    assert!(stretched(store, middle.clone()).await.0 == expected[10..=20], "both ends are included");
    assert!(stretched(store, middle.behind(&expected[19].sort_key())).await.0 == expected[20..=20]);
    let single = Stretch::single(day, &expected[7].sort_key(), EARLY);
    assert!(stretched(store, single).await.0 == expected[7..=7]);
    assert!(stretched(store, Stretch::whole(day, LATE)).await.0.is_empty(), "what has expired is hidden");
    let behind = Page { limit: 1000, after: Some(expected[COUNT - 2].sort_key()) };
    let last = store.registrations(day, None, EARLY, &behind).await.unwrap();
    assert!(last.items == expected[COUNT - 1..] && last.next.is_none());
    assert!(expected[0].timestamp < Moment::now());
}
