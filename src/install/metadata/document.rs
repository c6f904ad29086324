//! Reading what a registry sends: JSON of a packument, in either form, into a [`Draft`].
//!
//! One pass over the text. Of each version, what an installer reads is copied as it stands and
//! everything else is passed over; what was copied is parsed when somebody asks for it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::manifest::TrustEvidence;
use super::time::{Time, parse_time};
use crate::limits::PACKUMENT_VERSIONS_MAX;

/// What a version's entry keeps.
const KEPT_FIELDS: [&str; 19] = [
    "name",
    "version",
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundledDependencies",
    "bundleDependencies",
    "bin",
    "directories",
    "engines",
    "os",
    "cpu",
    "libc",
    "deprecated",
    "homepage",
    "hasInstallScript",
    "types",
    "typings",
];

/// Says in the place of a whole `exports` that it leads to types.
const EXPORTS_TYPES: &str = r#"{"types":true}"#;

/// What `dist` keeps.
const KEPT_OF_DIST: [&str; 3] = ["integrity", "shasum", "tarball"];

/// A packument as it was sent, not yet in order.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) versions: Vec<DraftVersion<'a>>,
    /// Times by version, where there is `time`.
    pub(super) times: Option<Vec<(Cow<'a, str>, Option<Time>)>>,
    /// `modified`, or `time.modified`.
    pub(super) modified_ms: Option<i64>,
    /// Whether `time.unpublished` lists versions.
    pub(super) is_unpublished: bool,
    /// What is kept of all manifests, one after another.
    pub(super) fragments: Vec<u8>,
}

impl Draft<'_> {
    /// What is kept of the manifest of `version`.
    pub(super) fn fragment(&self, version: &DraftVersion<'_>) -> &[u8] {
        self.fragments
            .get(version.fragment.clone())
            .unwrap_or_default()
    }
}

/// One version of a [`Draft`].
#[derive(Debug)]
pub(super) struct DraftVersion<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where its manifest is in [`Draft::fragments`].
    pub(super) fragment: std::ops::Range<usize>,
    pub(super) is_deprecated: bool,
    pub(super) trust: TrustEvidence,
}

/// Reads `text`.
///
/// # Errors
/// It is not JSON, has no such shape, or says the same thing twice.
pub(super) fn read(text: &str) -> Result<Draft<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let draft = Document.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(draft)
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A visitor that is its own seed, for objects.
macro_rules! object_seed {
    ($type:ty, $value:ty, $what:literal, |$self:ident, $map:ident| $body:block) => {
        impl<'de> DeserializeSeed<'de> for $type {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<$value, D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $type {
            type Value = $value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str($what)
            }

            fn visit_map<A: MapAccess<'de>>($self, mut $map: A) -> Result<$value, A::Error> $body
        }
    };
}

struct Document;

object_seed!(Document, Draft<'de>, "a packument", |self, map| {
    let mut draft = Draft::default();
    let mut seen = Seen::default();
    while let Some(Key(key)) = map.next_key()? {
        match key.as_ref() {
            "name" => {
                seen.once::<A::Error>("name")?;
                draft.name = Some(map.next_value::<Key<'de>>()?.0);
            }
            "dist-tags" => {
                seen.once::<A::Error>("dist-tags")?;
                draft.tags = map.next_value_seed(Tags)?;
            }
            "versions" => {
                seen.once::<A::Error>("versions")?;
                map.next_value_seed(Versions { draft: &mut draft })?;
            }
            "time" => {
                seen.once::<A::Error>("time")?;
                map.next_value_seed(Times { draft: &mut draft })?;
            }
            "modified" => {
                seen.once::<A::Error>("modified")?;
                let value: &'de RawValue = map.next_value()?;
                let own = string_of(value).and_then(|text| parse_time(&text));
                draft.modified_ms = own.or(draft.modified_ms);
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(draft)
});

/// Which fields were there already. Programs disagree on which of two equal keys counts, and what
/// is read here is what gets installed.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    fn once<E: Error>(&mut self, field: &'static str) -> Result<(), E> {
        if self.0.contains(&field) {
            return Err(E::duplicate_field(field));
        }
        self.0.push(field);
        Ok(())
    }
}

struct Tags;

object_seed!(
    Tags,
    Vec<(Cow<'de, str>, Cow<'de, str>)>,
    "an object of tags",
    |self, map| {
        let mut tags = Vec::new();
        while let Some(Key(tag)) = map.next_key()? {
            tags.push((tag, map.next_value::<Key<'de>>()?.0));
        }
        Ok(tags)
    }
);

struct Versions<'draft, 'a> {
    draft: &'draft mut Draft<'a>,
}

object_seed!(
    Versions<'_, 'de>,
    (),
    "an object of versions",
    |self, map| {
        while let Some(Key(text)) = map.next_key()? {
            if self.draft.versions.len() == PACKUMENT_VERSIONS_MAX {
                return Err(A::Error::custom("there are too many versions"));
            }
            let start = self.draft.fragments.len();
            let facts = map.next_value_seed(Version {
                fragments: &mut self.draft.fragments,
            })?;
            self.draft.versions.push(DraftVersion {
                text,
                fragment: start..self.draft.fragments.len(),
                is_deprecated: facts.is_deprecated,
                trust: facts.trust(),
            });
        }
        Ok(())
    }
);

#[derive(Default)]
struct Facts {
    is_deprecated: bool,
    has_provenance: bool,
    has_trusted_publisher: bool,
    has_approver: bool,
}

impl Facts {
    fn trust(&self) -> TrustEvidence {
        match (
            self.has_approver,
            self.has_trusted_publisher,
            self.has_provenance,
        ) {
            (true, ..) => TrustEvidence::StagedPublish,
            (_, true, true) => TrustEvidence::TrustedPublisher,
            (_, _, true) => TrustEvidence::Provenance,
            _ => TrustEvidence::None,
        }
    }
}

struct Version<'draft> {
    fragments: &'draft mut Vec<u8>,
}

impl Version<'_> {
    fn keep(&mut self, is_first: bool, key: &str, value: &str) {
        self.fragments.push(if is_first { b'{' } else { b',' });
        self.fragments.push(b'"');
        self.fragments.extend_from_slice(key.as_bytes());
        self.fragments.extend_from_slice(b"\":");
        self.fragments.extend_from_slice(value.as_bytes());
    }
}

/// Whether `exports` has types for the main entry.
fn leads_to_types(exports: &str) -> bool {
    fn below(exports: &Value) -> bool {
        match exports {
            Value::Object(conditions) => conditions.iter().any(|(condition, target)| {
                condition == "types" || (!condition.starts_with('.') && below(target))
            }),
            Value::Array(targets) => targets.iter().any(below),
            _ => false,
        }
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let exports = exports.contains("types").then(|| read(exports)).flatten();
    exports.is_some_and(|exports| below(exports.get(".").unwrap_or(&exports)))
}

object_seed!(Version<'_>, Facts, "a manifest", |self, map| {
    let mut kept = self;
    let mut facts = Facts::default();
    let mut is_first = true;
    while let Some(Key(key)) = map.next_key()? {
        match key.as_ref() {
            "dist" => {
                kept.keep(is_first, "dist", "");
                is_first = false;
                map.next_value_seed(Dist {
                    fragments: kept.fragments,
                    facts: &mut facts,
                })?;
            }
            "exports" => {
                let value: &'de RawValue = map.next_value()?;
                if leads_to_types(value.get()) {
                    kept.keep(is_first, "exports", EXPORTS_TYPES);
                    is_first = false;
                }
            }
            "_npmUser" => {
                let value: &'de RawValue = map.next_value()?;
                if let Ok(user) = serde_json::from_str::<NpmUser>(value.get()) {
                    facts.has_approver |= user.approver.is_some();
                    facts.has_trusted_publisher |= user.trusted_publisher.is_some();
                }
            }
            _ => match KEPT_FIELDS.iter().find(|field| **field == key) {
                Some(field) => {
                    let value: &'de RawValue = map.next_value()?;
                    if *field == "deprecated" {
                        facts.is_deprecated = is_deprecation(value.get());
                    }
                    kept.keep(is_first, field, value.get());
                    is_first = false;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            },
        }
    }
    kept.fragments
        .extend_from_slice(if is_first { b"{}" } else { b"}" });
    Ok(facts)
});

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NpmUser {
    approver: Option<IgnoredAny>,
    trusted_publisher: Option<IgnoredAny>,
}

/// A text, even an empty one, or `true`.
fn is_deprecation(value: &str) -> bool {
    value.starts_with('"') || value == "true"
}

struct Dist<'draft> {
    fragments: &'draft mut Vec<u8>,
    facts: &'draft mut Facts,
}

impl<'de> DeserializeSeed<'de> for Dist<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Dist<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    /// One version without an archive is no reason to refuse the others.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.fragments.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut version = Version {
            fragments: self.fragments,
        };
        let mut is_first = true;
        while let Some(Key(key)) = map.next_key()? {
            if key == "attestations" {
                let value: &'de RawValue = map.next_value()?;
                let attestations = serde_json::from_str::<Attestations>(value.get());
                self.facts.has_provenance |= attestations.is_ok_and(|one| one.provenance.is_some());
            } else if let Some(kept) = KEPT_OF_DIST.iter().find(|kept| **kept == key) {
                let value: &'de RawValue = map.next_value()?;
                version.keep(is_first, kept, value.get());
                is_first = false;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let end: &[u8] = if is_first { b"{}" } else { b"}" };
        version.fragments.extend_from_slice(end);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Attestations {
    provenance: Option<IgnoredAny>,
}

struct Times<'draft, 'a> {
    draft: &'draft mut Draft<'a>,
}

object_seed!(Times<'_, 'de>, (), "an object of times", |self, map| {
    let mut times = Vec::new();
    while let Some(Key(key)) = map.next_key()? {
        let value: &'de RawValue = map.next_value()?;
        match key.as_ref() {
            "created" => {}
            "modified" => {
                let own = string_of(value).and_then(|text| parse_time(&text));
                self.draft.modified_ms = self.draft.modified_ms.or(own);
            }
            "unpublished" => {
                #[derive(Deserialize)]
                struct Unpublished {
                    versions: Vec<IgnoredAny>,
                }
                let unpublished = serde_json::from_str::<Unpublished>(value.get());
                self.draft.is_unpublished = unpublished.is_ok_and(|one| !one.versions.is_empty());
            }
            _ => {
                let time = string_of(value).and_then(|text| Time::parse(&text));
                times.push((key, time));
            }
        }
    }
    self.draft.times = Some(times);
    Ok(())
});

fn string_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let plain = text.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        return serde_json::from_str::<String>(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(plain))
}
