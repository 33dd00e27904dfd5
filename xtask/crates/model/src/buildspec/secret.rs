//! Which value of which secret a variable has.

/// A value of a secret: `secret-id:json-key:version-stage:version-id`, each but the first optional. An ARN of a secret has seven parts
/// of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretRef {
    /// Its name or ARN.
    pub id: String,
    /// The key in it; the whole text without one.
    pub key: Option<String>,
    /// The version's stage.
    pub stage: Option<String>,
    /// The version's id.
    pub version: Option<String>,
}

impl SecretRef {
    /// Reads it.
    ///
    /// # Errors
    /// There is no id, there are too many parts, or stage and version are both given.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = text.split(':').collect();
        let of_id = if text.starts_with("arn:") { 7 } else { 1 };
        let (Some(id), Some(rest)) = (parts.get(..of_id), parts.get(of_id..)) else {
            return Err("the ARN of the secret is cut off");
        };
        let part =
            |index: usize| rest.get(index).filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
        let secret = Self { id: id.join(":"), key: part(0), stage: part(1), version: part(2) };
        match &secret {
            Self { id, .. } if id.is_empty() => Err("it names no secret"),
            _ if rest.len() > 3 => Err("it has too many parts"),
            Self { stage: Some(_), version: Some(_), .. } => {
                Err("it names a version stage and a version id; CodeBuild takes one of them")
            }
            _ => Ok(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_as_codebuild_names_it() {
        let arn = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:shop/token-AbCdEf";
        let own = |text: &str| Some(text.to_owned());
        let table = [
            ("shop/token", SecretRef { id: "shop/token".into(), ..SecretRef::default() }),
            (
                "shop/token:value",
                SecretRef { id: "shop/token".into(), key: own("value"), ..SecretRef::default() },
            ),
            (
                "t::AWSPREVIOUS",
                SecretRef { id: "t".into(), stage: own("AWSPREVIOUS"), ..SecretRef::default() },
            ),
            (
                "t:k::v1",
                SecretRef { id: "t".into(), key: own("k"), version: own("v1"), ..SecretRef::default() },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(SecretRef::read(text).unwrap(), expected, "{text}");
        }
        assert_eq!(SecretRef::read(arn).unwrap().id, arn);
        assert_eq!(SecretRef::read(&format!("{arn}:k")).unwrap().key.unwrap(), "k");
        for text in ["", ":k", "a:b:c:d", "a:b:c:d:e", "arn:aws:secretsmanager:eu-central-1"] {
            assert!(SecretRef::read(text).is_err(), "{text}");
        }
    }
}
