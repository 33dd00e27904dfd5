//! Removing what outlives its stack: buckets with every version in them, tables, keys.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use tokio::time::sleep;

use super::error::explain;
use super::session::Account;
use crate::clock::Stopwatch;
use crate::model::fault::{Fault, Kind};

/// How long a table may take until it is gone.
const TABLE_LIMIT: Duration = Duration::from_secs(600);
/// S3 deletes at most this many versions in one call ("DeleteObjects").
const BATCH: usize = 1_000;

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Object versions and delete markers.
    pub(crate) versions: usize,
    /// Their size.
    pub(crate) bytes: u64,
}

/// Removes things of one account.
pub(crate) struct Teardown {
    s3: aws_sdk_s3::Client,
    kms: aws_sdk_kms::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    pace: Duration,
}

impl Teardown {
    /// For an account.
    pub(crate) fn new(account: &Account) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(account.sdk()).force_path_style(account.loopback).build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            kms: aws_sdk_kms::Client::new(account.sdk()),
            dynamodb: aws_sdk_dynamodb::Client::new(account.sdk()),
            pace: account.pace(),
        }
    }

    /// What a bucket holds; `None` where there is no such bucket. Changes nothing.
    ///
    /// # Errors
    /// The bucket may not be looked at.
    pub(crate) async fn content(&self, bucket: &str) -> anyhow::Result<Option<Content>> {
        let mut content = Content::default();
        let (mut key, mut version) = (None, None);
        loop {
            let call = self.s3.list_object_versions().bucket(bucket);
            let page =
                match call.set_key_marker(key.take()).set_version_id_marker(version.take()).send().await {
                    Ok(page) => page,
                    Err(error) if error.code() == Some("NoSuchBucket") => return Ok(None),
                    Err(error) => return Err(explain(error, "list the versions in the bucket", bucket)),
                };
            content.versions += page.versions().len() + page.delete_markers().len();
            let sizes = page.versions().iter().filter_map(|v| u64::try_from(v.size().unwrap_or(0)).ok());
            content.bytes += sizes.sum::<u64>();
            if !page.is_truncated().unwrap_or(false) {
                break;
            }
            key = page.next_key_marker().map(ToOwned::to_owned);
            version = page.next_version_id_marker().map(ToOwned::to_owned);
        }
        Ok(Some(content))
    }

    /// Removes every version and every delete marker from a bucket. Gone buckets are fine.
    ///
    /// # Errors
    /// Some version may not be removed; the fault names the first one.
    pub(crate) async fn empty_bucket(&self, bucket: &str) -> anyhow::Result<()> {
        loop {
            // Always the first page: what it showed is gone afterwards.
            let page = match self.s3.list_object_versions().bucket(bucket).send().await {
                Ok(page) => page,
                Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
                Err(error) => return Err(explain(error, "list the versions in the bucket", bucket)),
            };
            let versions = page.versions().iter().map(|v| (v.key(), v.version_id()));
            let markers = page.delete_markers().iter().map(|m| (m.key(), m.version_id()));
            let mut batch = Vec::new();
            for (key, version) in versions.chain(markers).take(BATCH) {
                let id = ObjectIdentifier::builder()
                    .key(key.unwrap_or_default())
                    .set_version_id(version.map(Into::into));
                batch.push(id.build().context("name a version")?);
            }
            if batch.is_empty() {
                return Ok(());
            }
            let delete = Delete::builder()
                .set_objects(Some(batch))
                .quiet(true)
                .build()
                .context("name the versions")?;
            let answer = self.s3.delete_objects().bucket(bucket).delete(delete).send().await;
            let answer = answer.map_err(|error| explain(error, "empty the bucket", bucket))?;
            if let Some(error) = answer.errors().first() {
                return Err(Fault::failed(
                    "empty the bucket",
                    format!("s3://{bucket}/{}", error.key().unwrap_or_default()),
                )
                .why(format!("{}: {}", error.code().unwrap_or_default(), error.message().unwrap_or_default()))
                .next("grant yourself s3:DeleteObjectVersion on it, and run the same command again")
                .into());
            }
        }
    }

    /// Removes an empty bucket. A gone one is fine.
    ///
    /// # Errors
    /// It may not be removed, or something was put into it meanwhile.
    pub(crate) async fn delete_bucket(&self, bucket: &str) -> anyhow::Result<()> {
        match self.s3.delete_bucket().bucket(bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(()),
            Err(error) => Err(explain(error, "remove the bucket", bucket)),
        }
    }

    /// Removes a table and waits until it is gone. A gone one is fine.
    ///
    /// # Errors
    /// It may not be removed, or takes too long.
    pub(crate) async fn delete_table(&self, table: &str) -> anyhow::Result<()> {
        match self.dynamodb.delete_table().table_name(table).send().await {
            Ok(_) => {}
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(()),
            Err(error) => return Err(explain(error, "remove the table", table)),
        }
        let watch = Stopwatch::start();
        loop {
            match self.dynamodb.describe_table().table_name(table).send().await {
                Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(()),
                Err(error) => return Err(explain(error, "look at the table", table)),
                Ok(_) if watch.elapsed() > TABLE_LIMIT => {
                    return Err(Fault::new(Kind::TimedOut, "remove the table", table)
                        .why("it is still being removed after ten minutes")
                        .next("run the same command again later")
                        .into());
                }
                Ok(_) => sleep(self.pace).await,
            }
        }
    }

    /// Whether a table is there, and how many items it had when DynamoDB last counted.
    ///
    /// # Errors
    /// It may not be looked at.
    pub(crate) async fn table_items(&self, table: &str) -> anyhow::Result<Option<i64>> {
        match self.dynamodb.describe_table().table_name(table).send().await {
            Ok(answer) => Ok(Some(answer.table().and_then(|table| table.item_count()).unwrap_or(0))),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(explain(error, "look at the table", table)),
        }
    }

    /// Whether a key is there and not yet on its way out.
    ///
    /// # Errors
    /// It may not be looked at.
    pub(crate) async fn key_is_there(&self, key: &str) -> anyhow::Result<bool> {
        match self.kms.describe_key().key_id(key).send().await {
            Ok(answer) => {
                let state = answer
                    .key_metadata()
                    .and_then(|key| key.key_state())
                    .map(|state| state.as_str().to_owned());
                Ok(state.as_deref() != Some("PendingDeletion"))
            }
            Err(error) if error.code() == Some("NotFoundException") => Ok(false),
            Err(error) => Err(explain(error, "look at the key", key)),
        }
    }

    /// Schedules a key's deletion; the day it is gone, in UTC (`yyyy-MM-dd`).
    ///
    /// # Errors
    /// It may not be scheduled.
    pub(crate) async fn schedule_key_deletion(&self, key: &str, days: i32) -> anyhow::Result<String> {
        let answer = self.kms.schedule_key_deletion().key_id(key).pending_window_in_days(days).send().await;
        let answer = answer.map_err(|error| explain(error, "schedule the deletion of the key", key))?;
        let date = answer.deletion_date().and_then(|date| jiff::Timestamp::from_second(date.secs()).ok());
        Ok(date.map_or_else(|| format!("{days} days from now"), |date| date.strftime("%Y-%m-%d").to_string()))
    }
}
