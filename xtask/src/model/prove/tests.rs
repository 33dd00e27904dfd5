//! The project's own templates and matrix, and edited copies of them.

use super::ask::Worlds;
use super::matrix::{self, Matrix};
use super::rows;
use super::types::{self, Types};
use super::world::Ground;
use super::{Files, Problem};
use crate::model::config::{self, Config};

/// The files of the checkout below `cfn/`.
pub(crate) fn files() -> Files {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../cfn");
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn scratch() {
    let files = files();
    let config = config::parse(&files["stacks.toml"]).unwrap();
    let matrix = matrix::parse(&files["access-matrix.toml"]).unwrap();
    let ground = Ground::new(&config, &matrix, types::known().unwrap(), &files);
    let watch = std::time::Instant::now();
    let worlds = Worlds::build(&ground);
    println!("worlds {:?}", watch.elapsed());
    for p in worlds.problems() {
        println!("PROBLEM {p}");
    }
    let (asked, problems) = rows::requests(&worlds);
    for p in problems {
        println!("ROW PROBLEM {p}");
    }
    let (all, problems) = rows::check(&worlds, &asked);
    for p in problems {
        println!("CHECK PROBLEM {p}");
    }
    println!("{} checks, {} fail, {:?}", all.len(), all.iter().filter(|c| !c.holds).count(), watch.elapsed());
    for c in all.iter().filter(|c| !c.holds) {
        println!(
            "{} {} | {} {} on {} {:?} -> {:?} by {}",
            c.id, c.says, c.who, c.action, c.on, c.with, c.came, c.by
        );
    }
    let usual = worlds.get("", "").unwrap();
    let needs = super::needs::check(&ground, usual);
    println!("{} calls, {} missing, {:?}", needs.asked, needs.missing.len(), watch.elapsed());
    for p in needs.problems {
        println!("NEED PROBLEM {p}");
    }
    for m in needs.missing {
        println!(
            "{}:{} {} {} {} {} on {} : {}",
            m.file, m.line, m.resource, m.handler, m.who, m.action, m.on, m.by
        );
    }
    let watch = std::time::Instant::now();
    let mutation = super::mutate::run(&worlds, &asked);
    println!("{} mutants, {} caught, {:?}", mutation.mutants.len(), mutation.caught(), watch.elapsed());
    for m in mutation.survivors() {
        println!("SURVIVES {}", m.name);
    }
}
