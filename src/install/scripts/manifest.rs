//! What scripts need of a `package.json`, as it stands.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::install::manifest::ManifestError;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::sys;

/// How native code is built that has no script.
const NATIVE: &str = "node-gyp rebuild";

/// A manifest, its scripts, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptManifest {
    directory: PathBuf,
    fields: Map<String, Value>,
}

impl ScriptManifest {
    /// Reads `package.json` of `directory`, which is absolute; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read or is no JSON object.
    pub fn read(directory: &Path) -> Result<Option<Self>, ManifestError> {
        let path = directory.join("package.json");
        let file = match sys::file::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let mut bytes = Vec::new();
        let read = file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes);
        if let Err(source) = read {
            return Err(ManifestError::Read { path, source });
        }
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { path });
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(Some(Self {
                directory: directory.to_owned(),
                fields,
            })),
            Ok(_) => Err(ManifestError::Field {
                path,
                field: "package.json".to_owned(),
                expected: "an object",
            }),
            Err(source) => Err(ManifestError::Json { path, source }),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// `name`.
    pub fn name(&self) -> Option<&str> {
        self.fields.get("name")?.as_str()
    }

    /// The script `name`, where there is one that is not empty.
    pub fn script(&self, name: &str) -> Option<&str> {
        let script = self.fields.get("scripts")?.get(name)?.as_str()?;
        (!script.is_empty()).then_some(script)
    }

    /// What the stage `name` of an install runs: its script, or for native code without one what
    /// builds that, unless the manifest says that nothing does (`gypfile: false`: what was built
    /// is in the package already).
    pub fn stage(&self, name: &str) -> Option<&str> {
        let is_native = || {
            name == "install"
                && self.script("preinstall").is_none()
                && self.fields.get("gypfile") != Some(&Value::Bool(false))
                && self.directory.join("binding.gyp").exists()
        };
        self.script(name).or_else(|| is_native().then_some(NATIVE))
    }

    /// All scripts, in the order of the file.
    pub fn scripts(&self) -> impl Iterator<Item = (&str, &str)> {
        let scripts = self.fields.get("scripts").and_then(Value::as_object);
        let entries = scripts.into_iter().flatten();
        entries.filter_map(|(name, script)| Some((name.as_str(), script.as_str()?)))
    }
}
