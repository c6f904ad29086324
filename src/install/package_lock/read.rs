//! Reading `package-lock.json` and `npm-shrinkwrap.json`, versions 2 and 3.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::error::PackageLockError;
use super::json;
use super::location::{Base, Location};
use crate::install::lockfile::Platforms;
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::name::PackageName;

/// A lockfile of npm.
#[derive(Debug, Clone, Default)]
pub struct PackageLock {
    /// `name` of the project.
    pub name: Option<Box<str>>,
    /// `version` of the project.
    pub version: Option<Box<str>>,
    /// The project, as it was locked.
    pub root: Entry,
    /// Everything else of `packages`, by location, in the order of the file.
    pub entries: IndexMap<Box<str>, Entry>,
}

/// An entry of `packages`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// Where.
    pub location: Option<Location>,
    /// `name`, where it differs from that of the location.
    pub name: Option<PackageName>,
    /// `version`.
    pub version: Option<Box<str>>,
    /// `resolved`.
    pub resolved: Option<Box<str>>,
    /// `integrity`.
    pub integrity: Option<Box<str>>,
    /// `link`: a symlink to the location `resolved`.
    pub is_link: bool,
    /// `inBundle`.
    pub in_bundle: bool,
    /// Whether it has `bundleDependencies`.
    pub bundles: bool,
    /// `dev`, `optional`, `devOptional`, `peer`, `extraneous`.
    pub flags: Flags,
    /// What it depends on; optional dependencies are in `optional_dependencies` alone.
    pub dependencies: BTreeMap<PackageName, Box<str>>,
    /// `optionalDependencies`.
    pub optional_dependencies: BTreeMap<PackageName, Box<str>>,
    /// `peerDependencies`.
    pub peer_dependencies: BTreeMap<PackageName, Box<str>>,
    /// Those of them that are optional.
    pub optional_peers: Vec<PackageName>,
    /// `devDependencies`, which only projects have.
    pub dev_dependencies: BTreeMap<PackageName, Box<str>>,
    /// `os`, `cpu`, `libc`.
    pub platforms: Platforms,
    /// `engines`.
    pub engines: BTreeMap<Box<str>, Box<str>>,
    /// Names of `bin`.
    pub bins: Vec<Box<str>>,
    /// `deprecated`.
    pub deprecated: Option<Box<str>>,
    /// Everything, as it stood.
    pub fields: Map<String, Value>,
}

/// What a package is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Only development needs it.
    pub dev: bool,
    /// Only optional dependencies need it.
    pub optional: bool,
    /// Development or optional dependencies need it.
    pub dev_optional: bool,
    /// Only peers need it.
    pub peer: bool,
    /// Nobody needs it.
    pub extraneous: bool,
}

impl PackageLock {
    /// Reads the text of a lockfile.
    ///
    /// # Errors
    /// It is no such lockfile, its version is another, or something in it cannot be trusted.
    pub fn read(text: &str) -> Result<Self, PackageLockError> {
        Self::of_json(text, true)
    }

    /// Reads `node_modules/.package-lock.json`, which has no entry of the project.
    ///
    /// # Errors
    /// As [`PackageLock::read`].
    pub fn read_hidden(text: &str) -> Result<Self, PackageLockError> {
        Self::of_json(text, false)
    }

    fn of_json(text: &str, has_root: bool) -> Result<Self, PackageLockError> {
        if text.len() as u64 > LOCKFILE_BYTES_MAX {
            return Err(PackageLockError::TooLarge);
        }
        let mut top = json::object(text)?;
        match top.get("lockfileVersion").and_then(Value::as_u64) {
            Some(2 | 3) => {}
            Some(1) | None if !top.contains_key("packages") => {
                return Err(PackageLockError::VersionOne);
            }
            version => {
                return Err(PackageLockError::Version {
                    version: version.map_or_else(|| "none".to_owned(), |text| text.to_string()),
                });
            }
        }
        let packages = match top.remove("packages") {
            Some(Value::Object(packages)) => packages,
            _ => return Err(PackageLockError::shape("packages", "an object")),
        };
        let text_of = |field: &str| top.get(field).and_then(Value::as_str).map(Into::into);
        let mut lock = Self {
            name: text_of("name"),
            version: text_of("version"),
            ..Self::default()
        };
        let mut found_root = false;
        for (key, value) in packages {
            let Value::Object(fields) = value else {
                return Err(PackageLockError::shape(&key, "an object"));
            };
            let location = Location::parse(&key).map_err(|source| PackageLockError::Location {
                location: key.clone(),
                source,
            })?;
            let entry = Entry::read(&key, location, fields)?;
            if key.is_empty() {
                found_root = true;
                lock.root = entry;
            } else {
                lock.entries.insert(key.into(), entry);
            }
        }
        if has_root && !found_root {
            return Err(PackageLockError::shape("packages[\"\"]", "the project"));
        }
        lock.check()?;
        Ok(lock)
    }

    /// The entry at `location`; the empty one is the project.
    pub fn get(&self, location: &str) -> Option<&Entry> {
        match location {
            "" => Some(&self.root),
            location => self.entries.get(location),
        }
    }

    /// Every place must be reachable through directories of the tree, and nothing may be written
    /// through a link.
    fn check(&self) -> Result<(), PackageLockError> {
        for (key, entry) in &self.entries {
            let refuse = |why| {
                let location = key.to_string();
                Err(PackageLockError::Misplaced { location, why })
            };
            let Some(location) = &entry.location else {
                continue;
            };
            if entry.is_link {
                self.check_link(key, entry)?;
            }
            let Some(parent) = location.parent() else {
                if entry.is_link {
                    return refuse("it is a link outside of every node_modules");
                }
                continue;
            };
            match self.get(parent) {
                Some(parent) if parent.is_link => return refuse("it is below a link"),
                Some(_) => {}
                None => return refuse("what it is below is not in the lockfile"),
            }
            if let Base::Outside(_) = location.base() {
                return refuse("it is outside of the project");
            }
        }
        Ok(())
    }

    fn check_link(&self, key: &str, entry: &Entry) -> Result<(), PackageLockError> {
        let target = entry.resolved.as_deref().unwrap_or_default();
        let is_usable = Location::parse(target).is_ok();
        match self.get(target) {
            Some(target) if is_usable && !target.is_link => Ok(()),
            _ => Err(PackageLockError::LinkTarget {
                location: key.to_owned(),
                target: target.to_owned(),
            }),
        }
    }
}

impl Entry {
    fn read(
        key: &str,
        location: Location,
        fields: Map<String, Value>,
    ) -> Result<Self, PackageLockError> {
        let reader = FieldReader {
            key,
            fields: &fields,
        };
        let name = match reader.text("name")? {
            Some(text) if !key.is_empty() && location.depth() > 0 => Some(
                PackageName::new(text).map_err(|source| PackageLockError::Name {
                    location: key.to_owned(),
                    name: text.to_owned(),
                    source,
                })?,
            ),
            Some(text) => PackageName::new(text).ok(),
            None => None,
        };
        let mut dependencies = reader.dependencies("dependencies")?;
        let optional_dependencies = reader.dependencies("optionalDependencies")?;
        dependencies.retain(|alias, _| !optional_dependencies.contains_key(alias));
        let optional_peers = fields
            .get("peerDependenciesMeta")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(_, meta)| meta["optional"] == Value::Bool(true))
            .filter_map(|(name, _)| PackageName::new(name).ok())
            .collect();
        let entry = Self {
            name,
            version: reader.text("version")?.map(Into::into),
            resolved: reader.text("resolved")?.map(Into::into),
            integrity: reader.text("integrity")?.map(Into::into),
            is_link: reader.flag("link"),
            in_bundle: reader.flag("inBundle"),
            bundles: bundles(&fields),
            flags: Flags {
                dev: reader.flag("dev"),
                optional: reader.flag("optional"),
                dev_optional: reader.flag("devOptional"),
                peer: reader.flag("peer"),
                extraneous: reader.flag("extraneous"),
            },
            dependencies,
            optional_dependencies,
            peer_dependencies: reader.dependencies("peerDependencies")?,
            optional_peers,
            dev_dependencies: reader.dependencies("devDependencies")?,
            platforms: Platforms {
                os: reader.list("os"),
                cpu: reader.list("cpu"),
                libc: reader.list("libc"),
                ..Platforms::default()
            },
            engines: reader.engines(),
            bins: bins(&fields, &location),
            deprecated: reader.text("deprecated").ok().flatten().map(Into::into),
            location: Some(location),
            fields: Map::new(),
        };
        Ok(Self { fields, ..entry })
    }

    /// The name of the package: its own, or that of its place.
    pub fn package_name(&self) -> Option<&PackageName> {
        let of_place = || self.location.as_ref()?.name();
        self.name.as_ref().or_else(of_place)
    }
}

/// `bundleDependencies`: a list, or `true` for all.
fn bundles(fields: &Map<String, Value>) -> bool {
    match fields.get("bundleDependencies") {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Bool(all)) => *all,
        _ => false,
    }
}

fn bins(fields: &Map<String, Value>, location: &Location) -> Vec<Box<str>> {
    let bare = |name: &str| name.rsplit('/').next().unwrap_or(name).into();
    match fields.get("bin") {
        Some(Value::Object(bins)) => bins.keys().map(|name| bare(name)).collect(),
        Some(Value::String(_)) => {
            let name = fields.get("name").and_then(Value::as_str);
            let name = name.or_else(|| location.name().map(PackageName::as_str));
            name.map(bare).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

struct FieldReader<'f> {
    key: &'f str,
    fields: &'f Map<String, Value>,
}

impl<'f> FieldReader<'f> {
    fn text(&self, field: &str) -> Result<Option<&'f str>, PackageLockError> {
        match self.fields.get(field) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.shape(field, "text")),
        }
    }

    fn flag(&self, field: &str) -> bool {
        self.fields.get(field) == Some(&Value::Bool(true))
    }

    fn list(&self, field: &str) -> Option<Vec<Box<str>>> {
        match self.fields.get(field)? {
            Value::String(text) => Some(vec![text.as_str().into()]),
            Value::Array(list) => {
                let texts = list.iter().filter_map(Value::as_str);
                Some(texts.map(Into::into).collect())
            }
            _ => None,
        }
    }

    fn engines(&self) -> BTreeMap<Box<str>, Box<str>> {
        let engines = self.fields.get("engines").and_then(Value::as_object);
        let texts = engines.into_iter().flatten();
        texts
            .filter_map(|(name, range)| Some((name.as_str().into(), range.as_str()?.into())))
            .collect()
    }

    fn dependencies(
        &self,
        field: &str,
    ) -> Result<BTreeMap<PackageName, Box<str>>, PackageLockError> {
        let map = match self.fields.get(field) {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.shape(field, "an object")),
        };
        let mut dependencies = BTreeMap::new();
        for (name, range) in map {
            let Some(range) = range.as_str() else {
                return Err(self.shape(&format!("{field}.{name}"), "text"));
            };
            let alias = PackageName::new(name).map_err(|source| PackageLockError::Name {
                location: self.key.to_owned(),
                name: name.clone(),
                source,
            })?;
            dependencies.insert(alias, range.into());
        }
        Ok(dependencies)
    }

    fn shape(&self, field: &str, expected: &'static str) -> PackageLockError {
        PackageLockError::shape(&format!("{}.{field}", self.key), expected)
    }
}
