//! The byte form of [`PackageFacts`], which rows of the index and the metadata of packs share.
//!
//! ```text
//! u8   version (1, or 2 where bundled commands follow)
//! u8   bits: 0 requires build, 1 has manifest, 2 bundles dependencies, 3 has name, 4 has version
//! u32  files
//! u64  bytes
//! [text name] [text version]
//! u16  number of bins, then for each: text name, text target, u8 runner, [text program]
//! u16  only in version 2: number of bundled bins, at least one, then for each: text package, and
//!      what there is for a bin
//! ```
//!
//! The few packages that have bundled commands are of version 2, so that all others stay readable
//! for a program that knows only version 1.
//!
//!
//! Integers are little endian; a text is a u16 length and that many bytes of UTF-8.

use crate::name::{BinName, RelativePath};

use super::format::FormatError;
use super::{Bin, BinRunner, BundledBin, PackageFacts, PackageKey};

const VERSION: u8 = 1;
const VERSION_WITH_BUNDLED_BINS: u8 = 2;
const REQUIRES_BUILD: u8 = 1;
const HAS_MANIFEST: u8 = 2;
const BUNDLES: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_VERSION: u8 = 16;
const KNOWN_BITS: u8 = 31;

const RUNNER_SHEBANG: u8 = 0;
const RUNNER_PROGRAM: u8 = 1;
const RUNNER_DIRECT: u8 = 2;

/// Texts longer than this are left out of the facts (names and versions) by the manifest reader.
pub(crate) const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// Takes bytes from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(FormatError::Metadata)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.take(N)?.try_into().map_err(|_| FormatError::Metadata)
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    fn text(&mut self) -> Result<&'a str, FormatError> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        std::str::from_utf8(self.take(length)?).map_err(|_| FormatError::Metadata)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("invariant: texts of facts are bounded");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the byte form of `facts`.
pub(crate) fn encode_facts(facts: &PackageFacts, out: &mut Vec<u8>) {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let has_bundled_bins = !facts.bundled_bins.is_empty();
    out.push(if has_bundled_bins {
        VERSION_WITH_BUNDLED_BINS
    } else {
        VERSION
    });
    out.push(
        bit(facts.requires_build, REQUIRES_BUILD)
            | bit(facts.has_manifest, HAS_MANIFEST)
            | bit(facts.bundles_dependencies, BUNDLES)
            | bit(facts.name.is_some(), HAS_NAME)
            | bit(facts.version.is_some(), HAS_VERSION),
    );
    out.extend_from_slice(&facts.files.to_le_bytes());
    out.extend_from_slice(&facts.bytes.to_le_bytes());
    for text in [&facts.name, &facts.version].into_iter().flatten() {
        put_text(out, text);
    }
    put_count(out, facts.bins.len());
    for bin in &facts.bins {
        encode_bin(bin, out);
    }
    if has_bundled_bins {
        put_count(out, facts.bundled_bins.len());
        for bundled in &facts.bundled_bins {
            put_text(out, &bundled.package);
            encode_bin(&bundled.bin, out);
        }
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("invariant: the number of bins is bounded");
    out.extend_from_slice(&count.to_le_bytes());
}

fn encode_bin(bin: &Bin, out: &mut Vec<u8>) {
    put_text(out, bin.name.as_str());
    put_text(out, bin.target.as_str());
    match &bin.runner {
        BinRunner::Shebang => out.push(RUNNER_SHEBANG),
        BinRunner::Program(program) => {
            out.push(RUNNER_PROGRAM);
            put_text(out, program);
        }
        BinRunner::Direct => out.push(RUNNER_DIRECT),
    }
}

/// Reads what [`encode_facts`] wrote; every byte must belong to it.
///
/// # Errors
/// [`FormatError::Metadata`] for anything else.
pub(crate) fn decode_facts(bytes: &[u8]) -> Result<PackageFacts, FormatError> {
    let mut reader = Reader(bytes);
    let has_bundled_bins = match reader.byte()? {
        VERSION => false,
        VERSION_WITH_BUNDLED_BINS => true,
        _ => return Err(FormatError::Metadata),
    };
    let bits = reader.byte()?;
    if bits & !KNOWN_BITS != 0 {
        return Err(FormatError::Metadata);
    }
    let files = u32::from_le_bytes(reader.array()?);
    let total = u64::from_le_bytes(reader.array()?);
    let mut optional_text = |bit: u8| -> Result<Option<Box<str>>, FormatError> {
        if bits & bit == 0 {
            return Ok(None);
        }
        Ok(Some(reader.text()?.into()))
    };
    let name = optional_text(HAS_NAME)?;
    let version = optional_text(HAS_VERSION)?;
    let count = usize::from(u16::from_le_bytes(reader.array()?));
    let mut bins = Vec::new();
    for _ in 0..count {
        bins.push(decode_bin(&mut reader)?);
    }
    let bundled_bins = match has_bundled_bins {
        true => decode_bundled_bins(&mut reader)?,
        false => Vec::new(),
    };
    if !reader.0.is_empty() {
        return Err(FormatError::Metadata);
    }
    Ok(PackageFacts {
        name,
        version,
        bins,
        requires_build: bits & REQUIRES_BUILD != 0,
        has_manifest: bits & HAS_MANIFEST != 0,
        bundles_dependencies: bits & BUNDLES != 0,
        bundled_bins,
        files,
        bytes: total,
    })
}

fn decode_bundled_bins(reader: &mut Reader<'_>) -> Result<Vec<BundledBin>, FormatError> {
    let count = u16::from_le_bytes(reader.array()?);
    if count == 0 {
        return Err(FormatError::Metadata);
    }
    let mut bins = Vec::new();
    for _ in 0..count {
        let package = reader.text()?.into();
        bins.push(BundledBin {
            package,
            bin: decode_bin(reader)?,
        });
    }
    Ok(bins)
}

fn decode_bin(reader: &mut Reader<'_>) -> Result<Bin, FormatError> {
    let name = BinName::new(reader.text()?).map_err(|_| FormatError::Metadata)?;
    let target = RelativePath::new(reader.text()?).map_err(|_| FormatError::Metadata)?;
    let runner = match reader.byte()? {
        RUNNER_SHEBANG => BinRunner::Shebang,
        RUNNER_PROGRAM => BinRunner::Program(reader.text()?.into()),
        RUNNER_DIRECT => BinRunner::Direct,
        _ => return Err(FormatError::Metadata),
    };
    Ok(Bin {
        name,
        target,
        runner,
    })
}

/// The metadata of a pack: a u32 length and the key, then the facts.
pub(crate) fn encode_metadata(key: &PackageKey, facts: &PackageFacts) -> Vec<u8> {
    let key = key.as_str().as_bytes();
    let mut out = Vec::with_capacity(key.len() + 128);
    let length = u32::try_from(key.len()).expect("invariant: keys are bounded");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(key);
    encode_facts(facts, &mut out);
    out
}

/// Reads what [`encode_metadata`] wrote.
///
/// # Errors
/// [`FormatError::Metadata`] for anything else.
pub(crate) fn decode_metadata(bytes: &[u8]) -> Result<(PackageKey, PackageFacts), FormatError> {
    let mut reader = Reader(bytes);
    let length = u32::from_le_bytes(reader.array()?) as usize;
    let key = std::str::from_utf8(reader.take(length)?).map_err(|_| FormatError::Metadata)?;
    Ok((PackageKey::from_stored(key), decode_facts(reader.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> PackageFacts {
        let bin = |name: &str, runner| Bin {
            name: BinName::new(name).unwrap(),
            target: RelativePath::new("bin/x.js").unwrap(),
            runner,
        };
        PackageFacts {
            name: Some("@a/b".into()),
            version: None,
            bins: vec![
                bin("a", BinRunner::Shebang),
                bin("b", BinRunner::Program("node".into())),
                bin("c", BinRunner::Direct),
            ],
            requires_build: true,
            has_manifest: true,
            bundles_dependencies: true,
            bundled_bins: vec![BundledBin {
                package: "inner".into(),
                bin: bin("d", BinRunner::Shebang),
            }],
            files: 7,
            bytes: u64::MAX,
        }
    }

    #[test]
    fn metadata_is_read_back_as_it_was_written() {
        let key = PackageKey::new("sha512-x", "a@1.0.0", Some("abc"));
        let without = PackageFacts {
            bundled_bins: Vec::new(),
            ..facts()
        };
        for facts in [facts(), without, PackageFacts::default()] {
            let bytes = encode_metadata(&key, &facts);
            assert_eq!(decode_metadata(&bytes).unwrap(), (key.clone(), facts));
        }
    }

    #[test]
    fn metadata_that_is_cut_or_continued_is_refused() {
        let mut bytes = encode_metadata(&PackageKey::new("i", "n", None), &facts());
        for length in 0..bytes.len() {
            assert!(decode_metadata(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(decode_metadata(&bytes).is_err());
    }

    #[test]
    fn facts_of_another_version_or_with_unknown_bits_are_refused() {
        let mut bytes = Vec::new();
        encode_facts(&facts(), &mut bytes);
        for (position, value) in [(0, 1), (0, 3), (0, 0), (1, 0xff), (1, 0x20)] {
            let mut changed = bytes.clone();
            changed[position] = value;
            assert!(decode_facts(&changed).is_err(), "{position} {value}");
        }
    }
}
