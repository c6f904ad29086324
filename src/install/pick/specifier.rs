//! Specifiers: what stands beside a name in `dependencies`.

use std::collections::BTreeMap;

use super::selector::Selector;
use crate::install::registry::Url;
use crate::name::PackageName;

/// Which registry a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChoice {
    /// The one that is configured for its name.
    Configured,
    /// The one that `jsr:` stands for.
    Jsr {
        /// The name at JSR: `@scope/name`.
        name: Box<str>,
    },
    /// One with a prefix of its own (`gh:`, or of `namedRegistries`).
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
}

/// `workspace:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceSpecifier {
    /// `workspace:*`, `^`, `~`, a range or a version; `workspace:name@…` with another name than
    /// the alias.
    Range {
        /// The project's name where it is not the alias.
        name: Option<PackageName>,
        /// `*`, `^`, `~`, a range or a version, as written.
        range: Box<str>,
    },
    /// `workspace:./path`, relative to the project.
    Path(Box<str>),
}

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// A directory that becomes a symlink (`link:`).
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
    /// The path as written, without the protocol; relative to the project.
    pub path: Box<str>,
}

/// A code host with archives of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitHost {
    /// `github:`.
    GitHub,
    /// `gitlab:`.
    GitLab,
    /// `bitbucket:`.
    Bitbucket,
}

/// Which commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitReference {
    /// The head of the default branch.
    Head,
    /// A commit, branch or tag.
    Name(Box<str>),
    /// The highest tag of a range (`semver:…`).
    Range(Box<str>),
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSpecifier {
    /// The address to fetch from.
    pub url: Box<str>,
    /// Host, user and project, where it is one that has archives.
    pub hosted: Option<(GitHost, Box<str>, Box<str>)>,
    /// Which commit.
    pub reference: GitReference,
    /// `&path:…`: the directory of the package.
    pub path: Option<Box<str>>,
}

/// What a dependency asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Specifier {
    /// `catalog:` (which is `default`) or `catalog:name`.
    Catalog(Box<str>),
    /// `workspace:`.
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
#[derive(Debug, Clone, Default)]
pub struct SpecifierContext {
    /// `tag`: what an empty version means; `latest` where nobody says otherwise.
    pub default_tag: Box<str>,
    /// Prefixes of named registries, without colons, and their addresses.
    pub named_registries: BTreeMap<Box<str>, Url>,
}

/// Why a specifier is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecifierError {
    /// Nothing knows its form.
    #[error("{alias}@{text} isn't supported by any available resolver.")]
    Unsupported {
        /// The alias.
        alias: String,
        /// The specifier.
        text: String,
    },
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
        let _ = context;
        Err(SpecifierError::Unsupported {
            alias: alias
                .map(|alias| alias.as_str().to_owned())
                .unwrap_or_default(),
            text: text.to_owned(),
        })
    }
}
