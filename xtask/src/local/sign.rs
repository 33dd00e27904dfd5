//! Signatures of version 4, for calls that no SDK client makes: those the front changes, and the engines' own with the
//! rights of a role.

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, Method};

use crate::model::keys::Keys;

/// The headers that a signature adds: authorization, date, token, and for S3 the content's digest.
///
/// `signed` are the headers it covers; `host` must be among them.
///
/// # Errors
/// A header or the URL has a shape that cannot be signed.
pub(crate) fn headers(
    keys: &Keys,
    service: &str,
    region: &str,
    method: &Method,
    url: &str,
    signed: &[(String, String)],
    body: &[u8],
) -> anyhow::Result<HeaderMap> {
    let identity = Credentials::new(&keys.id, &keys.secret, keys.token.clone(), None, "causeway").into();
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(crate::clock::now().into())
        .settings(settings)
        .build()
        .context("sign a call")?
        .into();
    let pairs = signed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(method.as_str(), url, pairs, SignableBody::Bytes(body))
        .context("sign a call")?;
    let (instructions, _) = sign(signable, &parameters).context("sign a call")?.into_parts();
    let mut request = http::Request::builder().uri(url).body(()).context("sign a call")?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.into_parts().0.headers)
}
