//! `package.json` of a project.
//!
//! **Architecture Invariant:** a [`Manifest`] that exists has only valid package names as aliases
//! of its dependencies. Reading is bounded in size and depth and never panics.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::install::config::EngineReaction;
use crate::install::drafts::Drafts;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::name::{NameError, PackageName, escaped};
use crate::sys;

/// Alias → specifier, in the order of the file.
pub type DependencyMap = IndexMap<PackageName, Box<str>>;

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("No package.json was found in {}", directory.display())]
    Missing {
        /// Where it should be.
        directory: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("Cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has more than [`MANIFEST_BYTES_MAX`] bytes.
    #[error("{} has more than {MANIFEST_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not JSON, or is nested too deep.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A field has the wrong type.
    #[error("\"{}\" in {} must be {expected}", escaped(field), path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, with dots between its parts.
        field: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// A dependency's name is none.
    #[error("The dependency name \"{}\" in {field} of {} {source}", escaped(name), path.display())]
    DependencyName {
        /// The file.
        path: PathBuf,
        /// Which map.
        field: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
}

impl Diagnostic for ManifestError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "ERR_PNPM_NO_PKG_MANIFEST",
            Self::Read { .. } | Self::TooLarge { .. } => "ERR_PACQUET_MANIFEST_READ",
            Self::Write { .. } => "ERR_PACQUET_MANIFEST_WRITE",
            Self::Json { .. } => "ERR_PNPM_JSON_PARSE",
            Self::Field { .. } => "ERR_PNPM_INVALID_PACKAGE_JSON",
            Self::DependencyName { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("Run it in a project, or name one with --dir.".to_owned()),
            Self::Json { .. } => {
                Some("Correct the file at that place, and run it again.".to_owned())
            }
            Self::Field { .. } | Self::DependencyName { .. } => {
                Some("Correct that field of the file, and run it again.".to_owned())
            }
            Self::Read { .. } | Self::TooLarge { .. } => {
                Some("A package.json is a file of JSON that this user can read.".to_owned())
            }
            Self::Write { .. } => Some("Make its directory writable for this user.".to_owned()),
        }
    }
}

/// What an installer reads of a project's `package.json`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// `name`, as written.
    pub name: Option<Box<str>>,
    /// `version`, as written.
    pub version: Option<Box<str>>,
    /// `dependencies`.
    pub dependencies: DependencyMap,
    /// `devDependencies`.
    pub dev_dependencies: DependencyMap,
    /// `optionalDependencies`.
    pub optional_dependencies: DependencyMap,
    /// `peerDependencies`.
    pub peer_dependencies: DependencyMap,
    /// `dependenciesMeta`.
    pub dependencies_meta: Option<Map<String, Value>>,
    /// `peerDependenciesMeta`.
    pub peer_dependencies_meta: Option<Map<String, Value>>,
    /// `publishConfig.directory`.
    pub publish_directory: Option<Box<str>>,
    /// `publishConfig.linkDirectory`; `true` where the file does not say.
    pub link_publish_directory: bool,
    /// `scripts`; entries that are no strings are left out, as npm does.
    pub scripts: IndexMap<Box<str>, Box<str>>,
    /// `engines`; entries that are no strings are left out.
    pub engines: IndexMap<Box<str>, Box<str>>,
    /// Runtimes in `engines.runtime` and `devEngines.runtime`.
    pub runtimes: Vec<DeclaredRuntime>,
    /// `bin`, as written.
    pub bin: Option<Value>,
    /// `directories.bin`.
    pub bin_directory: Option<Box<str>>,
    /// `packageManager`.
    pub package_manager: Option<Box<str>>,
    /// `private`.
    pub private: bool,
    /// The patterns in `workspaces`.
    pub workspaces: Vec<String>,
    /// `overrides`, in which npm's lockfiles have a part.
    pub npm_overrides: Option<Value>,
}

/// Fields that declare runtimes, of dependencies and of those of development.
const RUNTIME_FIELDS: [&str; 2] = ["engines", "devEngines"];

/// A runtime that a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRuntime {
    /// `engines` or `devEngines`.
    field: &'static str,
    name: PackageName,
    version: Option<Box<str>>,
    /// `onFail: download`: it is a dependency.
    is_downloaded: bool,
}

impl DeclaredRuntime {
    fn put(&self, dependencies: &mut DependencyMap) {
        if let Some(version) = &self.version {
            let specifier = format!("runtime:{}", version.trim()).into();
            dependencies.entry(self.name.clone()).or_insert(specifier);
        }
    }
}

impl Manifest {
    /// Lets `reaction` (the setting `runtimeOnFail`) count for its runtimes.
    #[must_use]
    pub fn with_reaction(mut self, reaction: Option<EngineReaction>) -> Self {
        let Some(reaction) = reaction else {
            return self;
        };
        for runtime in &self.runtimes {
            let dependencies = match runtime.field == RUNTIME_FIELDS[0] {
                true => &mut self.dependencies,
                false => &mut self.dev_dependencies,
            };
            let specifier = dependencies.get(&runtime.name);
            let is_there = specifier.is_some_and(|text| text.starts_with("runtime:"));
            if reaction == EngineReaction::Download {
                runtime.put(dependencies);
            } else if is_there {
                dependencies.shift_remove(&runtime.name);
            }
        }
        self
    }

    /// Whether links lead to the project though it publishes another directory.
    pub fn links_project(&self) -> bool {
        self.publish_directory.is_some() && !self.link_publish_directory
    }

    /// The names of peers that it can do without.
    pub fn optional_peers(&self) -> BTreeSet<Box<str>> {
        let is_optional = |meta: &Value| meta.get("optional").and_then(Value::as_bool);
        let meta = self.peer_dependencies_meta.iter().flatten();
        let optional = meta.filter(|(_, meta)| is_optional(meta) == Some(true));
        optional.map(|(name, _)| name.as_str().into()).collect()
    }

    /// Reads `package.json` of `directory`.
    ///
    /// # Errors
    /// There is none, or it is not what [`Manifest::parse`] takes.
    pub fn read(directory: &Path) -> Result<Self, ManifestError> {
        Self::read_optional(directory)?.ok_or_else(|| ManifestError::Missing {
            directory: directory.to_path_buf(),
        })
    }

    /// As [`Manifest::read`]; `None` where there is none.
    ///
    /// # Errors
    /// It is there and is not what [`Manifest::parse`] takes.
    pub fn read_optional(directory: &Path) -> Result<Option<Self>, ManifestError> {
        let bytes = Self::read_bytes(directory)?;
        let path = directory.join("package.json");
        bytes.map(|bytes| Self::parse(&bytes, &path)).transpose()
    }

    /// The content of a manifest, whatever it is; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is too large to be a manifest.
    pub fn read_bytes(directory: &Path) -> Result<Option<Vec<u8>>, ManifestError> {
        let path = directory.join("package.json");
        let failed = |source| ManifestError::Read {
            path: path.clone(),
            source,
        };
        let file = match sys::file::open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(MANIFEST_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { path });
        }
        Ok(Some(bytes))
    }

    /// As [`Manifest::read_optional`], where it may have a draft.
    ///
    /// # Errors
    /// As [`Manifest::read_optional`].
    pub fn read_drafted(directory: &Path, drafts: &Drafts) -> Result<Option<Self>, ManifestError> {
        let path = directory.join("package.json");
        match drafts.content(&path) {
            Some(Some(content)) => Self::parse(content, &path).map(Some),
            Some(None) => Ok(None),
            None => Self::read_optional(directory),
        }
    }

    /// Reads `bytes`, the content of the file at `path` (which is only named in errors).
    ///
    /// # Errors
    /// It is not JSON of at most 128 levels, a field that matters has another type than it should,
    /// or a dependency's name is not valid. A byte-order mark is passed over.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ManifestError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes).map_err(|source| ManifestError::Json {
            path: path.to_path_buf(),
            source,
        })?;
        let Value::Object(map) = value else {
            return Err(Fields {
                map: &Map::new(),
                path,
            }
            .wrong("package.json", "an object"));
        };
        Fields { map: &map, path }.manifest()
    }

    /// The maps that an install reads, strongest first: a name in several counts in the first.
    pub fn dependency_maps(&self) -> [&DependencyMap; 3] {
        [
            &self.optional_dependencies,
            &self.dependencies,
            &self.dev_dependencies,
        ]
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn manifest(&self) -> Result<Manifest, ManifestError> {
        let publish = self.map.get("publishConfig").and_then(Value::as_object);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(Box::from);
        Ok(Manifest {
            name: self.text("name")?,
            version: self.text("version")?,
            dependencies: self.with_runtimes("dependencies", RUNTIME_FIELDS[0])?,
            dev_dependencies: self.with_runtimes("devDependencies", RUNTIME_FIELDS[1])?,
            optional_dependencies: self.dependencies("optionalDependencies")?,
            peer_dependencies: self.dependencies("peerDependencies")?,
            dependencies_meta: self.object("dependenciesMeta")?.cloned(),
            peer_dependencies_meta: self.object("peerDependenciesMeta")?.cloned(),
            publish_directory: text(publish.and_then(|map| map.get("directory"))),
            link_publish_directory: publish
                .and_then(|map| map.get("linkDirectory"))
                .and_then(Value::as_bool)
                .unwrap_or(true),
            scripts: self.texts("scripts")?,
            engines: self.texts("engines")?,
            runtimes: RUNTIME_FIELDS
                .iter()
                .flat_map(|field| self.runtimes(field))
                .collect(),
            bin: self
                .map
                .get("bin")
                .filter(|value| !value.is_null())
                .cloned(),
            bin_directory: text(self.map.get("directories").and_then(|map| map.get("bin"))),
            package_manager: text(self.map.get("packageManager")),
            private: self
                .map
                .get("private")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            workspaces: self.workspaces(),
            npm_overrides: self.map.get("overrides").cloned(),
        })
    }

    /// The dependencies of `field`, and the runtimes of `engines` that are to be downloaded, which
    /// are dependencies like others.
    fn with_runtimes(
        &self,
        field: &'static str,
        engines: &'static str,
    ) -> Result<DependencyMap, ManifestError> {
        let mut dependencies = self.dependencies(field)?;
        for runtime in self.runtimes(engines) {
            if runtime.is_downloaded {
                runtime.put(&mut dependencies);
            }
        }
        Ok(dependencies)
    }

    /// The runtimes of `engines`: one or a list of them.
    fn runtimes(&self, engines: &'static str) -> Vec<DeclaredRuntime> {
        let declared = self.map.get(engines).and_then(|map| map.get("runtime"));
        let declared = match declared {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let runtimes = declared.into_iter().filter_map(|runtime| {
            let text = |key: &str| runtime.get(key).and_then(Value::as_str);
            let name = text("name").filter(|name| matches!(*name, "node" | "deno" | "bun"))?;
            Some(DeclaredRuntime {
                field: engines,
                name: PackageName::new(name).ok()?,
                version: text("version").map(Into::into),
                is_downloaded: text("onFail") == Some("download"),
            })
        });
        runtimes.collect()
    }

    /// `workspaces`: a list of patterns, or an object that has one.
    fn workspaces(&self) -> Vec<String> {
        let field = self.map.get("workspaces");
        let list = match field {
            Some(Value::Object(map)) => map.get("packages"),
            other => other,
        };
        let patterns = list.and_then(Value::as_array).into_iter().flatten();
        patterns
            .filter_map(|pattern| pattern.as_str().map(str::to_owned))
            .collect()
    }

    fn wrong(&self, field: &str, expected: &'static str) -> ManifestError {
        ManifestError::Field {
            path: self.path.to_path_buf(),
            field: field.to_owned(),
            expected,
        }
    }

    fn text(&self, field: &str) -> Result<Option<Box<str>>, ManifestError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str().into())),
            Some(_) => Err(self.wrong(field, "a string")),
        }
    }

    fn object(&self, field: &str) -> Result<Option<&Map<String, Value>>, ManifestError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.wrong(field, "an object")),
        }
    }

    /// Old manifests have `"engines": ["node >= 0.4"]`, which npm passes over.
    fn texts(&self, field: &str) -> Result<IndexMap<Box<str>, Box<str>>, ManifestError> {
        if self.map.get(field).is_some_and(Value::is_array) {
            return Ok(IndexMap::new());
        }
        let entries = self.object(field)?.into_iter().flatten();
        Ok(entries
            .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
            .collect())
    }

    fn dependencies(&self, field: &'static str) -> Result<DependencyMap, ManifestError> {
        let mut out = DependencyMap::new();
        for (name, specifier) in self.object(field)?.into_iter().flatten() {
            let alias = PackageName::new(name).map_err(|source| {
                let path = self.path.to_path_buf();
                ManifestError::DependencyName {
                    path,
                    field,
                    name: name.clone(),
                    source,
                }
            })?;
            let specifier = specifier
                .as_str()
                .ok_or_else(|| self.wrong(&format!("{field}.{name}"), "a string"))?;
            out.insert(alias, specifier.into());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text.as_bytes(), Path::new("/p/package.json"))
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_a_code() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for (text, code) in [
            ("", "ERR_PNPM_JSON_PARSE"),
            ("{", "ERR_PNPM_JSON_PARSE"),
            ("{\"a\":1,}", "ERR_PNPM_JSON_PARSE"),
            ("\u{feff}\u{feff}{}", "ERR_PNPM_JSON_PARSE"),
            (deep.as_str(), "ERR_PNPM_JSON_PARSE"),
            ("[]", "ERR_PNPM_INVALID_PACKAGE_JSON"),
            ("\"x\"", "ERR_PNPM_INVALID_PACKAGE_JSON"),
            (r#"{"name":1}"#, "ERR_PNPM_INVALID_PACKAGE_JSON"),
            (r#"{"dependencies":["a"]}"#, "ERR_PNPM_INVALID_PACKAGE_JSON"),
            (
                r#"{"dependencies":{"a":1}}"#,
                "ERR_PNPM_INVALID_PACKAGE_JSON",
            ),
            (r#"{"scripts":"x"}"#, "ERR_PNPM_INVALID_PACKAGE_JSON"),
            (
                r#"{"dependencies":{"../a":"1"}}"#,
                "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ),
            (
                r#"{"devDependencies":{".bin":"1"}}"#,
                "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ),
            (
                r#"{"optionalDependencies":{"@a/../b":"1"}}"#,
                "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ),
            (
                r#"{"peerDependencies":{"node_modules":"1"}}"#,
                "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ),
            (
                r#"{"dependencies":{"":"1"}}"#,
                "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code(), code, "{text}: {error}");
        }
    }

    #[test]
    fn fields_are_read_in_their_order() {
        let manifest = parse(
            "\u{feff}{\"name\":\"x\",\"version\":\"1\",\
             \"dependencies\":{\"z\":\"1\",\"JSONStream\":\
             \"npm:a@1\",\"__proto__\":\"2\"},\
             \"publishConfig\":{\"directory\":\"dist\"},\
             \"engines\":[\"node >= 0.4\"],\"scripts\":{\"a\":\"b\",\"c\":1}}",
        )
        .expect("a manifest");
        let names: Vec<_> = manifest
            .dependencies
            .keys()
            .map(PackageName::as_str)
            .collect();
        assert_eq!(names, ["z", "JSONStream", "__proto__"]);
        assert_eq!(manifest.publish_directory.as_deref(), Some("dist"));
        assert_eq!(manifest.scripts.len(), 1);
        assert!(manifest.engines.is_empty());
    }

    #[test]
    fn a_missing_and_an_oversized_manifest_have_their_own_errors() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Manifest::read(directory.path()).expect_err("missing");
        assert_eq!(error.code(), "ERR_PNPM_NO_PKG_MANIFEST");
        let file = File::create(directory.path().join("package.json")).expect("created");
        file.set_len(MANIFEST_BYTES_MAX + 1).expect("grown");
        let error = Manifest::read(directory.path()).expect_err("too large");
        assert!(matches!(error, ManifestError::TooLarge { .. }));
    }

    #[test]
    fn messages_show_no_control_characters() {
        let error = parse("{\"dependencies\":{\"a\\u001b[2J\":\"1\"}}").expect_err("refused");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
