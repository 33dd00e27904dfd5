//! Texts for a shell of somebody else's: lines that people paste, and the small scripts that stand before a compiler. Programs
//! that the tool starts itself are given their arguments one by one.

/// `value` in single quotes for a shell.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// `value` as one word of a shell: in quotes where it would be taken for anything else.
pub fn word(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_plain) { value.to_owned() } else { quoted(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_a_shell() {
        assert_eq!(quoted("/a b/c"), "'/a b/c'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        for plain in ["acme-dev", "a/b.c:d", "x=1"] {
            assert_eq!(word(plain), plain);
        }
        for other in ["", "a;b", "$(id)", "a\nb", "~", "*", "é"] {
            assert_eq!(word(other), format!("'{other}'"));
        }
    }
}
