//! Versions that their authors say nobody should use.

use std::collections::{BTreeSet, HashSet};

use indexmap::IndexMap;

use crate::install::lockfile::{Importer, Lockfile, PackageId, PackageInfo, Reference};
use crate::install::semver::{Range, Version};
use crate::name::escaped;
use crate::report::{Event, Reporter};

const CODE: &str = "ERR_PACQUET_DEPRECATED";

/// Warns of those in `lockfile`: each that a project names, and the others together. `allowed`:
/// name → range of which nothing is said.
pub(super) fn warn(
    lockfile: &Lockfile,
    allowed: &IndexMap<String, String>,
    reporter: &dyn Reporter,
) {
    let is_told = |info: &&PackageInfo| info.deprecated.is_some() && !is_allowed(info, allowed);
    let direct = direct(lockfile);
    let (mut named, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (id, info) in &lockfile.packages {
        if is_told(&info) {
            let list = match direct.contains(id.as_str()) {
                true => &mut named,
                false => &mut others,
            };
            list.insert(escaped(id.as_str()));
        }
    }
    for one in named {
        let message = format!("deprecated {one}");
        reporter.report(&Event::Warning {
            code: CODE,
            message: &message,
        });
    }
    if !others.is_empty() {
        let count = others.len();
        let others: Vec<String> = others.into_iter().collect();
        let message = format!(
            "{count} deprecated subdependencies found: {}",
            others.join(", ")
        );
        reporter.report(&Event::Warning {
            code: CODE,
            message: &message,
        });
    }
}

/// What projects name.
fn direct(lockfile: &Lockfile) -> HashSet<String> {
    let of = |importer: &Importer| -> Vec<PackageId> {
        let all = importer.all();
        all.filter_map(|(_, dependency)| match &dependency.reference {
            Reference::Package(path) => Some(path.package_id()),
            Reference::Link(_) => None,
        })
        .collect()
    };
    let ids = lockfile.importers.values().flat_map(of);
    ids.map(|id| id.as_str().to_owned()).collect()
}

fn is_allowed(info: &PackageInfo, allowed: &IndexMap<String, String>) -> bool {
    let range = allowed.get(info.name.as_str());
    let range = range.and_then(|range| Range::parse_loose(range));
    let version = info.version.as_deref().and_then(Version::parse_loose);
    match (range, version) {
        (Some(range), Some(version)) => range.contains(&version),
        _ => false,
    }
}
