//! What an ARN says. Source: "Identify AWS resources with Amazon Resource Names (ARNs)" in the IAM user guide.

/// The account of an ARN; `None` where it has none, as a bucket's.
pub fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

#[cfg(test)]
mod tests {
    use super::account_of;

    #[test]
    fn the_account_is_the_fifth_part() {
        for (arn, account) in [
            ("arn:aws:iam::111111111111:role/x", Some("111111111111")),
            ("arn:aws:s3:::bucket/key", None),
            ("no arn", None),
            ("", None),
        ] {
            assert_eq!(account_of(arn), account, "{arn}");
        }
    }
}
