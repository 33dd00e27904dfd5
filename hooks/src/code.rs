//! Whether the new version's code is what was packaged for this release: a second layer below the object version that the
//! packaged template pins.
//!
//! Lambda knows a package by the SHA-256 of its zip in Base64 (`CodeSha256` of "FunctionConfiguration" in the Lambda API
//! reference), the build by the same in hexadecimal digits. The function cannot be asked: it is what is in doubt.

use aws_sdk_lambda::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::check::word;
use crate::invoke::code;

/// The reason that a hook without a digest gives: a stack that was deployed by hand.
pub(crate) const NOT_KNOWN: &str = "not known: the template gave no digest, so nothing was compared";

/// Compares the digest of a version's code with the packaged one.
///
/// # Errors
/// The reason, as a lowercase fragment: they differ, or one of them cannot be read.
pub(crate) async fn compare(client: &Client, version: &str, packaged: &str) -> Result<(), String> {
    if !is_digest(packaged) {
        return Err(format!("the digest of the package is none: {}", word(packaged)));
    }
    let answer = client.get_function_configuration().function_name(version).send().await;
    let answer =
        answer.map_err(|error| format!("the new version's code cannot be read: {}", code(&error)))?;
    let deployed = answer.code_sha256().and_then(hexadecimal);
    match deployed {
        Some(deployed) if deployed == packaged.to_ascii_lowercase() => Ok(()),
        deployed => Err(format!(
            "the new version's code is not what was packaged for this release: its digest is {}, the package's {packaged}",
            deployed.as_deref().unwrap_or("unknown")
        )),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A digest of Lambda's as hexadecimal digits.
fn hexadecimal(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok().filter(|bytes| bytes.len() == 32)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_digest_is_read_as_the_builds() {
        // The SHA-256 of nothing, in both ways.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(hexadecimal(base64).as_deref(), Some(hex));
        assert!(is_digest(hex) && !is_digest(base64) && !is_digest("") && !is_digest(&hex[1..]));
        for bad in ["", "=", "AAAA", "cfn-deployed"] {
            assert_eq!(hexadecimal(bad), None, "{bad}");
        }
    }
}
