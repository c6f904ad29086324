//! Choosing a version with as few requests as that takes.

use std::fmt::Write;
use std::sync::Arc;

use super::error::MetadataError;
use super::manifest::VersionManifest;
use super::packument::{Packument, VersionIndex};
use super::packuments::{Form, Known, Packuments, Slot};
use crate::install::pick::{
    Exclusion, PickError, PickOptions, Preferred, RegistrySpecifier, Selector, is_immature, pick,
    pick_without,
};
use crate::install::registry::{Url, printable};

/// How many versions of a package may be refused before it is given up.
const REFUSED_MAX: usize = 1000;

/// What is to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Package and version.
    pub specifier: &'a RegistrySpecifier,
    /// The registry.
    pub registry: &'a Url,
    /// Versions of it that are preferred.
    pub preferred: &'a Preferred,
    /// How to choose.
    pub options: &'a PickOptions,
    /// Whether the full form is needed: for `libc` of an optional dependency, or for times.
    pub form: Form,
    /// Whether only the registry's word of today counts (`--update-checksums`).
    pub fresh: bool,
}

/// A version that was chosen.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The packument in which it is.
    pub packument: Arc<Packument>,
    /// Which.
    pub version: VersionIndex,
    /// Its manifest.
    pub manifest: Arc<VersionManifest>,
    /// Whether it is younger than `published_by` because nothing older satisfies the specifier
    /// (`ERR_PNPM_MINIMUM_RELEASE_AGE_VIOLATION` where that is to be strict).
    pub is_immature: bool,
}

impl Packuments {
    /// Chooses a version as pnpm does, with as few requests as that takes: none where the cache
    /// has the exact version that is wanted, was confirmed after `published_by`, or has what the
    /// registry said would still be true (where that is trusted).
    ///
    /// # Errors
    /// As [`Packuments::packument`]; nothing satisfies the specifier, or `trustPolicy` refuses what
    /// does.
    pub async fn pick(&self, wanted: &Wanted<'_>) -> Result<Picked, MetadataError> {
        let first = match self.pick_in(wanted, wanted.form).await {
            // Only the full form says when versions were published.
            Err(MetadataError::Pick(PickError::MissingTime { .. }))
                if wanted.form == Form::Abbreviated =>
            {
                self.pick_in(wanted, Form::Full).await
            }
            result => result,
        };
        let (packument, version) = match first {
            Err(MetadataError::Pick(PickError::MissingTime { package }))
                if wanted.options.ignore_missing_time =>
            {
                tracing::debug!(package, "the registry does not tell times");
                self.pick_without_time(wanted).await?
            }
            result => result?,
        };
        let version = trusted(wanted, &packument, version)?;
        let manifest = self.manifest(&packument, version).await?;
        let is_immature = is_immature(&packument, version, wanted.options);
        Ok(Picked {
            packument,
            version,
            manifest,
            is_immature,
        })
    }

    async fn pick_without_time(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<(Arc<Packument>, VersionIndex), MetadataError> {
        let options = PickOptions {
            published_by: None,
            ..wanted.options.clone()
        };
        let wanted = Wanted {
            options: &options,
            ..*wanted
        };
        self.pick_in(&wanted, wanted.form).await
    }

    async fn pick_in(
        &self,
        wanted: &Wanted<'_>,
        form: Form,
    ) -> Result<(Arc<Packument>, VersionIndex), MetadataError> {
        let specifier = wanted.specifier;
        let slot = self.slot(&specifier.name, wanted.registry, form);
        let choose = |packument: &Packument| {
            pick(
                packument,
                &specifier.selector,
                wanted.preferred,
                wanted.options,
            )
        };
        let packument = match self.known_in_any_form(&slot) {
            Some(known) if self.is_offline || known.is_fresh => known.packument,
            Some(known) => {
                let chosen = match choose(&known.packument) {
                    // The full form is needed anyway, however old this is.
                    Err(error @ PickError::MissingTime { .. }) if form == Form::Abbreviated => {
                        return Err(error.into());
                    }
                    chosen => chosen.ok().flatten(),
                };
                if let Some(version) = chosen.filter(|one| self.suffices(wanted, &known, *one)) {
                    return Ok((known.packument, version));
                }
                self.fresh(&slot).await?
            }
            None if self.is_offline => return Err(self.offline(wanted, &slot)),
            None => self.fresh(&slot).await?,
        };
        match choose(&packument)? {
            Some(version) => Ok((packument, version)),
            None => Err(no_match(wanted, &packument)),
        }
    }

    /// Whether the registry need not be asked before `version` of what the cache has is taken.
    fn suffices(&self, wanted: &Wanted<'_>, known: &Known, version: VersionIndex) -> bool {
        let Wanted {
            specifier, options, ..
        } = wanted;
        if wanted.fresh || options.include_latest_tag {
            return false;
        }
        if self.prefers_offline || options.lowest || (self.trusts_cache && known.is_still_true) {
            return true;
        }
        if matches!(specifier.selector, Selector::Version(_)) {
            return true;
        }
        // What came after the cache was confirmed is too young to be chosen.
        if let Some(cutoff) = options.published_by
            && !matches!(
                options.published_by_exclude.of(&specifier.name),
                Exclusion::All
            )
            && known
                .packument
                .confirmed()
                .is_some_and(|time| time >= cutoff)
        {
            return true;
        }
        // Nothing that the cache does not know outweighs what the lockfile has.
        let text = known.packument.version(version);
        matches!(specifier.selector, Selector::Range { .. }) && wanted.preferred.is_settled(text)
    }

    fn offline(&self, wanted: &Wanted<'_>, slot: &Slot) -> MetadataError {
        let specifier = wanted.specifier;
        let text = format!(
            "{}@{}",
            specifier.name.as_str(),
            specifier.selector.as_str()
        );
        self.not_cached(slot, &text)
    }
}

/// `version`, or the next best that `trustPolicy` does not refuse.
fn trusted(
    wanted: &Wanted<'_>,
    packument: &Packument,
    version: VersionIndex,
) -> Result<VersionIndex, MetadataError> {
    let Some(trust) = &wanted.options.trust else {
        return Ok(version);
    };
    let mut version = version;
    let mut refused = Vec::new();
    loop {
        let Err(error) = trust.check(packument, version) else {
            return Ok(version);
        };
        refused.push(version);
        if refused.len() == REFUSED_MAX {
            return Err(error.into());
        }
        let selector = &wanted.specifier.selector;
        let next = pick_without(
            packument,
            selector,
            wanted.preferred,
            wanted.options,
            &refused,
        )?;
        version = next.ok_or(error)?;
    }
}

fn no_match(wanted: &Wanted<'_>, packument: &Packument) -> MetadataError {
    let specifier = wanted.specifier;
    MetadataError::NoMatchingVersion {
        wanted: format!(
            "{}@{}",
            specifier.name.as_str(),
            specifier.selector.as_str()
        ),
        registry: printable(wanted.registry),
        published: published(packument),
    }
}

/// What there is of a package: its tags, and how to see the rest.
fn published(packument: &Packument) -> String {
    let name = packument.name();
    let mut text = String::new();
    let at = |version: &str| {
        let time = packument.time(packument.find(version)?)?;
        Some(time.strftime("%Y-%m-%d").to_string())
    };
    if let Some(latest) = packument.dist_tag("latest") {
        // Writing to a text cannot fail.
        let _ = write!(text, "The latest release of {name} is \"{latest}\".");
        if let Some(date) = at(latest) {
            let _ = write!(text, " Published at {date}");
        }
        text.push('\n');
    }
    let mut others: Vec<_> = packument
        .dist_tags()
        .filter(|(tag, _)| *tag != "latest")
        .collect();
    others.sort_unstable();
    if !others.is_empty() {
        text.push_str("\nOther releases are:\n");
    }
    for (tag, version) in others {
        let _ = write!(text, "  * {tag}: {version}");
        if let Some(date) = at(version) {
            let _ = write!(text, " published at {date}");
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "\nIf you need the full list of all {} published versions run \"pnpm view {name} \
         versions\".",
        packument.len()
    );
    crate::name::escaped(text.trim_start()).replace("\\u{a}", "\n")
}
