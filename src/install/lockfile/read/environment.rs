//! The document in front of the lockfile, which pins configuration dependencies and pnpm itself.

use super::node::Reader;
use super::split_documents;
use crate::install::lockfile::LockfileError;
use crate::install::lockfile::environment::EnvironmentDocument;
use crate::install::lockfile::yaml::Entry;

/// The document in front of the lockfile `text`; `None`: there is none.
///
/// # Errors
/// It is broken.
pub fn read_environment(text: &str) -> Result<Option<EnvironmentDocument>, LockfileError> {
    let (Some(environment), _) = split_documents(text) else {
        return Ok(None);
    };
    check(text, environment)?;
    let reader = Reader::new(text, 4);
    let root = reader.parse(environment)?;
    Ok(Some(EnvironmentDocument(reader.json(&root))))
}

/// A document that pnpm could not read either is refused, because it shows that the file was
/// damaged.
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
