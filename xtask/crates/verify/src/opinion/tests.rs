//! The other evaluator's answers, held to ours on the project's own templates.

use causeway_model::config::{self, Config};
use causeway_prove::{Files, Proof, ask, matrix, with};
use causeway_testing::{expander, workspace};

use super::*;

pub(crate) fn files() -> Files {
    let all = std::fs::read_dir(workspace().join("cfn")).unwrap().flatten();
    let all = all.filter(|entry| entry.path().is_file());
    let named = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path()).unwrap())
    };
    all.map(named).collect()
}

pub(crate) fn proven<T>(files: &Files, work: impl FnOnce(&Proof<'_, '_>) -> T) -> T {
    let config: Config = config::parse(&files["stacks.toml"]).unwrap();
    with(files, &config, &**expander(), work).unwrap()
}

#[test]
fn the_other_evaluator_is_given_every_key_and_every_policy() {
    let files = files();
    let cases = proven(&files, |proof| cases(proof.asked()));
    let first = &cases["cases"][0];
    assert_eq!(
        first["principal"],
        "arn:aws:sts::222222222222:assumed-role/causeway-eu-central-1-action/session"
    );
    assert_eq!(
        first["keys"]["aws:principalarn"][0],
        "arn:aws:iam::222222222222:role/causeway-eu-central-1-action"
    );
    let number = usize::try_from(first["resourcePolicy"].as_u64().unwrap()).unwrap();
    assert_eq!(cases["policies"][number]["Version"], "2012-10-17");
    let short = proven(&files, |proof| compare(proof.worlds(), proof.asked(), &["allow".to_owned()]));
    assert!(short.unwrap_err().contains("1 answers"));
}

#[test]
fn a_difference_that_is_not_listed_and_one_that_is_gone_are_named_row_by_row() {
    let files = files();
    let line = |text: &str| {
        files["access-matrix.toml"][..files["access-matrix.toml"].find(text).unwrap()].matches('\n').count()
            + 1
    };
    proven(&files, |proof| {
        let word = |one: &ask::Asked<'_>| if one.verdict().unwrap().allowed() { "allow" } else { "deny" };
        let mut answers: Vec<String> = proof.asked().iter().map(|one| word(one).to_owned()).collect();
        let compare = |data: &str, answers: &[String]| {
            compare_with(data, proof.worlds(), proof.asked(), answers).unwrap()
        };
        let same = compare("", &answers);
        assert_eq!((same.agreed, same.expected, same.problems), (answers.len(), 0, Vec::new()));
        let first = &proof.worlds().ground.matrix.rows[0];
        assert_eq!(first.id.get_ref(), "A1");
        for (answer, _) in answers.iter_mut().zip(proof.asked()).filter(|(_, one)| one.row == 0) {
            "deny".clone_into(answer);
        }
        let unknown = compare("", &answers);
        let problem = unknown.problems.first().unwrap();
        assert_eq!((problem.file.as_str(), problem.line), (matrix::FILE, line("\"A1\"")));
        assert!(problem.message.contains("we say allow, iam-simulate says deny"), "{problem}");
        let listed = "[[differences]]\nrows = [\"A1\",\n  \"A2\"]\nanswer = \"deny\"\nwhy = \"so\"\n";
        let gone = compare(listed, &answers);
        assert!(gone.expected > 0);
        let wanted =
            "xtask/data/second-opinion.toml:3: the difference in row A2 (so) is gone: take it off the list";
        assert_eq!(gone.problems.iter().map(Problem::to_string).collect::<Vec<_>>(), [wanted]);
    });
}
