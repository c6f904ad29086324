//! `catalogMode` where dependencies go to their latest versions: what gets another range goes into
//! the catalog without a name, unless that has another one.

use crate::cli::commands::add::catalog::{DEFAULT, is_of_registry, mismatch};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::CatalogEntries;
use crate::install::config::CatalogMode;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::name::PackageName;

/// What dependencies are asked for with.
pub(super) fn texts(edit: &ManifestEdit, names: &[(Field, String)]) -> Vec<Option<String>> {
    let text = |(field, name): &(Field, String)| text(edit, *field, name);
    names.iter().map(text).collect()
}

fn text(edit: &ManifestEdit, field: Field, name: &str) -> Option<String> {
    let mut entries = edit.entries(field);
    let (_, text) = entries.find(|(alias, _)| *alias == name)?;
    Some(text.to_owned())
}

/// Lets those of `names` that are asked for otherwise than `before` stand for entries of the
/// catalog.
pub(super) fn put(
    context: &Context,
    edit: &mut ManifestEdit,
    (names, before): (&[(Field, String)], &[Option<String>]),
    entries: &mut CatalogEntries,
) -> Result<(), Failure> {
    if context.config.save.catalog_mode == CatalogMode::Manual {
        return Ok(());
    }
    for ((field, name), before) in names.iter().zip(before) {
        let now = text(edit, *field, name).filter(|now| Some(now) != before.as_ref());
        let (Some(now), Ok(alias)) = (now, PackageName::new(name)) else {
            continue;
        };
        if !is_of_registry(&now) {
            continue;
        }
        let key = (DEFAULT.to_owned(), name.clone());
        let there = context.config.graph.catalogs.get(DEFAULT);
        let there = there.and_then(|catalog| catalog.get(name));
        match entries.get(&key).or(there) {
            Some(known) if *known != now => {
                mismatch(context, &alias, &now, known)?;
                continue;
            }
            Some(_) => {}
            None => _ = entries.insert(key, now),
        }
        edit.put(*field, &alias, "catalog:");
    }
    Ok(())
}
