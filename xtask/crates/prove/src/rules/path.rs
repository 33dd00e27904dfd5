//! Paths of release rules: from a thing to its parts, and along references to other things.
//!
//! ```text
//! A.B.0            the value under `A`, then under `B`, then the first element; text that is JSON is read as such
//! A.*              every element or value
//! A[Name=x]        the elements whose `Name` is `x`; `[Name]` those that have one
//! A->              the thing that the text refers to, exactly
//! A~>              the thing whose reference the text holds
//! <-TYPE(B)        the things of a type whose `B` refers here
//! <<class          every thing of a class in the same environment
//! @fact            what is known of the thing besides its properties
//! ```

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of a map, or the number of an element.
    Key(String),
    /// Every element or value.
    All,
    /// The elements that have a path, with this text where one is given.
    Those(Path, Option<String>),
    /// The thing that the text refers to.
    Referred,
    /// The thing whose reference the text holds.
    Held,
    /// The things of a type or class whose path refers here.
    Referring(String, Path),
    /// The things of a class in the same environment.
    Class(String),
}

/// A path with its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Path {
    /// As it is written.
    pub text: String,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl Path {
    /// Reads a path; `.` is the thing itself.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = step(rest).map_err(|error| format!("path `{text}`: {error}"))?;
            steps.extend(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

fn step(text: &str) -> Result<(Option<Step>, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        return Ok((None, rest));
    }
    if let Some(rest) = text.strip_prefix("->") {
        return Ok((Some(Step::Referred), rest));
    }
    if let Some(rest) = text.strip_prefix("~>") {
        return Ok((Some(Step::Held), rest));
    }
    if let Some(rest) = text.strip_prefix("<<") {
        let end = end_of_key(rest);
        let (name, rest) = rest.split_at(end);
        if name.is_empty() {
            return Err("after `<<` comes the name of a class".to_owned());
        }
        return Ok((Some(Step::Class(name.to_owned())), rest));
    }
    if let Some(rest) = text.strip_prefix("<-") {
        let open =
            rest.find('(').ok_or("after `<-` comes a type and a path, as in `<-AWS::SQS::Queue(Path)`")?;
        let close = rest.find(')').filter(|close| *close > open).ok_or("a `(` does not close")?;
        let kind = rest.get(..open).unwrap_or_default().to_owned();
        let path = Path::parse(rest.get(open + 1..close).unwrap_or_default())?;
        return Ok((Some(Step::Referring(kind, path)), rest.get(close + 1..).unwrap_or_default()));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let close = rest.find(']').ok_or("a `[` does not close")?;
        let inner = rest.get(..close).unwrap_or_default();
        let (path, value) = match inner.split_once('=') {
            Some((path, value)) => (path, Some(value.to_owned())),
            None => (inner, None),
        };
        let those = Step::Those(Path::parse(path)?, value);
        return Ok((Some(those), rest.get(close + 1..).unwrap_or_default()));
    }
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Some(Step::All), rest));
    }
    let end = end_of_key(text);
    if end == 0 {
        return Err(format!("`{}` is no step", text.chars().take(12).collect::<String>()));
    }
    let (key, rest) = text.split_at(end);
    Ok((Some(Step::Key(key.to_owned())), rest))
}

/// Where a key ends: at the next step.
fn end_of_key(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: usize| {
        let two = bytes.get(at..at + 2).unwrap_or_default();
        matches!(bytes.get(at), Some(b'.' | b'[' | b']' | b'(' | b')' | b'<' | b'>'))
            || two == b"->"
            || two == b"~>"
    };
    (0..bytes.len()).find(|at| ends(*at)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let path =
            Path::parse("A.x-y->B.*[Name=ExecutedVersion].Value~>@id<-AWS::SQS::Queue(R.d)<<gate").unwrap();
        let key = |text: &str| Step::Key(text.to_owned());
        let steps = vec![
            key("A"),
            key("x-y"),
            Step::Referred,
            key("B"),
            Step::All,
            Step::Those(Path::parse("Name").unwrap(), Some("ExecutedVersion".to_owned())),
            key("Value"),
            Step::Held,
            key("@id"),
            Step::Referring("AWS::SQS::Queue".to_owned(), Path::parse("R.d").unwrap()),
            Step::Class("gate".to_owned()),
        ];
        assert_eq!(path.steps, steps);
        assert_eq!(Path::parse(".").unwrap().steps, []);
        for wrong in ["A[b", "<-A::B", "<-A::B(c", "<<", "a)b", "a>b"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }
}
