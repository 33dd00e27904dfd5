//! The check-ins of the person who is asked about, and who was close to them. Pure: it sees what was read, not the store.

use api::model::{Day, Moment, Registration};
use serde::Serialize;
use uuid::Uuid;

/// Somebody else's check-in at the same place, close in time. It tells what a call to that person needs, and how
/// close it was; not when the person who is asked about was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contact {
    location_id: String,
    location_name: String,
    timestamp: Moment,
    name: String,
    phone_number: String,
    email: String,
    /// Whole minutes between this check-in and the nearest one of the person who is asked about, at the same place.
    minutes: i64,
}

/// The check-ins of one person, in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Visits(Vec<(Moment, Uuid)>);

impl Visits {
    /// Of these registrations, which are all of that person.
    pub(crate) fn of(registrations: &[Registration]) -> Self {
        Self(registrations.iter().map(|visit| (visit.timestamp, visit.location_id)).collect())
    }

    /// Where they were, each place once.
    pub(crate) fn places(&self) -> Vec<Uuid> {
        let mut places: Vec<Uuid> = self.0.iter().map(|(_, place)| *place).collect();
        places.sort();
        places.dedup();
        places
    }

    /// The times of the day that are close to a visit, at whichever place: apart from each other, in their order.
    pub(crate) fn spans(&self, window: i64, day: Day) -> Vec<(Moment, Moment)> {
        let (first, last) = (day.start(), day.start().plus_micros(MICROS_PER_DAY - 1));
        let mut spans: Vec<(Moment, Moment)> = Vec::new();
        for (time, _) in &self.0 {
            let (from, to) = (time.plus_micros(-window).max(first), time.plus_micros(window).min(last));
            match spans.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => spans.push((from, to)),
            }
        }
        spans
    }

    /// The registration as a contact, when it is close to a visit at its own place.
    pub(crate) fn contact(&self, other: &Registration, window: i64) -> Option<Contact> {
        let at_the_place = self.0.iter().filter(|(_, place)| *place == other.location_id);
        let distance =
            at_the_place.map(|(time, _)| other.timestamp.micros_since(*time).saturating_abs()).min()?;
        (distance <= window).then(|| Contact {
            location_id: other.location_id.to_string(),
            location_name: other.location_name.clone(),
            timestamp: other.timestamp,
            name: other.name.clone(),
            phone_number: other.phone_number.clone(),
            email: other.email.clone(),
            minutes: distance / 60_000_000,
        })
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn at(time: &str) -> Moment {
        format!("2024-02-29T{time}Z").parse().unwrap()
    }

    fn registration(time: &str, place: u128) -> Registration {
        Registration {
            id: Uuid::new_v4(),
            location_id: Uuid::from_u128(place),
            location_name: "Desk 14".to_owned(),
            timestamp: at(time),
            name: "Jane Doe".to_owned(),
            phone_number: "112".to_owned(),
            email: "jane@example.com".to_owned(),
        }
    }

    fn visits(list: &[(&str, u128)]) -> Visits {
        Visits::of(&list.iter().map(|(time, place)| registration(time, *place)).collect::<Vec<_>>())
    }

    #[test]
    fn the_nearest_visit_at_the_same_place_decides() {
        let visits = visits(&[("08:00:00.000000", 1), ("10:00:00.000000", 2), ("12:00:00.000000", 1)]);
        for (time, place, window, minutes) in [
            ("08:00:00.000000", 1, 1, Some(0)),
            ("07:00:00.000000", 1, 60, Some(60)),
            ("06:59:59.999999", 1, 60, None),
            ("09:00:00.000000", 1, 60, Some(60)),
            ("09:00:00.000001", 1, 60, None),
            ("08:59:59.999999", 1, 60, Some(59)),
            ("11:30:00.000000", 1, 720, Some(30)),
            ("10:00:00.000000", 1, 120, Some(120)),
            ("10:00:00.000000", 1, 119, None),
            ("10:10:00.000000", 2, 60, Some(10)),
            ("10:10:00.000000", 3, 720, None),
        ] {
            let contact = visits.contact(&registration(time, place), window * MINUTE);
            assert_eq!(contact.map(|contact| contact.minutes), minutes, "{time} {place} {window}");
        }
        assert_eq!(visits.places(), [1, 2].map(Uuid::from_u128));
    }

    #[test]
    fn spans_lie_apart_and_within_the_day() {
        let day = at("00:00:00.000000").day();
        for (list, window, expected) in [
            (vec![], 60, vec![]),
            (vec![("08:00:00.000000", 1)], 60, vec![("07:00:00.000000", "09:00:00.000000")]),
            (
                vec![("08:00:00.000000", 1), ("10:00:00.000000", 2)],
                60,
                vec![("07:00:00.000000", "11:00:00.000000")],
            ),
            (
                vec![("08:00:00.000000", 1), ("10:00:00.000001", 1)],
                60,
                vec![("07:00:00.000000", "09:00:00.000000"), ("09:00:00.000001", "11:00:00.000001")],
            ),
            (vec![("00:30:00.000000", 1)], 60, vec![("00:00:00.000000", "01:30:00.000000")]),
            (vec![("23:59:59.999999", 1)], 720, vec![("11:59:59.999999", "23:59:59.999999")]),
            (
                vec![("08:00:00.000000", 1), ("08:00:00.000000", 2)],
                720,
                vec![("00:00:00.000000", "20:00:00.000000")],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(from, to)| (at(from), at(to))).collect();
            assert_eq!(visits(&list).spans(window * MINUTE, day), expected, "{list:?} {window}");
        }
    }
}
