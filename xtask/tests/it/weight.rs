//! How much there is to compile before anybody sees anything.

use std::collections::BTreeSet;

use crate::support::{Ended, path_variable, program};

/// So many crates at most, this one among them.
const MOST: usize = 32;

#[test]
fn few_crates_stand_before_the_first_answer() {
    let mut command = program(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", path_variable());
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let package = env!("CARGO_PKG_NAME");
    command.args([
        "tree",
        "-p",
        package,
        "-e",
        "normal,build",
        "--prefix",
        "none",
        "--no-dedupe",
        "--locked",
    ]);
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let crates: BTreeSet<&str> = ended.stdout.lines().collect();
    assert!(crates.iter().any(|row| row.starts_with(package)), "{}", ended.stdout);
    assert!(
        crates.len() <= MOST,
        "{} crates stand before `--help`, and {MOST} may: {crates:#?}",
        crates.len()
    );
}
