//! The store's directory: its version file, its sub-directories, its default place.
//!
//! ```text
//! <store>/
//!   meta.json               format, version and features
//!   packs/<2 hex>/<62 hex>  one pack each, mode 0444
//!   tmp/                    packs that are being written
//!   index.db (-wal, -shm)   the index, see `index`
//!   index.lock, lock        advisory locks
//! ```

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::lock;
use super::write::{TemporaryFile, make_directories};

/// What the index is made of. A log without its database would be taken for that of the next one.
const INDEX: [&str; 3] = ["index.db", "index.db-wal", "index.db-shm"];
const FORMAT: &str = "pacquet-store";
const VERSION: u32 = 1;
/// Largest version file that is read.
const META_BYTES_MAX: u64 = 64 << 10;
/// Features that this version knows. There are none yet; the lists are for those to come.
const KNOWN_FEATURES: [&str; 0] = [];

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    format: String,
    version: u32,
    /// Whoever does not know one of these must not use the store.
    #[serde(default)]
    incompatible: Vec<String>,
    /// Whoever does not know one of these may only read.
    #[serde(default)]
    read_only_compatible: Vec<String>,
    /// These concern nobody who does not know them.
    #[serde(default)]
    compatible: Vec<String>,
}

/// What the version file allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permitted {
    /// Everything.
    Write,
    /// Only reading, because of a feature that this version does not know.
    Read,
}

/// Makes the directories and the version file where they are missing.
///
/// The version file comes first: who finds `packs` without it, finds no store.
pub(crate) fn create(root: &Path) -> Result<Permitted, StoreError> {
    let permitted = match check(root) {
        Ok(permitted) => permitted,
        Err(Missing::Meta) => {
            make_directories(root)?;
            let has_index = INDEX.iter().any(|name| root.join(name).exists());
            match has_index {
                true => replace_index(root)?,
                false => write_meta(root)?,
            }
            Permitted::Write
        }
        Err(Missing::Refused(error)) => return Err(error),
    };
    if permitted == Permitted::Write {
        for directory in ["packs", "tmp"] {
            let directory = root.join(directory);
            if !directory.is_dir() {
                make_directories(&directory)?;
            }
        }
    }
    Ok(permitted)
}

/// Reads the version file of a store that must be there.
pub(crate) fn open(root: &Path) -> Result<Permitted, StoreError> {
    check(root).map_err(|missing| match missing {
        Missing::Refused(error) => error,
        Missing::Meta => {
            let path = root.join("meta.json");
            StoreError::io("find the store's", path)(io::ErrorKind::NotFound.into())
        }
    })
}

enum Missing {
    /// There is no store here, and nothing that looks like one.
    Meta,
    /// There is something, but it cannot be used.
    Refused(StoreError),
}

impl From<StoreError> for Missing {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

fn check(root: &Path) -> Result<Permitted, Missing> {
    if let Some(meta) = read_meta(root)? {
        return Ok(permitted(root, &meta)?);
    }
    if !has_packs(root)? {
        return Err(Missing::Meta);
    }
    // Another process may be making the store: it writes the version file before anything else.
    match read_meta(root)? {
        Some(meta) => Ok(permitted(root, &meta)?),
        None => Err(StoreError::incompatible(root, "it has packs but no meta.json").into()),
    }
}

/// Whether there is anything in the directory of packs. Where there is nothing, what else is there
/// was left by a removal that did not come to its end, or that something wrote into meanwhile.
fn has_packs(root: &Path) -> Result<bool, StoreError> {
    let mut open = vec![root.join("packs")];
    while let Some(directory) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(true),
            Err(error) => return Err(StoreError::io("read", &directory)(error)),
        };
        for entry in entries {
            let failed = StoreError::io("read", &directory);
            let entry = entry.map_err(failed)?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => return Ok(true),
            }
        }
    }
    Ok(false)
}

/// Takes an index that no store has any more out of the way, because all that it names is gone, and
/// makes the version file. Who finds such an index waits for others who did: none of them may take
/// the next store's index for it.
fn replace_index(root: &Path) -> Result<(), StoreError> {
    let _lock = lock::exclusive(&root.join("index.lock"))?;
    if read_meta(root)?.is_some() {
        return Ok(());
    }
    for name in INDEX {
        let path = root.join(name);
        match std::fs::rename(&path, root.join(format!("{name}.left"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("move the index aside", &path)(error));
            }
            _ => {}
        }
    }
    write_meta(root)
}

fn read_meta(root: &Path) -> Result<Option<Meta>, StoreError> {
    let path = root.join("meta.json");
    let bytes = match std::fs::metadata(&path) {
        Ok(attributes) if attributes.len() > META_BYTES_MAX => {
            return Err(StoreError::incompatible(root, "its meta.json is too large"));
        }
        Ok(_) => std::fs::read(&path).map_err(StoreError::io("read", &path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| StoreError::incompatible(root, format!("its meta.json: {error}")))
}

fn permitted(root: &Path, meta: &Meta) -> Result<Permitted, StoreError> {
    let refuse = |reason: String| Err(StoreError::incompatible(root, reason));
    if meta.format != FORMAT {
        return refuse(format!("its format is {:?}", meta.format));
    }
    if meta.version != VERSION {
        return refuse(format!("its version is {}", meta.version));
    }
    let unknown = |feature: &&String| !KNOWN_FEATURES.contains(&feature.as_str());
    if let Some(feature) = meta.incompatible.iter().find(unknown) {
        return refuse(format!("it needs the unknown feature {feature:?}"));
    }
    if meta
        .read_only_compatible
        .iter()
        .any(|feature| unknown(&feature))
    {
        return Ok(Permitted::Read);
    }
    Ok(Permitted::Write)
}

fn write_meta(root: &Path) -> Result<(), StoreError> {
    let meta = Meta {
        format: FORMAT.to_owned(),
        version: VERSION,
        incompatible: Vec::new(),
        read_only_compatible: Vec::new(),
        compatible: Vec::new(),
    };
    let text = serde_json::to_string_pretty(&meta).expect("invariant: the version file is JSON");
    // Two processes may do this at once, with the same result.
    make_directories(&root.join("tmp"))?;
    let mut file = TemporaryFile::create(root)?;
    file.append(&mut [IoSlice::new(text.as_bytes())])?;
    file.publish_at(&root.join("meta.json"))
}

/// Where the store is when nothing says otherwise, from the values of `XDG_DATA_HOME` and `HOME`:
/// `<data home>/pacquet/store/v1`. `None` without either. Relative values are passed over, as the
/// XDG specification wants.
pub fn default_path(data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    let absolute = |path: Option<&Path>| path.filter(|path| path.is_absolute()).map(PathBuf::from);
    let base = absolute(data_home).or_else(|| Some(absolute(home)?.join(".local/share")))?;
    Some(base.join("pacquet/store/v1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_meta(text: &str) -> Result<Permitted, StoreError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("meta.json"), text).unwrap();
        open(directory.path())
    }

    #[test]
    fn a_store_of_another_version_or_with_unknown_features_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"format":"other","version":1}"#,
            r#"{"format":"pacquet-store","version":0}"#,
            r#"{"format":"pacquet-store","version":2}"#,
            r#"{"format":"pacquet-store","version":1,"incompatible":["zstd"]}"#,
        ] {
            assert!(
                matches!(with_meta(text), Err(StoreError::Incompatible { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_read_only_compatible_feature_allows_reading_alone() {
        let meta = |list: &str| {
            with_meta(&format!(
                r#"{{"format":"pacquet-store","version":1,"{list}":["x"]}}"#
            ))
        };
        assert_eq!(meta("readOnlyCompatible").unwrap(), Permitted::Read);
        assert_eq!(meta("compatible").unwrap(), Permitted::Write);
    }

    #[test]
    fn packs_without_a_version_file_are_no_store() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("packs/ab")).unwrap();
        std::fs::write(directory.path().join("packs/ab/cd"), "").unwrap();
        for result in [open(directory.path()), create(directory.path())] {
            assert!(matches!(result, Err(StoreError::Incompatible { .. })));
        }
    }

    #[test]
    fn what_a_removal_left_is_no_obstacle_and_its_index_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("packs/ab")).unwrap();
        std::fs::write(path("index.db"), "rows").unwrap();
        std::fs::write(path("index.db-wal"), "more").unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::Io { .. })));
        assert!(path("index.db").exists());
        assert_eq!(create(directory.path()).unwrap(), Permitted::Write);
        assert!(path("meta.json").exists());
        assert!(!path("index.db").exists() && !path("index.db-wal").exists());
        assert_eq!(std::fs::read(path("index.db.left")).unwrap(), b"rows");
    }

    #[test]
    fn the_default_place_follows_the_xdg_specification() {
        let path = |data: Option<&str>, home: Option<&str>| {
            default_path(data.map(Path::new), home.map(Path::new))
                .map(|path| path.to_string_lossy().into_owned())
        };
        let home = "/h/.local/share/pacquet/store/v1";
        assert_eq!(path(None, Some("/h")).as_deref(), Some(home));
        assert_eq!(path(Some("rel"), Some("/h")).as_deref(), Some(home));
        assert_eq!(path(Some(""), Some("/h")).as_deref(), Some(home));
        assert_eq!(
            path(Some("/d"), None).as_deref(),
            Some("/d/pacquet/store/v1")
        );
        assert_eq!(path(None, None), None);
        assert_eq!(path(None, Some("h")), None);
    }
}
