//! `configDependencies`: packages that configuration is made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::value::{Origin, Refusal, Setting, Written, object};
use crate::lexical;
use crate::name::PackageName;

/// The directory of `node_modules` in which programs find them.
pub const CONFIG_PACKAGES_NAME: &str = ".pnpm-config";

/// `configDependencies`, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredPackages(pub IndexMap<String, DeclaredPackage>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredPackage {
    /// The version or range.
    pub specifier: String,
    /// The digest that older versions of pnpm write behind the version.
    pub integrity: Option<String>,
    /// How it is written.
    written: Value,
}

impl DeclaredPackage {
    /// One that is declared by its specifier alone.
    pub fn new(specifier: String) -> Self {
        Self {
            written: Value::from(&*specifier),
            specifier,
            integrity: None,
        }
    }
}

impl DeclaredPackages {
    /// How they are written.
    pub fn to_json(&self) -> Value {
        let all = self.0.iter();
        let all = all.map(|(name, package)| (name.clone(), package.written.clone()));
        Value::Object(all.collect::<Map<_, _>>())
    }
}

impl Setting for DeclaredPackages {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let expected = "a map of names and versions";
        let read = |(name, written): (String, Value)| {
            let text = match &written {
                Value::String(text) => Some(&**text),
                Value::Object(map) => map.get("integrity").and_then(Value::as_str),
                _ => None,
            };
            let text = text.ok_or(Refusal::Expected(expected))?;
            let (specifier, integrity) = match text.split_once('+') {
                Some((version, digest)) if digest.contains('-') => (version, Some(digest)),
                _ => (text, None),
            };
            let package = DeclaredPackage {
                specifier: specifier.to_owned(),
                integrity: integrity.map(str::to_owned),
                written,
            };
            Ok((name, package))
        };
        let all = object(written, expected)?.into_iter().map(read);
        all.collect::<Result<_, _>>().map(Self)
    }
}

/// The packages of configuration of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigPackages {
    /// `configDependencies`.
    pub declared: DeclaredPackages,
    /// Where those are that are installed.
    pub installed: BTreeMap<PackageName, PathBuf>,
    /// The directory in which projects find them.
    pub(super) directory: PathBuf,
}

impl ConfigPackages {
    /// Whether projects find them in the `node_modules` of this directory.
    pub fn is_of(&self, directory: &Path) -> bool {
        self.directory.starts_with(directory)
    }

    /// The links by which projects find them, in [`CONFIG_PACKAGES_NAME`].
    pub fn links(&self) -> impl Iterator<Item = (&PackageName, String)> {
        self.installed.iter().map(|(name, place)| {
            let target = lexical::relative(&self.directory, place);
            (name, target.to_string_lossy().into_owned())
        })
    }

    /// Whether hooks of this package run without being named.
    fn is_plugin(name: &PackageName) -> bool {
        let name = name.as_str();
        let scoped = name.split_once('/').map(|(_, bare)| bare);
        name.starts_with("@pnpm/plugin-") || scoped.unwrap_or(name).starts_with("pnpm-plugin-")
    }

    /// The pnpmfiles that count without being named, where they are and as projects see them.
    pub fn pnpmfiles(&self) -> impl Iterator<Item = PathBuf> {
        let plugins = self.installed.iter();
        let plugins = plugins.filter(|(name, _)| Self::is_plugin(name));
        plugins.filter_map(|(name, place)| {
            let names = ["pnpmfile.mjs", "pnpmfile.cjs"];
            let found = names.into_iter().find(|file| place.join(file).exists())?;
            Some(self.directory.join(name.as_str()).join(found))
        })
    }

    /// Where a file is that projects see at `path`: that of a package of configuration is read
    /// before anything is in `node_modules`.
    pub fn located(&self, path: &Path) -> PathBuf {
        let inside = |(name, place): (&PackageName, &PathBuf)| {
            let shown = self.directory.join(name.as_str());
            path.strip_prefix(shown).ok().map(|rest| place.join(rest))
        };
        let found = self.installed.iter().find_map(inside);
        found.unwrap_or_else(|| path.to_owned())
    }
}
