//! The document in front of the lockfile, which pins configuration dependencies and pnpm itself.

use super::node::Reader;
use crate::install::lockfile::LockfileError;
use crate::install::lockfile::yaml::Entry;

/// Nothing of it is installed here. A document that pnpm could not read either is refused, because
/// it shows that the file was damaged.
pub(super) fn check(text: &str, environment: &str) -> Result<(), LockfileError> {
    // It stands behind the first `---` and its line feed.
    let reader = Reader::new(text, 4);
    let root = reader.parse(environment)?;
    let entries = reader.mapping(&root, "lockfile")?;
    if !entries.iter().any(|entry| entry.key == "lockfileVersion") {
        return Err(reader.shape(0, "`lockfileVersion`", "lockfile"));
    }
    for entry in entries {
        match &*entry.key {
            "importers" => check_importers(&reader, entry)?,
            "packages" | "snapshots" => {
                reader.mapping(&entry.value, &entry.key)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_importers(reader: &Reader<'_>, importers: &Entry<'_>) -> Result<(), LockfileError> {
    for importer in reader.mapping(&importers.value, &importers.key)? {
        for group in reader.mapping(&importer.value, &importer.key)? {
            if group.key == "configDependencies" || group.key == "packageManagerDependencies" {
                reader.mapping(&group.value, &group.key)?;
            }
        }
    }
    Ok(())
}
