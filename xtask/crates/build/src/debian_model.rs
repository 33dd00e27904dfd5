//! What apt prints, read.

/// The name after `Depends:` that begins so and goes on with a version, in what `apt-cache depends` printed.
pub fn dependency(text: &str, prefix: &str) -> Option<String> {
    let names = text.lines().filter_map(|row| row.trim().trim_start_matches('|').strip_prefix("Depends:"));
    names.map(str::trim).find(|name| versioned(name, prefix)).map(ToOwned::to_owned)
}

fn versioned(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_names() {
        let text = "rustc-web\n  Depends: libc6\n  Depends: libstd-rust-web-dev\n  Depends: libstd-rust-web-1.96\n |Depends: gcc\n  Recommends: libstd-rust-web-9\n";
        assert_eq!(dependency(text, "libstd-rust-web-").as_deref(), Some("libstd-rust-web-1.96"));
        assert_eq!(dependency(text, "libc").as_deref(), Some("libc6"));
        assert_eq!(dependency(text, "libllvm"), None);
    }
}
