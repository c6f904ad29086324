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

use crate::packument::Form;

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
