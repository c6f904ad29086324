//! Whether the addresses that a lockfile has for archives of registries are those of the
//! registries.
//!
//! An integrity beside an address pins some content, and whoever writes the one writes the other.
//! That the content is the package of this name and version, only its registry can say.

use std::sync::Arc;

use super::asking::ask_all;
use super::error::InstallError;
use super::fetch::Fetcher;
use super::sources::{Source, Wanted};
use crate::install::config::{Registries, prefixed_version};
use crate::install::lockfile::PackageId;
use crate::install::metadata::Packuments;
use crate::install::registry::{Url, canonical_tarball_url, printable_text, remote_url};
use crate::name::PackageName;

/// An archive with an address of its own, and the package that it is said to be.
struct Claim<'a> {
    id: &'a str,
    name: PackageName,
    version: Box<str>,
    registry: Url,
    address: &'a str,
}

/// Refuses those of `missing` that are packages of a registry by their key, and have another
/// address than the registry has for them.
pub(super) fn check(fetcher: &Fetcher<'_>, missing: &[&Wanted]) -> Result<(), InstallError> {
    let registries = &fetcher.config.registries;
    let mut claims = Vec::new();
    for wanted in missing {
        claims.extend(claim(registries, wanted)?);
    }
    if claims.is_empty() {
        return Ok(());
    }
    let packuments = Packuments::new(fetcher.config, Arc::new(fetcher.client()));
    let asked = claims.iter().map(|claim| claim.refutation(&packuments));
    let mut refuted = Vec::new();
    ask_all(asked, |answer| refuted.extend(answer))?;
    if refuted.is_empty() {
        return Ok(());
    }
    refuted.sort();
    Err(InstallError::Addresses { refuted })
}

/// Name and version of a package that is one of a registry by its key.
pub fn registry_version(label: &str) -> Option<(PackageName, &str)> {
    let prefixed = prefixed_version(label).map(|(_, version)| version);
    let id = PackageId::new(label).ok()?;
    if prefixed.is_none() && !id.is_from_registry() {
        return None;
    }
    let name = PackageName::new(id.name_str()).ok()?;
    let version = prefixed.or_else(|| label.get(id.name_str().len() + 1..))?;
    Some((name, version))
}

fn claim<'a>(
    registries: &Registries,
    wanted: &'a Wanted,
) -> Result<Option<Claim<'a>>, InstallError> {
    let Source::Address(address) = &wanted.source else {
        return Ok(None);
    };
    // No registry has them.
    if wanted.runtime_manifest.is_some() {
        return Ok(None);
    }
    let Some((name, version)) = registry_version(&wanted.label) else {
        return Ok(None);
    };
    let url = remote_url(&wanted.label, address)?;
    let is_prefixed = prefixed_version(&wanted.label).is_some();
    let of_prefix = registries
        .prefixes()
        .filter_map(|prefix| registries.named(prefix));
    let of_address = |url: &&Url| comparable(address).starts_with(&comparable(url.as_str()));
    let registry = match of_prefix.into_iter().find(of_address) {
        Some(url) if !is_prefixed => url.clone(),
        _ => registries.registry_of_id(&name, &wanted.label)?,
    };
    let repeats_scope = registries.repeats_scope(&registry);
    let canonical = canonical_tarball_url(&registry, &name, version, repeats_scope);
    if canonical.is_ok_and(|canonical| canonical == url) {
        // It is where the package would be looked for without an address.
        return Ok(None);
    }
    Ok(Some(Claim {
        id: &wanted.label,
        name,
        version: version.into(),
        registry,
        address,
    }))
}

impl Claim<'_> {
    /// What is wrong with it, `None` where the registry has the same address.
    async fn refutation(&self, packuments: &Packuments) -> Result<Option<String>, InstallError> {
        let form = packuments.form(false);
        let packument = packuments
            .packument(&self.name, &self.registry, form)
            .await?;
        let Some(version) = packument.find(&self.version) else {
            return Ok(Some(format!("{} is not in its registry", self.id)));
        };
        let manifest = packuments.manifest(&packument, version).await?;
        let published = manifest.dist.as_ref().map(|dist| &*dist.tarball);
        if published.is_some_and(|url| comparable(url) == comparable(self.address)) {
            return Ok(None);
        }
        Ok(Some(format!(
            "{} is at {}, and its registry has it at {}",
            self.id,
            printable_text(self.address),
            published.map_or_else(|| "no address".to_owned(), printable_text),
        )))
    }
}

/// Registries differ from themselves in the scheme, and in how a scope's slash is written.
fn comparable(address: &str) -> String {
    let address = Url::parse(address).map_or_else(|_| address.to_owned(), String::from);
    let rest = address
        .split_once("://")
        .map_or(&*address, |(_, rest)| rest);
    rest.replace("%2f", "/").replace("%2F", "/")
}
