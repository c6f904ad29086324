//! Digests in the forms that a registry publishes them in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest as _;

/// The `sha512-…` Subresource Integrity string of `bytes`.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(sha2::Sha512::digest(bytes)))
}

/// The `sha256-…` Subresource Integrity string of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256-{}", STANDARD.encode(sha2::Sha256::digest(bytes)))
}

/// The `sha1-…` Subresource Integrity string of `bytes`, as derived from an old `dist.shasum`.
pub fn sha1(bytes: &[u8]) -> String {
    format!("sha1-{}", STANDARD.encode(sha1::Sha1::digest(bytes)))
}

/// The 40 lower-case hexadecimal digits of `dist.shasum`.
pub fn shasum(bytes: &[u8]) -> String {
    hexadecimal(&sha1::Sha1::digest(bytes))
}

/// 64 lower-case hexadecimal digits of the SHA-256 of `bytes`.
pub fn sha256_hexadecimal(bytes: &[u8]) -> String {
    hexadecimal(&sha2::Sha256::digest(bytes))
}

/// Turns bytes into lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard_vectors() {
        assert_eq!(shasum(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            sha256_hexadecimal(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(sha512(b"abc").starts_with("sha512-3a81oZNherrMQXNJriBBMRLm"));
        assert_eq!(sha1(b"abc"), "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    }
}
