//! Writes the parameter of each function into the text of a template, comments and order kept.

use super::super::package::packaged_by;
use super::super::template::{Edit, Node, NodeValue, apply, parse};

/// The property that tells SAM what publishes a version.
const PROPERTY: &str = "AutoPublishCodeSha256";

/// A function whose versions are published, and the parameter that publishes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The function's logical id.
    pub function: String,
    /// The parameter's name.
    pub parameter: String,
    /// The package that its code is, where it is one of ours.
    pub package: Option<String>,
}

/// The functions with an alias, and those to which nothing is written, each with the reason.
///
/// # Errors
/// The template does not parse, or has something of a parameter's name already; with its line.
pub fn released(source: &str) -> Result<(Vec<Released>, Vec<String>), String> {
    let root = parse(source).map_err(|error| error.to_string())?;
    let global = |name: &str| root.at(&["Globals", "Function", name]).is_some();
    let (mut all, mut left_out): (Vec<Released>, Vec<String>) = (Vec::new(), Vec::new());
    for (key, resource) in root.get("Resources").map(Node::entries).unwrap_or_default() {
        if let Some(body) = key.name.strip_prefix("Fn::ForEach::") {
            if resource.items().get(2).is_some_and(has_alias) {
                left_out.push(format!(
                    "functions of the loop {body} publish a version with other code alone: one parameter cannot stand for several functions"
                ));
            }
            continue;
        }
        let Some(properties) = resource.get("Properties").filter(|_| is_function(resource)) else { continue };
        if properties.get("AutoPublishAlias").is_none() && !global("AutoPublishAlias") {
            continue;
        }
        if properties.get(PROPERTY).is_some() || global(PROPERTY) {
            left_out.push(format!(
                "{} publishes a version when its own {PROPERTY} says so: nothing is written beside it, and a release that changes a setting alone may have no effect",
                key.name
            ));
            continue;
        }
        let short = key.name.strip_suffix("Function").filter(|short| !short.is_empty()).unwrap_or(&key.name);
        let parameter = format!("{short}Release");
        let taken = root.at(&["Parameters", &parameter]).or_else(|| root.at(&["Resources", &parameter]));
        if let Some(taken) = taken {
            return Err(format!(
                "line {}: {parameter} is the name of the parameter that is written for {}; give this another name",
                taken.line, key.name
            ));
        }
        if let Some(other) = all.iter().find(|other| other.parameter == parameter) {
            return Err(format!(
                "line {}: {} and {} would both have the parameter {parameter}; give one of them another name",
                key.line, other.function, key.name
            ));
        }
        let package = properties.get("CodeUri").and_then(Node::as_str).and_then(packaged_by);
        let package = package.map(ToOwned::to_owned);
        all.push(Released { function: key.name.clone(), parameter, package });
    }
    Ok((all, left_out))
}

fn is_function(resource: &Node) -> bool {
    resource.get("Type").and_then(Node::as_str) == Some("AWS::Serverless::Function")
}

fn has_alias(node: &Node) -> bool {
    node.entries().iter().any(|(key, value)| key.name == "AutoPublishAlias" || has_alias(value))
        || node.items().iter().any(has_alias)
}

/// The edits that declare the parameters and lead each function's property to its own.
///
/// # Errors
/// A place in the text that nothing can be written into; with its line.
pub fn edits(source: &str, released: &[Released]) -> Result<Vec<Edit>, String> {
    if released.is_empty() {
        return Ok(Vec::new());
    }
    let root = parse(source).map_err(|error| error.to_string())?;
    let mut edits = vec![parameters(source, &root, released)?];
    for one in released {
        let path = ["Resources", &one.function, "Properties"];
        let Some(properties) = root.at(&path) else { continue };
        let reference = format!("{{\"Ref\": \"{}\"}}", one.parameter);
        let ways =
            properties.entries().iter().filter(|(_, value)| is_scalar(value)).flat_map(|(key, value)| {
                let rest = source.get(value.span.end..).unwrap_or_default();
                let end = rest.find('\n').map_or(source.len(), |at| value.span.end + at);
                let indent = indent(source, key.line);
                [
                    Edit::insert(end, format!("\n{indent}{PROPERTY}: !Ref {}", one.parameter)),
                    Edit::insert(value.span.end, format!(", \"{PROPERTY}\": {reference}")),
                ]
            });
        let wanted = [&path[..], &[PROPERTY, "Ref"]].concat();
        let more = properties.entries().len() + 1;
        let fits = |edited: &Node| {
            edited.at(&wanted).and_then(Node::as_str) == Some(one.parameter.as_str())
                && edited.at(&path).is_some_and(|properties| properties.entries().len() == more)
        };
        edits.push(first_that_fits(source, ways, fits).ok_or_else(|| {
            format!(
                "line {}: {PROPERTY} cannot be written into the properties of {}",
                properties.line, one.function
            )
        })?);
    }
    Ok(edits)
}

fn parameters(source: &str, root: &Node, released: &[Released]) -> Result<Edit, String> {
    let key = |name: &str| root.entries().iter().find(|(key, _)| key.name == name);
    let block = |indent: &str| {
        let one = |released: &Released| {
            format!(
                "{indent}{}:\n{indent}  Description: What publishes a version of {}; it is written beside this template for each environment.\n{indent}  Type: String\n{indent}  AllowedPattern: '[0-9a-f]{{64}}'\n",
                released.parameter, released.function
            )
        };
        released.iter().map(one).collect::<String>()
    };
    let flow: Vec<String> = released
        .iter()
        .map(|one| {
            format!("\"{}\": {{\"Type\": \"String\", \"AllowedPattern\": \"[0-9a-f]{{64}}\"}}", one.parameter)
        })
        .collect();
    let flow = flow.join(", ");
    let mut ways = Vec::new();
    let (line, before) = match key("Parameters") {
        Some((own, declared)) => {
            let first = declared.entries().first().map(|(first, _)| indent(source, first.line));
            ways.push(Edit::insert(line_start(source, own.line + 1), block(first.unwrap_or("  "))));
            let start = line_start(source, own.line);
            let named = source.get(start..).and_then(|rest| rest.find(&own.name)).map(|at| start + at);
            if let Some(open) = named.and_then(|at| Some(at + source.get(at..)?.find('{')?)) {
                ways.push(Edit::insert(open + 1, format!("{flow}, ")));
            }
            (own.line, declared.entries().len())
        }
        None => {
            let line = key("Resources").map_or(1, |(key, _)| key.line);
            ways.push(Edit::insert(line_start(source, line), format!("Parameters:\n{}\n", block("  "))));
            if let Some(open) = source.find('{') {
                ways.push(Edit::insert(open + 1, format!("\"Parameters\": {{{flow}}}, ")));
            }
            (line, 0)
        }
    };
    let fits = |edited: &Node| {
        released.iter().all(|one| edited.at(&["Parameters", &one.parameter, "Type"]).is_some())
            && edited.get("Parameters").is_some_and(|all| all.entries().len() == before + released.len())
    };
    first_that_fits(source, ways.into_iter(), fits)
        .ok_or_else(|| format!("line {line}: a parameter cannot be written into the template's Parameters"))
}

/// The first edit after which the text says what it should.
fn first_that_fits(
    source: &str,
    mut ways: impl Iterator<Item = Edit>,
    fits: impl Fn(&Node) -> bool,
) -> Option<Edit> {
    ways.find(|edit| {
        let edited = apply(source, vec![edit.clone()]).ok();
        edited.and_then(|text| parse(&text).ok()).is_some_and(|root| fits(&root))
    })
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, NodeValue::Map(_) | NodeValue::Seq(_) | NodeValue::Null)
        && node.span.end > node.span.start
}

/// Where a line begins, counted from 1; the end of the text for one past the last.
fn line_start(source: &str, line: usize) -> usize {
    source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

/// The white space that a line begins with.
fn indent(source: &str, line: usize) -> &str {
    let row = source.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    &row[..row.len() - row.trim_start_matches(' ').len()]
}
