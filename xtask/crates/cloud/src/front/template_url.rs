//! Templates by URL: a signed one is read with the rights of whoever signed it, as S3 would.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Uri};

use super::{Call, Front, guard, identity, whole};
use crate::emulator::Refusal;

/// Whether a URL carries a signature.
pub(super) fn is_signed(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Signature"))
}

/// Reads what a signed URL of this cloud leads to. The inner error is what CloudFormation says of it.
///
/// # Errors
/// The emulator does not answer.
pub(super) async fn read(front: &Front, url: &str) -> anyhow::Result<Result<String, String>> {
    let Ok(uri) = url.parse::<Uri>() else {
        return Ok(Err("TemplateURL must reference a valid S3 object to which you have access.".to_owned()));
    };
    if guard::is_emulators_own(uri.path()) {
        return Ok(Err("TemplateURL must be a supported URL.".to_owned()));
    }
    // The signature covers the host that the URL names, whichever that is.
    let host = uri.authority().map_or("", http::uri::Authority::as_str).to_owned();
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let Ok(request) = http::Request::builder().method(Method::GET).uri(path).header("host", host).body(())
    else {
        return Ok(Err("TemplateURL must be a supported URL.".to_owned()));
    };
    let parts = request.into_parts().0;
    let (access_key, service) = identity::scope(&parts);
    let call = Call { parts: Arc::new(parts), body: Bytes::new(), access_key, service };
    if !front.cloud.identities.is_genuine(&call) {
        return Ok(Err(
            "S3 error: The request signature we calculated does not match the signature you provided."
                .to_owned(),
        ));
    }
    let root = front.cloud.identities.signer(&call.access_key).filter(|signer| signer.role.is_none());
    if let Some(root) = root {
        // The emulator does not know a root's secret; the signature was verified above.
        let emulator = &front.cloud.emulator;
        return match emulator.rest(Method::GET, call.parts.uri.path(), &root.account, "s3", Vec::new()).await
        {
            Ok((_, body)) => Ok(text(body)),
            Err(error) if error.downcast_ref::<Refusal>().is_some() => {
                Ok(Err("S3 error: Access Denied".to_owned()))
            }
            Err(error) => Err(error),
        };
    }
    let (answer, body) = whole(front.pass(&call).await?).await?;
    if !answer.status.is_success() {
        let why = causeway_model::xml::Element::parse(&String::from_utf8_lossy(&body));
        let why = why.map(|error| error.text_at(&["Message"]).to_owned()).unwrap_or_default();
        let why = if why.is_empty() { answer.status.to_string() } else { why };
        return Ok(Err(format!("S3 error: {why}")));
    }
    Ok(text(body.to_vec()))
}

fn text(body: Vec<u8>) -> Result<String, String> {
    String::from_utf8(body).map_err(|_| "Template format error: it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::tests::front_that;
    use crate::stub_emulator::Answer;

    #[test]
    fn a_signed_url_is_told_from_a_plain_one() {
        for (url, expected) in [
            ("https://127.0.0.1:1/b/k?X-Amz-Signature=0a", true),
            ("https://127.0.0.1:1/b/k?x-amz-signature=0a", true),
            ("https://127.0.0.1:1/b/X-Amz-Signature=0a", false),
            ("https://127.0.0.1:1/b/k?versionId=1", false),
            ("", false),
        ] {
            assert_eq!(is_signed(url), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_signed_url_is_read_as_it_was_signed_and_its_refusal_is_told() {
        let (emulator, front) = front_that(|asked, _| {
            Some(if asked.path.starts_with("/b/k?") {
                Answer::new(200, "Resources: {}")
            } else {
                Answer::new(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            })
        })
        .await;
        let credential = "ASIA1%2F20260101%2Feu-central-1%2Fs3%2Faws4_request";
        let query = format!("X-Amz-Credential={credential}&X-Amz-Signature=0a");
        let text = read(&front, &format!("https://127.0.0.1:1/b/k?{query}")).await.unwrap();
        assert_eq!(text, Ok("Resources: {}".to_owned()));
        assert_eq!(emulator.asked()[0].path, format!("/b/k?{query}"));
        let refused = read(&front, &format!("https://127.0.0.1:1/b/other?{query}")).await.unwrap();
        assert_eq!(refused, Err("S3 error: Access Denied".to_owned()));
        // The emulator's own paths are no place in S3, even under a signature.
        let own = read(&front, &format!("https://127.0.0.1:1/%5fministack/health?{query}")).await.unwrap();
        assert_eq!(own, Err("TemplateURL must be a supported URL.".to_owned()));
        // An account's root is verified here: the emulator believes every one.
        let root = query.replace("ASIA1", "111111111111");
        let forged = read(&front, &format!("https://127.0.0.1:1/b/k?{root}")).await.unwrap();
        assert!(forged.unwrap_err().contains("signature"), "{root}");
        assert_eq!(emulator.asked().len(), 2);
    }
}
