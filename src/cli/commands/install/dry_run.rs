//! `install --dry-run`: what an install would change in the lockfile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::relocking::Workspace;
use crate::install::lockfile::{Importer, Lockfile, PackageId};
use crate::name::escaped;

/// Resolves, writes nothing, and tells.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let mut workspace = Workspace::read(context)?;
    let before = workspace.previous().cloned().unwrap_or_default();
    let Some(after) = workspace.would_be(context)? else {
        print("Already up to date\n");
        return Ok(());
    };
    let text = differences(&before, &after);
    if text.is_empty() {
        print("Already up to date\n");
        return Ok(());
    }
    print(&format!(
        "Dry run complete. A real install would make the following changes (nothing was written \
         to disk):\n{text}"
    ));
    Ok(())
}

fn differences(before: &Lockfile, after: &Lockfile) -> String {
    let mut text = String::new();
    let mut importers = String::new();
    let nothing = Importer::default();
    let ids = before.importers.keys().chain(after.importers.keys());
    let ids: std::collections::BTreeSet<_> = ids.collect();
    for id in ids {
        let old = before.importers.get(id).unwrap_or(&nothing);
        let new = after.importers.get(id).unwrap_or(&nothing);
        let lines = of_importer(&references(old), &references(new));
        if !lines.is_empty() {
            // Writing to a text cannot fail.
            let _ = write!(importers, "{}\n{lines}", escaped(id.as_str()));
        }
    }
    if !importers.is_empty() {
        let _ = write!(text, "\nImporters\n{importers}");
    }
    let mut packages = String::new();
    for (sign, one, other) in [('+', after, before), ('-', before, after)] {
        let new = |id: &&PackageId| !other.packages.contains_key(*id);
        let mut ids: Vec<&str> = one
            .packages
            .keys()
            .filter(new)
            .map(PackageId::as_str)
            .collect();
        ids.sort_unstable();
        for id in ids {
            let _ = writeln!(packages, "{sign} {}", escaped(id));
        }
    }
    if !packages.is_empty() {
        let _ = write!(text, "\nPackages\n{packages}");
    }
    text
}

/// What each alias means.
fn references(importer: &Importer) -> BTreeMap<&str, String> {
    let all = importer.all();
    all.map(|(alias, dependency)| {
        let text = dependency.reference.to_text(alias);
        (alias.as_str(), escaped(&text))
    })
    .collect()
}

fn of_importer(old: &BTreeMap<&str, String>, new: &BTreeMap<&str, String>) -> String {
    let aliases: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut lines = String::new();
    for alias in aliases {
        let name = escaped(alias);
        // Writing to a text cannot fail.
        let _ = match (old.get(*alias), new.get(*alias)) {
            (None, Some(new)) => writeln!(lines, "  + {name} {new}"),
            (Some(old), None) => writeln!(lines, "  - {name} {old}"),
            (Some(old), Some(new)) if old != new => {
                writeln!(lines, "  {name} {old} -> {new}")
            }
            _ => Ok(()),
        };
    }
    lines
}
