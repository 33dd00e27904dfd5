//! The artifact bucket, tested: the real client against scripted replies, and against a server that breaks off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::scripted::{Headers, Reply, Script};
use super::*;
use causeway_model::fault::Kind;

const KEY: &str = "packages/checkin/ab.zip";
const KEY_ARN: &str = "arn:aws:kms:eu-central-1:111111111111:key/one";
const HEAD: &str = "HEAD /bucket/packages/checkin/ab.zip";
const PUT: &str = "PUT /bucket/packages/checkin/ab.zip if-none-match *";

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>no</Message></Error>")
}

fn reply(status: u16, text: impl Into<String>) -> (Reply, Headers) {
    ((status, text.into()), Vec::new())
}

/// A reply that names the digest of a content, as S3 does.
fn digested(status: u16, text: &str, of: &[u8]) -> (Reply, Headers) {
    ((status, text.to_owned()), vec![("x-amz-checksum-sha256", digest(of))])
}

/// A reply that names an object's version.
fn versioned((reply, mut headers): (Reply, Headers), id: &str) -> (Reply, Headers) {
    headers.push(("x-amz-version-id", id.to_owned()));
    (reply, headers)
}

async fn bucket(replies: Vec<(Reply, Headers)>) -> (Script, Bucket) {
    let (script, account) = Script::with_headers(replies).await;
    (script, Bucket::new(&account.retrying(), "bucket", KEY_ARN))
}

/// Uploads `zip`; what became of it, and what was said meanwhile.
async fn put(bucket: &Bucket, content: &[u8]) -> (anyhow::Result<Put>, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let say = |text: &str| said.lock().unwrap().push(text.to_owned());
    let result = bucket.put_if_absent(KEY, content.to_vec(), &[("commit", "c"), ("rustc", "r")], &say).await;
    (result, said.into_inner().unwrap())
}

#[tokio::test]
async fn a_look_tells_there_from_absent_from_hidden() {
    let table = [
        (digested(200, "zip", b"zip"), Seen::Same(None)),
        (versioned(digested(200, "zip", b"zip"), "v1"), Seen::Same(Some("v1".to_owned()))),
        (versioned(digested(200, "zip", b"zip"), "null"), Seen::Same(None)),
        (reply(404, ""), Seen::Absent),
        (reply(403, ""), Seen::Hidden),
    ];
    for (reply, expected) in table {
        let (script, bucket) = bucket(vec![reply.clone()]).await;
        assert_eq!(bucket.look(KEY, b"zip").await.unwrap(), expected, "{reply:?}");
        assert_eq!(script.asked(), [HEAD]);
        assert_eq!(script.sent()[0]["x-amz-checksum-mode"], "ENABLED");
    }
    // A key names its content: what is there and is something else is never taken for it.
    for other in [reply(200, "something else"), digested(200, "zip", b"zap")] {
        let (script, bucket) = bucket(vec![other]).await;
        let fault = from_error(&bucket.look(KEY, b"zip").await.unwrap_err());
        assert!(fault.why.contains("another digest") && fault.next.contains("versions"), "{fault:?}");
        assert_eq!(script.asked(), [HEAD], "nothing is written over");
    }
    // Anything else is no answer, and is not taken for one.
    let (_script, bucket) = bucket(vec![reply(400, "")]).await;
    assert_eq!(from_error(&bucket.look(KEY, b"zip").await.unwrap_err()).what, "look for the package");
}

#[tokio::test]
async fn an_upload_carries_key_digest_condition_and_facts() {
    let (script, bucket) = bucket(vec![digested(200, "", b"zip")]).await;
    let (result, said) = put(&bucket, b"zip").await;
    assert_eq!((result.unwrap().upload, said.len()), (Upload::Uploaded, 0));
    let sent = &script.sent()[0];
    let wanted = [
        ("if-none-match", "*"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", KEY_ARN),
        ("x-amz-checksum-sha256", digest(b"zip").as_str()),
        ("x-amz-meta-commit", "c"),
        ("x-amz-meta-rustc", "r"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    for (name, value) in wanted {
        assert_eq!(sent.get(name), Some(&value), "{name}: {sent:?}");
    }
    let (_script, bucket) = self::bucket(vec![digested(200, "", b"zap")]).await;
    let fault = from_error(&put(&bucket, b"zip").await.0.unwrap_err());
    assert!(fault.why.contains("another digest"), "S3 stored something else: {fault:?}");
}

#[tokio::test]
async fn an_object_without_a_digest_is_read_and_hashed() {
    const GET: &str = "GET /bucket/packages/checkin/ab.zip";
    // The version is the one that was read, whatever came in between.
    let right = versioned(reply(200, "zip"), "v2");
    let (script, bucket) = self::bucket(vec![versioned(reply(200, "zip"), "v1"), right]).await;
    assert_eq!(bucket.look(KEY, b"zip").await.unwrap(), Seen::Same(Some("v2".to_owned())));
    assert_eq!(script.asked(), [HEAD, GET]);
    // Other bytes of the same length.
    let (script, bucket) = self::bucket(vec![reply(200, "zip"), reply(200, "zap")]).await;
    let fault = from_error(&bucket.look(KEY, b"zip").await.unwrap_err());
    assert!(fault.on.ends_with(KEY) && fault.why.contains("another digest"), "{fault:?}");
    assert!(fault.next.contains("remove"), "{fault:?}");
    assert_eq!(script.asked(), [HEAD, GET]);
    // Who may not read it cannot say that it is the same.
    let (_script, bucket) = self::bucket(vec![reply(200, "zip"), reply(403, error("AccessDenied"))]).await;
    let fault = from_error(&bucket.look(KEY, b"zip").await.unwrap_err());
    assert!(fault.why.contains("AccessDenied") && fault.next.contains("kms:Decrypt"), "{fault:?}");
}

#[tokio::test]
async fn an_upload_names_its_version() {
    for (named, expected) in [(Some("v1"), Some("v1")), (Some("null"), None), (None, None)] {
        let taken = match named {
            Some(id) => versioned(reply(200, ""), id),
            None => reply(200, ""),
        };
        let (_script, bucket) = bucket(vec![taken]).await;
        let put = put(&bucket, b"zip").await.0.unwrap();
        assert_eq!((put.upload, put.version.as_deref()), (Upload::Uploaded, expected), "{named:?}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_said() {
    let conflict = || reply(409, error("ConditionalRequestConflict"));
    let table = [
        (vec![reply(412, error("PreconditionFailed"))], Upload::Present, 0),
        (vec![conflict(), conflict(), reply(200, "")], Upload::Uploaded, 2),
        (vec![reply(503, error("SlowDown")), reply(200, "")], Upload::Uploaded, 1),
        (vec![reply(500, ""), reply(412, error("PreconditionFailed"))], Upload::Present, 1),
    ];
    for (replies, expected, retries) in table {
        let (script, bucket) = bucket(replies).await;
        let (result, said) = put(&bucket, b"zip").await;
        assert_eq!((result.unwrap().upload, said.len()), (expected, retries), "{said:?}");
        assert_eq!(script.asked(), vec![PUT; retries + 1]);
        assert!(said.iter().all(|text| text.contains("trying again") && text.contains(KEY)), "{said:?}");
    }
    let (script, bucket) = bucket((0..9).map(|_| conflict()).collect()).await;
    let fault = from_error(&put(&bucket, b"zip").await.0.unwrap_err());
    assert_eq!(script.asked().len(), 5, "it ends");
    assert!(
        fault.why.contains("ConditionalRequestConflict") && fault.why.contains("5 attempts"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn who_may_not_use_the_key_is_told_which_and_what_for() {
    for code in ["AccessDenied", "KMS.DisabledException"] {
        let (script, bucket) = bucket(vec![reply(403, error(code))]).await;
        let fault = from_error(&put(&bucket, b"zip").await.0.unwrap_err());
        assert_eq!(fault.on, "s3://bucket/packages/checkin/ab.zip");
        assert_eq!(fault.why, format!("{code}: no (status 403)"));
        for word in [KEY_ARN, "kms:GenerateDataKey", "kms:Decrypt", "s3:PutObject"] {
            assert!(fault.next.contains(word), "{word}: {}", fault.next);
        }
        assert_eq!(script.asked().len(), 1, "it is not tried again");
    }
}

#[tokio::test]
async fn a_bucket_is_looked_for_before_anything_is_built() {
    let listed = "<ListBucketResult><Name>bucket</Name></ListBucketResult>";
    for fine in [reply(200, listed), reply(403, error("AccessDenied"))] {
        let (script, bucket) = bucket(vec![fine]).await;
        bucket.find().await.unwrap();
        assert_eq!(script.asked().len(), 1);
    }
    let table = [
        (reply(404, error("NoSuchBucket")), "there is no bucket of that name", "CAUSEWAY_ARTIFACT_BUCKET"),
        (reply(301, error("PermanentRedirect")), "another region", "cfn/stacks.toml"),
    ];
    for (reply, why, next) in table {
        let (_script, bucket) = bucket(vec![reply]).await;
        let fault = from_error(&bucket.find().await.unwrap_err());
        assert_eq!((fault.kind, fault.on.as_str()), (Kind::Usage, "s3://bucket"));
        assert!(fault.why.contains(why) && fault.next.contains(next), "{fault:?}");
    }
}

#[tokio::test]
async fn the_newest_of_a_function_is_found() {
    let object = |key: &str, at: &str| {
        format!("<Contents><Key>{key}</Key><LastModified>{at}</LastModified><Size>1</Size></Contents>")
    };
    let list = format!(
        "<ListBucketResult><Name>bucket</Name>{}{}{}</ListBucketResult>",
        object("packages/checkin/b.cdx.json", "2026-01-02T00:00:00.000Z"),
        object("packages/checkin/c.cdx.json", "2026-01-01T00:00:00.000Z"),
        object("packages/checkin/d.zip", "2026-01-03T00:00:00.000Z"),
    );
    let (_script, found) = bucket(vec![reply(200, list)]).await;
    let newest = found.newest("packages/checkin/", ".cdx.json").await.unwrap();
    assert_eq!(newest.as_deref(), Some("packages/checkin/b.cdx.json"));
    let (_script, empty) = bucket(vec![reply(200, "<ListBucketResult></ListBucketResult>")]).await;
    assert_eq!(empty.newest("packages/checkin/", ".cdx.json").await.unwrap(), None);
}

/// A server that breaks off in the middle of so many uploads, then takes one. How often it was called.
async fn cut(times: usize) -> (Arc<AtomicUsize>, Bucket) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let call = count.fetch_add(1, Ordering::SeqCst);
            let mut seen = Vec::new();
            let mut part = [0; 4096];
            let head = loop {
                let length = stream.read(&mut part).await.unwrap();
                seen.extend_from_slice(&part[..length]);
                if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                assert!(length > 0, "a request without a head");
            };
            if call < times {
                // Dropped with bytes unread: the other side is cut off.
                continue;
            }
            let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
            if text.contains("expect: 100-continue") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            }
            let length = text.lines().find_map(|row| row.strip_prefix("content-length: ")).unwrap();
            let mut left = length.trim().parse::<usize>().unwrap() - (seen.len() - head);
            while left > 0 {
                left -= stream.read(&mut part).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let bucket = Bucket::new(&Account::at(&format!("http://{address}")), "bucket", KEY_ARN);
    (calls, bucket)
}

#[tokio::test]
async fn an_upload_that_is_cut_in_the_middle_is_sent_again() {
    // More than a socket's buffers hold.
    let content = vec![7_u8; 16 * 1024 * 1024];
    let (calls, bucket) = cut(1).await;
    let (result, said) = put(&bucket, &content).await;
    assert_eq!((result.unwrap().upload, calls.load(Ordering::SeqCst)), (Upload::Uploaded, 2), "{said:?}");
    assert!(said[0].contains("broke off"), "{said:?}");
    let (calls, bucket) = cut(usize::MAX).await;
    let (result, said) = put(&bucket, &content).await;
    let fault = from_error(&result.unwrap_err());
    assert_eq!((calls.load(Ordering::SeqCst), said.len()), (5, 4));
    assert_eq!((fault.kind, fault.on.as_str()), (Kind::Failed, "s3://bucket/packages/checkin/ab.zip"));
    assert!(fault.why.contains("5 attempts") && fault.next.contains("run it again"), "{fault:?}");
}
