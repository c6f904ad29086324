//! Runtimes (`node@runtime:22.0.0`): archives of programs, one for each kind of machine.
//!
//! An archive of Node is no package: it has no manifest, and brings npm along, which nobody asked
//! for. The manifest is made of what the lockfile says, and npm is left out, as pnpm does.

use serde_json::{Value, json};

use super::error::InstallError;
use super::sources::{Source, Wanted};
use crate::install::lockfile::{ImporterDependency, Lockfile, Reference};
use crate::install::select::SupportedPlatforms;
use crate::name::{PackageName, RelativePath};
use crate::store::{Integrity, PackageKey, PendingFile, TransformError};

const MANIFEST: &str = "package.json";

/// What has to be fetched of the runtime `id`, of which the lockfile has the resolution `value`.
pub(super) fn wanted(
    id: &str,
    name: &PackageName,
    version: Option<&str>,
    value: &Value,
    platforms: &SupportedPlatforms,
) -> Result<Wanted, InstallError> {
    let unsupported = |kind: &str| InstallError::Unsupported {
        package: id.to_owned(),
        kind: kind.to_owned(),
    };
    let chosen = match kind(value) {
        "binary" => value,
        "variations" => variant(value, platforms)
            .ok_or_else(|| unsupported("variations, of which none is for this machine"))?,
        other => return Err(unsupported(other)),
    };
    let text = |field: &str| chosen.get(field).and_then(Value::as_str);
    let archive = text("archive").unwrap_or_default();
    if kind(chosen) != "binary" || archive != "tarball" {
        return Err(unsupported(&format!("binary in a {archive}")));
    }
    let broken = |what: &str| InstallError::Unsupported {
        package: id.to_owned(),
        kind: format!("binary without {what}"),
    };
    let url = text("url").ok_or_else(|| broken("an address"))?;
    let integrity = text("integrity").ok_or_else(|| broken("an integrity"))?;
    let integrity = Integrity::parse(integrity).map_err(|source| InstallError::Package {
        package: id.to_owned(),
        source,
    })?;
    let bin = chosen.get("bin").ok_or_else(|| broken("a command"))?;
    let of_id = id.rsplit_once(':').map(|(_, version)| version);
    let manifest = json!({
        "name": name.as_str(),
        "version": version.or(of_id),
        "bin": bin,
    });
    let manifest = manifest.to_string();
    let pin = format!("{integrity}&runtime:{bin}");
    Ok(Wanted {
        key: PackageKey::new(&pin, id, None),
        label: id.to_owned(),
        source: Source::Address(url.into()),
        integrity: Some(integrity),
        patch_hash: None,
        subdirectory: None,
        is_git_hosted: false,
        runtime_manifest: Some(manifest.into()),
    })
}

/// Takes away what projects have of runtimes.
pub fn leave_out(lockfile: &mut Lockfile) {
    let is_other = |dependency: &ImporterDependency| match &dependency.reference {
        Reference::Package(path) => !path.version().starts_with("runtime:"),
        Reference::Link(_) => true,
    };
    for importer in lockfile.importers.values_mut() {
        importer.dependencies.retain(|_, one| is_other(one));
        importer.dev_dependencies.retain(|_, one| is_other(one));
        importer
            .optional_dependencies
            .retain(|_, one| is_other(one));
    }
}

fn kind(resolution: &Value) -> &str {
    let kind = resolution.get("type").and_then(Value::as_str);
    kind.unwrap_or("unknown")
}

/// The first one for this machine.
fn variant<'a>(value: &'a Value, platforms: &SupportedPlatforms) -> Option<&'a Value> {
    let variants = value.get("variants")?.as_array()?;
    let is_for_this = |target: &Value| {
        let word = |field: &str| target.get(field).and_then(Value::as_str);
        let (Some(os), Some(cpu)) = (word("os"), word("cpu")) else {
            return false;
        };
        platforms.takes(os, cpu, word("libc"))
    };
    let found = variants.iter().find(|variant| {
        let targets = variant.get("targets").and_then(Value::as_array);
        targets.is_some_and(|targets| targets.iter().any(is_for_this))
    });
    found?.get("resolution")
}

/// Makes a package of an unpacked archive.
pub(super) fn shape(
    files: &mut Vec<PendingFile<'_>>,
    manifest: &str,
) -> Result<(), TransformError> {
    files.retain(|file| file.path.as_str() != MANIFEST && !is_of_npm(file.path.as_str()));
    let path = RelativePath::new(MANIFEST)?;
    files.push(PendingFile::new(path, false, manifest.into()));
    Ok(())
}

/// Whether a file of an archive of Node belongs to npm or corepack.
fn is_of_npm(path: &str) -> bool {
    const PROGRAMS: [&str; 3] = ["npm", "npx", "corepack"];
    let below = path.strip_prefix("lib/").unwrap_or(path);
    if let Some(package) = below.strip_prefix("node_modules/") {
        let name = package.split('/').next().unwrap_or_default();
        return matches!(name, "npm" | "corepack");
    }
    if let Some(program) = path.strip_prefix("bin/") {
        return PROGRAMS.contains(&program);
    }
    let stem = path.strip_suffix(".cmd").or(path.strip_suffix(".ps1"));
    PROGRAMS.contains(&stem.unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_is_known_wherever_an_archive_has_it() {
        for (path, expected) in [
            ("bin/npm", true),
            ("bin/npx", true),
            ("bin/node", false),
            ("lib/node_modules/npm/index.js", true),
            ("lib/node_modules/npmlog/index.js", false),
            ("node_modules/corepack/x", true),
            ("npm.cmd", true),
            ("corepack", true),
            ("include/node/npm", false),
            ("bin/npm/x", false),
        ] {
            assert_eq!(is_of_npm(path), expected, "{path}");
        }
    }
}
