//! A manifest as JSON, with the leniency that old packages need: what has another shape than it
//! should counts as absent where pnpm takes it so. Two equal keys are refused, for programs
//! disagree on which of them counts.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::manifest::Bundled;

/// The fields of a manifest that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    pub(super) name: Option<Box<str>>,
    pub(super) version: Option<Box<str>>,
    #[serde(default)]
    pub(super) dependencies: TextMap,
    #[serde(default)]
    pub(super) optional_dependencies: TextMap,
    #[serde(default)]
    pub(super) peer_dependencies: TextMap,
    #[serde(default)]
    pub(super) peer_dependencies_meta: Meta,
    #[serde(default)]
    pub(super) dependencies_meta: Meta,
    #[serde(default)]
    pub(super) bundled_dependencies: WireBundled,
    #[serde(default)]
    pub(super) bundle_dependencies: WireBundled,
    #[serde(default)]
    pub(super) bin: HasBin,
    #[serde(default)]
    pub(super) directories: HasBinDirectory,
    #[serde(default)]
    pub(super) engines: TextMap,
    #[serde(default)]
    pub(super) os: Texts,
    #[serde(default)]
    pub(super) cpu: Texts,
    #[serde(default)]
    pub(super) libc: Texts,
    #[serde(default)]
    pub(super) deprecated: Deprecation,
    #[serde(default)]
    pub(super) has_install_script: Flag,
    pub(super) dist: Option<WireDistribution>,
}

/// `dist`.
#[derive(Deserialize)]
pub(super) struct WireDistribution {
    #[serde(default)]
    pub(super) integrity: MaybeText,
    #[serde(default)]
    pub(super) shasum: MaybeText,
    #[serde(default)]
    pub(super) tarball: MaybeText,
}

/// Implements `Deserialize` with a visitor that takes anything: what the given methods do not take
/// becomes the default.
macro_rules! lenient {
    ($type:ty, { $($method:tt)* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Lenient;
                impl<'de> Visitor<'de> for Lenient {
                    type Value = $type;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str("anything")
                    }

                    fn visit_unit<E: Error>(self) -> Result<$type, E> {
                        Ok(Default::default())
                    }

                    fn visit_i64<E: Error>(self, _: i64) -> Result<$type, E> {
                        Ok(Default::default())
                    }

                    fn visit_u64<E: Error>(self, _: u64) -> Result<$type, E> {
                        Ok(Default::default())
                    }

                    fn visit_f64<E: Error>(self, _: f64) -> Result<$type, E> {
                        Ok(Default::default())
                    }

                    $($method)*
                }
                deserializer.deserialize_any(Lenient)
            }
        }
    };
    (@no_bool $type:ty) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<$type, E> {
            Ok(Default::default())
        }
    };
    (@no_text $type:ty) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<$type, E> {
            Ok(Default::default())
        }
    };
    (@no_list $type:ty) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<$type, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@no_map $type:ty) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

/// A text.
#[derive(Default)]
pub(super) struct MaybeText(pub(super) Option<Box<str>>);

lenient!(MaybeText, {
    lenient!(@no_bool MaybeText);
    lenient!(@no_list MaybeText);
    lenient!(@no_map MaybeText);

    fn visit_str<E: Error>(self, text: &str) -> Result<MaybeText, E> {
        Ok(MaybeText(Some(text.into())))
    }
});

/// `true`.
#[derive(Default)]
pub(super) struct Flag(pub(super) bool);

lenient!(Flag, {
    lenient!(@no_text Flag);
    lenient!(@no_list Flag);
    lenient!(@no_map Flag);

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
        Ok(Flag(flag))
    }
});

/// A text, or `true` without a reason.
#[derive(Default)]
pub(super) struct Deprecation(pub(super) Option<Box<str>>);

lenient!(Deprecation, {
    lenient!(@no_list Deprecation);
    lenient!(@no_map Deprecation);

    fn visit_bool<E: Error>(self, is_deprecated: bool) -> Result<Deprecation, E> {
        Ok(Deprecation(is_deprecated.then(|| "".into())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Deprecation, E> {
        Ok(Deprecation(Some(text.into())))
    }
});

/// Name → text; what is no text is left out, and so is a list.
#[derive(Default)]
pub(super) struct TextMap(pub(super) Vec<(Box<str>, Box<str>)>);

impl IntoIterator for TextMap {
    type Item = (Box<str>, Box<str>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

lenient!(TextMap, {
    lenient!(@no_bool TextMap);
    lenient!(@no_text TextMap);

    lenient!(@no_list TextMap);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextMap, A::Error> {
        let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(64));
        while let Some((key, MaybeText(text))) = map.next_entry::<Box<str>, _>()? {
            pairs.extend(text.map(|text| (key, text)));
        }
        refuse_twice(&pairs)?;
        Ok(TextMap(pairs))
    }
});

/// Few pairs are compared with each other; many go through a set.
fn refuse_twice<V, E: Error>(pairs: &[(Box<str>, V)]) -> Result<(), E> {
    let twice = || E::custom("a name is there twice");
    if pairs.len() <= 16 {
        let mut rest = pairs;
        while let Some(((name, _), after)) = rest.split_first() {
            if after.iter().any(|(other, _)| other == name) {
                return Err(twice());
            }
            rest = after;
        }
        return Ok(());
    }
    let names: HashSet<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    if names.len() == pairs.len() {
        Ok(())
    } else {
        Err(twice())
    }
}

/// `peerDependenciesMeta` or `dependenciesMeta`: what it says of each name, in order.
#[derive(Default)]
pub(super) struct Meta(Vec<(Box<str>, MetaEntry)>);

impl Meta {
    /// Each name, and whether it is optional.
    pub(super) fn optional(self) -> impl Iterator<Item = (Box<str>, bool)> {
        self.0
            .into_iter()
            .map(|(name, entry)| (name, entry.optional))
    }

    /// The names that are injected.
    pub(super) fn injected(self) -> impl Iterator<Item = Box<str>> {
        let injected = self.0.into_iter().filter(|(_, entry)| entry.injected);
        injected.map(|(name, _)| name)
    }
}

lenient!(Meta, {
    lenient!(@no_bool Meta);
    lenient!(@no_text Meta);
    lenient!(@no_list Meta);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        refuse_twice(&pairs)?;
        Ok(Meta(pairs))
    }
});

/// `{ optional: true }` or `{ injected: true }`.
#[derive(Default)]
struct MetaEntry {
    optional: bool,
    injected: bool,
}

lenient!(MetaEntry, {
    lenient!(@no_bool MetaEntry);
    lenient!(@no_text MetaEntry);
    lenient!(@no_list MetaEntry);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetaEntry, A::Error> {
        let mut entry = MetaEntry::default();
        while let Some((key, Flag(flag))) = map.next_entry::<Box<str>, _>()? {
            entry.optional |= flag && &*key == "optional";
            entry.injected |= flag && &*key == "injected";
        }
        Ok(entry)
    }
});

/// `true`, or a list of names; `None`: absent or null.
#[derive(Default)]
pub(super) struct WireBundled(pub(super) Option<Bundled>);

lenient!(WireBundled, {
    lenient!(@no_text WireBundled);

    fn visit_bool<E: Error>(self, all: bool) -> Result<WireBundled, E> {
        let bundled = if all { Bundled::All } else { Bundled::None };
        Ok(WireBundled(Some(bundled)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WireBundled, A::Error> {
        let mut names = Vec::new();
        while let Some(MaybeText(text)) = list.next_element()? {
            names.extend(text);
        }
        Ok(WireBundled(Some(Bundled::Names(names))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireBundled, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(WireBundled(Some(Bundled::None)))
    }
});

/// Whether `bin` names a command: a text or an object that is not empty.
#[derive(Default)]
pub(super) struct HasBin(pub(super) bool);

lenient!(HasBin, {
    lenient!(@no_bool HasBin);
    lenient!(@no_list HasBin);

    fn visit_str<E: Error>(self, text: &str) -> Result<HasBin, E> {
        Ok(HasBin(!text.is_empty()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HasBin, A::Error> {
        let mut has_bin = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            has_bin = true;
        }
        Ok(HasBin(has_bin))
    }
});

/// Whether `directories` has a `bin`.
#[derive(Default)]
pub(super) struct HasBinDirectory(pub(super) bool);

lenient!(HasBinDirectory, {
    lenient!(@no_bool HasBinDirectory);
    lenient!(@no_text HasBinDirectory);
    lenient!(@no_list HasBinDirectory);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HasBinDirectory, A::Error> {
        let mut has_bin = false;
        while let Some((key, MaybeText(text))) = map.next_entry::<Box<str>, _>()? {
            has_bin |= &*key == "bin" && text.is_some_and(|text| !text.is_empty());
        }
        Ok(HasBinDirectory(has_bin))
    }
});

/// A text or a list of texts.
#[derive(Default)]
pub(super) enum Texts {
    #[default]
    None,
    One(Box<str>),
    List(Vec<Box<str>>),
}

impl Texts {
    /// The list, where it is one and has an entry.
    pub(super) fn list(self) -> Option<Vec<Box<str>>> {
        match self {
            Self::List(list) if !list.is_empty() => Some(list),
            _ => None,
        }
    }

    /// As [`Texts::list`]; a text alone is a list of one.
    pub(super) fn any(self) -> Option<Vec<Box<str>>> {
        match self {
            Self::One(text) if !text.is_empty() => Some(vec![text]),
            other => other.list(),
        }
    }

    pub(super) fn is_scalar(&self) -> bool {
        matches!(self, Self::One(text) if !text.is_empty())
    }
}

lenient!(Texts, {
    lenient!(@no_bool Texts);
    lenient!(@no_map Texts);

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts::One(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(MaybeText(text)) = list.next_element()? {
            texts.extend(text);
        }
        Ok(Texts::List(texts))
    }
});
