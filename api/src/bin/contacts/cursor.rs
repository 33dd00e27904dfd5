//! How far a question has been answered, in a cursor that needs no memory on our side.
//!
//! A day can be larger than what one request may read, so a request can end in either of two places. While it still
//! *looks* for the person's check-ins, the page is empty, and the cursor says up to where it looked. While it *lists*
//! who was close, the cursor says up to which check-in everybody was decided about. It carries the keys of the
//! person's check-ins that were found so far, so that no page looks for them again.
//!
//! A cursor is not a secret and not signed. It can be trusted all the same: the check-ins it names are read anew, and
//! one that is another person's is refused. A forged cursor can skip, and that is all. It names times and random ids,
//! no person. It fits one question only, which its first bytes tell; the page's length may change.

use api::model::{Day, Moment, sort_key, split_sort_key};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::question::Question;

/// The person's check-ins that are dealt with at a time: what a cursor can carry. Somebody with more of them on one
/// day is answered in groups: each is sorted, and who was close to visits of two groups is in both.
pub(crate) const GROUP: usize = 50;

/// Marks the format, so that a later one can tell old cursors from garbage.
const FORMAT: u8 = 1;

/// A check-in's place in its day: the sort key without the date, in 21 bytes in place of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Microseconds since the day began.
    micros: u64,
    id: Uuid,
}

const MICROS_PER_DAY: u64 = 86_400_000_000;
const KEY_BYTES: usize = 21;

impl Key {
    /// The key in this sort key; `None` for what is none of that day.
    pub(crate) fn of(sort_key: &str, day: Day) -> Option<Self> {
        let (moment, id) = split_sort_key(sort_key)?;
        Self::at(moment, id, day)
    }

    /// Behind everything at this moment and before everything later.
    pub(crate) fn end_of(moment: Moment, day: Day) -> Option<Self> {
        Self::at(moment, Uuid::max(), day)
    }

    fn at(moment: Moment, id: Uuid, day: Day) -> Option<Self> {
        let micros = u64::try_from(moment.micros_since(day.start())).ok()?;
        (micros < MICROS_PER_DAY).then_some(Self { micros, id })
    }

    /// When it was.
    pub(crate) fn moment(&self, day: Day) -> Moment {
        day.start().plus_micros(i64::try_from(self.micros).unwrap_or(i64::MAX))
    }

    /// The sort key.
    pub(crate) fn sort_key(&self, day: Day) -> String {
        sort_key(self.moment(day), self.id)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(&self.micros.to_be_bytes()[3..]);
        bytes.extend(self.id.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_at_checked(5)?;
        let micros = time.iter().fold(0, |micros, byte| micros << 8 | u64::from(*byte));
        let id = Uuid::from_slice(id).ok()?;
        (micros < MICROS_PER_DAY).then_some(Self { micros, id })
    }
}

/// How far a question has been answered; at its beginning by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The day was looked through to its end; else up to `looked`.
    pub(crate) seen_all: bool,
    /// The last key that was looked at in search of the person.
    pub(crate) looked: Option<Key>,
    /// The last key that was decided about; `None` before the listing of this group began.
    pub(crate) listed: Option<Key>,
    /// The person's check-ins that were found and are not dealt with, in their order.
    pub(crate) visits: Vec<Key>,
}

impl Progress {
    /// The cursor for a question.
    pub(crate) fn encode(&self, question: &Question) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(fingerprint(question).to_be_bytes());
        let bits = [self.seen_all, self.looked.is_some(), self.listed.is_some()];
        bytes.push(bits.iter().fold(0, |flags, bit| flags << 1 | u8::from(*bit)));
        self.looked.iter().chain(&self.listed).chain(&self.visits).for_each(|key| key.write(&mut bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor; `None` for whatever [`Progress::encode`] would not have made for this question.
    pub(crate) fn decode(cursor: &str, question: &Question) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (head, rest) = bytes.split_at_checked(10)?;
        let flags = *head.last()?;
        let keys: Option<Vec<Key>> = rest.chunks(KEY_BYTES).map(Key::read).collect();
        let mut keys = keys?.into_iter();
        let has = |bit: u8| flags & bit != 0;
        let looked = if has(2) { Some(keys.next()?) } else { None };
        let listed = if has(1) { Some(keys.next()?) } else { None };
        let progress = Self { seen_all: has(4), looked, listed, visits: keys.collect() };
        let sane = progress.visits.len() <= GROUP && progress.visits.is_sorted_by(|one, two| one < two);
        (sane && progress.encode(question) == cursor).then_some(progress)
    }
}

/// Tells questions apart, so that a cursor is not taken for another one's. Nobody is kept from forging it (FNV-1a, 64 bit).
fn fingerprint(question: &Question) -> u64 {
    let text = format!("{} {} {}", question.day, question.window, question.email);
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            day: "2024-02-29".parse().unwrap(),
            email: "jane@example.com".to_owned(),
            window: 60,
            limit: 1000,
            progress: Progress::default(),
        }
    }

    fn key(number: u64) -> Key {
        Key { micros: number * 1_000_003, id: Uuid::from_u128(number.into()) }
    }

    fn some() -> [Progress; 4] {
        [
            Progress::default(),
            Progress { looked: Some(key(7)), ..Progress::default() },
            Progress { looked: Some(key(9)), visits: vec![key(1), key(2)], ..Progress::default() },
            Progress {
                seen_all: true,
                listed: Some(key(3)),
                visits: (0..50).map(key).collect(),
                ..Progress::default()
            },
        ]
    }

    #[test]
    fn a_key_goes_there_and_back() {
        let day: Day = "2024-02-29".parse().unwrap();
        let id = Uuid::from_u128(5);
        for time in ["00:00:00.000000", "08:15:00.000001", "23:59:59.999999"] {
            let text = format!("2024-02-29T{time}Z#{id}");
            let key = Key::of(&text, day).unwrap();
            assert_eq!(key.sort_key(day), text);
            let mut bytes = Vec::new();
            key.write(&mut bytes);
            assert_eq!((bytes.len(), Key::read(&bytes)), (KEY_BYTES, Some(key)));
            let end = Key::end_of(key.moment(day), day).unwrap();
            assert!(end > key && end.sort_key(day) > text);
        }
        for text in ["2024-03-01T00:00:00.000000Z#", "2024-02-28T23:59:59.999999Z#"] {
            assert_eq!(Key::of(&format!("{text}{id}"), day), None, "{text}");
        }
    }

    #[test]
    fn a_cursor_goes_there_and_back_and_stays_short() {
        for progress in some() {
            let cursor = progress.encode(&question());
            assert_eq!(Progress::decode(&cursor, &question()).as_ref(), Some(&progress));
            assert_eq!(Progress::decode(&cursor, &Question { limit: 1, ..question() }), Some(progress));
            // API Gateway takes 10,240 bytes for the request line and all headers together.
            assert!(cursor.len() < 1_500, "{}", cursor.len());
        }
    }

    #[test]
    fn a_cursor_of_another_question_is_refused() {
        let cursor = some()[2].encode(&question());
        for other in [
            Question { day: "2024-03-01".parse().unwrap(), ..question() },
            Question { email: "john@example.com".to_owned(), ..question() },
            Question { window: 61, ..question() },
        ] {
            assert_eq!(Progress::decode(&cursor, &other), None, "{other:?}");
        }
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        let raw = |progress: &Progress, change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = URL_SAFE_NO_PAD.decode(progress.encode(&question())).unwrap();
            change(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        let [_, _, two, full] = some();
        let too_many = Progress { visits: (0..51).map(key).collect(), ..Progress::default() };
        let unsorted = Progress { visits: vec![key(2), key(1)], ..Progress::default() };
        let twice = Progress { visits: vec![key(1), key(1)], ..Progress::default() };
        for cursor in [
            String::new(),
            "garbage".to_owned(),
            format!("{}=", two.encode(&question())),
            too_many.encode(&question()),
            unsorted.encode(&question()),
            twice.encode(&question()),
            raw(&two, &|bytes| bytes[0] = 2),
            raw(&two, &|bytes| bytes[9] |= 8),
            raw(&two, &|bytes| bytes[9] = 7),
            raw(&two, &|bytes| bytes.truncate(40)),
            raw(&two, &|bytes| bytes.push(0)),
            raw(&full, &|bytes| bytes[10] = 0xff),
        ] {
            let decoded = Progress::decode(&cursor, &question());
            assert!(
                decoded.is_none() || decoded.is_some_and(|it| it.encode(&question()) == cursor),
                "{cursor}"
            );
        }
        assert_eq!(Progress::decode(&too_many.encode(&question()), &question()), None);
        assert_eq!(Progress::decode(&unsorted.encode(&question()), &question()), None);
    }

    #[test]
    fn ten_thousand_cursors_never_panic() {
        let mut random = fastrand::Rng::with_seed(31);
        for _ in 0..10_000 {
            let mut bytes = URL_SAFE_NO_PAD.decode(some()[random.usize(..4)].encode(&question())).unwrap();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let mut cursor = URL_SAFE_NO_PAD.encode(bytes);
            if random.u8(..) < 16 {
                cursor.push(random.char(..));
            }
            if let Some(progress) = Progress::decode(&cursor, &question()) {
                assert_eq!(progress.encode(&question()), cursor);
            }
        }
    }
}
