//! The second opinion on the access matrix: another evaluator, in a process of its own.

use serde_json::{Value, json};

use super::Context;
use crate::gates_model::Judged;
use crate::{opinion, second_opinion};
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_model::fault::Fault;
use causeway_prove::{Problem, with};

/// Asks iam-simulate everything that the matrix asks; `None` where there is no node to run it.
///
/// # Errors
/// The files do not parse, the package cannot be had, or it ends badly.
pub(super) async fn second(context: &Context) -> anyhow::Result<Option<Judged>> {
    if !second_opinion::has_node().await {
        return Ok(None);
    }
    let config = context.config()?;
    let files = causeway_prove_cmd::prove::read(&context.root.join("cfn"))?;
    let unreadable = |problem: Problem| Fault::failed("read the policies", "cfn").why(problem);
    let say = |text: &str| context.out.note(text);
    let expander = Expander::kept(&Paths::of(&context.root), &say).await?;
    let cases: Value =
        with(&files, &config, &*expander, |proof| opinion::cases(proof.asked())).map_err(unreadable)?;
    let answers = second_opinion::ask(&Paths::of(&context.root), &cases, &say).await?;
    let compared =
        with(&files, &config, &*expander, |proof| opinion::compare(proof.worlds(), proof.asked(), &answers))
            .map_err(unreadable)?;
    let opinion = compared.map_err(|error| Fault::failed("compare with iam-simulate", "").why(error))?;
    let data =
        json!({"asked": answers.len(), "agreed": opinion.agreed, "expected_differences": opinion.expected});
    Ok(Some(Judged { data, complaints: opinion.problems.iter().map(Problem::to_string).collect() }))
}
