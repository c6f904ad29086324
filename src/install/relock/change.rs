//! What commands write into `package.json`: the specifiers of dependencies that are added or
//! updated.

use std::cell::OnceCell;
use std::sync::Arc;

use super::error::RelockError;
use super::settings::locked;
use super::source::PackageSource;
use crate::install::config::{Config, ResolutionMode, SaveConfig, SaveWorkspaceProtocol};
use crate::install::lockfile::{Lockfile, Resolution};
use crate::install::manifest::Manifest;
use crate::install::overrides;
use crate::install::pick::{
    LocalKind, Preferred, RegistryChoice, RegistrySpecifier, Selector, Specifier, SpecifierContext,
};
use crate::install::resolve::{Choice, Preferences, Update};
use crate::install::semver::{Range, Version};
use crate::install::workspace::Project;
use crate::name::PackageName;

/// A dependency as it is named on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name in `node_modules`; `None`: that of the package, which only the package says.
    pub alias: Option<PackageName>,
    /// What stands after the name.
    pub specifier: Option<String>,
}

impl Named {
    /// Reads `name`, `name@specifier`, or a specifier alone. `npm:` in front of a name changes
    /// nothing.
    pub fn parse(text: &str) -> Self {
        let of_npm = text.strip_prefix("npm:").map(Self::read);
        let of_npm = of_npm.filter(|named| named.alias.is_some());
        of_npm.unwrap_or_else(|| Self::read(text))
    }

    fn read(text: &str) -> Self {
        let at = text
            .char_indices()
            .skip(1)
            .find(|(_, letter)| *letter == '@')
            .map(|(at, _)| at);
        let (name, rest) = match at {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let is_name = !name.starts_with('.') && !name.starts_with('/') && !name.contains(':');
        match PackageName::new(name) {
            Ok(alias) if is_name => Self {
                alias: Some(alias),
                specifier: rest.filter(|rest| !rest.is_empty()).map(str::to_owned),
            },
            _ => Self {
                alias: None,
                specifier: Some(text.to_owned()),
            },
        }
    }
}

/// How wide a range is: what stands in front of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Major,
    Minor,
    Exact,
    /// `=` is kept.
    Equals,
}

impl Width {
    fn prefix(self) -> &'static str {
        match self {
            Self::Major => "^",
            Self::Minor => "~",
            Self::Exact => "",
            Self::Equals => "=",
        }
    }

    /// The width that a specifier shows; `None`: none that can be kept.
    fn of(specifier: &str) -> Option<Self> {
        if specifier.starts_with("catalog:") {
            return None;
        }
        let text = body(specifier);
        if text == "*" {
            return Some(Self::Major);
        }
        if text.contains("||") || text.split_whitespace().count() > 1 {
            return None;
        }
        if let Some(rest) = text.strip_prefix('^') {
            return rest
                .starts_with(|one: char| one.is_ascii_digit())
                .then_some(Self::Major);
        }
        if let Some(rest) = text.strip_prefix('~') {
            return rest
                .starts_with(|one: char| one.is_ascii_digit())
                .then_some(Self::Minor);
        }
        let (has_equals, rest) = match text.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let numbers = rest.split(['-', '+']).next().unwrap_or_default();
        let parts: Vec<&str> = numbers.split('.').collect();
        let is_part = |part: &&str| {
            matches!(*part, "x" | "*")
                || (!part.is_empty() && part.bytes().all(|one| one.is_ascii_digit()))
        };
        if !parts.iter().all(is_part) || !parts[0].starts_with(|one: char| one.is_ascii_digit()) {
            return None;
        }
        match (parts.len(), has_equals) {
            (1, _) => Some(Self::Major),
            (2, _) => Some(Self::Minor),
            (3, true) => Some(Self::Equals),
            (3, false) => Some(Self::Exact),
            _ => None,
        }
    }
}

/// How wide a range is that follows the version of a project: as wide as `specifier`.
fn rolling(specifier: Option<&str>) -> &'static str {
    let Some(specifier) = specifier else {
        return "^";
    };
    match (body(specifier), Width::of(specifier)) {
        ("*", _) | (_, Some(Width::Exact | Width::Equals)) => "*",
        ("~", _) | (_, Some(Width::Minor)) => "~",
        (_, Some(Width::Major) | None) => "^",
    }
}

/// A path as it is written into manifests: with `.` and `..` worked out and no slash at its end,
/// so that a directory itself is nothing.
fn tidied(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match (name, names.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => {
                names.pop();
            }
            ("..", None) if !root.is_empty() => {}
            _ => names.push(name),
        }
    }
    format!("{root}{}", names.join("/"))
}

/// What stands behind the protocol, the name and the `@` of a specifier.
fn body(specifier: &str) -> &str {
    let text = specifier
        .split_once(':')
        .map_or(specifier, |(_, text)| text);
    text.rsplit_once('@').map_or(text, |(_, text)| text).trim()
}

fn is_pre_release(version: &str) -> bool {
    Version::parse(version).is_some_and(|version| version.is_pre_release())
}

/// What stands in front of a version that nothing says the width of.
fn prefix_of_new<'s>(version: &str, save: &'s SaveConfig) -> &'s str {
    match is_pre_release(version) || save.exact {
        true => "",
        false => &save.prefix,
    }
}

/// The range that is written for `version` of what is added: as wide as the one that was asked for,
/// else as the one that is there (`previous`), else as configured. A pre-release is only as wide as
/// what is there.
fn range_of_added(
    version: &str,
    previous: Option<&str>,
    asked: Option<&str>,
    save: &SaveConfig,
) -> String {
    let was = previous.and_then(Width::of);
    let wanted = asked.and_then(Width::of);
    let wanted = wanted.filter(|_| !is_pre_release(version));
    let new = prefix_of_new(version, save);
    let width = wanted.or(was);
    let stays = |text: &&str| width.is_none() && asked == Some(text) && is_range(text);
    match previous.filter(stays) {
        Some(previous) => previous.to_owned(),
        None => format!("{}{version}", width.map_or(new, |width| width.prefix())),
    }
}

/// The range that is written for `version` of what is updated: as wide as the one that is there
/// (`previous`), which stays where it has no width but allows the version; else as the one that
/// was asked for, else as configured. `None`: it stays.
fn range_of_updated(
    version: &str,
    previous: &str,
    asked: Option<&str>,
    save: &SaveConfig,
) -> Option<String> {
    let new = prefix_of_new(version, save);
    if let Some(width) = Width::of(previous) {
        return Some(format!("{}{version}", width.prefix()));
    }
    let is_tag = asked.is_some_and(|text| !is_range(text));
    if !is_tag && allows(previous, version) {
        return None;
    }
    let width = asked.and_then(Width::of).filter(|_| !new.is_empty());
    Some(format!(
        "{}{version}",
        width.map_or(new, |width| width.prefix())
    ))
}

fn is_range(text: &str) -> bool {
    !text.is_empty() && Range::parse(text).is_some()
}

fn allows(specifier: &str, version: &str) -> bool {
    let text = body(specifier);
    let range = Range::parse(text).filter(|_| !text.is_empty());
    let version = Version::parse(version);
    matches!((range, version), (Some(range), Some(version)) if range.contains(&version))
}

/// Finds out what is written for dependencies.
pub struct Specifiers<'a> {
    pub(super) config: &'a Config,
    pub(super) source: PackageSource,
    pub(super) context: SpecifierContext,
    /// The lockfile so far, of which a range that is asked for prefers the versions.
    pub(super) previous: Option<Arc<Lockfile>>,
    /// These versions, once one was asked for.
    pub(super) locked: OnceCell<Preferences>,
}

impl Specifiers<'_> {
    /// Name and specifier of a dependency that is added. `previous`: the specifier of a name that
    /// is there already.
    ///
    /// # Errors
    /// The package cannot be found, or the specifier is none.
    pub fn added(
        &self,
        named: &Named,
        previous: impl Fn(&str) -> Option<String>,
    ) -> Result<(PackageName, String), RelockError> {
        let Some(alias) = &named.alias else {
            let text = named.specifier.as_deref().unwrap_or_default();
            return self.unnamed(text);
        };
        let previous = previous(alias.as_str());
        let specifier = match (&named.specifier, previous.as_deref()) {
            (None, Some(previous)) => previous.to_owned(),
            (None, None) => {
                let tag = Selector::Tag(self.context.default_tag.clone());
                let choice = Choice {
                    direct: true,
                    ..Choice::default()
                };
                let version = self.version_by(alias, tag, choice)?;
                range_of_added(&version, None, None, &self.config.save)
            }
            (Some(text), Some(previous)) if self.is_named_alone(alias, text, previous) => {
                previous.to_owned()
            }
            (Some(text), previous) => self.specified(alias, text, previous)?,
        };
        Ok((alias.clone(), specifier))
    }

    /// Whether `text` names the package that `previous` is about, and no version of it.
    fn is_named_alone(&self, alias: &PackageName, text: &str, previous: &str) -> bool {
        let name = text.strip_prefix("npm:");
        let name = name.filter(|name| !name.chars().skip(1).any(|letter| letter == '@'));
        let known = Specifier::parse(Some(alias), previous, &self.context);
        match (name, known) {
            (Some(name), Ok(Specifier::Registry(known))) => known.name.as_str() == name,
            _ => false,
        }
    }

    /// What is written for a version that nothing says the width of.
    pub fn new_range(&self, version: &str) -> String {
        range_of_added(version, None, None, &self.config.save)
    }

    /// `saveWorkspaceProtocol`.
    pub fn protocol(&self) -> SaveWorkspaceProtocol {
        self.config.save.workspace_protocol
    }

    /// What is written for a dependency that a project of the workspace provides (its name and
    /// version), as wide as what is there (`previous`), else as what was asked for.
    pub fn linked(
        &self,
        alias: &PackageName,
        (name, version): (&str, Option<&str>),
        previous: Option<&str>,
        asked: Option<&str>,
    ) -> String {
        let save = &self.config.save;
        let is_rolling = save.workspace_protocol == SaveWorkspaceProtocol::Rolling;
        let range = match version.filter(|_| !is_rolling) {
            Some(version) if is_pre_release(version) => version.to_owned(),
            Some(version) => {
                let width = previous.and_then(Width::of);
                let prefix = width.map_or(prefix_of_new(version, save), |width| width.prefix());
                format!("{prefix}{version}")
            }
            None => rolling(previous.or(asked)).to_owned(),
        };
        match alias.as_str() == name {
            true => format!("workspace:{range}"),
            false => format!("workspace:{name}@{range}"),
        }
    }

    /// The `@types` package of a dependency that brings no types of its own, and what is written
    /// for it; `None`: there is none, or none is needed.
    pub fn types(&self, alias: &PackageName, specifier: &str) -> Option<(PackageName, String)> {
        let parsed = Specifier::parse(Some(alias), specifier, &self.context).ok()?;
        let Specifier::Registry(registry) = parsed else {
            return None;
        };
        let is_usual = registry.registry == RegistryChoice::Configured;
        if !is_usual || registry.address.is_some() || registry.name.as_str().starts_with("@types/")
        {
            return None;
        }
        let of_types = RegistrySpecifier {
            name: types_of(&registry.name)?,
            selector: Selector::Tag("latest".into()),
            registry: RegistryChoice::Configured,
            address: None,
        };
        let manifest = self.source.full_manifest(&registry)?;
        // Of `exports` only that is kept which leads to types.
        let tells = ["types", "typings", "exports"];
        if tells.iter().any(|field| manifest.get(field).is_some()) {
            return None;
        }
        let found = self.source.full_manifest(&of_types)?;
        if found
            .get("deprecated")
            .is_some_and(|told| told.as_str() != Some(""))
        {
            return None;
        }
        let version = found.get("version")?.as_str()?;
        let range = self.new_range(version);
        let types_alias = types_of(alias)?;
        let written = wrapped(&types_alias, &range, &of_types, range.clone());
        Some((types_alias, written))
    }

    /// What is written for `specifier` when its package is at `version`; `None`: it stays.
    pub fn updated(&self, alias: &str, specifier: &str, version: &str) -> Option<String> {
        let alias = PackageName::new(alias).ok()?;
        let Ok(Specifier::Registry(registry)) =
            Specifier::parse(Some(&alias), specifier, &self.context)
        else {
            return None;
        };
        if matches!(registry.selector, Selector::Tag(_)) || registry.address.is_some() {
            return None;
        }
        let range = range_of_updated(version, specifier, None, &self.config.save)?;
        let written = wrapped(&alias, specifier, &registry, range);
        (written != specifier).then_some(written)
    }

    /// What is written for a dependency that is updated to `asked`, a version or a tag; `None`: it
    /// stays.
    ///
    /// # Errors
    /// The package cannot be found, or `asked` is no specifier.
    pub fn moved(
        &self,
        alias: &PackageName,
        specifier: &str,
        asked: &str,
    ) -> Result<Option<String>, RelockError> {
        let Some((registry, version)) = self.chosen(alias, asked, false)? else {
            return Ok(Some(asked.to_owned()));
        };
        let range = range_of_updated(&version, specifier, Some(body(asked)), &self.config.save);
        Ok(range.map(|range| wrapped(alias, asked, &registry, range)))
    }

    /// Whether an override says something of a dependency of the project `manifest`.
    pub fn is_overridden(&self, manifest: &Manifest, alias: &str, specifier: &str) -> bool {
        let all = self.config.graph.overrides.iter();
        let all = all.map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let overrides = overrides::parsed(&all.collect(), &self.config.graph.catalogs);
        overrides::is_about(&overrides, manifest, alias, specifier)
    }

    /// What the overrides ask for where a dependency is added to one of the `projects` and nobody
    /// says which version; `None`: nothing.
    pub fn overridden(
        &self,
        projects: &[Project],
        at: usize,
        alias: &PackageName,
    ) -> Option<String> {
        let root = projects.iter().find(|project| project.id.0.is_none());
        let all = overrides::resolved(self.config, root.map(|project| &project.manifest));
        let overrides = overrides::parsed(&all, &self.config.graph.catalogs);
        let project = &projects[at];
        let place = overrides::Place {
            root: &self.config.lockfile_directory,
            directory: &project.directory,
        };
        let asked = overrides::of_any(&overrides, &place, &project.manifest, alias.as_str());
        asked
            .filter(|asked| **asked != *"*")
            .map(|asked| asked.into())
    }

    /// What is written for a dependency that goes to the latest version; `None`: it stays.
    ///
    /// # Errors
    /// The package cannot be found.
    pub fn latest(&self, alias: &str, specifier: &str) -> Result<Option<String>, RelockError> {
        let Ok(alias) = PackageName::new(alias) else {
            return Ok(None);
        };
        let parsed = Specifier::parse(Some(&alias), specifier, &self.context);
        let Ok(Specifier::Registry(registry)) = parsed else {
            return Ok(None);
        };
        let is_plain_tag = !specifier.is_empty()
            && !specifier.contains(':')
            && matches!(registry.selector, Selector::Tag(_));
        if registry.address.is_some() || is_plain_tag {
            return Ok(None);
        }
        // Where something higher fits, as a pre-release does that somebody asked for, that is it.
        let selector = registry.selector.clone();
        let choice = Choice {
            direct: true,
            or_latest: true,
            ..Choice::default()
        };
        let version = self.version_by(&registry.name, selector, choice)?;
        let range = range_of_updated(&version, specifier, None, &self.config.save);
        // Of a package under its own name, nothing but the range is written.
        let specifier = specifier.strip_prefix("npm:").unwrap_or(specifier);
        Ok(range.map(|range| wrapped(&alias, specifier, &registry, range)))
    }

    fn specified(
        &self,
        alias: &PackageName,
        text: &str,
        previous: Option<&str>,
    ) -> Result<String, RelockError> {
        let lowest = self.config.resolution.mode != ResolutionMode::Highest;
        let Some((registry, version)) = self.chosen(alias, text, lowest)? else {
            return Ok(text.to_owned());
        };
        let range = range_of_added(&version, previous, Some(text), &self.config.save);
        Ok(wrapped(alias, text, &registry, range))
    }

    /// The version that a specifier comes to; `None`: it is not a registry that is asked.
    ///
    /// # Errors
    /// The package cannot be found, or the specifier is none.
    pub fn version_in(
        &self,
        alias: &PackageName,
        specifier: &str,
    ) -> Result<Option<String>, RelockError> {
        let chosen = self.chosen(alias, specifier, false)?;
        Ok(chosen.map(|(_, version)| version))
    }

    /// The package of a registry that `text` asks for, and the version that is chosen, of a range
    /// the highest or the `lowest`; `None`: it is not a registry that is asked.
    fn chosen(
        &self,
        alias: &PackageName,
        text: &str,
        lowest: bool,
    ) -> Result<Option<(RegistrySpecifier, String)>, RelockError> {
        let parsed = Specifier::parse(Some(alias), text, &self.context)
            .map_err(|error| RelockError::Resolve(error.into()))?;
        let Specifier::Registry(registry) = parsed else {
            return Ok(None);
        };
        if registry.address.is_some() {
            return Ok(None);
        }
        let choice = Choice {
            direct: true,
            lowest,
            ..Choice::default()
        };
        let version = self.version_by(&registry.name, registry.selector.clone(), choice)?;
        Ok(Some((registry, version)))
    }

    /// The version of a registry's package that a specifier comes to, and what a lockfile has of
    /// it; `None`: it is no version of the package with this name.
    ///
    /// # Errors
    /// The package cannot be found, or the specifier is none.
    pub fn package(
        &self,
        name: &PackageName,
        specifier: &str,
    ) -> Result<Option<(Box<str>, Resolution)>, RelockError> {
        let parsed = Specifier::parse(Some(name), specifier, &self.context)?;
        let Specifier::Registry(registry) = parsed else {
            return Ok(None);
        };
        if registry.name != *name || registry.address.is_some() {
            return Ok(None);
        }
        let resolved = self.source.package(registry)?;
        Ok(Some((
            resolved.manifest.version.clone(),
            resolved.resolution,
        )))
    }

    fn unnamed(&self, text: &str) -> Result<(PackageName, String), RelockError> {
        let placeholder = PackageName::new("package").map_err(|source| {
            let name = text.to_owned();
            RelockError::from(crate::install::resolve::ResolveFault::Name { name, source })
        })?;
        let parsed = Specifier::parse(None, text, &self.context)?;
        let manifest = self
            .source
            .manifest_of(&parsed, &self.config.directory, &placeholder)?;
        let written = match &parsed {
            Specifier::Local(local) if !text.starts_with("workspace:") => {
                let path = tidied(&local.path);
                match local.kind {
                    LocalKind::Link => format!("link:{path}"),
                    LocalKind::Directory | LocalKind::Archive => format!("file:{path}"),
                }
            }
            _ => text.to_owned(),
        };
        Ok((manifest.name.clone(), written))
    }

    fn version_by(
        &self,
        name: &PackageName,
        selector: Selector,
        choice: Choice,
    ) -> Result<String, RelockError> {
        let mut preferred = Preferred::none();
        if matches!(selector, Selector::Range { .. }) && !choice.or_latest {
            let locked = || locked(self.previous.as_deref(), &Update::Nothing);
            let locked = self.locked.get_or_init(locked).get(name.as_str());
            for (selector, weight) in locked.into_iter().flatten() {
                preferred.insert(selector.clone(), *weight);
            }
        }
        let specifier = RegistrySpecifier {
            name: name.clone(),
            selector,
            registry: RegistryChoice::Configured,
            address: None,
        };
        self.source.version(specifier, preferred, choice)
    }
}

/// The name of the package that has the types of `name`.
fn types_of(name: &PackageName) -> Option<PackageName> {
    let bare = match name.as_str().strip_prefix('@') {
        Some(scoped) => scoped.replace('/', "__"),
        None => name.as_str().to_owned(),
    };
    PackageName::new(&format!("@types/{bare}")).ok()
}

/// `range` with `npm:name@` in front where the alias is another than the name, or `specifier` has
/// it.
fn wrapped(
    alias: &PackageName,
    specifier: &str,
    registry: &RegistrySpecifier,
    range: String,
) -> String {
    match &registry.registry {
        RegistryChoice::Configured if registry.name == *alias && !specifier.starts_with("npm:") => {
            range
        }
        RegistryChoice::Configured => format!("npm:{}@{range}", registry.name.as_str()),
        RegistryChoice::Jsr { .. } | RegistryChoice::Named { .. } => {
            let (prefix, rest) = specifier.split_once(':').unwrap_or_default();
            match rest.rsplit_once('@') {
                Some((name, _)) if !name.is_empty() => format!("{prefix}:{name}@{range}"),
                _ if rest.starts_with('@') => format!("{prefix}:{rest}@{range}"),
                _ => format!("{prefix}:{range}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::config::CatalogMode;

    fn save(exact: bool) -> SaveConfig {
        SaveConfig {
            peer: false,
            held: Vec::new(),
            exact,
            prefix: "^".to_owned(),
            catalog_mode: CatalogMode::Manual,
            catalog_name: None,
            workspace_protocol: SaveWorkspaceProtocol::Rolling,
            types: false,
            cleans_catalogs: false,
        }
    }

    #[test]
    fn ranges_stay_as_wide_as_they_were() {
        for (version, previous, asked, expected) in [
            ("1.2.3", None, None, "^1.2.3"),
            ("1.2.3", Some("~1.0.0"), None, "~1.2.3"),
            ("1.2.3", Some("~1.0.0"), Some("latest"), "~1.2.3"),
            ("1.2.3", Some("~1.0.0"), Some(">=1"), "~1.2.3"),
            ("1.2.3", Some("^1.0.0"), Some("1.2.3"), "1.2.3"),
            ("1.2.3", Some("^1.0.0"), Some("=1.2.3"), "=1.2.3"),
            ("1.2.3", Some("1.0.0"), Some("^1"), "^1.2.3"),
            ("1.2.3", Some("~1.0.0"), Some("*"), "^1.2.3"),
            ("1.2.3", Some("1.0.0"), None, "1.2.3"),
            ("1.2.3", Some("*"), None, "^1.2.3"),
            ("1.2.3", Some(">=1"), None, "^1.2.3"),
            ("1.2.3", Some(">=1"), Some(">=1"), ">=1"),
            ("1.2.3", Some(">=1"), Some(">=1.2"), "^1.2.3"),
            ("1.2.3", None, Some("1"), "^1.2.3"),
            ("1.2.3", None, Some("1.2"), "~1.2.3"),
            ("1.2.3", None, Some("1.2.3"), "1.2.3"),
            ("1.2.3", None, Some("latest"), "^1.2.3"),
            ("1.2.3-rc.1", None, Some("^1.2.0-0"), "1.2.3-rc.1"),
            ("1.2.3-rc.1", Some("^1.2.0-0"), None, "^1.2.3-rc.1"),
        ] {
            let range = range_of_added(version, previous, asked, &save(false));
            assert_eq!(range, expected, "{version} {previous:?} {asked:?}");
        }
        assert_eq!(range_of_added("1.2.3", None, None, &save(true)), "1.2.3");
    }

    #[test]
    fn updated_ranges_stay_where_they_have_no_width_and_allow_the_version() {
        for (version, previous, asked, expected) in [
            ("1.2.3", "~1.0.0", None, Some("~1.2.3")),
            ("1.2.3", "~1.0.0", Some("1.2.3"), Some("~1.2.3")),
            ("1.2.3", "*", None, Some("^1.2.3")),
            ("1.2.3", "", None, Some("^1.2.3")),
            ("1.2.3", "x", None, None),
            ("1.2.3", ">=1", None, None),
            ("1.2.3", "npm:a@>=1", None, None),
            ("1.2.3", "0 || 1", Some("1.2.3"), None),
            ("1.2.3", "0 || 1", Some("latest"), Some("^1.2.3")),
            ("2.2.3", "0 || 1", Some("2.2.3"), Some("2.2.3")),
            ("2.2.3", ">=1 <2", None, Some("^2.2.3")),
        ] {
            let range = range_of_updated(version, previous, asked, &save(false));
            assert_eq!(range.as_deref(), expected, "{version} {previous} {asked:?}");
        }
    }

    #[test]
    fn ranges_that_follow_a_project_are_as_wide_as_what_was_there() {
        for (specifier, expected) in [
            (None, "^"),
            (Some("workspace:*"), "*"),
            (Some("workspace:"), "^"),
            (Some("workspace:~"), "~"),
            (Some("workspace:a@~"), "~"),
            (Some("workspace:^1.0.0"), "^"),
            (Some("workspace:1.0.0"), "*"),
            (Some("~1.0.0"), "~"),
            (Some("1.0.0"), "*"),
            (Some(">=1"), "^"),
            (Some("latest"), "^"),
        ] {
            assert_eq!(rolling(specifier), expected, "{specifier:?}");
        }
    }

    #[test]
    fn command_lines_name_packages_and_what_of_them() {
        let name = |text: &str| PackageName::new(text).ok();
        for (text, alias, specifier) in [
            ("a", name("a"), None),
            ("a@1", name("a"), Some("1")),
            ("@s/a@^1", name("@s/a"), Some("^1")),
            ("b@npm:a@1", name("b"), Some("npm:a@1")),
            ("npm:a", name("a"), None),
            ("npm:@s/a@^1", name("@s/a"), Some("^1")),
            ("npm:", None, Some("npm:")),
            ("./dir", None, Some("./dir")),
            ("file:x.tgz", None, Some("file:x.tgz")),
        ] {
            let named = Named::parse(text);
            assert_eq!(
                (named.alias, named.specifier.as_deref()),
                (alias, specifier),
                "{text}"
            );
        }
    }
}
