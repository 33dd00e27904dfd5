//! What two versions decide alike, whoever asks: it need not be asked. Most of what a change leaves alone is such.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ask::Asker;
use super::{Side, Who};
use causeway_iam::{Guard, Statement};

/// Who has the same rights in both versions, and which resources have the same policy: a request that nothing else bears on is
/// decided alike, so it is not asked.
#[derive(Default)]
pub(super) struct Same {
    people: BTreeSet<Who>,
    /// Resources whose policy is another one, or stands in one version alone.
    changed: BTreeSet<String>,
    /// Whether requests are filled in alike: region, partition, organization, accounts, whose a bucket is.
    ground: bool,
}

impl Same {
    pub(super) fn of(sides: &[Side<'_>; 2]) -> Self {
        let [before, after] = sides;
        let ground =
            before.world.setting == after.world.setting && before.world.buckets == after.world.buckets;
        let [were, are] = sides.each_ref().map(|side| {
            let rights = |asker: &Asker<'_>| {
                let all = asker.standing(side.world);
                (texts(&all.identity), all.boundary.map(|boundary| texts(&[boundary])), texts(&all.scps))
            };
            side.people.iter().map(|(who, asker)| (who, rights(asker))).collect::<BTreeMap<_, _>>()
        });
        let people = were.iter().filter(|(who, rights)| are.get(*who) == Some(*rights));
        let people = people.map(|(who, _)| (*who).clone()).collect();
        let [was, is] = sides.each_ref().map(|side| {
            let text = |(guard, all): &(Guard, Vec<Statement>)| (*guard, texts(&[all.as_slice()]));
            side.world.guards.iter().map(|(arn, policy)| (arn, text(policy))).collect::<BTreeMap<_, _>>()
        });
        let changed = was.keys().chain(is.keys()).filter(|arn| was.get(*arn) != is.get(*arn));
        Self { people, changed: changed.map(|arn| (*arn).clone()).collect(), ground }
    }

    /// Whether both versions decide whatever somebody asks alike.
    pub(super) fn everything(&self, who: &Who) -> bool {
        self.ground && self.changed.is_empty() && self.people.contains(who)
    }

    /// Whether both versions decide a request on a resource alike.
    pub(super) fn covers(&self, who: &Who, on: &str) -> bool {
        let bucket = on.split('/').next().unwrap_or(on);
        self.ground
            && self.people.contains(who)
            && !self.changed.contains(on)
            && !self.changed.contains(bucket)
    }
}

/// The statements of layers as they are written, layer by layer.
fn texts(layers: &[&[Statement]]) -> Vec<Vec<String>> {
    let layers = layers.iter();
    layers.map(|all| all.iter().map(|one| one.to_json().to_string()).collect()).collect()
}
