//! Every command that asks AWS something asks first whose credentials it has, and nothing else where they are another
//! account's.

use causeway_testing::Project;

use crate::stub_aws::{Aws, DENIED, lead_to};

/// The account that every profile leads to; it is none of the project's.
const FOREIGN: &str = "999988887777";

#[test]
fn no_command_asks_another_account_for_anything_but_its_id() {
    let (aws, url) = Aws::start(FOREIGN, DENIED);
    let mut project = Project::that_packages();
    lead_to(&mut project, &url);
    let table: [&[&str]; 9] = [
        &["bootstrap", "--yes"],
        &["bootstrap", "--dry-run"],
        &["destroy", "--confirm-delete", "causeway"],
        &["deploy", "--isolated", "mine", "--yes"],
        &["deploy", "--isolated", "mine", "--delete", "--yes"],
        &["deploy", "--list"],
        &["package"],
        &["test-deployment", "--env", "dev", "--for", "1s"],
        &["doctor", "--fix", "--yes"],
    ];
    for words in table {
        let ended = project.run(words);
        assert_eq!(ended.code, 4, "{words:?}: {}", ended.error());
        let said = format!("{} {}", ended.error(), ended.result());
        assert!(said.contains(&format!("leads to {FOREIGN}")), "{words:?}: {said}");
        assert!(said.contains("nothing was changed"), "{words:?}: {said}");
        let asked = aws.asked();
        assert!(
            !asked.is_empty() && asked.iter().all(|call| call == "GetCallerIdentity"),
            "{words:?}: {asked:?}"
        );
        assert_eq!(ended.of_type("event").count(), 0, "{words:?}");
        assert!(ended.result()["changed"].as_array().is_none_or(Vec::is_empty), "{words:?}");
    }
    assert!(
        !project.path().join("target/packaged").exists(),
        "the account is looked at before anything is built"
    );
}
