//! What a run left out of the stacks that it deployed, for its result.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use crate::cloud::Cloud;
use crate::ledger::{Record, StackKey};
use crate::resources::Resources;
use causeway_model::judgement::NotRehearsed;
use causeway_model::omitted::{Deployed, omitted};

impl Run {
    /// What of the deployed stacks was not rehearsed.
    pub(super) async fn left_out(&self) -> Vec<NotRehearsed> {
        let meant = self.meant().clone();
        let records = meant.into_iter().filter_map(|(key, meant)| Some((key, meant.record?))).collect();
        left_out(&self.cloud, records).await
    }
}

/// The same of any stacks. A stack that cannot be looked at is told by name.
pub(super) async fn left_out(cloud: &Cloud, records: Vec<(StackKey, Arc<Record>)>) -> Vec<NotRehearsed> {
    let mut stacks: Vec<(StackKey, Arc<Record>, Resources)> = Vec::new();
    let mut unread = Vec::new();
    for (key, record) in records {
        match Resources::of(&cloud.emulator, &key).await {
            Ok(Some(resources)) => stacks.push((key, record, resources)),
            // It was deleted again.
            Ok(None) => {}
            Err(error) => unread.push(NotRehearsed {
                what: format!("what else is not rehearsed of {}", key.1),
                why: format!("the local cloud could not be asked: {error:#}"),
            }),
        }
    }
    let made: Vec<_> =
        stacks.iter().map(|(_, _, resources)| |id: &str| resources.physical(id).is_some()).collect();
    let values: Vec<_> = stacks
        .iter()
        .map(|(key, record, resources)| {
            |value: &Value| resources.eval(&cloud.emulator, key, record, value).ok()
        })
        .collect();
    let deployed: Vec<Deployed<'_>> = stacks
        .iter()
        .zip(made.iter().zip(&values))
        .map(|((key, record, _), (made, value))| Deployed {
            stack: &key.1,
            plain: &record.plain,
            stubs: &record.lowered.types,
            made,
            value,
        })
        .collect();
    let mut all = omitted(&deployed);
    all.extend(unread);
    all
}
