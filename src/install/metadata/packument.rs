//! A packument: an index of versions, and their manifests on demand.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::error::{ManifestRefusal, MetadataError};
use super::image::{Image, Record, Validators};
use super::manifest::{TrustEvidence, VersionManifest};
use super::packuments::Form;
use crate::install::registry::Url;
use crate::install::semver::Version;
use crate::name::PackageName;

/// A version of a [`Packument`]: its place in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionIndex(u32);

/// What a packument is of.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) name: PackageName,
    pub(super) registry: Url,
    pub(super) form: Form,
}

/// All that a registry says about a package.
#[derive(Debug)]
pub struct Packument {
    origin: Origin,
    image: Image,
    /// Where manifests are that were not read with the index.
    path: PathBuf,
    /// When the registry last said that this is true.
    confirmed: Option<Timestamp>,
    manifests: Mutex<HashMap<VersionIndex, Arc<VersionManifest>>>,
}

impl Packument {
    /// `path`: the cache's file, for manifests that are not in `image`.
    pub(super) fn new(
        origin: Origin,
        image: Image,
        path: PathBuf,
        confirmed: Option<Timestamp>,
    ) -> Self {
        Self {
            origin,
            image,
            path,
            confirmed,
            manifests: Mutex::default(),
        }
    }

    /// The package.
    pub fn name(&self) -> &PackageName {
        &self.origin.name
    }

    /// The registry that gave it.
    pub fn registry(&self) -> &Url {
        &self.origin.registry
    }

    /// In which form it was asked for.
    pub fn form(&self) -> Form {
        self.origin.form
    }

    pub(super) fn validators(&self) -> Validators {
        self.image.validators()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When the registry last said that this is true; `None`: now, in this run.
    pub(super) fn confirmed(&self) -> Option<Timestamp> {
        self.confirmed
    }

    /// Whether there are no versions.
    pub fn is_empty(&self) -> bool {
        self.image.version_count() == 0
    }

    /// How many versions there are.
    pub fn len(&self) -> usize {
        self.image.version_count() as usize
    }

    /// Whether all versions were taken back.
    pub fn is_unpublished(&self) -> bool {
        self.image.is_unpublished()
    }

    /// All versions: the lowest first, those that are no versions for npm last.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (VersionIndex, &str)> {
        let indexes = (0..self.image.version_count()).map(VersionIndex);
        indexes.map(|index| (index, self.version(index)))
    }

    /// Those that are versions for npm, the lowest first.
    pub fn ordered(&self) -> impl DoubleEndedIterator<Item = VersionIndex> {
        (0..self.ordered_count()).map(VersionIndex)
    }

    fn ordered_count(&self) -> u32 {
        let count = self.image.version_count();
        let is_version = |index: u32| {
            self.image
                .record(index)
                .is_some_and(|record| record.is_version())
        };
        // Nearly always it is all of them.
        if count == 0 || is_version(count - 1) {
            return count;
        }
        (0..count).find(|index| !is_version(*index)).unwrap_or(0)
    }

    /// The version `text`, exactly as the registry writes it.
    pub fn find(&self, text: &str) -> Option<VersionIndex> {
        let count = self.ordered_count();
        let Some(wanted) = Version::parse_loose(text) else {
            let others = (count..self.image.version_count()).map(VersionIndex);
            return others
                .into_iter()
                .find(|index| self.version(*index) == text);
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            match Version::parse_loose(self.version(VersionIndex(middle))) {
                Some(version) if version < wanted => low = middle + 1,
                _ => high = middle,
            }
        }
        // Versions that differ in build metadata alone are neighbours.
        (low..count)
            .map(VersionIndex)
            .take_while(|index| {
                Version::parse_loose(self.version(*index)).as_ref() == Some(&wanted)
            })
            .find(|index| self.version(*index) == text)
    }

    fn record(&self, index: VersionIndex) -> Option<Record> {
        self.image.record(index.0)
    }

    /// Its text.
    pub fn version(&self, index: VersionIndex) -> &str {
        self.record(index)
            .map(|record| self.image.version(&record))
            .unwrap_or_default()
    }

    /// The tags and the versions that they name; there may be no such version.
    pub fn dist_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.image.tags()
    }

    /// What the tag `tag` names.
    pub fn dist_tag(&self, tag: &str) -> Option<&str> {
        self.dist_tags()
            .find(|(name, _)| *name == tag)
            .map(|(_, version)| version)
    }

    /// Whether the version is deprecated.
    pub fn is_deprecated(&self, index: VersionIndex) -> bool {
        self.record(index)
            .is_some_and(|record| record.is_deprecated())
    }

    /// What is known of the version's origin; only full packuments tell.
    pub fn trust(&self, index: VersionIndex) -> TrustEvidence {
        self.record(index)
            .map(|record| record.trust())
            .unwrap_or_default()
    }

    /// Whether the registry says of every version when it was published.
    pub fn has_times(&self) -> bool {
        self.image.has_times()
    }

    /// When the version was published, where the registry says.
    pub fn time(&self, index: VersionIndex) -> Option<Timestamp> {
        let time = self.record(index)?.time()?;
        Timestamp::from_millisecond(time.milliseconds).ok()
    }

    /// The same in the registry's words.
    pub fn time_text(&self, index: VersionIndex) -> Option<String> {
        let form = self.record(index)?.time()?.form;
        Some(form.text(self.time(index)?))
    }

    /// When the packument was last changed, where the registry says.
    pub fn modified(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.image.modified_ms()?).ok()
    }

    /// The manifest of a version, parsed once.
    ///
    /// # Errors
    /// It is not what a manifest must be ([`ManifestRefusal`]), or the cache's file was changed
    /// meanwhile (which [`super::Packuments::manifest`] knows to mend).
    pub fn manifest(&self, index: VersionIndex) -> Result<Arc<VersionManifest>, MetadataError> {
        let known = |manifests: &HashMap<_, Arc<_>>| manifests.get(&index).cloned();
        let manifests = || {
            self.manifests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(manifest) = known(&manifests()) {
            return Ok(manifest);
        }
        let json = self.json(index)?;
        let version = self.version(index);
        let manifest = VersionManifest::of_registry(&json, self.name(), version, self.registry())
            .map_err(|source| self.refused(version, source))?;
        let manifest = Arc::new(manifest);
        Ok(Arc::clone(manifests().entry(index).or_insert(manifest)))
    }

    fn refused(&self, version: &str, source: ManifestRefusal) -> MetadataError {
        MetadataError::Manifest {
            package: self.name().as_str().to_owned(),
            version: version.to_owned(),
            source: Arc::new(source),
        }
    }

    /// What is kept of a version's manifest, as JSON.
    ///
    /// # Errors
    /// The cache's file was changed meanwhile.
    pub fn json(&self, index: VersionIndex) -> Result<Vec<u8>, MetadataError> {
        let damaged = || MetadataError::Damaged {
            path: self.path.clone(),
        };
        let record = self.record(index).ok_or_else(damaged)?;
        let json = match self.image.manifest(&record) {
            Some(json) => json.to_vec(),
            None => self.read_manifest(&record).ok_or_else(damaged)?,
        };
        if crc32fast::hash(&json) != record.checksum {
            return Err(damaged());
        }
        Ok(json)
    }

    fn read_manifest(&self, record: &Record) -> Option<Vec<u8>> {
        let range = self.image.manifest_range(record);
        let length = usize::try_from(range.end - range.start).ok()?;
        let file = File::open(&self.path).ok()?;
        // The length comes from an index with a checksum, but memory is not for it to demand.
        if file.metadata().ok()?.len() < range.end {
            return None;
        }
        let mut json = vec![0; length];
        file.read_exact_at(&mut json, range.start).ok()?;
        Some(json)
    }
}
