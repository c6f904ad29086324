//! A packument: an index of versions, and their manifests on demand.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::MetadataError;
use super::manifest::VersionManifest;
use super::packuments::Form;
use crate::name::PackageName;

/// A version of a [`Packument`]: its place in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionIndex(u32);

/// All that a registry says about a package.
#[derive(Debug)]
pub struct Packument {
    name: PackageName,
    form: Form,
}

impl Packument {
    /// The package.
    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// In which form the registry gave it.
    pub fn form(&self) -> Form {
        self.form
    }

    /// All versions: the lowest first, those that are no versions for npm last.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (VersionIndex, &str)> {
        std::iter::empty()
    }

    /// The version `text`, exactly as the registry writes it.
    pub fn find(&self, text: &str) -> Option<VersionIndex> {
        self.versions()
            .find(|(_, version)| *version == text)
            .map(|(index, _)| index)
    }

    /// Its text.
    pub fn version(&self, index: VersionIndex) -> &str {
        let _ = index;
        ""
    }

    /// The tags and the versions that they name; there may be no such version.
    pub fn dist_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }

    /// What the tag `tag` names.
    pub fn dist_tag(&self, tag: &str) -> Option<&str> {
        self.dist_tags()
            .find(|(name, _)| *name == tag)
            .map(|(_, version)| version)
    }

    /// Whether the version is deprecated.
    pub fn is_deprecated(&self, index: VersionIndex) -> bool {
        let _ = index;
        false
    }

    /// When the version was published, where the registry says.
    pub fn time(&self, index: VersionIndex) -> Option<Timestamp> {
        let _ = index;
        None
    }

    /// When the packument was last changed, where the registry says.
    pub fn modified(&self) -> Option<Timestamp> {
        None
    }

    /// The manifest of a version, parsed once.
    ///
    /// # Errors
    /// It is not what a manifest must be, or the cache's file was changed meanwhile (which
    /// [`super::Packuments::manifest`] knows to mend).
    pub fn manifest(&self, index: VersionIndex) -> Result<Arc<VersionManifest>, MetadataError> {
        let _ = index;
        todo!()
    }
}
