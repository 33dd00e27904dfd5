//! The rules for what people may send. Each takes the text and gives the value or a reason that never
//! repeats the text. The limits are ours; the original has none.
//!
//! Each rule can be said as a pattern, and `openapi.yaml` says it: a client can know beforehand what is taken.

use std::ops::RangeInclusive;

use uuid::Uuid;

/// Characters of a location's name.
pub const LOCATION_NAME: RangeInclusive<usize> = 1..=100;
/// Characters of a person's name.
pub const PERSON_NAME: RangeInclusive<usize> = 1..=100;
/// Characters of a phone number.
pub const PHONE_NUMBER: RangeInclusive<usize> = 3..=32;
/// Characters of an e-mail address: RFC 5321 section 4.5.3.1.3, as corrected by erratum 1690.
pub const EMAIL: RangeInclusive<usize> = 3..=254;

/// A name of a place: one line of [`LOCATION_NAME`] characters.
///
/// # Errors
/// The reason, when it is none.
pub fn location_name(text: &str) -> Result<String, String> {
    line(text, LOCATION_NAME)
}

/// A name of a person: one line of [`PERSON_NAME`] characters.
///
/// # Errors
/// The reason, when it is none.
pub fn person_name(text: &str) -> Result<String, String> {
    line(text, PERSON_NAME)
}

/// A phone number: [`PHONE_NUMBER`] of digits, space, `+ - ( ) . /`, with at least three digits.
///
/// # Errors
/// The reason, when it is none.
pub fn phone_number(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let allowed = text.bytes().all(|byte| byte.is_ascii_digit() || b" +-()./".contains(&byte));
    if PHONE_NUMBER.contains(&length) && allowed && digits >= 3 {
        return Ok(text.to_owned());
    }
    Err("must have 3 to 32 characters of digits, space, + - ( ) . /, three of them digits".to_owned())
}

/// An e-mail address: [`EMAIL`] characters, one `@`, a local part of at most 64 and a domain of labels. Whether it
/// is delivered only a message can tell.
///
/// # Errors
/// The reason, when it is none.
pub fn email(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    let sane = text.split_once('@').is_some_and(|(local, domain)| {
        (1..=64).contains(&local.chars().count())
            && local.chars().all(is_local)
            && domain.split('.').all(is_label)
    });
    if EMAIL.contains(&length) && sane {
        return Ok(text.to_owned());
    }
    Err("must be an e-mail address of 3 to 254 characters".to_owned())
}

/// A UUID in its hyphenated form of 36 characters (RFC 9562 section 4); capitals are taken.
///
/// # Errors
/// The reason, when it is none.
pub fn uuid(text: &str) -> Result<Uuid, String> {
    let parsed = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
    parsed.ok_or_else(|| "must be a UUID as 8-4-4-4-12 hexadecimal digits".to_owned())
}

/// A whole number within a range, without a sign and without leading zeros.
///
/// # Errors
/// The reason, when it is none.
pub fn whole_number(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| plain && range.contains(number));
    number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

/// One line of text: so many characters, not blank at either end, and nothing in it that moves the cursor
/// or turns the reading direction (controls, line separators, bidirectional overrides).
fn line(text: &str, length: RangeInclusive<usize>) -> Result<String, String> {
    if !length.contains(&text.chars().count()) {
        return Err(format!("must have {} to {} characters", length.start(), length.end()));
    }
    if text.chars().any(is_unprintable) {
        return Err("must not hold control characters".to_owned());
    }
    if text.trim() != text {
        return Err("must not begin or end with a blank".to_owned());
    }
    Ok(text.to_owned())
}

fn is_unprintable(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}')
}

fn is_local(character: char) -> bool {
    !character.is_whitespace() && !is_unprintable(character) && !"@<>()[],;:\\\"".contains(character)
}

/// Letters and digits of ASCII, the hyphen, and whatever can be seen beyond ASCII: internationalized domains.
fn is_domain(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '-';
    }
    !character.is_whitespace() && !is_unprintable(character)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.chars().count())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(is_domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line() {
        let longest = "é".repeat(100);
        for text in ["A", "Desk 14, east", "Zoë Ōkubo-O'Brien", "部屋 3", "👩‍💻 corner", longest.as_str()]
        {
            assert_eq!(location_name(text).as_deref(), Ok(text));
            assert_eq!(person_name(text).as_deref(), Ok(text));
        }
        let too_long = "x".repeat(101);
        for text in [
            "",
            " ",
            " a",
            "a ",
            "\u{a0}a",
            "a\nb",
            "a\0",
            "\u{7f}",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{61c}b",
            too_long.as_str(),
        ] {
            assert!(location_name(text).is_err() && person_name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn phone_numbers_have_digits() {
        let longest = "1".repeat(32);
        for text in ["112", "+49 (30) 123-45/67.8", longest.as_str()] {
            assert_eq!(phone_number(text).as_deref(), Ok(text));
        }
        let too_long = "1".repeat(33);
        for text in ["", "1", "12", "+()", "+-(12", "12a4", "12\n4", "１２３", "123x", too_long.as_str()] {
            assert!(phone_number(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn emails_are_sane() {
        let longest = format!("{}@{}.{}.{}", "a".repeat(64), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(longest.len(), 254);
        for text in
            ["a@b", "jane.doe+x@example.co.uk", "o'brien@example.com", "用户@例え.jp", longest.as_str()]
        {
            assert_eq!(email(text).as_deref(), Ok(text));
        }
        let local = format!("{}@b.c", "a".repeat(65));
        let label = format!("a@{}.c", "b".repeat(64));
        let too_long = format!("a{longest}");
        for text in [
            "",
            "a",
            "ab",
            "@b",
            "a@",
            "a@@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@-b",
            "a@b-",
            "a@b_c",
            "<a@b>",
            "a@b\n",
            "a\0@b",
            "a,b@c",
            "a@b\u{a0}c",
            "a@\u{202e}b",
            &local,
            &label,
            &too_long,
        ] {
            assert!(email(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn uuids_are_hyphenated() {
        let text = "0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a59";
        assert_eq!(uuid(text).map(|id| id.to_string()).as_deref(), Ok(text));
        assert_eq!(uuid(&text.to_uppercase()).map(|id| id.to_string()).as_deref(), Ok(text));
        for text in [
            "",
            "x",
            "0b7d3a5e8c1f4e7a9a556f2d1c3b4a59",
            "{0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a59}",
            "urn:uuid:0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a59",
            "0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a5g",
            "0b7d3a5e-8c1f-4e7a-9a556-f2d1c3b4a59",
            "0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a5é",
            "../../../../../../etc/passwd/aaaaaa",
        ] {
            assert!(uuid(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_are_plain() {
        for (text, number) in [
            ("1", Some(1)),
            ("9", Some(9)),
            ("10", Some(10)),
            ("0", None),
            ("11", None),
            ("", None),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("1.0", None),
            (" 1", None),
            ("\u{661}", None),
            ("99999999999999999999999", None),
        ] {
            let reason = "must be a whole number from 1 to 10".to_owned();
            assert_eq!(whole_number(text, 1..=10), number.ok_or(reason), "{text}");
        }
    }

    #[test]
    fn ten_thousand_texts_never_panic() {
        let mut random = fastrand::Rng::with_seed(13);
        for _ in 0..10_000 {
            let text: String = (0..random.usize(0..40))
                .map(|_| if random.bool() { random.char('\u{0}'..='\u{7f}') } else { random.char(..) })
                .collect();
            for reason in [location_name(&text).err(), phone_number(&text).err(), email(&text).err()] {
                assert!(reason.is_none_or(|reason| text.len() < 4 || !reason.contains(&text)));
            }
            let _ = (uuid(&text), whole_number(&text, 1..=720));
            let _ = (text.parse::<crate::model::Day>(), text.parse::<crate::model::Moment>());
        }
    }
}
