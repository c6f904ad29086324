//! The grammar of [`DepPath`]: `name@version(patch_hash=…)(peer@version(…))…`.

use std::borrow::Borrow;

use sha2::{Digest, Sha256};

use super::{DepPath, PackageId, Reference};
use crate::install::semver::Version;
use crate::name::{EntryName, NameError, PackageName, escaped, hexadecimal};

/// How many hexadecimal digits of a SHA-256 a shortened directory name ends with.
const DIRECTORY_HASH_DIGITS: usize = 32;

/// Why a text is not a [`DepPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepPathError {
    /// There is no `@` between a name and a version.
    #[error("there is no version after the name")]
    NoVersion,
    /// The name is not one.
    #[error("its name {0}")]
    Name(#[source] NameError),
    /// A version without a colon is a registry's, and that has neither slashes nor spaces.
    #[error("its version is neither a registry's nor an address")]
    Version,
    /// A control character.
    #[error("it contains a control character")]
    Control,
    /// Parentheses that do not match, or nothing between them.
    #[error("the parentheses of its suffix do not match")]
    Suffix,
    /// `(patch_hash=…)` with something else than a digest.
    #[error("its patch hash is no digest")]
    PatchHash,
}

impl Borrow<str> for DepPath {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for PackageId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl std::fmt::Display for DepPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&escaped(self.as_str()))
    }
}

impl std::fmt::Display for PackageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&escaped(self.as_str()))
    }
}

/// Where the parts of a dependency path end.
#[derive(Debug, Clone, Copy)]
struct Parts {
    /// The `@` between name and version.
    at_sign: usize,
    /// Start of `(patch_hash=…)`, or of the peers, or the end.
    suffix: usize,
    /// Start of the peers, or the end.
    peers: usize,
}

fn at_sign(text: &str) -> Option<usize> {
    let search_from = usize::from(text.starts_with('@'));
    let offset = memchr::memchr(b'@', text.as_bytes().get(search_from..)?)?;
    (offset > 0).then_some(search_from + offset)
}

fn parts(text: &str) -> Option<Parts> {
    let (suffix, peers) = suffix_starts(text);
    Some(Parts {
        at_sign: at_sign(text)?,
        suffix,
        peers,
    })
}

/// The groups in parentheses at the end are the suffix; the first of them may be the patch.
fn suffix_starts(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    let end = bytes.len();
    if bytes.last() != Some(&b')') {
        return (end, end);
    }
    let mut open = 1_usize;
    for at in (0..end - 1).rev() {
        match bytes[at] {
            b'(' if open == 0 => return (end, end),
            b'(' => open -= 1,
            b')' => open += 1,
            _ if open == 0 => {
                let suffix = at + 1;
                if !text[suffix..].starts_with("(patch_hash=") {
                    return (suffix, suffix);
                }
                let peers = memchr::memchr(b'(', &bytes[suffix + 1..]);
                return (suffix, peers.map_or(end, |offset| suffix + 1 + offset));
            }
            _ => {}
        }
    }
    (end, end)
}

impl DepPath {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn new(text: &str) -> Result<Self, DepPathError> {
        check_dep_path(text).map(|_| Self(text.into()))
    }

    fn parts(&self) -> Parts {
        parts(&self.0).expect("invariant: a DepPath has a name and a version")
    }

    /// The part before the version: the name as in the registry.
    pub fn name(&self) -> PackageName {
        PackageName::new(self.name_str()).expect("invariant: a DepPath has a valid name")
    }

    /// As [`DepPath::name`], as text.
    pub fn name_str(&self) -> &str {
        &self.0[..self.parts().at_sign]
    }

    /// The part between name and suffix: a version, or an address.
    pub fn version(&self) -> &str {
        let parts = self.parts();
        &self.0[parts.at_sign + 1..parts.suffix]
    }

    /// The digest of the patch that was applied: SHA-256 in hexadecimal, or what pnpm 9 wrote.
    pub fn patch_hash(&self) -> Option<&str> {
        let parts = self.parts();
        let group = &self.0[parts.suffix..parts.peers];
        group.strip_prefix("(patch_hash=")?.strip_suffix(')')
    }

    /// The peers' suffix with its parentheses; empty where there is none.
    pub fn peers_suffix(&self) -> &str {
        &self.0[self.parts().peers..]
    }

    /// The key of `packages` that this is an instance of.
    pub fn package_id(&self) -> PackageId {
        PackageId(self.package_id_str().into())
    }

    /// As [`DepPath::package_id`], as text.
    pub fn package_id_str(&self) -> &str {
        &self.0[..self.parts().suffix]
    }

    /// Whether the version is a registry's, and not an address.
    pub fn is_from_registry(&self) -> bool {
        !self.version().contains(':')
    }

    /// The directory of this package in the virtual store, at most `max_length` UTF-16 code units
    /// long (`virtualStoreDirMaxLength`).
    ///
    /// # Errors
    /// Where the name would not be that of a directory entry: `max_length` is no limit enough for
    /// it.
    pub fn virtual_store_directory_name(&self, max_length: usize) -> Result<EntryName, NameError> {
        EntryName::new(&directory_name(self, max_length))
    }
}

impl PackageId {
    /// Checks `text`.
    ///
    /// # Errors
    /// As [`DepPath::new`]; a suffix is refused.
    pub fn new(text: &str) -> Result<Self, DepPathError> {
        let parts = check_dep_path(text)?;
        if parts.suffix != text.len() {
            return Err(DepPathError::Suffix);
        }
        Ok(Self(text.into()))
    }

    /// The part before the version, as text.
    pub fn name_str(&self) -> &str {
        &self.0[..self.at_sign()]
    }

    /// The version, or the address.
    pub fn version(&self) -> &str {
        &self.0[self.at_sign() + 1..]
    }

    /// Whether the version is a registry's, and not an address.
    pub fn is_from_registry(&self) -> bool {
        !self.version().contains(':')
    }

    fn at_sign(&self) -> usize {
        at_sign(&self.0).expect("invariant: a PackageId has a name and a version")
    }
}

fn check_dep_path(text: &str) -> Result<Parts, DepPathError> {
    if text.chars().any(char::is_control) {
        return Err(DepPathError::Control);
    }
    let parts = parts(text).ok_or(DepPathError::NoVersion)?;
    PackageName::new(&text[..parts.at_sign]).map_err(DepPathError::Name)?;
    let version = text
        .get(parts.at_sign + 1..parts.suffix)
        .ok_or(DepPathError::Suffix)?;
    check_version(version)?;
    check_suffix(text, parts)?;
    Ok(parts)
}

fn check_version(version: &str) -> Result<(), DepPathError> {
    if version.is_empty() {
        return Err(DepPathError::NoVersion);
    }
    let is_version_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_~^*=<>|".contains(&byte);
    // An address becomes a directory's name only after its separators are replaced. What has no
    // colon is a registry's version and needs none replaced.
    let is_address = version.contains(':');
    let is_version = version.bytes().all(is_version_byte) && !version.starts_with('.');
    if is_address || is_version {
        Ok(())
    } else {
        Err(DepPathError::Version)
    }
}

/// SHA-256 in hexadecimal; or 128 bits in base 32, as pnpm 9 wrote them.
fn is_patch_hash(hash: &str) -> bool {
    match hash.len() {
        64 => hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
        26 => hash
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')),
        _ => false,
    }
}

fn check_suffix(text: &str, parts: Parts) -> Result<(), DepPathError> {
    let patch = &text[parts.suffix..parts.peers];
    if !patch.is_empty() {
        let hash = patch.strip_prefix("(patch_hash=");
        let hash = hash.and_then(|hash| hash.strip_suffix(')'));
        let hash = hash.ok_or(DepPathError::PatchHash)?;
        if !is_patch_hash(hash) {
            return Err(DepPathError::PatchHash);
        }
    }
    let mut open = 0_usize;
    let mut previous = b' ';
    for byte in text[parts.peers..].bytes() {
        match byte {
            b'(' => open += 1,
            b')' if open == 0 || previous == b'(' => return Err(DepPathError::Suffix),
            b')' => open -= 1,
            _ if open == 0 => return Err(DepPathError::Suffix),
            _ => {}
        }
        previous = byte;
    }
    if open == 0 {
        Ok(())
    } else {
        Err(DepPathError::Suffix)
    }
}

/// What becomes `+` in a directory's name.
const REPLACED: [char; 10] = ['\\', '/', ':', '*', '?', '"', '<', '>', '|', '#'];

/// pnpm's `depPathToFilename`, as of 12.21.
fn directory_name(dep_path: &DepPath, max_length: usize) -> String {
    let mut name = dep_path.as_str().replace(REPLACED, "+");
    if name.contains('(') {
        if name.ends_with(')') {
            name.pop();
        }
        name = name.replace(")(", "_").replace(['(', ')'], "_");
    }
    if is_ambiguous(dep_path.version()) {
        return shortened(&name, dep_path.as_str(), max_length);
    }
    let is_short = name.len() <= max_length || name.encode_utf16().count() <= max_length;
    // File systems that ignore case must not mix up two packages.
    let is_lower_case = name.to_lowercase() == name;
    if is_short && (is_lower_case || name.starts_with("file+")) {
        return name;
    }
    shortened(&name, &name, max_length)
}

/// Whether two addresses could get the same name once characters are replaced. In the path of a
/// `file:` only `/` may be; every other address has more than one kind of them. A version of a
/// named registry or runtime (`work:1.0.0`) has only its colon.
fn is_ambiguous(version: &str) -> bool {
    match version.split_once(':') {
        None => false,
        Some(("file", path)) => path.contains('+') || path.replace('/', "").contains(REPLACED),
        Some((_, rest)) => Version::parse(rest).is_none(),
    }
}

/// The start of `name`, and a hash that tells it from others.
fn shortened(name: &str, hashed: &str, max_length: usize) -> String {
    let prefix_length = max_length.saturating_sub(DIRECTORY_HASH_DIGITS + 1);
    let hash = hexadecimal(&Sha256::digest(hashed.as_bytes()));
    let prefix = utf16_prefix(name, prefix_length);
    format!("{prefix}_{}", &hash[..DIRECTORY_HASH_DIGITS])
}

/// The first characters of `text` that make up at most `length` UTF-16 code units.
fn utf16_prefix(text: &str, length: usize) -> &str {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > length {
            return &text[..at];
        }
    }
    text
}

impl Reference {
    /// Reads what an importer or a snapshot says of the dependency `alias`.
    ///
    /// # Errors
    /// As [`DepPath::new`]; a link with a control character.
    pub fn parse(alias: &PackageName, text: &str) -> Result<Self, DepPathError> {
        if let Some(path) = text.strip_prefix("link:") {
            if path.chars().any(char::is_control) {
                return Err(DepPathError::Control);
            }
            return Ok(Self::Link(path.into()));
        }
        if names_its_package(text) {
            return DepPath::new(text).map(Self::Package);
        }
        DepPath::new(&[alias.as_str(), "@", text].concat()).map(Self::Package)
    }

    /// What to write for the dependency `alias`.
    pub fn to_text(&self, alias: &PackageName) -> String {
        match self {
            Self::Link(path) => format!("link:{path}"),
            Self::Package(dep_path) => {
                let version = dep_path.as_str().strip_prefix(alias.as_str());
                let version = version.and_then(|rest| rest.strip_prefix('@'));
                version.unwrap_or(dep_path.as_str()).to_owned()
            }
        }
    }
}

/// Whether a reference is a whole [`DepPath`] and not only what comes after `alias@`.
fn names_its_package(reference: &str) -> bool {
    if reference.starts_with('@') {
        return true;
    }
    match reference.find('@') {
        None => false,
        Some(at_sign) => !reference[..at_sign].contains([':', '(']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_told_apart() {
        const HASH: &str = "1c5e9204307ad684ee91254c3cf47a0318bc4ebd7a51ecf70f2948f10c4e6894";
        let patched = format!("a@1.0.0(patch_hash={HASH})(b@2.0.0(c@3.0.0))(d@4.0.0)");
        for (text, name, version, patch, peers) in [
            ("a@1.0.0", "a", "1.0.0", None, ""),
            ("@s/a@1.0.0(b@2.0.0)", "@s/a", "1.0.0", None, "(b@2.0.0)"),
            (
                &patched,
                "a",
                "1.0.0",
                Some(HASH),
                "(b@2.0.0(c@3.0.0))(d@4.0.0)",
            ),
            ("a@file:my(d)", "a", "file:my", None, "(d)"),
            ("a@file:(d)/x", "a", "file:(d)/x", None, ""),
            ("a@git+https://h/x#0f", "a", "git+https://h/x#0f", None, ""),
            ("node@runtime:22.0.0", "node", "runtime:22.0.0", None, ""),
        ] {
            let dep_path = DepPath::new(text).expect(text);
            assert_eq!(dep_path.name().as_str(), name);
            assert_eq!(dep_path.version(), version);
            assert_eq!(dep_path.patch_hash(), patch);
            assert_eq!(dep_path.peers_suffix(), peers);
            assert_eq!(dep_path.package_id().as_str(), format!("{name}@{version}"));
            assert_eq!(dep_path.is_from_registry(), !version.contains(':'));
        }
    }

    #[test]
    fn directory_names_are_those_of_pnpm() {
        for (text, expected) in [
            ("is-odd@3.0.1", "is-odd@3.0.1"),
            ("@types/node@20.10.0", "@types+node@20.10.0"),
            (
                "react-dom@17.0.2(react@17.0.2)",
                "react-dom@17.0.2_react@17.0.2",
            ),
            (
                "a@1.0.0(b@2.0.0(c@3.0.0))(d@4.0.0)",
                "a@1.0.0_b@2.0.0_c@3.0.0__d@4.0.0",
            ),
            ("dd@file:d", "dd@file+d"),
            (
                "is-odd@file:is-odd-3.0.1.tgz",
                "is-odd@file+is-odd-3.0.1.tgz",
            ),
            // Made by pnpm 12.21; what could be another package has a hash of the key.
            ("pk@file:a/b.tgz", "pk@file+a+b.tgz"),
            (
                "pk@file:a+b.tgz",
                "pk@file+a+b.tgz_1df6c7b0166addf26ef91aee8c514c85",
            ),
            ("pk@file:../e7/srv/x.tgz", "pk@file+..+e7+srv+x.tgz"),
            (
                "dd@file:d+x",
                "dd@file+d+x_96a84746e177468720766950080ea430",
            ),
            (
                "dd@file:w:x",
                "dd@file+w+x_6ba19a0e3ab33c5fad0166f244baf76d",
            ),
            (
                "dd@file:q?x",
                "dd@file+q+x_b5d651f14830a368fae9f1b5f54f81a1",
            ),
            (
                "pk@file:Up.tgz",
                "pk@file+Up.tgz_a61db6904b0066c56829b696ae932fe0",
            ),
            (
                "pk@http://127.0.0.1:8977/X.tgz",
                "pk@http+++127.0.0.1+8977+X.tgz_d77f5278203704ff19f8632b31179bbb",
            ),
            (
                "hp@file:hp.tgz(pk@http://127.0.0.1:8978/x.tgz)",
                "hp@file+hp.tgz_pk@http+++127.0.0.1+8978+x.tgz",
            ),
            (
                "uu@http://127.0.0.1:8978/peer.tgz(pk@http://127.0.0.1:8978/x.tgz)",
                "uu@http+++127.0.0.1+8978+peer.tgz_pk@http+++127.0.0.1+8978+x.tgz\
                 _bfcf08f94ab4c007fafe7d41eca5b023",
            ),
        ] {
            let name = DepPath::new(text)
                .expect(text)
                .virtual_store_directory_name(120);
            assert_eq!(name.as_ref().map(EntryName::as_str), Ok(expected));
        }
    }

    #[test]
    fn long_directory_names_are_shortened() {
        let long = format!("a@1.0.0({})", "b@1.0.0)(".repeat(20).trim_end_matches(")("));
        for text in ["JSONStream@1.0.0", &long] {
            let name = DepPath::new(text)
                .expect(text)
                .virtual_store_directory_name(120);
            let name = name.expect("a directory name");
            let (_, hash) = name.as_str().rsplit_once('_').expect("a hash");
            assert_eq!(hash.len(), DIRECTORY_HASH_DIGITS, "{name}");
            assert!(name.as_str().len() <= 120, "{name}");
        }
        let ambiguous = format!("lp@file:{}+.tgz", "l".repeat(95));
        let name = DepPath::new(&ambiguous)
            .expect("a path")
            .virtual_store_directory_name(120);
        let expected = format!(
            "lp@file+{}_6771ff320fee91a94c8c053d9867e56a",
            "l".repeat(79)
        );
        assert_eq!(name.as_ref().map(EntryName::as_str), Ok(&*expected));
        // UTF-16 counts, and a directory's name in bytes has a limit of its own.
        let wide = DepPath::new(&format!("a@file:{}", "é".repeat(113))).expect("a path");
        let name = wide
            .virtual_store_directory_name(120)
            .expect("a directory name");
        assert_eq!(name.as_str().encode_utf16().count(), 120);
        assert!(wide.virtual_store_directory_name(119).expect("a name") != name);
        let wider = DepPath::new(&format!("a@file:{}", "字".repeat(113))).expect("a path");
        assert_eq!(
            wider.virtual_store_directory_name(120),
            Err(NameError::TooLong)
        );
    }
}
