//! A group of packages that were added together.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::failure::Failure;
use crate::name::{BinName, PackageName, hexadecimal};

pub(super) struct Group {
    /// The name of the symlink that leads to it.
    pub(super) digest: String,
    pub(super) directory: PathBuf,
    /// Alias and specifier of what was asked for.
    pub(super) dependencies: Vec<(String, String)>,
}

/// A package of a group.
pub(super) struct Installed {
    pub(super) alias: String,
    pub(super) directory: PathBuf,
    pub(super) manifest: Value,
}

impl Group {
    /// `None`: there is none, or nothing in it.
    pub(super) fn read(directory: &Path, digest: &str) -> Option<Self> {
        let manifest = read_json(&directory.join("package.json"))?;
        let dependencies = manifest.get("dependencies")?.as_object()?.iter();
        let dependencies: Vec<(String, String)> = dependencies
            .filter(|(alias, _)| PackageName::new(alias).is_ok())
            .filter_map(|(alias, text)| Some((alias.clone(), text.as_str()?.to_owned())))
            .collect();
        (!dependencies.is_empty()).then(|| Self {
            digest: digest.to_owned(),
            directory: directory.to_owned(),
            dependencies,
        })
    }

    pub(super) fn has(&self, alias: &str) -> bool {
        self.dependencies.iter().any(|(known, _)| known == alias)
    }

    pub(super) fn aliases(&self) -> Vec<String> {
        let aliases = self.dependencies.iter().map(|(alias, _)| alias.clone());
        aliases.collect()
    }

    /// The commands of its packages.
    pub(super) fn commands(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.directory.join("node_modules/.bin"));
        let names = entries.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| BinName::new(name).is_ok())
            .collect()
    }

    /// Whether one of its packages has the name of the command.
    pub(super) fn owns(&self, command: &str) -> bool {
        self.dependencies.iter().any(|(alias, _)| {
            let bare = alias.rsplit_once('/').map_or(&**alias, |(_, bare)| bare);
            bare == command
        })
    }

    /// Its packages, as they are installed.
    pub(super) fn installed(&self) -> Vec<Installed> {
        let installed = self.dependencies.iter().filter_map(|(alias, _)| {
            let directory = self.directory.join("node_modules").join(alias);
            Some(Installed {
                alias: alias.clone(),
                manifest: read_json(&directory.join("package.json"))?,
                directory,
            })
        });
        installed.collect()
    }
}

/// All groups.
pub(super) fn all(packages: &Path) -> Result<Vec<Group>, Failure> {
    let entries = match fs::read_dir(packages) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| cannot("read", packages, error))?,
    };
    let inside = packages.canonicalize().ok();
    let mut groups = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot("read", packages, error))?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let (Ok(digest), true) = (entry.file_name().into_string(), is_link) else {
            continue;
        };
        let directory = entry.path().canonicalize().ok();
        // What leads elsewhere is nobody's to remove.
        let directory = directory.filter(|directory| directory.parent() == inside.as_deref());
        groups.extend(directory.and_then(|directory| Group::read(&directory, &digest)));
    }
    groups.sort_by(|one, other| one.digest.cmp(&other.digest));
    Ok(groups)
}

/// A directory for a group, with a name that no other has.
pub(super) fn create(packages: &Path) -> Result<PathBuf, Failure> {
    let process = std::process::id();
    for number in 0_u32.. {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.map_or(0, |time| time.as_nanos());
        let directory = packages.join(format!("{process:x}-{time:x}-{number:x}"));
        match fs::create_dir(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("make", &directory, error)),
        }
    }
    Err(cannot(
        "make",
        packages,
        Error::from(ErrorKind::AlreadyExists),
    ))
}

/// The name of the symlink to a group: pnpm's for the same packages of the same registry.
pub(super) fn digest(aliases: &[String], registry: &str) -> String {
    let mut aliases = aliases.to_vec();
    aliases.sort();
    let text = json!([aliases, [["default", registry]]]).to_string();
    hexadecimal(&Sha256::digest(text))
}

/// Makes `place` lead to `target`, whatever it was before.
pub(super) fn link(target: &Path, place: &Path) -> Result<(), Failure> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let beside = place.with_file_name(format!(".{name}-{}", std::process::id()));
    remove_link(&beside)?;
    symlink(target, &beside)
        .and_then(|()| fs::rename(&beside, place))
        .map_err(|error| cannot("write", place, error))
}

pub(super) fn remove_link(place: &Path) -> Result<(), Failure> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("remove", place, error)),
        _ => Ok(()),
    }
}

pub(super) fn cannot(what: &str, path: &Path, error: Error) -> Failure {
    let sentence = format!("Cannot {what} {}", path.display());
    Failure::io("ERR_PACQUET_GLOBAL", &sentence, error)
}

fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
