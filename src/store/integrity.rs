//! Subresource integrity as lockfiles and registries write it.
//!
//! A string has one or more hashes `<algorithm>-<base64>[?<options>]` with white space between
//! them. The strongest algorithm that is known decides, and any of its hashes may match. Hashes of
//! unknown algorithms, and of MD5, which pins nothing, are passed over as long as a known one is
//! there; a malformed one is refused wherever it stands, because "refuse, never repair" holds for
//! what trust is built on.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::error::StoreError;

/// A hash algorithm, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-1, which old registry metadata (`shasum`) has.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, what registries give.
    Sha512,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// Name in an SRI string.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// What the bytes of an archive must hash to. `Display` is canonical SRI of the strongest hashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Integrity {
    algorithm: Algorithm,
    /// At least one, each of the algorithm's length.
    digests: Vec<Box<[u8]>>,
}

/// Bytes did not hash to what was promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {actual}")]
pub struct Mismatch {
    /// What was promised, as SRI.
    pub expected: String,
    /// What the bytes hash to, as SRI.
    pub actual: String,
}

impl Mismatch {
    /// The same as an error of the store.
    pub(crate) fn of(self, package: String) -> StoreError {
        StoreError::Integrity {
            package,
            expected: self.expected,
            actual: self.actual,
        }
    }
}

impl Integrity {
    /// Reads an SRI string.
    ///
    /// # Errors
    /// [`StoreError::IntegritySyntax`] where a hash is malformed or none is of a known algorithm.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let refuse = |reason| StoreError::IntegritySyntax {
            text: text.to_owned(),
            reason,
        };
        let mut strongest: Option<Self> = None;
        for hash in text.split_ascii_whitespace() {
            let (name, rest) = hash
                .split_once('-')
                .ok_or_else(|| refuse("a hash has no algorithm"))?;
            let Some(algorithm) = Algorithm::parse(name) else {
                continue;
            };
            let encoded = rest.split_once('?').map_or(rest, |(encoded, _)| encoded);
            let digest = STANDARD
                .decode(encoded)
                .map_err(|_| refuse("a hash is not valid base64"))?;
            if digest.len() != algorithm.digest_bytes() {
                return Err(refuse("a hash has the wrong length"));
            }
            match &mut strongest {
                Some(known) if known.algorithm > algorithm => {}
                Some(known) if known.algorithm == algorithm => known.digests.push(digest.into()),
                _ => {
                    strongest = Some(Self {
                        algorithm,
                        digests: vec![digest.into()],
                    });
                }
            }
        }
        strongest.ok_or_else(|| refuse("it has no hash of a known algorithm"))
    }

    /// Reads a SHA-1 in hexadecimal digits, as in a registry's `shasum`.
    ///
    /// # Errors
    /// [`StoreError::IntegritySyntax`] for anything but 40 hexadecimal digits.
    pub fn from_shasum(text: &str) -> Result<Self, StoreError> {
        let digits = text.as_bytes();
        let valid = digits.len() == 40 && digits.iter().all(u8::is_ascii_hexdigit);
        let digest: Option<Vec<u8>> = valid
            .then(|| {
                digits
                    .chunks_exact(2)
                    .map(|pair| {
                        let pair = std::str::from_utf8(pair).ok()?;
                        u8::from_str_radix(pair, 16).ok()
                    })
                    .collect()
            })
            .flatten();
        match digest {
            Some(digest) => Ok(Self {
                algorithm: Algorithm::Sha1,
                digests: vec![digest.into()],
            }),
            None => Err(StoreError::IntegritySyntax {
                text: text.to_owned(),
                reason: "a shasum has 40 hexadecimal digits",
            }),
        }
    }

    /// The SHA-512 of `bytes`, to be pinned where nothing stronger than SHA-1 was promised.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_sha512(Sha512::new_with_prefix(bytes))
    }

    pub(crate) fn of_sha512(hasher: Sha512) -> Self {
        Self {
            algorithm: Algorithm::Sha512,
            digests: vec![hasher.finalize().as_slice().into()],
        }
    }

    /// The algorithm that decides.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Compares with the hash of `bytes`.
    ///
    /// # Errors
    /// [`Mismatch`] where none of the hashes is that of `bytes`.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut checker = self.checker();
        checker.update(bytes);
        checker.finish()
    }

    /// Whether this says the same of an archive as `actual`, which was computed of all its bytes.
    ///
    /// # Errors
    /// [`Mismatch`] where none of the hashes is one of `actual`, or they are of another algorithm.
    pub fn check_computed(&self, actual: &Self) -> Result<(), Mismatch> {
        let is_equal = |digest| actual.digests.contains(digest);
        match self.algorithm == actual.algorithm && self.digests.iter().any(is_equal) {
            true => Ok(()),
            false => Err(Mismatch {
                expected: self.to_string(),
                actual: actual.to_string(),
            }),
        }
    }

    /// A check to which the bytes are given piece by piece.
    pub fn checker(&self) -> IntegrityChecker<'_> {
        IntegrityChecker {
            expected: self,
            hasher: Hasher::new(self.algorithm),
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, digest) in self.digests.iter().enumerate() {
            let separator = if position == 0 { "" } else { " " };
            let encoded = STANDARD.encode(digest);
            write!(formatter, "{separator}{}-{encoded}", self.algorithm.name())?;
        }
        Ok(())
    }
}

#[derive(Clone)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }
}

/// See [`Integrity::checker`].
#[derive(Clone)]
pub struct IntegrityChecker<'a> {
    expected: &'a Integrity,
    hasher: Hasher,
}

impl IntegrityChecker<'_> {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha384(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// [`Mismatch`] where none of the hashes is that of the bytes.
    pub fn finish(self) -> Result<(), Mismatch> {
        let digest: Box<[u8]> = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().as_slice().into(),
            Hasher::Sha256(hasher) => hasher.finalize().as_slice().into(),
            Hasher::Sha384(hasher) => hasher.finalize().as_slice().into(),
            Hasher::Sha512(hasher) => hasher.finalize().as_slice().into(),
        };
        self.expected.check_computed(&Integrity {
            algorithm: self.expected.algorithm,
            digests: vec![digest],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA512: &str = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7\
                          kxvUdBeoGlODJ6+SfaPg==";
    const SHA1: &str = "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
    const SHA384: &str = "sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb";
    const SHA256: &str = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn every_known_algorithm_checks_bytes() {
        for text in [SHA512, SHA384, SHA256, SHA1] {
            let integrity = Integrity::parse(text).unwrap();
            assert_eq!(integrity.to_string(), text);
            assert!(integrity.check(b"").is_ok(), "{text}");
            let mismatch = integrity.check(b"x").unwrap_err();
            assert_eq!(mismatch.expected, text);
            assert_ne!(mismatch.actual, text);
        }
    }

    #[test]
    fn the_strongest_known_algorithm_wins() {
        let wrong_sha1 = "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let wrong_sha512 = format!("sha512-{}A==", "A".repeat(85));
        for (text, matches_empty) in [
            (format!("{wrong_sha1} {SHA512}"), true),
            (format!("{SHA512} {wrong_sha1}"), true),
            (format!("{SHA1} {wrong_sha512}"), false),
            (format!("{wrong_sha512} {SHA512}"), true),
            (format!("sha3-zzz {SHA1}"), true),
            (format!("{SHA512}?foo=bar"), true),
            (format!("  {SHA1}\n{SHA256}\t"), true),
        ] {
            let integrity = Integrity::parse(&text).unwrap();
            assert_eq!(integrity.check(b"").is_ok(), matches_empty, "{text}");
        }
    }

    #[test]
    fn malformed_and_unknown_hashes_are_refused() {
        for text in [
            "",
            "   ",
            "sha512",
            "sha512-",
            "sha512-!!!",
            "sha512-AAAA",
            "sha1-AAAA",
            "sha3-AAAA",
            "SHA512-AAAA",
            "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg",
            "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk",
            "2jmj7l5rSw0yVb",
        ] {
            assert!(Integrity::parse(text).is_err(), "{text}");
        }
        assert!(Integrity::parse(&format!("{SHA512} sha1-AAAA")).is_err());
    }

    #[test]
    fn a_shasum_is_forty_hexadecimal_digits() {
        let shasum = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        assert_eq!(Integrity::from_shasum(shasum).unwrap().to_string(), SHA1);
        for text in [
            "",
            "da39",
            &shasum[1..],
            &format!("{shasum}0"),
            &"+1".repeat(20),
        ] {
            assert!(Integrity::from_shasum(text).is_err(), "{text}");
        }
    }
}
