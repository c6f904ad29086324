//! Versions by the name of their package.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ForeignFault;
use crate::install::pick::Selector;
use crate::name::PackageName;

/// Versions by the name of their package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Versions {
    /// Adds a version. Addresses, ranges and whatever else is no version pin nothing here.
    pub(super) fn add(&mut self, name: &str, version: &str) -> Result<(), ForeignFault> {
        let name = PackageName::new(name).map_err(|source| ForeignFault::Name {
            name: name.to_owned(),
            source,
        })?;
        if let Some(Selector::Version(version)) = Selector::parse(version) {
            let known = self.0.entry(name.as_str().into()).or_default();
            known.insert(version);
        }
        Ok(())
    }

    /// Every name with its versions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<Box<str>>)> {
        self.0.iter().map(|(name, versions)| (&**name, versions))
    }
}

/// Name and range of `name@range`; the name may begin with an `@` of its own.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((&text[..at], &text[at + 1..]))
}
