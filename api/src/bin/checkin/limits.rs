//! Every field of every route at its limits and just beyond them, as a client meets them.

use api::guard::MAX_BODY_BYTES;
use serde_json::json;

use crate::tests::client::Request;
use crate::tests::{MemoryStore, body, get, new_location, post, send};

/// A mistake in a path or a query, and one in a body.
const PARAMETER: u16 = 400;
const FIELD: u16 = 422;

fn letters(count: usize) -> String {
    "x".repeat(count)
}

/// An address with so many characters before the `@`, and behind it labels of so many.
fn address(local: usize, labels: &[usize]) -> String {
    let labels: Vec<String> = labels.iter().map(|count| letters(*count)).collect();
    format!("{}@{}", letters(local), labels.join("."))
}

#[tokio::test]
async fn the_fields_of_a_location() {
    let store = MemoryStore::default();
    for (name, status) in [
        (String::new(), FIELD),
        (letters(1), 201),
        (letters(99), 201),
        (letters(100), 201),
        (letters(101), FIELD),
        ("\u{1d11e}".repeat(100), 201),
        ("\u{1d11e}".repeat(101), FIELD),
        (format!(" {}", letters(1)), FIELD),
        ("a\u{7f}".to_owned(), FIELD),
    ] {
        let response = post(&store, "/api/locations", &json!({"locationName": name}).to_string()).await;
        assert_eq!(response.status, status, "{} characters", name.chars().count());
    }
}

#[tokio::test]
async fn the_fields_of_a_registration() {
    let store = MemoryStore::default();
    let place = new_location(&store, "Desk 14").await;
    let good = json!({"locationId": place, "name": "Jane", "phoneNumber": "112", "email": "a@b"});
    let cases = [
        ("locationId", place[..35].to_owned(), FIELD),
        ("locationId", place.clone(), 201),
        ("locationId", format!("{place}0"), FIELD),
        ("name", String::new(), FIELD),
        ("name", letters(1), 201),
        ("name", letters(100), 201),
        ("name", letters(101), FIELD),
        ("phoneNumber", "12".to_owned(), FIELD),
        ("phoneNumber", "123".to_owned(), 201),
        ("phoneNumber", "1".repeat(32), 201),
        ("phoneNumber", "1".repeat(33), FIELD),
        ("phoneNumber", "+12".to_owned(), FIELD),
        ("phoneNumber", "+123".to_owned(), 201),
        ("email", "a@".to_owned(), FIELD),
        ("email", "a@b".to_owned(), 201),
        ("email", address(64, &[63, 63, 61]), 201),
        ("email", address(64, &[63, 63, 62]), FIELD),
        ("email", address(0, &[3]), FIELD),
        ("email", address(64, &[3]), 201),
        ("email", address(65, &[3]), FIELD),
        ("email", address(1, &[63, 2]), 201),
        ("email", address(1, &[64, 2]), FIELD),
        ("email", address(1, &[3, 0]), FIELD),
    ];
    for (field, value, status) in cases {
        let mut fields = good.clone();
        fields[field] = json!(value);
        let response = post(&store, "/api/registrations", &fields.to_string()).await;
        assert_eq!(response.status, status, "{field} of {} characters", value.chars().count());
        if status == FIELD {
            assert_eq!(body(&response)["errors"][0]["field"], field, "{value}");
        }
    }
    for field in ["locationId", "name", "phoneNumber", "email"] {
        let mut fields = good.clone();
        fields.as_object_mut().unwrap().remove(field);
        assert_eq!(post(&store, "/api/registrations", &fields.to_string()).await.status, FIELD, "{field}");
        let twice = good.to_string().replacen('{', &format!("{{\"{field}\":\"a@b\","), 1);
        assert_eq!(post(&store, "/api/registrations", &twice).await.status, FIELD, "{field} twice");
    }
}

#[tokio::test]
async fn the_size_of_a_body() {
    let store = MemoryStore::default();
    let place = new_location(&store, "Desk 14").await;
    for (path, body) in [
        ("/api/locations", json!({"locationName": "Desk 15"})),
        (
            "/api/registrations",
            json!({"locationId": place, "name": "Jane", "phoneNumber": "112", "email": "a@b"}),
        ),
    ] {
        let body = body.to_string();
        // Blanks around JSON count for nothing but bytes.
        let padded = |bytes: usize| format!("{body}{}", " ".repeat(bytes - body.len()));
        for (bytes, status) in [(MAX_BODY_BYTES - 1, 201), (MAX_BODY_BYTES, 201), (MAX_BODY_BYTES + 1, 413)] {
            assert_eq!(post(&store, path, &padded(bytes)).await.status, status, "{path} {bytes}");
        }
    }
}

#[tokio::test]
async fn the_parameters_of_every_route() {
    const ID: &str = "00000000-0000-4000-8000-000000000000";
    let store = MemoryStore::default();
    let long = format!("{ID}0");
    let registration = format!("/api/registrations/{ID}?dt=2024-02-29");
    let cases = [
        ("GET", "/api/locations?limit=0".to_owned(), PARAMETER),
        ("GET", "/api/locations?limit=1".to_owned(), 200),
        ("GET", "/api/locations?limit=1000".to_owned(), 200),
        ("GET", "/api/locations?limit=1001".to_owned(), PARAMETER),
        ("GET", "/api/locations?next=".to_owned(), PARAMETER),
        ("GET", format!("/api/locations/{}", &ID[..35]), PARAMETER),
        ("GET", format!("/api/locations/{ID}"), 404),
        ("GET", format!("/api/locations/{long}"), PARAMETER),
        ("DELETE", format!("/api/locations/{}", &ID[..35]), PARAMETER),
        ("DELETE", format!("/api/locations/{ID}"), 404),
        ("DELETE", format!("/api/locations/{long}"), PARAMETER),
        ("GET", "/api/registrations?dt=2024-02-2".to_owned(), PARAMETER),
        ("GET", "/api/registrations?dt=2024-02-28".to_owned(), 200),
        ("GET", "/api/registrations?dt=2024-02-29".to_owned(), 200),
        ("GET", "/api/registrations?dt=2024-02-30".to_owned(), PARAMETER),
        ("GET", "/api/registrations?dt=2024-02-290".to_owned(), PARAMETER),
        ("GET", "/api/registrations?dt=0001-01-01".to_owned(), 200),
        ("GET", "/api/registrations?dt=9999-12-31".to_owned(), 200),
        ("GET", "/api/registrations?dt=2024-02-29&limit=0".to_owned(), PARAMETER),
        ("GET", "/api/registrations?dt=2024-02-29&limit=1".to_owned(), 200),
        ("GET", "/api/registrations?dt=2024-02-29&limit=1000".to_owned(), 200),
        ("GET", "/api/registrations?dt=2024-02-29&limit=1001".to_owned(), PARAMETER),
        ("GET", "/api/registrations?dt=2024-02-29&next=".to_owned(), PARAMETER),
        ("GET", format!("/api/registrations?dt=2024-02-29&locationId={}", &ID[..35]), PARAMETER),
        ("GET", format!("/api/registrations?dt=2024-02-29&locationId={ID}"), 200),
        ("GET", format!("/api/registrations?dt=2024-02-29&locationId={long}"), PARAMETER),
        ("DELETE", format!("/api/registrations/{}?dt=2024-02-29", &ID[..35]), PARAMETER),
        ("DELETE", registration.clone(), 404),
        ("DELETE", format!("/api/registrations/{long}?dt=2024-02-29"), PARAMETER),
        ("DELETE", format!("/api/registrations/{ID}?dt=2024-02-30"), PARAMETER),
        ("DELETE", format!("{registration}&timestamp=2024-02-29T00:00:00.00000Z"), PARAMETER),
        ("DELETE", format!("{registration}&timestamp=2024-02-29T00:00:00.000000Z"), 404),
        ("DELETE", format!("{registration}&timestamp=2024-02-29T23:59:59.999999Z"), 404),
        ("DELETE", format!("{registration}&timestamp=2024-03-01T00:00:00.000000Z"), 404),
        ("DELETE", format!("{registration}&timestamp=2024-02-29T00:00:00.0000000Z"), PARAMETER),
    ];
    for (method, path, status) in cases {
        let (plain, query) = path.split_once('?').unwrap_or((&path, ""));
        let response = send(&store, &Request::new(method, plain, query)).await;
        assert_eq!(response.status, status, "{method} {path}");
    }
    assert_eq!(
        get(&store, "/api/version?limit=0").await.status,
        200,
        "a route without parameters reads none"
    );
}

#[test]
fn what_a_deletion_looks_through_is_said_in_the_contract() {
    let document = crate::tests::document::document();
    let said = document["paths"]["/api/registrations/{id}"]["delete"]["description"].as_str().unwrap();
    assert!(said.contains(&format!("{} MB", crate::registrations::MAX_READS)), "{said}");
}
