//! Removing what outlives its stack: buckets with every version in them, tables, keys.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::error::explain;
use super::json::Client;
use super::session::Account;
use super::spoken::{DYNAMODB, KMS};
use causeway_machine::clock::Stopwatch;
use causeway_model::fault::{Fault, Kind};

/// How long a table may take until it is gone.
const TABLE_LIMIT: Duration = Duration::from_secs(600);
/// S3 deletes at most this many versions in one call ("DeleteObjects").
const BATCH: usize = 1_000;

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// Object versions and delete markers.
    pub versions: usize,
    /// Their size.
    pub bytes: u64,
}

/// The answer of `DescribeTable`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableFound {
    table: Table,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Table {
    item_count: Option<i64>,
}

/// The answer of `DescribeContinuousBackups`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupsFound {
    continuous_backups_description: Backups,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Backups {
    point_in_time_recovery_description: Option<PointInTime>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PointInTime {
    point_in_time_recovery_status: String,
}

/// The answer of `DescribeKey`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyFound {
    key_metadata: Key,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    key_state: String,
}

/// The answer of `ScheduleKeyDeletion`; the date in seconds since 1970.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeletionScheduled {
    deletion_date: Option<f64>,
}

/// Removes things of one account.
pub struct Teardown {
    s3: aws_sdk_s3::Client,
    kms: Client,
    dynamodb: Client,
    pace: Duration,
}

impl Teardown {
    /// For an account.
    pub fn new(account: &Account) -> Self {
        Self {
            s3: account.s3(),
            kms: Client::new(account, &KMS),
            dynamodb: Client::new(account, &DYNAMODB),
            pace: account.pace(),
        }
    }

    /// What a bucket holds; `None` where there is no such bucket. Changes nothing.
    ///
    /// # Errors
    /// The bucket may not be looked at.
    pub async fn content(&self, bucket: &str) -> anyhow::Result<Option<Content>> {
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
    pub async fn empty_bucket(&self, bucket: &str) -> anyhow::Result<()> {
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
    pub async fn delete_bucket(&self, bucket: &str) -> anyhow::Result<()> {
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
    pub async fn delete_table(&self, table: &str) -> anyhow::Result<()> {
        let named = json!({"TableName": table});
        match self.dynamodb.call::<Value>("DeleteTable", named.clone()).await {
            Ok(_) => {}
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(()),
            Err(error) => return Err(explain(error, "remove the table", table)),
        }
        let watch = Stopwatch::start();
        loop {
            match self.dynamodb.call::<TableFound>("DescribeTable", named.clone()).await {
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
    pub async fn table_items(&self, table: &str) -> anyhow::Result<Option<i64>> {
        match self.dynamodb.call::<TableFound>("DescribeTable", json!({"TableName": table})).await {
            Ok(found) => Ok(Some(found.table.item_count.unwrap_or(0))),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(explain(error, "look at the table", table)),
        }
    }

    /// Whether DynamoDB will keep a last backup of the table when it is removed: it does so where a table can be taken
    /// back to any point in time ("Using point-in-time recovery with DynamoDB"). Unknown counts as no.
    ///
    /// # Errors
    /// It may not be looked at.
    pub async fn leaves_backup(&self, table: &str) -> anyhow::Result<bool> {
        let named = json!({"TableName": table});
        match self.dynamodb.call::<BackupsFound>("DescribeContinuousBackups", named).await {
            Ok(found) => {
                let point = found.continuous_backups_description.point_in_time_recovery_description;
                Ok(point.is_some_and(|point| point.point_in_time_recovery_status == "ENABLED"))
            }
            Err(error)
                if matches!(error.code(), Some("TableNotFoundException" | "ResourceNotFoundException")) =>
            {
                Ok(false)
            }
            Err(error) => Err(explain(error, "look at the backups of the table", table)),
        }
    }

    /// Whether a key is there and not yet on its way out.
    ///
    /// # Errors
    /// It may not be looked at.
    pub async fn key_is_there(&self, key: &str) -> anyhow::Result<bool> {
        match self.kms.call::<KeyFound>("DescribeKey", json!({"KeyId": key})).await {
            Ok(found) => Ok(found.key_metadata.key_state != "PendingDeletion"),
            Err(error) if error.code() == Some("NotFoundException") => Ok(false),
            Err(error) => Err(explain(error, "look at the key", key)),
        }
    }

    /// Schedules a key's deletion; the day it is gone, in UTC (`yyyy-MM-dd`).
    ///
    /// # Errors
    /// It may not be scheduled.
    pub async fn schedule_key_deletion(&self, key: &str, days: i32) -> anyhow::Result<String> {
        let input = json!({"KeyId": key, "PendingWindowInDays": days});
        let answer = self.kms.call::<DeletionScheduled>("ScheduleKeyDeletion", input).await;
        let answer = answer.map_err(|error| explain(error, "schedule the deletion of the key", key))?;
        let seconds = answer.deletion_date.map(std::time::Duration::try_from_secs_f64);
        let date = seconds.and_then(Result::ok).and_then(|since| {
            jiff::Timestamp::UNIX_EPOCH.checked_add(jiff::SignedDuration::try_from(since).ok()?).ok()
        });
        Ok(date.map_or_else(|| format!("{days} days from now"), |date| date.strftime("%Y-%m-%d").to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Reply, Script};
    use super::*;
    use causeway_model::fault::from_error;

    /// A page of object versions, and of delete markers after them.
    fn page(versions: usize, markers: usize, next: Option<&str>) -> Reply {
        let entry = |kind: &str, n: usize, size: &str| {
            format!("<{kind}><Key>packages/{n}.zip</Key><VersionId>v{n}</VersionId>{size}</{kind}>")
        };
        let versions: String = (0..versions).map(|n| entry("Version", n, "<Size>7</Size>")).collect();
        let markers: String = (0..markers).map(|n| entry("DeleteMarker", n, "")).collect();
        let more = next.map_or_else(
            || "<IsTruncated>false</IsTruncated>".to_owned(),
            |key| {
                format!("<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>")
            },
        );
        (200, format!("<ListVersionsResult>{more}{versions}{markers}</ListVersionsResult>"))
    }

    fn deleted(errors: &str) -> Reply {
        (200, format!("<DeleteResult>{errors}</DeleteResult>"))
    }

    #[tokio::test]
    async fn what_a_bucket_holds_is_counted_over_all_pages() {
        let (script, account) =
            Script::start(vec![page(990, 10, Some("k")), page(1_000, 0, Some("l")), page(3, 2, None)]).await;
        let content = Teardown::new(&account).content("b").await.unwrap();
        assert_eq!(content, Some(Content { versions: 2_005, bytes: 1_993 * 7 }));
        assert_eq!(script.asked(), ["GET /b/"; 3]);
        let (_, account) =
            Script::start(vec![(404, "<Error><Code>NoSuchBucket</Code></Error>".to_owned())]).await;
        assert_eq!(Teardown::new(&account).content("b").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_bucket_of_more_than_a_thousand_versions_is_emptied_page_by_page() {
        let replies =
            vec![page(990, 10, Some("k")), deleted(""), page(203, 4, None), deleted(""), page(0, 0, None)];
        let (script, account) = Script::start(replies).await;
        Teardown::new(&account).empty_bucket("b").await.unwrap();
        assert_eq!(script.asked(), ["GET /b/", "POST /b/", "GET /b/", "POST /b/", "GET /b/"]);
        let named: Vec<usize> =
            script.bodies().iter().map(|body| body.matches("<VersionId>").count()).collect();
        assert_eq!(named, [0, 1_000, 0, 207, 0], "every version and every marker, at most a thousand a call");
    }

    #[tokio::test]
    async fn a_version_that_stays_ends_it_and_is_named() {
        let stays = "<Error><Key>packages/0.zip</Key><Code>AccessDenied</Code><Message>no</Message></Error>";
        let (script, account) = Script::start(vec![page(1, 0, None), deleted(stays)]).await;
        let fault = from_error(&Teardown::new(&account).empty_bucket("b").await.unwrap_err());
        assert!(fault.on.contains("packages/0.zip") && fault.why.contains("AccessDenied"), "{fault}");
        assert!(fault.next.contains("s3:DeleteObjectVersion"), "{}", fault.next);
        assert_eq!(script.asked().len(), 2, "it does not go round for ever");
    }

    #[tokio::test]
    async fn a_table_that_can_be_taken_back_leaves_a_backup() {
        let described = |status: &str| {
            let point = json!({"PointInTimeRecoveryStatus": status});
            let all = json!({"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": point});
            (200, json!({"ContinuousBackupsDescription": all}).to_string())
        };
        let gone = (400, json!({"__type": "TableNotFoundException", "message": "no"}).to_string());
        let (_, account) = Script::start(vec![described("ENABLED"), described("DISABLED"), gone]).await;
        let teardown = Teardown::new(&account);
        for expected in [true, false, false] {
            assert_eq!(teardown.leaves_backup("t").await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_key_on_its_way_out_is_no_key_and_the_day_is_told() {
        let state =
            |state: &str| (200, json!({"KeyMetadata": {"KeyId": "k", "KeyState": state}}).to_string());
        let replies = vec![
            state("Enabled"),
            state("PendingDeletion"),
            (200, json!({"KeyId": "k", "DeletionDate": 1_785_542_400.0}).to_string()),
        ];
        let (script, account) = Script::start(replies).await;
        let teardown = Teardown::new(&account);
        assert!(teardown.key_is_there("k").await.unwrap());
        assert!(!teardown.key_is_there("k").await.unwrap());
        assert_eq!(teardown.schedule_key_deletion("k", 30).await.unwrap(), "2026-08-01");
        assert!(script.bodies()[2].contains("\"PendingWindowInDays\":30"), "{:?}", script.bodies());
    }
}
