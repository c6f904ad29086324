//! What a recording is on disk.
//!
//! ```text
//! DIR/recording.json            which tarball is where, and which packages have packuments
//! DIR/tarballs/<sha256>.tgz     tarballs, named by their content
//! DIR/packuments/<name>.full.json, <name>.abbreviated.json
//! DIR/served/<port>/…           packuments as served from that port, made by the replay
//! ```
//!
//! A scope's slash is written `+` in file names. In packuments, `dist.tarball` begins with
//! [`PLACEHOLDER`], which the replay changes to its own address.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::integrity;
use crate::package::{Built, Package};
use crate::packument::{Form, abbreviate};

/// Stands for the replay's address in recorded packuments. The name can never resolve.
pub const PLACEHOLDER: &str = "http://recording.invalid";

/// One recorded tarball.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Tarball {
    /// Where it is served: `/@s/name/-/name-1.0.0.tgz`.
    pub path: String,
    /// Its file below `tarballs/`.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The integrity that its lockfile gave.
    pub integrity: String,
}

/// The index of a recording.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Index {
    /// `name@version` to its tarball.
    pub tarballs: BTreeMap<String, Tarball>,
    /// Names of packages whose packuments are recorded.
    pub packuments: BTreeMap<String, PackumentFiles>,
}

/// Which forms of a packument are recorded, and as of when.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct PackumentFiles {
    /// Versions published later were left out (ISO 8601).
    pub before: Option<String>,
    /// How many versions it has.
    pub versions: usize,
}

impl Index {
    /// Reads the index of a recording; an empty one if there is none yet.
    pub fn read(directory: &Path) -> io::Result<Self> {
        match fs::read(directory.join("recording.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the index on disk.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("recording.json.new");
        fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        fs::rename(temporary, directory.join("recording.json"))
    }
}

/// Makes a recording of packages that were made on the fly, as if a registry had served them.
pub fn write_packages(directory: &Path, packages: &[Package]) -> io::Result<()> {
    for folder in ["tarballs", "packuments"] {
        fs::create_dir_all(directory.join(folder))?;
    }
    let mut index = Index::default();
    let mut by_name: BTreeMap<String, Vec<Built>> = BTreeMap::new();
    for package in packages {
        let built = package.build();
        by_name.entry(built.name.clone()).or_default().push(built);
    }
    for (name, versions) in &by_name {
        for built in versions {
            let file = format!("{}.tgz", integrity::sha256_hexadecimal(&built.tarball));
            fs::write(directory.join("tarballs").join(&file), &built.tarball)?;
            let tarball = Tarball {
                path: built.tarball_path(),
                file,
                bytes: built.tarball.len() as u64,
                integrity: built.integrity.clone(),
            };
            index
                .tarballs
                .insert(format!("{name}@{}", built.version), tarball);
        }
        let full = packument(name, versions);
        let short = abbreviate(&full);
        for (form, value) in [(Form::Full, full), (Form::Abbreviated, short)] {
            fs::write(packument_path(directory, name, form), value.to_string())?;
        }
        let files = PackumentFiles {
            before: None,
            versions: versions.len(),
        };
        index.packuments.insert(name.clone(), files);
    }
    index.write(directory)
}

/// The full packument of a package; its last version is the latest.
fn packument(name: &str, versions: &[Built]) -> Value {
    let mut entries = Map::new();
    let mut times = Map::new();
    for built in versions {
        let mut entry = built.packument_entry.clone();
        entry["dist"]["tarball"] = json!(format!("{PLACEHOLDER}{}", built.tarball_path()));
        entries.insert(built.version.clone(), entry);
        times.insert(built.version.clone(), json!(built.time));
    }
    let latest = versions.last().map(|built| built.version.clone());
    times.insert(
        "modified".to_owned(),
        json!(versions.last().map(|built| &built.time)),
    );
    json!({
        "_id": name,
        "name": name,
        "dist-tags": {"latest": latest},
        "versions": entries,
        "time": times,
    })
}

/// The file of a packument: `packuments/@s+name.full.json`.
pub fn packument_path(directory: &Path, name: &str, form: Form) -> PathBuf {
    directory
        .join("packuments")
        .join(packument_file_name(name, form))
}

/// The file name of a packument: `@s+name.full.json`.
pub fn packument_file_name(name: &str, form: Form) -> String {
    let form = match form {
        Form::Full => "full",
        Form::Abbreviated => "abbreviated",
    };
    format!("{}.{form}.json", name.replace('/', "+"))
}

/// The file of a tarball.
pub fn tarball_file(directory: &Path, tarball: &Tarball) -> PathBuf {
    directory.join("tarballs").join(&tarball.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_packages_become_a_recording() {
        let directory = tempfile::tempdir().unwrap();
        let packages = [Package::new("@s/a", "1.0.0"), Package::new("@s/a", "1.1.0")];
        write_packages(directory.path(), &packages).unwrap();
        let index = Index::read(directory.path()).unwrap();
        assert_eq!(index.packuments["@s/a"].versions, 2);
        let tarball = &index.tarballs["@s/a@1.1.0"];
        let bytes = fs::read(tarball_file(directory.path(), tarball)).unwrap();
        assert_eq!(integrity::sha512(&bytes), tarball.integrity);
        let path = packument_path(directory.path(), "@s/a", Form::Abbreviated);
        let packument: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(packument["dist-tags"]["latest"], "1.1.0");
        let address = packument["versions"]["1.0.0"]["dist"]["tarball"].as_str();
        assert_eq!(
            address.unwrap(),
            format!("{PLACEHOLDER}/@s/a/-/a-1.0.0.tgz")
        );
    }

    #[test]
    fn an_index_survives_being_written() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Index::read(directory.path()).unwrap(), Index::default());
        let mut index = Index::default();
        index
            .packuments
            .insert("@s/name".into(), PackumentFiles::default());
        index.write(directory.path()).unwrap();
        assert_eq!(Index::read(directory.path()).unwrap(), index);
        let path = packument_path(Path::new("r"), "@s/name", Form::Full);
        assert_eq!(path, Path::new("r/packuments/@s+name.full.json"));
    }
}
