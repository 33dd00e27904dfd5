//! The uploads of `package`: where they go, several at once, each tried again, each said.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Args;
use causeway_aws::artifacts::{Bucket, Seen};
use causeway_aws::cloudformation::Stacks;
use causeway_aws::{Account, Unverified};
use causeway_build::bill;
use causeway_command::Context;
use causeway_command::term::Out;
use causeway_model::artifact::{PackageRecord, Upload, bill_key};
use causeway_model::config::{BUILD, Config};
use causeway_model::fault::{Fault, from_error};
use causeway_model::line::Line;

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
        let opened = Unverified::open(config, &crate::accounts::open_options(context)?).await?;
        let accounts = opened.verify(config, &[BUILD.to_owned()]).await?;
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

    /// Whether what is put there runs on this machine, in the local cloud.
    pub(super) fn is_local(&self) -> bool {
        self.account.loopback
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
    context.out.spin(&format!("look for {all} packages, upload what is not there"));
    for (index, function) in record.functions.iter().enumerate() {
        let Some(zip) = zips.get(&function.name).cloned() else { continue };
        let one = One {
            bucket: bucket.clone(),
            name: function.name.clone(),
            key: function.key.clone(),
            zip,
            bill: bills.get(&function.name).cloned(),
            metadata: Arc::clone(&metadata),
            out: context.out.clone(),
        };
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            anyhow::Ok((index, one.upload().await?))
        });
    }
    let (mut bytes, mut done) = (0, 0);
    // Functions by what their newest packages were built with otherwise: most often it is the same for all.
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        let (index, one) = joined??;
        (bytes, done) = (bytes + one.bytes, done + 1);
        let Some(function) = record.functions.get_mut(index) else { continue };
        function.upload = one.state;
        function.version_id = Some(one.version);
        if one.state == Upload::Uploaded {
            context.out.note(format!(
                "uploaded {} ({:.2} MB, {done} of {all})",
                function.name,
                one.bytes as f64 / 1e6
            ));
        }
        context.out.spin(&format!("upload ({done} of {all})"));
        let name = function.name.clone();
        if let Some(rows) = one.newest.and_then(|newest| record.other_tools(&newest)) {
            others.entry(rows).or_default().push(name);
        }
    }
    for (rows, mut names) in others {
        names.sort();
        let message = format!(
            "the newest packages in the bucket, which most likely run, were built with other tools, so the bytes differ even where the sources do not: {rows} ({})",
            names.join(", ")
        );
        context.out.line(&Line::Warning { message });
    }
    Ok(bytes)
}

/// The upload of one package.
struct One {
    bucket: Bucket,
    name: String,
    key: String,
    zip: Vec<u8>,
    bill: Option<String>,
    metadata: Arc<[(String, String); 4]>,
    out: Out,
}

/// What became of it.
struct Done {
    state: Upload,
    /// The version of the object with that content.
    version: String,
    /// What went over the wire.
    bytes: u64,
    /// How the newest package that was there before was made; functions are left out.
    newest: Option<PackageRecord>,
}

impl One {
    async fn upload(self) -> anyhow::Result<Done> {
        match self.bucket.look(&self.key, &self.zip).await? {
            Seen::Same(version) => {
                let version = self.versioned(version)?;
                return Ok(Done { state: Upload::Present, version, bytes: 0, newest: None });
            }
            // The conditional PUT has the last word.
            Seen::Absent | Seen::Hidden => {}
        }
        let newest = self.newest().await;
        let say = |text: &str| self.out.note(text);
        let metadata: Vec<(&str, &str)> =
            self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut bytes = 0;
        // First what explains the package: a package that is there has its bill.
        if let Some(bill) = self.bill.clone() {
            let length = bill.len() as u64;
            let key = bill_key(&self.key);
            if self.bucket.put_if_absent(&key, bill.into_bytes(), &metadata, &say).await?.upload
                == Upload::Uploaded
            {
                bytes += length;
            }
        }
        let put = self.bucket.put_if_absent(&self.key, self.zip.clone(), &metadata, &say).await?;
        let version = match put.upload {
            Upload::Uploaded => {
                bytes += self.zip.len() as u64;
                put.version
            }
            // Somebody was there first: it must be the same.
            _ => match self.bucket.look(&self.key, &self.zip).await? {
                Seen::Same(version) => version,
                Seen::Hidden => {
                    return Err(Fault::failed("verify the package that is there", self.key)
                        .why("these credentials may not read it, so neither its content nor its version can be told")
                        .next("who packages needs s3:GetObject on it and kms:Decrypt on its key")
                        .into());
                }
                Seen::Absent => {
                    return Err(Fault::failed("upload the package", self.key)
                        .why("S3 said that it is there, and then that it is not: it was removed meanwhile")
                        .next("run it again")
                        .into());
                }
            },
        };
        let version = self.versioned(version)?;
        Ok(Done { state: put.upload, version, bytes, newest })
    }

    /// The version by which the packaged template names this package.
    fn versioned(&self, version: Option<String>) -> anyhow::Result<String> {
        version.ok_or_else(|| {
            Fault::failed("name the version of the package", self.key.as_str())
                .why("S3 keeps no versions of it, so what is approved could be replaced before it is deployed")
                .next("turn versioning of the bucket on (cargo xtask bootstrap does it for its own), remove the object if it was put before, and run it again")
                .into()
        })
    }

    /// How the newest package of this function was made, by its bill. The account that packages does not see what the
    /// environments run; this is the nearest to it. That it cannot be read stops nothing.
    async fn newest(&self) -> Option<PackageRecord> {
        let read = async {
            let Some(key) =
                self.bucket.newest(&format!("packages/{}/", self.name), &bill_key(".zip")).await?
            else {
                return anyhow::Ok(None);
            };
            let text = String::from_utf8(self.bucket.get(&key).await?)?;
            Ok(Some(bill::read(&text).map_err(anyhow::Error::msg)?))
        };
        match read.await {
            Ok(found) => found.map(|(inputs, linker)| {
                let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
                PackageRecord {
                    commit: None,
                    rustc: first(&inputs.rustc),
                    target: inputs.target,
                    profile: first(&inputs.profile),
                    linker,
                    functions: Vec::new(),
                }
            }),
            Err(error) => {
                self.out.note(format!(
                    "what the newest package of {} was built with cannot be read: {}",
                    self.name,
                    from_error(&error)
                ));
                None
            }
        }
    }
}
