//! The bill of materials of a function: what it was made of, as a CycloneDX document, and what two of them differ in.
//!
//! It has no time and no random id: equal inputs give equal bytes. Besides what is linked in, it carries the inputs of the
//! version's digest, so that a deployed package explains itself. Source: "CycloneDX v1.5 JSON reference".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What a binary is made of: everything that its version is the digest of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// The binary's name.
    pub binary: String,
    /// The target triple.
    pub target: String,
    /// The profile's settings, as text.
    pub profile: String,
    /// `rustc -vV`.
    pub rustc: String,
    /// `.cargo/config.toml`.
    pub config: String,
    /// What it depends on, also at build time, by `name version`.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Digests of its sources by their place in the workspace.
    pub sources: BTreeMap<String, String>,
}

/// A dependency as it was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependency {
    /// Its features, sorted.
    pub features: String,
    /// Its checksum in Cargo.lock; empty for a package of the workspace.
    pub checksum: String,
}

/// What is linked into the binaries of a build: who takes what, by `name version`.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// What the components of a bill are, said in it: a linker drops code, but no tool says of which package all of it went.
const REACH: &str = "every package that the function's own takes in, without those that only run while it is built; the linker may have dropped all code of some";

/// Everything a bill is written from.
#[derive(Debug, Clone, Copy)]
pub struct Bill<'a> {
    /// What the function was made of.
    pub inputs: &'a Inputs,
    /// Its version.
    pub version: &'a str,
    /// Its package, `name version`.
    pub root: &'a str,
    /// What is linked in.
    pub edges: &'a Edges,
    /// Licenses by `name version`.
    pub licenses: &'a BTreeMap<String, String>,
    /// The linker.
    pub linker: &'a str,
}

impl Bill<'_> {
    /// The document's text.
    pub fn text(&self) -> String {
        let linked = reached(self.edges, self.root);
        let components: Vec<Value> =
            linked.iter().filter(|id| id.as_str() != self.root).map(|id| self.component(id)).collect();
        let taken = |id: &String| {
            let takes =
                self.edges.get(id).into_iter().flatten().map(|id| json!(purl(id))).collect::<Vec<_>>();
            json!({"ref": purl(id), "dependsOn": takes})
        };
        let inputs = self.inputs;
        let mut facts = vec![
            fact("target", &inputs.target),
            fact("linker", self.linker),
            fact("rustc", &inputs.rustc),
            fact("profile", &inputs.profile),
            fact("config", &inputs.config),
        ];
        facts.extend(inputs.sources.iter().map(|(file, digest)| fact("source", &format!("{file} {digest}"))));
        facts.extend(inputs.dependencies.iter().map(|(id, dependency)| {
            fact("dependency", &format!("{id} [{}] {}", dependency.features, dependency.checksum))
        }));
        let document = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application", "bom-ref": purl(self.root), "name": inputs.binary,
                    "version": self.version, "properties": facts,
                },
                "properties": [fact("components", REACH)],
            },
            "components": components,
            "dependencies": linked.iter().map(taken).collect::<Vec<_>>(),
        });
        format!("{document:#}\n")
    }

    fn component(&self, id: &str) -> Value {
        let (name, version) = id.split_once(' ').unwrap_or((id, ""));
        let mut component = json!({
            "type": "library", "bom-ref": purl(id), "name": name, "version": version, "purl": purl(id),
        });
        if let Some(license) = self.licenses.get(id) {
            component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
        }
        if let Some(dependency) = self.inputs.dependencies.get(id) {
            if !dependency.checksum.is_empty() {
                component["hashes"] = json!([{"alg": "SHA-256", "content": dependency.checksum}]);
            }
            if !dependency.features.is_empty() {
                component["properties"] = json!([fact("features", &dependency.features)]);
            }
        }
        component
    }
}

fn fact(name: &str, value: &str) -> Value {
    json!({"name": format!("causeway:{name}"), "value": value})
}

/// `serde 1.0.0` as a package URL.
fn purl(id: &str) -> String {
    format!("pkg:cargo/{}", id.replace(' ', "@").replace('+', "%2B"))
}

/// What a package takes in, itself included.
fn reached(edges: &Edges, root: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(id) = open.pop() {
        if all.insert(id.clone()) {
            open.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    all
}

/// The inputs and the linker that a bill carries.
///
/// # Errors
/// It is no bill of ours; in words.
pub fn read(text: &str) -> Result<(Inputs, String), String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let component = document.pointer("/metadata/component").ok_or("it names no component")?;
    let mut inputs = Inputs {
        binary: component["name"].as_str().ok_or("its component has no name")?.to_owned(),
        ..Inputs::default()
    };
    let mut linker = String::new();
    for fact in component["properties"].as_array().ok_or("its component has no properties")? {
        let value = fact["value"].as_str().unwrap_or_default().to_owned();
        match fact["name"].as_str().unwrap_or_default() {
            "causeway:target" => inputs.target = value,
            "causeway:linker" => linker = value,
            "causeway:rustc" => inputs.rustc = value,
            "causeway:profile" => inputs.profile = value,
            "causeway:config" => inputs.config = value,
            "causeway:source" => {
                let (file, digest) = value.rsplit_once(' ').ok_or("a source has no digest")?;
                inputs.sources.insert(file.to_owned(), digest.to_owned());
            }
            "causeway:dependency" => {
                let (id, rest) = value.split_once(" [").ok_or("a dependency has no features")?;
                let (features, checksum) = rest.rsplit_once("] ").ok_or("a dependency has no checksum")?;
                let dependency = Dependency { features: features.to_owned(), checksum: checksum.to_owned() };
                inputs.dependencies.insert(id.to_owned(), dependency);
            }
            _ => {}
        }
    }
    Ok((inputs, linker))
}

/// What differs between what runs and what would be built, each a row for a person; none for the same inputs.
pub fn differences(before: &Inputs, after: &Inputs) -> Vec<String> {
    let mut rows = Vec::new();
    for (file, digest) in &after.sources {
        match before.sources.get(file) {
            None => rows.push(format!("source added: {file}")),
            Some(old) if old != digest => rows.push(format!("source changed: {file}")),
            Some(_) => {}
        }
    }
    let gone = before.sources.keys().filter(|file| !after.sources.contains_key(*file));
    rows.extend(gone.map(|file| format!("source removed: {file}")));
    rows.extend(dependency_rows(before, after));
    rows.extend(compiler_row(&before.rustc, &after.rustc));
    for (what, old, new) in
        [("target", &before.target, &after.target), ("profile", &before.profile, &after.profile)]
    {
        if old != new {
            rows.push(format!("configuration: {what}: {} → {}", old.trim(), new.trim()));
        }
    }
    if before.config != after.config {
        rows.push("configuration: .cargo/config.toml".to_owned());
    }
    rows
}

/// The first line of `rustc -vV` that differs: the release may be the same and only LLVM or the host another.
fn compiler_row(before: &str, after: &str) -> Option<String> {
    if before == after {
        return None;
    }
    let (mut old, mut new) = (before.lines(), after.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return Some("compiler: the same words, spaced otherwise".to_owned()),
            (old, new) if old == new => {}
            (old, new) => {
                return Some(format!(
                    "compiler: {} → {}",
                    old.unwrap_or("nothing"),
                    new.unwrap_or("nothing")
                ));
            }
        }
    }
}

fn dependency_rows(before: &Inputs, after: &Inputs) -> Vec<String> {
    let versions = |inputs: &Inputs| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for id in inputs.dependencies.keys() {
            let (name, version) = id.split_once(' ').unwrap_or((id, ""));
            all.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
        all
    };
    let (old, new) = (versions(before), versions(after));
    let join = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut rows = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, Some(new)) => rows.push(format!("dependency added: {name} {}", join(new))),
            (Some(old), None) => rows.push(format!("dependency removed: {name} {}", join(old))),
            (Some(old), Some(new)) if old != new => {
                rows.push(format!("dependency updated: {name} {} → {}", join(old), join(new)));
            }
            _ => {}
        }
    }
    for (id, dependency) in &after.dependencies {
        match before.dependencies.get(id) {
            Some(old) if old.checksum != dependency.checksum => {
                rows.push(format!("dependency changed: {id}: another checksum"));
            }
            Some(old) if old.features != dependency.features => rows.push(format!(
                "dependency changed: {id}: features {} → {}",
                old.features, dependency.features
            )),
            _ => {}
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let dependency = |features: &str| Dependency { features: features.into(), checksum: "ab".into() };
        Inputs {
            binary: "checkin".into(),
            target: "t".into(),
            profile: "lambda\n".into(),
            rustc: "rustc 1\nhost: h".into(),
            config: "c".into(),
            dependencies: [("serde 1.0.0", "std"), ("cc 1.2.0+x", "")]
                .map(|(id, features)| (id.to_owned(), dependency(features)))
                .into(),
            sources: [("api/src/lib.rs", "01"), ("api/src/bin/checkin/main.rs", "02")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .into(),
        }
    }

    fn edges() -> Edges {
        let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        [("api 0.1.0", set(&["serde 1.0.0"])), ("hooks 0.1.0", set(&["other 1.0.0"]))]
            .map(|(id, all)| (id.to_owned(), all))
            .into()
    }

    #[test]
    fn a_bill_lists_what_is_linked_in_and_can_be_read_again() {
        let (inputs, edges) = (inputs(), edges());
        let licenses = [("serde 1.0.0".to_owned(), "MIT/Apache-2.0".to_owned())].into();
        let bill = Bill {
            inputs: &inputs,
            version: "0.1.0+ab",
            root: "api 0.1.0",
            edges: &edges,
            licenses: &licenses,
            linker: "zig 1",
        };
        let text = bill.text();
        assert_eq!(text, bill.text());
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["metadata"]["properties"][0]["value"], REACH);
        assert_eq!(document["components"].as_array().unwrap().len(), 1, "cc builds, but is not linked in");
        assert_eq!(document["components"][0]["purl"], "pkg:cargo/serde@1.0.0");
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["dependencies"][0]["dependsOn"], json!(["pkg:cargo/serde@1.0.0"]));
        assert_eq!(read(&text).unwrap(), (inputs, "zig 1".to_owned()));
        for broken in ["", "{", "{}", "[]"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_compilers_line_that_differs_is_shown() {
        let text = "rustc 1.95.0 (abc)\nhost: x86_64\nLLVM version: 21.1";
        let table = [
            (text.to_owned(), None),
            (text.replace("1.95.0", "1.96.0"), Some("compiler: rustc 1.95.0 (abc) → rustc 1.96.0 (abc)")),
            (text.replace("21.1", "21.2"), Some("compiler: LLVM version: 21.1 → LLVM version: 21.2")),
            (text.replace("\nLLVM version: 21.1", ""), Some("compiler: LLVM version: 21.1 → nothing")),
            (format!("{text}\n"), Some("compiler: the same words, spaced otherwise")),
        ];
        for (after, expected) in table {
            assert_eq!(compiler_row(text, &after).as_deref(), expected, "{after}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let before = inputs();
        assert_eq!(differences(&before, &before), Vec::<String>::new());
        let mut after = inputs();
        after.sources.insert("api/src/lib.rs".into(), "03".into());
        after.sources.insert("api/src/new.rs".into(), "04".into());
        after.sources.remove("api/src/bin/checkin/main.rs");
        after.dependencies.remove("serde 1.0.0");
        after.dependencies.insert("serde 1.0.1".into(), Dependency::default());
        after.dependencies.remove("cc 1.2.0+x");
        after.dependencies.insert("hex 0.4.0".into(), Dependency::default());
        after.rustc = "rustc 2\nhost: h".into();
        after.config.clear();
        assert_eq!(
            differences(&before, &after),
            [
                "source changed: api/src/lib.rs",
                "source added: api/src/new.rs",
                "source removed: api/src/bin/checkin/main.rs",
                "dependency removed: cc 1.2.0+x",
                "dependency added: hex 0.4.0",
                "dependency updated: serde 1.0.0 → 1.0.1",
                "compiler: rustc 1 → rustc 2",
                "configuration: .cargo/config.toml",
            ]
        );
    }
}
