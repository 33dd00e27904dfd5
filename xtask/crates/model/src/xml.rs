//! Answers of the query protocol: read into a small tree, edited, written again.

use std::fmt::Write as _;

use anyhow::Context as _;
use quick_xml::events::Event;
use quick_xml::{Reader, escape::escape};

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Its name, without a prefix's meaning being looked at.
    pub name: String,
    attributes: String,
    /// Its text, where it has no children.
    pub text: String,
    /// Its children.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Element> = vec![Element::default()];
        loop {
            match reader.read_event().context("read an XML answer")? {
                Event::Start(start) => open.push(head(&start)),
                Event::Empty(start) => {
                    let element = head(&start);
                    open.last_mut().context("an element outside of the document")?.children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().context("an end without a start")?;
                    open.last_mut().context("an end without a start")?.children.push(element);
                }
                Event::Text(text) => {
                    open.last_mut().context("text outside of the document")?.text.push_str(&text);
                }
                Event::GeneralRef(reference) => {
                    let resolved =
                        resolve(&reference).with_context(|| format!("unknown entity {}", &*reference))?;
                    open.last_mut().context("text outside of the document")?.text.push(resolved);
                }
                Event::CData(data) => {
                    open.last_mut().context("text outside of the document")?.text.push_str(&data);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let mut root = open.pop().context("an empty document")?;
        root.children.pop().context("an empty document")
    }

    /// The first descendant at a path of names.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.children.iter().find(|child| child.name == *name))
    }

    /// The text at a path of names; empty where there is none.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", |element| element.text.as_str())
    }

    /// The children of the element at a path.
    pub fn all(&self, path: &[&str]) -> &[Element] {
        self.at(path).map_or(&[], |element| element.children.as_slice())
    }

    /// A child to be edited.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Element> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// Lets a function see every element that has children, outermost first.
    pub fn visit(&mut self, see: &mut impl FnMut(&mut Element)) {
        see(self);
        for child in &mut self.children {
            child.visit(see);
        }
    }

    /// The document's text.
    pub fn write(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) {
        let _ = write!(out, "<{}{}>", self.name, self.attributes);
        if self.children.is_empty() {
            out.push_str(&escape(&self.text));
        }
        for child in &self.children {
            child.write_to(out);
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

fn head(start: &quick_xml::events::BytesStart<'_>) -> Element {
    let text: &str = start;
    let name = start.name().as_ref().to_owned();
    let attributes = text.strip_prefix(&name).unwrap_or_default().trim_end().to_owned();
    Element { name, attributes, ..Element::default() }
}

fn resolve(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        other => {
            let number = other.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<?xml version=\"1.0\"?><R xmlns=\"http://x/\"><List><member><K>a &amp; b</K><V>&#x3C;1&gt;</V></member><member><K>c</K><E/></member></List></R>";

    #[test]
    fn what_is_read_is_written_again() {
        let root = Element::parse(TEXT).unwrap();
        assert_eq!(root.text_at(&["List", "member", "K"]), "a & b");
        assert_eq!(root.text_at(&["List", "member", "V"]), "<1>");
        assert_eq!(root.all(&["List"]).len(), 2);
        assert_eq!(Element::parse(&root.write()).unwrap(), root);
        assert!(root.write().contains("<R xmlns=\"http://x/\">"));
        assert!(root.write().contains("<K>a &amp; b</K><V>&lt;1&gt;</V>"));
    }

    #[test]
    fn broken_documents_are_errors() {
        for text in ["", "<a>", "<a></b>", "plain", "<a>&nope;</a>"] {
            assert!(Element::parse(text).is_err(), "{text:?}");
        }
    }
}
