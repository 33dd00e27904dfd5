//! The uploads of `package`: where they go, several at once, each tried again, each said.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Args;
use crate::aws::artifacts::Bucket;
use crate::aws::cloudformation::Stacks;
use crate::aws::{Account, Accounts};
use crate::cmd::Context;
use crate::model::artifact::{PackageRecord, Upload, bill_key};
use crate::model::config::{BUILD, Config};
use crate::model::fault::Fault;

/// So many uploads at once.
const AT_ONCE: usize = 4;

/// Where packages go.
pub(super) struct Place {
    pub(super) bucket: String,
    key_arn: String,
    account: Account,
}

impl Place {
    /// What the environment names, else the outputs of the base stack.
    ///
    /// # Errors
    /// No credentials for the build account, or no base stack in it.
    pub(super) async fn find(context: &Context, config: &Config, args: &Args) -> anyhow::Result<Self> {
        let accounts = Accounts::open(config, &context.open_options()?).await?;
        accounts.verify(config, &[BUILD.to_owned()]).await?;
        let account = accounts.get(BUILD)?.clone();
        if let (Some(bucket), Some(key_arn)) = (args.bucket.clone(), args.key_arn.clone()) {
            return Ok(Self { bucket, key_arn, account });
        }
        let stack = format!("{}-build-base", config.project);
        let info = Stacks::new(&account).describe(&stack).await?;
        let output = |name: &str| info.as_ref().and_then(|info| info.outputs.get(name)).cloned();
        match (output("BucketName"), output("KeyArn")) {
            (Some(bucket), Some(key_arn)) => Ok(Self { bucket, key_arn, account }),
            _ => Err(Fault::failed("find the artifact bucket", stack)
                .why("the stack is not there or has no such outputs")
                .next("run cargo xtask bootstrap first, or package with --no-upload")
                .into()),
        }
    }

    /// The bucket, for reading and writing.
    pub(super) fn open(&self) -> Bucket {
        Bucket::new(&self.account, &self.bucket, &self.key_arn)
    }
}

/// Uploads the packages that are not there yet, each after its bill of materials, and notes in the record what became
/// of them. How many bytes went over the wire.
///
/// # Errors
/// The first upload that failed for good; others may have arrived, and the next run finds them.
pub(super) async fn upload(
    context: &Context,
    place: &Place,
    record: &mut PackageRecord,
    zips: &BTreeMap<String, Vec<u8>>,
    bills: &BTreeMap<String, String>,
) -> anyhow::Result<u64> {
    let bucket = place.open();
    let metadata = Arc::new([
        ("commit".to_owned(), record.commit.clone().unwrap_or_else(|| "none".to_owned())),
        ("target".to_owned(), record.target.clone()),
        ("rustc".to_owned(), record.rustc.clone()),
        ("linker".to_owned(), record.linker.clone()),
    ]);
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    let all = record.functions.len();
    for (index, function) in record.functions.iter().enumerate() {
        let Some(zip) = zips.get(&function.name).cloned() else { continue };
        let bill = bills.get(&function.name).cloned();
        let (bucket, key) = (bucket.clone(), function.key.clone());
        let (permits, metadata) = (Arc::clone(&permits), Arc::clone(&metadata));
        let bill_key = bill_key(&key);
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let pairs: Vec<(&str, &str)> =
                metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if bucket.holds(&key, &zip).await? {
                return anyhow::Ok((index, Upload::Present, 0));
            }
            let mut bytes = 0;
            // First what explains the package: a package that is there has its bill.
            if let Some(bill) = bill {
                let length = bill.len() as u64;
                if bucket.put_if_absent(&bill_key, bill.into_bytes(), &pairs).await? == Upload::Uploaded {
                    bytes += length;
                }
            }
            let length = zip.len() as u64;
            let state = bucket.put_if_absent(&key, zip, &pairs).await?;
            if state == Upload::Uploaded {
                bytes += length;
            }
            Ok((index, state, bytes))
        });
    }
    let (mut bytes, mut done) = (0, 0);
    while let Some(joined) = tasks.join_next().await {
        let (index, state, sent) = joined??;
        (bytes, done) = (bytes + sent, done + 1);
        if let Some(function) = record.functions.get_mut(index) {
            function.upload = state;
            context.out.spin(&format!("upload {} ({done} of {all})", function.name));
        }
    }
    Ok(bytes)
}
