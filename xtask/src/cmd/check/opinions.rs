//! The second opinion on the access matrix: another evaluator, in a process of its own.

use serde_json::{Value, json};

use super::Context;
use crate::local::expand::Expander;
use crate::local::paths::Paths;
use crate::local::second_opinion;
use crate::model::fault::Fault;
use crate::model::gates::Judged;
use crate::model::prove::{self, Problem};

/// Asks iam-simulate everything that the matrix asks; `None` where there is no node to run it.
///
/// # Errors
/// The files do not parse, the package cannot be had, or it ends badly.
pub(super) async fn second(context: &Context) -> anyhow::Result<Option<Judged>> {
    if !second_opinion::has_node().await {
        return Ok(None);
    }
    let config = context.config()?;
    let files = crate::cmd::prove::read(&context.root.join("cfn"))?;
    let unreadable = |problem: Problem| Fault::failed("read the policies", "cfn").why(problem);
    let say = |text: &str| context.out.note(text);
    let expander = Expander::kept(&Paths::of(&context.root), &say).await?;
    let cases: Value = prove::with(&files, &config, &*expander, |proof| proof.cases()).map_err(unreadable)?;
    let answers = second_opinion::ask(&Paths::of(&context.root), &cases, &say).await?;
    let opinion =
        prove::with(&files, &config, &*expander, |proof| proof.opinion(&answers)).map_err(unreadable)?;
    let opinion = opinion.map_err(|error| Fault::failed("compare with iam-simulate", "").why(error))?;
    let data =
        json!({"asked": answers.len(), "agreed": opinion.agreed, "expected_differences": opinion.expected});
    Ok(Some(Judged { data, complaints: opinion.problems.iter().map(Problem::to_string).collect() }))
}
