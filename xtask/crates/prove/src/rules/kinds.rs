//! Every CloudFormation type and its properties, as AWS's schemas have them (`xtask/data/resource-properties.txt`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::file::Known;

static KINDS: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let lines = include_str!("../../../../data/resource-properties.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.collect()))
        })
        .collect()
});

/// The types of AWS's schemas. Whoever has types of their own names them `Custom::…` or by another beginning than `AWS::`.
pub(super) struct Schemas;

impl Known for Schemas {
    fn has(&self, kind: &str) -> bool {
        KINDS.contains_key(kind) || !kind.starts_with("AWS::")
    }

    fn near(&self, kind: &str) -> Option<String> {
        causeway_iam::closest(kind, KINDS.keys().copied()).map(ToOwned::to_owned)
    }

    fn has_property(&self, kind: &str, property: &str) -> Option<bool> {
        KINDS.get(kind).map(|properties| properties.contains(&property))
    }
}
