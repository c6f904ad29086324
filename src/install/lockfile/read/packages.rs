//! `packages`.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::node::Reader;
use crate::install::lockfile::yaml::{Entry, Node, Value};
use crate::install::lockfile::{LockfileError, PackageId, PackageInfo, Platforms, Resolution};
use crate::name::escaped;

type Fields = IndexMap<Box<str>, serde_json::Value>;

pub(super) fn read<'a>(
    reader: &Reader<'a>,
    node: &Node<'a>,
) -> Result<IndexMap<PackageId, PackageInfo>, LockfileError> {
    let entries = reader.mapping(node, "packages")?;
    let mut packages = IndexMap::with_capacity(entries.len());
    for entry in entries {
        let id = PackageId::new(&entry.key)
            .map_err(|source| reader.dep_path_error(entry.at, &entry.key, source))?;
        let package = read_package(reader, entry, &id)?;
        check_shape(&id, &package.resolution)?;
        packages.insert(id, package);
    }
    Ok(packages)
}

fn read_package<'a>(
    reader: &Reader<'a>,
    package: &Entry<'a>,
    id: &PackageId,
) -> Result<PackageInfo, LockfileError> {
    let fields = reader.mapping(&package.value, &package.key)?;
    let resolution = fields.iter().find(|field| field.key == "resolution");
    let resolution =
        resolution.ok_or_else(|| reader.shape(package.at, "a resolution", &package.key))?;
    let (resolution, other_of_resolution) = read_resolution(reader, resolution, id)?;
    let version = id.is_from_registry().then(|| id.version().into());
    let mut info = PackageInfo {
        name: reader.package_name(package.at, id.name_str())?,
        version,
        resolution,
        engines: BTreeMap::new(),
        platforms: Platforms::default(),
        deprecated: None,
        has_bin: false,
        bundled_dependencies: None,
        peer_dependencies: BTreeMap::new(),
        peer_dependencies_meta: None,
        other: Fields::new(),
        other_of_resolution,
        version_is_written: false,
    };
    for field in fields {
        read_field(reader, field, &mut info)?;
    }
    Ok(info)
}

/// Fields of an unexpected type were copied by pnpm from an odd manifest; they are kept as they
/// are, unless something is decided by them. Fields that pnpm does not know are dropped, as it
/// drops them.
fn read_field<'a>(
    reader: &Reader<'a>,
    field: &Entry<'a>,
    info: &mut PackageInfo,
) -> Result<(), LockfileError> {
    let value = &field.value;
    let key = &*field.key;
    match key {
        "resolution" => return Ok(()),
        "version" => {
            let version = reader.text(value, key)?;
            if info.version.as_deref().is_some_and(|own| own != version) {
                return Err(reader.shape(field.at, "the version of the key", key));
            }
            info.version = Some(version.into());
            info.version_is_written = true;
            return Ok(());
        }
        "name" if reader.text(value, key)? != info.name.as_str() => {
            return Err(reader.shape(field.at, "the name of the key", key));
        }
        "os" => (info.platforms.os, info.platforms.os_is_scalar) = platform_list(reader, field)?,
        "cpu" => (info.platforms.cpu, info.platforms.cpu_is_scalar) = platform_list(reader, field)?,
        "libc" => {
            (info.platforms.libc, info.platforms.libc_is_scalar) = platform_list(reader, field)?;
        }
        "hasBin" => info.has_bin = reader.boolean(value, key)?,
        "bundledDependencies" => info.bundled_dependencies = Some(reader.json(value)),
        "peerDependencies" => {
            info.peer_dependencies = reader.text_mapping(value, key)?.into_iter().collect();
        }
        "peerDependenciesMeta" => info.peer_dependencies_meta = Some(reader.json(value)),
        "deprecated" if reader.text(value, key).is_ok() => {
            info.deprecated = Some(reader.text(value, key)?.into());
        }
        "engines" if reader.text_mapping(value, key).is_ok() => {
            info.engines = reader.text_mapping(value, key)?.into_iter().collect();
        }
        "prepare" | "deprecated" | "engines" => {
            info.other.insert(key.into(), reader.json(value));
        }
        _ => {}
    }
    Ok(())
}

/// The words of `os`, `cpu` or `libc`, and whether there was a single one without a list.
type PlatformList = (Option<Vec<Box<str>>>, bool);

/// A list, or a single word.
fn platform_list<'a>(
    reader: &Reader<'a>,
    field: &Entry<'a>,
) -> Result<PlatformList, LockfileError> {
    match &field.value.value {
        Value::Sequence(_) => Ok((Some(reader.text_list(&field.value, &field.key)?), false)),
        _ => {
            let word = reader.text(&field.value, &field.key)?;
            Ok((Some(vec![word.into()]), true))
        }
    }
}

fn read_resolution<'a>(
    reader: &Reader<'a>,
    field: &Entry<'a>,
    id: &PackageId,
) -> Result<(Resolution, Fields), LockfileError> {
    let entries = reader.mapping(&field.value, &field.key)?;
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    let text = |key: &str| -> Result<Option<Box<str>>, LockfileError> {
        let entry = find(key);
        entry
            .map(|entry| Ok(reader.text(&entry.value, key)?.into()))
            .transpose()
    };
    let wanted = |key: &'static str| -> Result<Box<str>, LockfileError> {
        text(key)?.ok_or_else(|| reader.shape(field.at, key, id.as_str()))
    };
    let (resolution, known): (_, &[&str]) = match text("type")?.as_deref() {
        None => {
            let git_hosted =
                find("gitHosted").map(|entry| reader.boolean(&entry.value, "gitHosted"));
            let resolution = Resolution::Tarball {
                integrity: text("integrity")?,
                tarball: text("tarball")?,
                git_hosted: git_hosted.transpose()?.unwrap_or(false),
                path: text("path")?,
            };
            (resolution, &["integrity", "tarball", "gitHosted", "path"])
        }
        Some("git") => {
            let resolution = Resolution::Git {
                repo: wanted("repo")?,
                commit: wanted("commit")?,
                path: text("path")?,
            };
            (resolution, &["type", "repo", "commit", "path"])
        }
        Some("directory") => {
            let directory = wanted("directory")?;
            (Resolution::Directory { directory }, &["type", "directory"])
        }
        Some(_) => return Ok((Resolution::Other(reader.json(&field.value)), Fields::new())),
    };
    check_source(reader, field, id, &resolution)?;
    let other = entries.iter().filter(|entry| !known.contains(&&*entry.key));
    let other = other.map(|entry| ((&*entry.key).into(), reader.json(&entry.value)));
    Ok((resolution, other.collect()))
}

/// Refuses what would be taken for an option by a program that it is passed to.
fn check_source(
    reader: &Reader<'_>,
    field: &Entry<'_>,
    id: &PackageId,
    resolution: &Resolution,
) -> Result<(), LockfileError> {
    let is_hostile =
        |text: &str| text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control);
    match resolution {
        Resolution::Git { commit, .. } if !is_commit(commit) => Err(LockfileError::Commit {
            package: escaped(id.as_str()),
            commit: escaped(commit),
        }),
        Resolution::Git { repo: source, .. }
        | Resolution::Directory { directory: source }
        | Resolution::Tarball {
            tarball: Some(source),
            ..
        } if is_hostile(source) => Err(reader.shape(field.at, "an address", id.as_str())),
        _ => Ok(()),
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A key that looks like a registry's is trusted as one (build approvals, overrides), so its
/// content must come from one.
fn check_shape(id: &PackageId, resolution: &Resolution) -> Result<(), LockfileError> {
    if !id.is_from_registry() {
        return Ok(());
    }
    let found = match resolution {
        Resolution::Tarball {
            git_hosted: true, ..
        } => "an archive of a code host",
        Resolution::Tarball {
            tarball: Some(tarball),
            ..
        } if !is_http(tarball) => "a local archive",
        Resolution::Tarball {
            tarball: Some(tarball),
            ..
        } if is_code_host(tarball) => "an archive of a code host",
        Resolution::Tarball { .. } => return Ok(()),
        Resolution::Git { .. } => "a git repository",
        Resolution::Directory { .. } => "a directory",
        Resolution::Other(_) => return Ok(()),
    };
    Err(LockfileError::ResolutionShape {
        package: escaped(id.as_str()),
        resolution: found,
    })
}

/// Addresses that pnpm takes for archives of a commit.
fn is_code_host(address: &str) -> bool {
    let address = address.strip_prefix("https://").unwrap_or(address);
    address.starts_with("codeload.github.com/")
        || (address.starts_with("gitlab.com/") && address.contains("/repository/archive"))
        || (address.starts_with("bitbucket.org/") && address.contains("/get/"))
}

fn is_http(address: &str) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| matches!(scheme, "http" | "https"))
}
