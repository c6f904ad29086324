//! Specifiers: what stands beside a name in `dependencies`.
//!
//! A specifier belongs to the first form that takes it, in pnpm's order: catalog, workspace,
//! registry (versions, ranges, tags, `npm:`, `jsr:`), repositories, addresses of archives, paths
//! with a protocol, runtimes, named registries, bare paths.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::git::GitSpecifier;
use super::selector::Selector;
use crate::diagnostic::Diagnostic;
use crate::install::registry::{Url, printable_text};
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};

/// Which registry a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChoice {
    /// The one that is configured for its name.
    Configured,
    /// As [`RegistryChoice::Configured`], for a package of JSR, whose name there is another.
    Jsr {
        /// The name at JSR: `@scope/name`.
        name: PackageName,
    },
    /// One with a prefix of its own (`namedRegistries`).
    Named {
        /// The prefix without the colon.
        prefix: Box<str>,
    },
}

/// A version of a package of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySpecifier {
    /// The name in the registry; the alias may be another.
    pub name: PackageName,
    /// Which version.
    pub selector: Selector,
    /// Which registry.
    pub registry: RegistryChoice,
    /// The specifier, where it is an address of the registry's own: it stays as it is.
    pub address: Option<Box<str>>,
}

/// `workspace:` with a version of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceSpecifier {
    /// The project's name where it is not the alias.
    pub name: Option<PackageName>,
    /// What stands after the name: `*`, `^`, `~`, nothing, a range or a version.
    pub text: Box<str>,
    /// Which versions that means.
    pub selector: Selector,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// A directory that becomes a symlink (`link:`, or a path alone).
    Link,
    /// A directory whose files become a package (`file:`).
    Directory,
    /// An archive.
    Archive,
}

/// A path of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSpecifier {
    /// What it stands for.
    pub kind: LocalKind,
    /// The path without the protocol: relative to the project, absolute, or below `~/`.
    pub path: Box<str>,
    /// Whether `link:` or `file:` stands in front; without, `dependenciesMeta.*.injected` makes a
    /// package of a directory.
    pub has_protocol: bool,
}

/// What a dependency asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Specifier {
    /// `catalog:` (which is `default`) or `catalog:name`.
    Catalog(Box<str>),
    /// `workspace:` with a version.
    Workspace(WorkspaceSpecifier),
    /// A version of a registry's package.
    Registry(RegistrySpecifier),
    /// A repository.
    Git(GitSpecifier),
    /// The address of an archive.
    Tarball(Url),
    /// A path.
    Local(LocalSpecifier),
    /// `runtime:` with a version, for the alias `node`, `deno` or `bun`.
    Runtime(Box<str>),
}

/// What the meaning of a specifier depends on.
#[derive(Debug, Clone)]
pub struct SpecifierContext {
    /// `tag`: what no version means; `latest` where nobody says otherwise.
    pub default_tag: Box<str>,
    /// The registry of the package: an address of an archive below it names a version.
    pub registry: Option<Url>,
    /// Prefixes of named registries, without colons.
    pub named_registries: BTreeSet<Box<str>>,
}

impl Default for SpecifierContext {
    fn default() -> Self {
        Self {
            default_tag: "latest".into(),
            registry: None,
            named_registries: BTreeSet::new(),
        }
    }
}

/// Why a specifier is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecifierError {
    /// Nothing knows its form.
    #[error("\"{}\" isn't supported by any available resolver.", escaped(text))]
    Unsupported {
        /// `alias@specifier`, printable.
        text: String,
    },
    /// A package name in it is none.
    #[error("The package name '{}' is invalid", escaped(name))]
    Name {
        /// The name.
        name: String,
        /// pnpm's code for this form.
        code: &'static str,
    },
    /// A name of JSR without a scope.
    #[error("Package names from JSR must have a scope")]
    JsrScope,
    /// `jsr:` with a version alone, and no alias.
    #[error("JSR specifier '{}' is missing a package name", escaped(text))]
    JsrName {
        /// What stands after `jsr:`.
        text: String,
    },
    /// `path:`.
    #[error(
        "Local dependencies via `path:` protocol are not supported. Use the `link:` protocol for \
         folder dependencies and `file:` for local tarballs"
    )]
    PathProtocol,
}

impl Diagnostic for SpecifierError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER",
            Self::Name { code, .. } => code,
            Self::JsrScope => "ERR_PNPM_MISSING_JSR_PACKAGE_SCOPE",
            Self::JsrName { .. } => "ERR_PNPM_INVALID_JSR_SPECIFIER",
            Self::PathProtocol => "ERR_PNPM_PATH_IS_UNSUPPORTED_PROTOCOL",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unsupported { .. } => {
                "a dependency is asked for by a version, a range or a tag, \
                                         by `npm:`, `workspace:`, `catalog:`, `file:` or `link:`, \
                                         or by the address of an archive or a repository"
                    .to_owned()
            }
            Self::Name { .. } => {
                "correct the name: it is that of a package in a registry".to_owned()
            }
            Self::JsrScope | Self::JsrName { .. } => {
                "write `jsr:@scope/name`, with a version behind where one is meant".to_owned()
            }
            Self::PathProtocol => "write `link:` or `file:` instead".to_owned(),
        })
    }
}

impl Specifier {
    /// Reads `text`, which stands beside `alias` in a manifest, or alone on a command line.
    ///
    /// # Errors
    /// It is of no known form, or breaks the rules of its form.
    pub fn parse(
        alias: Option<&PackageName>,
        text: &str,
        context: &SpecifierContext,
    ) -> Result<Self, SpecifierError> {
        let reader = Reader {
            alias,
            text,
            context,
        };
        reader.read()
    }
}

struct Reader<'a> {
    alias: Option<&'a PackageName>,
    text: &'a str,
    context: &'a SpecifierContext,
}

impl Reader<'_> {
    fn read(&self) -> Result<Specifier, SpecifierError> {
        let text = self.text;
        if let Some(name) = text.strip_prefix("catalog:") {
            let name = name.trim();
            let name = if name.is_empty() { "default" } else { name };
            return Ok(Specifier::Catalog(name.into()));
        }
        if let Some(rest) = text.strip_prefix("workspace:")
            && !rest.starts_with('.')
        {
            return self.workspace(rest);
        }
        if let Some(rest) = text.strip_prefix("jsr:") {
            return self.jsr(rest);
        }
        if let Some(specifier) = self.registry()? {
            return Ok(specifier);
        }
        if let Some(git) = GitSpecifier::parse(text) {
            return Ok(Specifier::Git(git));
        }
        if text.starts_with("http:") || text.starts_with("https:") {
            let url = Url::parse(text).map_err(|_| self.unsupported())?;
            return Ok(Specifier::Tarball(url));
        }
        if let Some(local) = self.local_protocol()? {
            return Ok(Specifier::Local(local));
        }
        if let Some(version) = text.strip_prefix("runtime:")
            && let Some("node" | "deno" | "bun") = self.alias.map(PackageName::as_str)
        {
            return Ok(Specifier::Runtime(version.into()));
        }
        if let Some(specifier) = self.named_registry()? {
            return Ok(specifier);
        }
        match is_archive(text) || text.contains(['/', '\\']) || is_path(text) {
            true => Ok(Specifier::Local(local(text, false))),
            false => Err(self.unsupported()),
        }
    }

    fn unsupported(&self) -> SpecifierError {
        let text = printable_text(self.text);
        let text = match self.alias {
            Some(alias) if !text.is_empty() => format!("{}@{text}", alias.as_str()),
            Some(alias) => alias.as_str().to_owned(),
            None => text,
        };
        SpecifierError::Unsupported { text }
    }

    fn workspace(&self, rest: &str) -> Result<Specifier, SpecifierError> {
        let (name, text) = match split_workspace(rest) {
            (Some(name), text) => (Some(package_name(name, INVALID_NAME)?), text),
            (None, text) => (None, text),
        };
        let range = if matches!(text, "^" | "~" | "") {
            "*"
        } else {
            text
        };
        let selector = Selector::parse(range).ok_or_else(|| self.unsupported())?;
        Ok(Specifier::Workspace(WorkspaceSpecifier {
            name,
            text: text.into(),
            selector,
        }))
    }

    /// `npm:`, a version, a range, a tag, or an address of the registry's own.
    fn registry(&self) -> Result<Option<Specifier>, SpecifierError> {
        let (name, version) = match self.text.strip_prefix("npm:") {
            None if self.text.is_empty() => (self.alias.cloned(), &*self.context.default_tag),
            None => (self.alias.cloned(), self.text),
            Some(rest) => match self.alias {
                Some(alias) if Range::parse(rest).is_some() => (Some(alias.clone()), rest),
                _ => {
                    let (name, version) = split_version(rest);
                    let version = version.unwrap_or(&self.context.default_tag);
                    (Some(package_name(name, INVALID_NAME)?), version)
                }
            },
        };
        if let Some(name) = name
            && let Some(selector) = Selector::parse(version)
        {
            return Ok(Some(specifier(name, selector, RegistryChoice::Configured)));
        }
        Ok(self.own_address())
    }

    /// `https://<registry>/<name>/-/<name>-<version>.tgz`.
    fn own_address(&self) -> Option<Specifier> {
        let registry = self.context.registry.as_ref()?;
        let rest = self.text.strip_prefix(registry.as_str())?;
        let (name, file) = rest.split_once("/-/")?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let name = PackageName::new(&name).ok()?;
        let file = file.split(['?', '#']).next()?;
        let file = file.strip_suffix(".tgz").unwrap_or(file);
        let version = file.strip_prefix(name.unscoped())?.strip_prefix('-')?;
        Version::parse(version)?;
        Some(Specifier::Registry(RegistrySpecifier {
            name,
            selector: Selector::Version(version.into()),
            registry: RegistryChoice::Configured,
            address: Some(self.text.into()),
        }))
    }

    fn jsr(&self, rest: &str) -> Result<Specifier, SpecifierError> {
        let (name, version) = if rest.starts_with('@') {
            split_version(rest)
        } else if rest.contains('@') {
            return Err(SpecifierError::JsrScope);
        } else {
            let alias = self.alias.map(PackageName::as_str);
            let missing = || SpecifierError::JsrName {
                text: rest.to_owned(),
            };
            (alias.ok_or_else(missing)?, Some(rest))
        };
        if !name.starts_with('@') {
            return Err(SpecifierError::JsrScope);
        }
        let name = package_name(name, "ERR_PNPM_INVALID_JSR_PACKAGE_NAME")?;
        let scope = name.scope().unwrap_or_default();
        let folded = format!("@jsr/{scope}__{}", name.unscoped());
        let folded = package_name(&folded, "ERR_PNPM_INVALID_JSR_PACKAGE_NAME")?;
        let selector = Selector::parse(version.unwrap_or(&self.context.default_tag));
        let selector = selector.ok_or_else(|| self.unsupported())?;
        Ok(specifier(folded, selector, RegistryChoice::Jsr { name }))
    }

    fn local_protocol(&self) -> Result<Option<LocalSpecifier>, SpecifierError> {
        if self.text.starts_with("path:") {
            return Err(SpecifierError::PathProtocol);
        }
        let protocols = ["link:", "workspace:", "file:"];
        let has_protocol = protocols.iter().any(|one| self.text.starts_with(one));
        Ok(has_protocol.then(|| local(self.text, true)))
    }

    fn named_registry(&self) -> Result<Option<Specifier>, SpecifierError> {
        let Some((prefix, rest)) = self.text.split_once(':') else {
            return Ok(None);
        };
        if !self.context.named_registries.contains(prefix) {
            return Ok(None);
        }
        let scoped_alias = self.alias.filter(|alias| alias.scope().is_some());
        let (name, version) = match self.alias {
            Some(alias) if Range::parse(rest).is_some() => (alias.as_str(), Some(rest)),
            None if Range::parse(rest).is_some() => return Ok(None),
            _ if rest.starts_with('@') => split_version(rest),
            _ => match scoped_alias {
                Some(alias) => (alias.as_str(), Some(rest)),
                None => split_version(rest),
            },
        };
        let name = package_name(name, "ERR_PNPM_INVALID_NAMED_REGISTRY_PACKAGE_NAME")?;
        let selector = Selector::parse(version.unwrap_or(&self.context.default_tag));
        let registry = RegistryChoice::Named {
            prefix: prefix.into(),
        };
        Ok(selector.map(|selector| specifier(name, selector, registry)))
    }
}

const INVALID_NAME: &str = "ERR_PNPM_INVALID_PACKAGE_NAME";

fn specifier(name: PackageName, selector: Selector, registry: RegistryChoice) -> Specifier {
    Specifier::Registry(RegistrySpecifier {
        name,
        selector,
        registry,
        address: None,
    })
}

fn package_name(name: &str, code: &'static str) -> Result<PackageName, SpecifierError> {
    PackageName::new(name).map_err(|_| SpecifierError::Name {
        name: name.to_owned(),
        code,
    })
}

/// `name@version`, parted at the last `@` that is not the first letter.
fn split_version(text: &str) -> (&str, Option<&str>) {
    match text.rfind('@') {
        Some(at) if at > 0 => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    }
}

/// `name@version` or a version alone: a name begins with none of `._/`.
fn split_workspace(text: &str) -> (Option<&str>, &str) {
    let mut letters = text.chars();
    let Some(first) = letters.next().filter(|first| !"._/".contains(*first)) else {
        return (None, text);
    };
    match letters.as_str().split_once('@') {
        Some((_, version)) => {
            let end = text.len() - version.len() - 1;
            (Some(&text[..end.max(first.len_utf8())]), version)
        }
        None => (None, text),
    }
}

fn local(text: &str, has_protocol: bool) -> LocalSpecifier {
    let kind = if is_archive(text) && !text.starts_with("link:") {
        LocalKind::Archive
    } else if text.starts_with("file:") {
        LocalKind::Directory
    } else {
        LocalKind::Link
    };
    LocalSpecifier {
        kind,
        path: local_path(text).into(),
        has_protocol,
    }
}

/// The path without its protocol, and without the slashes that some write after it.
fn local_path(text: &str) -> String {
    let text = text.replace('\\', "/");
    let protocols = ["file:", "link:", "workspace:"];
    let Some(rest) = protocols.iter().find_map(|one| text.strip_prefix(one)) else {
        return text;
    };
    let bare = rest.trim_start_matches('/');
    match bare.chars().next() {
        _ if bare.len() == rest.len() => rest.to_owned(),
        Some('.' | '~') => bare.to_owned(),
        _ => format!("/{bare}"),
    }
}

fn is_archive(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [".tgz", ".tar.gz", ".tar"]
        .iter()
        .any(|end| text.ends_with(end))
}

fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/']) || text.starts_with("~/")
}

#[cfg(test)]
mod tests;
