//! Addresses.

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let host =
        url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for url in ["https://127.0.0.1:4566", "http://localhost", "http://[::1]:80/x", "127.0.0.1:1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://cloudformation.eu-central-1.amazonaws.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1:1",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
