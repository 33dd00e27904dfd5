//! The local cloud's certificate authority, its one leaf, and the bundle that clients trust.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use causeway_machine::files::write_private;
use causeway_machine::paths::Paths;

/// The leaf's certificate and key, PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its private key; it stays in memory.
    pub key: String,
}

/// Makes a fresh authority and a leaf for 127.0.0.1, writes `ca.pem` and `bundle.pem`.
///
/// The authority's own key is forgotten at once, so that nobody can issue another certificate with it.
///
/// # Errors
/// The files cannot be written.
pub fn issue(paths: &Paths) -> anyhow::Result<Leaf> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Causeway local cloud");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate().context("make a key")?;
    let authority_certificate =
        authority.self_signed(&authority_key).context("sign the authority's certificate")?;

    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "127.0.0.1");
    leaf.subject_alt_names = vec![SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_key = KeyPair::generate().context("make a key")?;
    let issuer = Issuer::new(authority, authority_key);
    let certificate = leaf.signed_by(&leaf_key, &issuer).context("sign the leaf's certificate")?;

    let ca = authority_certificate.pem();
    write_private(&paths.ca(), ca.as_bytes())?;
    write_private(&paths.bundle(), format!("{}{ca}", in_force()).as_bytes())?;
    Ok(Leaf { certificate: certificate.pem(), key: leaf_key.serialize_pem() })
}

/// The authorities in force on this machine (`SSL_CERT_FILE` counts), PEM.
fn in_force() -> String {
    use base64::Engine as _;
    let found = rustls_native_certs::load_native_certs();
    let mut out = String::new();
    for certificate in found.certs {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate.as_ref());
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for row in text.as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(row));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}
