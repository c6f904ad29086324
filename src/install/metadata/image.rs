//! The form in which a packument is kept, in memory and in the cache's files.
//!
//! ```text
//! ┌──────────┬─────────┬────────┬──────────────┬──────────┬───────┬───────────────────────┐
//! │ magic  8 │ index 4 │ crc  4 │ header       │ versions │ tags  │ texts │ manifests …   │
//! └──────────┴─────────┴────────┴──────────────┴──────────┴───────┴───────┴───────────────┘
//!              bytes up to        48             32 each    8 each
//!              the manifests
//! ```
//!
//! Numbers are little-endian. The checksum (CRC-32) covers the index from the header to the end of
//! the texts; each version's record has that of its manifest. Versions are in the order of
//! precedence, those that are none for npm last; manifests are the newest first, so that the
//! first read of a file mostly has the one that is wanted.
//!
//! **Architecture Invariant:** no byte of an image is believed before its checksum was compared,
//! and no offset of it reaches beyond what was read: a damaged image is no image.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::document::{Draft, DraftVersion};
use super::manifest::TrustEvidence;
use super::time::{Time, TimeForm};
use crate::install::semver::Version;

const MAGIC: &[u8; 8] = b"pqmeta\x003";
const PREFIX_BYTES: usize = 16;
const HEADER_BYTES: usize = 48;
const VERSION_BYTES: usize = 32;
const TAG_BYTES: usize = 8;
/// In place of a time that is not known.
const NO_TIME: i64 = i64::MIN;

const HAS_TIMES: u32 = 1;
const IS_UNPUBLISHED: u32 = 2;

const IS_VERSION: u16 = 1;
const IS_DEPRECATED: u16 = 2;
const TRUST_SHIFT: u16 = 2;
const FORM_SHIFT: u16 = 4;

/// What a registry's answer says beside the packument, for asking again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Validators {
    /// `ETag`.
    pub(super) etag: Option<Box<str>>,
    /// `Last-Modified`.
    pub(super) last_modified: Option<Box<str>>,
}

/// Why a packument is none: a sentence's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) &'static str);

const TOO_LARGE: Refusal = Refusal("it is too large");

/// The index of a packument, and as many of its manifests as were read with it.
#[derive(Debug)]
pub(super) struct Image {
    bytes: Vec<u8>,
    index_bytes: usize,
    header: Header,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    manifests_bytes: u32,
    versions: u32,
    tags: u32,
    flags: u32,
    modified_ms: i64,
    name: Span,
    etag: Span,
    last_modified: Span,
}

/// Place of a text, from the beginning of the texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    offset: u32,
    length: u32,
}

/// The record of a version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    text: Span,
    flags: u16,
    /// Place of the manifest, from the beginning of the manifests.
    pub(super) manifest: (u32, u32),
    /// CRC-32 of the manifest.
    pub(super) checksum: u32,
    time_ms: i64,
}

impl Record {
    pub(super) fn is_version(&self) -> bool {
        self.flags & IS_VERSION != 0
    }

    pub(super) fn is_deprecated(&self) -> bool {
        self.flags & IS_DEPRECATED != 0
    }

    pub(super) fn trust(&self) -> TrustEvidence {
        match (self.flags >> TRUST_SHIFT) & 3 {
            1 => TrustEvidence::Provenance,
            2 => TrustEvidence::TrustedPublisher,
            3 => TrustEvidence::StagedPublish,
            _ => TrustEvidence::None,
        }
    }

    pub(super) fn time(&self) -> Option<Time> {
        (self.time_ms != NO_TIME).then_some(Time {
            milliseconds: self.time_ms,
            form: TimeForm::of_bits(self.flags >> FORM_SHIFT),
        })
    }
}

/// Reads numbers one after another.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn span(&mut self) -> Option<Span> {
        Some(Span {
            offset: self.u32()?,
            length: self.u32()?,
        })
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self {
            manifests_bytes: reader.u32()?,
            versions: reader.u32()?,
            tags: reader.u32()?,
            flags: reader.u32()?,
            modified_ms: reader.i64()?,
            name: reader.span()?,
            etag: reader.span()?,
            last_modified: reader.span()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.manifests_bytes, self.versions, self.tags, self.flags] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.modified_ms.to_le_bytes());
        for span in [self.name, self.etag, self.last_modified] {
            out.extend(span.offset.to_le_bytes());
            out.extend(span.length.to_le_bytes());
        }
    }

    fn tags_at(&self) -> usize {
        PREFIX_BYTES + HEADER_BYTES + self.versions as usize * VERSION_BYTES
    }

    fn texts_at(&self) -> usize {
        self.tags_at() + self.tags as usize * TAG_BYTES
    }
}

/// How many bytes the index of a file has, by its first [`PREFIX_BYTES`]; `None`: it is no image.
pub(super) fn index_bytes(prefix: &[u8]) -> Option<usize> {
    let rest = prefix.strip_prefix(MAGIC)?;
    let length = Reader(rest).u32()? as usize;
    (length >= PREFIX_BYTES + HEADER_BYTES).then_some(length)
}

impl Image {
    /// Checks `bytes`, the beginning of an image; `total` is how many the whole has.
    pub(super) fn open(bytes: Vec<u8>, total: u64) -> Option<Self> {
        let index_bytes = index_bytes(&bytes)?;
        let index = bytes.get(PREFIX_BYTES..index_bytes)?;
        let checksum = Reader(bytes.get(12..PREFIX_BYTES)?).u32()?;
        let header = Header::read(index)?;
        let is_whole = header.texts_at() <= index_bytes
            && index_bytes as u64 + u64::from(header.manifests_bytes) == total;
        (is_whole && crc32fast::hash(index) == checksum).then_some(Self {
            bytes,
            index_bytes,
            header,
        })
    }

    /// All bytes that were read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives up the manifests that were read with the index.
    pub(super) fn forget_manifests(&mut self) {
        self.bytes.truncate(self.index_bytes);
        self.bytes.shrink_to_fit();
    }

    fn text(&self, span: Span) -> &str {
        let start = self.header.texts_at() + span.offset as usize;
        let bytes = self.bytes.get(start..start + span.length as usize);
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.text(self.header.name)
    }

    pub(super) fn validators(&self) -> Validators {
        let optional = |span| Some(self.text(span)).filter(|text| !text.is_empty());
        Validators {
            etag: optional(self.header.etag).map(Into::into),
            last_modified: optional(self.header.last_modified).map(Into::into),
        }
    }

    pub(super) fn modified_ms(&self) -> Option<i64> {
        Some(self.header.modified_ms).filter(|time| *time != NO_TIME)
    }

    /// Whether every version has a time.
    pub(super) fn has_times(&self) -> bool {
        self.header.flags & HAS_TIMES != 0
    }

    pub(super) fn is_unpublished(&self) -> bool {
        self.header.flags & IS_UNPUBLISHED != 0
    }

    pub(super) fn version_count(&self) -> u32 {
        self.header.versions
    }

    /// The record at `index`; there are [`Image::version_count`].
    pub(super) fn record(&self, index: u32) -> Option<Record> {
        if index >= self.header.versions {
            return None;
        }
        let at = PREFIX_BYTES + HEADER_BYTES + index as usize * VERSION_BYTES;
        let mut reader = Reader(self.bytes.get(at..at + VERSION_BYTES)?);
        let time_ms = reader.i64()?;
        Some(Record {
            time_ms,
            text: reader.span()?,
            manifest: (reader.u32()?, reader.u32()?),
            checksum: reader.u32()?,
            flags: reader.u16()?,
        })
    }

    pub(super) fn version(&self, record: &Record) -> &str {
        self.text(record.text)
    }

    /// Tag and version.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let start = self.header.tags_at();
        let records = self.bytes.get(start..self.header.texts_at());
        let records = records.unwrap_or_default().chunks_exact(TAG_BYTES);
        records.filter_map(|record| {
            let mut reader = Reader(record);
            let offset = reader.u32()?;
            let (name, target) = (u32::from(reader.u16()?), u32::from(reader.u16()?));
            let span = |offset, length| Span { offset, length };
            Some((
                self.text(span(offset, name)),
                self.text(span(offset.checked_add(name)?, target)),
            ))
        })
    }

    /// Where the manifest of `record` is in the whole.
    pub(super) fn manifest_range(&self, record: &Record) -> Range<u64> {
        let start = self.index_bytes as u64 + u64::from(record.manifest.0);
        start..start + u64::from(record.manifest.1)
    }

    /// The manifest of `record`, where it was read with the index.
    pub(super) fn manifest(&self, record: &Record) -> Option<&[u8]> {
        let range = self.manifest_range(record);
        let start = usize::try_from(range.start).ok()?;
        self.bytes.get(start..usize::try_from(range.end).ok()?)
    }

    /// The image of `draft`, whole.
    ///
    /// # Errors
    /// It has more than 4 GiB, or a tag of more than 64 KiB; a version, time or tag is there twice.
    pub(super) fn build(draft: &Draft<'_>, validators: &Validators) -> Result<Self, Refusal> {
        let mut texts = Texts::default();
        let order = precedence(&draft.versions)?;
        let times = times(draft)?;
        let mut records = Vec::with_capacity(order.len());
        for (position, is_version) in &order {
            let version = draft.versions.get(*position).ok_or(TOO_LARGE)?;
            let time = times.as_ref().and_then(|times| *times.get(*position)?);
            records.push((version, *is_version, texts.add(&version.text)?, time));
        }
        let mut tags = Vec::with_capacity(draft.tags.len() * TAG_BYTES);
        let names: HashSet<&str> = draft.tags.iter().map(|(tag, _)| tag.as_ref()).collect();
        if names.len() != draft.tags.len() {
            return Err(Refusal("a tag is there twice"));
        }
        for (tag, target) in &draft.tags {
            let span = texts.add(tag)?;
            let target = texts.add(target)?;
            let length = |span: Span| u16::try_from(span.length).map_err(|_| TOO_LARGE);
            tags.extend(span.offset.to_le_bytes());
            tags.extend(length(span)?.to_le_bytes());
            tags.extend(length(target)?.to_le_bytes());
        }
        let has_times = times
            .as_ref()
            .is_some_and(|times| times.iter().all(Option::is_some));
        let mut flags = if has_times { HAS_TIMES } else { 0 };
        if draft.is_unpublished {
            flags |= IS_UNPUBLISHED;
        }
        let header = Header {
            manifests_bytes: small(draft.fragments.len())?,
            versions: small(draft.versions.len())?,
            tags: small(draft.tags.len())?,
            flags,
            modified_ms: draft.modified_ms.unwrap_or(NO_TIME),
            name: texts.add(draft.name.as_deref().unwrap_or_default())?,
            etag: texts.add(validators.etag.as_deref().unwrap_or_default())?,
            last_modified: texts.add(validators.last_modified.as_deref().unwrap_or_default())?,
        };
        let index_bytes = header.texts_at() + texts.0.len();
        let mut bytes = Vec::with_capacity(index_bytes + draft.fragments.len());
        bytes.extend(MAGIC);
        bytes.extend(small(index_bytes)?.to_le_bytes());
        bytes.extend([0; 4]);
        header.write(&mut bytes);
        let mut end = header.manifests_bytes;
        for (version, is_version, text, time) in &records {
            // The last of the order comes first.
            end -= small(version.fragment.len())?;
            write_record(&mut bytes, draft, version, *is_version, (*text, *time, end))?;
        }
        bytes.extend(&tags);
        bytes.extend(&texts.0);
        let checksum = crc32fast::hash(bytes.get(PREFIX_BYTES..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(12..PREFIX_BYTES) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        for (version, ..) in records.iter().rev() {
            bytes.extend(draft.fragment(version));
        }
        Ok(Self {
            bytes,
            index_bytes,
            header,
        })
    }
}

fn write_record(
    out: &mut Vec<u8>,
    draft: &Draft<'_>,
    version: &DraftVersion<'_>,
    is_version: bool,
    (text, time, manifest_at): (Span, Option<Time>, u32),
) -> Result<(), Refusal> {
    let mut flags = (version.trust as u16) << TRUST_SHIFT;
    if is_version {
        flags |= IS_VERSION;
    }
    if version.is_deprecated {
        flags |= IS_DEPRECATED;
    }
    flags |= time.map_or(0, |time| time.form.bits()) << FORM_SHIFT;
    let fragment = draft.fragment(version);
    let milliseconds = time.map_or(NO_TIME, |time| time.milliseconds);
    out.extend(milliseconds.to_le_bytes());
    let numbers = [
        text.offset,
        text.length,
        manifest_at,
        small(fragment.len())?,
        crc32fast::hash(fragment),
    ];
    for number in numbers {
        out.extend(number.to_le_bytes());
    }
    out.extend(flags.to_le_bytes());
    out.extend([0; 2]);
    Ok(())
}

/// Positions of `versions` in the order of precedence, and whether each is a version for npm.
fn precedence(versions: &[DraftVersion<'_>]) -> Result<Vec<(usize, bool)>, Refusal> {
    let mut order: Vec<(Option<Version>, &str, usize)> = versions
        .iter()
        .enumerate()
        .map(|(position, version)| {
            (
                Version::parse_loose(&version.text),
                &*version.text,
                position,
            )
        })
        .collect();
    order.sort_by(|(left, left_text, _), (right, right_text, _)| {
        let order = match (left, right) {
            (Some(left), Some(right)) => left.cmp(right),
            (left, right) => right.is_some().cmp(&left.is_some()),
        };
        order.then_with(|| left_text.cmp(right_text))
    });
    if order.windows(2).any(|pair| pair[0].1 == pair[1].1) {
        return Err(Refusal("a version is there twice"));
    }
    let order = order.into_iter();
    Ok(order
        .map(|(version, _, position)| (position, version.is_some()))
        .collect())
}

/// The times of the versions, in their order.
fn times(draft: &Draft<'_>) -> Result<Option<Vec<Option<Time>>>, Refusal> {
    let Some(times) = &draft.times else {
        return Ok(None);
    };
    let by_text: HashMap<&str, Option<Time>> = times
        .iter()
        .map(|(text, time)| (text.as_ref(), *time))
        .collect();
    if by_text.len() != times.len() {
        return Err(Refusal("a time is there twice"));
    }
    let versions = draft.versions.iter();
    Ok(Some(
        versions
            .map(|version| by_text.get(version.text.as_ref()).copied().flatten())
            .collect(),
    ))
}

fn small(number: usize) -> Result<u32, Refusal> {
    u32::try_from(number).map_err(|_| TOO_LARGE)
}

#[derive(Default)]
struct Texts(Vec<u8>);

impl Texts {
    fn add(&mut self, text: &str) -> Result<Span, Refusal> {
        let span = Span {
            offset: small(self.0.len())?,
            length: small(text.len())?,
        };
        self.0.extend_from_slice(text.as_bytes());
        Ok(span)
    }
}
