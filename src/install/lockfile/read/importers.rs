//! `importers`.

use std::collections::BTreeMap;

use super::node::Reader;
use crate::install::lockfile::yaml::{Entry, Node};
use crate::install::lockfile::{
    Importer, ImporterDependency, ImporterId, LockfileError, Reference,
};
use crate::name::{PackageName, RelativePath};

pub(super) fn read<'a>(
    reader: &Reader<'a>,
    node: &Node<'a>,
) -> Result<BTreeMap<ImporterId, Importer>, LockfileError> {
    let entries = reader.mapping(node, "importers")?.iter();
    let entries = entries.map(|entry| Ok((read_id(reader, entry)?, read_importer(reader, entry)?)));
    entries.collect()
}

/// A project outside of the lockfile's directory is refused: its `node_modules` is not ours.
fn read_id(reader: &Reader<'_>, entry: &Entry<'_>) -> Result<ImporterId, LockfileError> {
    if entry.key == "." {
        return Ok(ImporterId(None));
    }
    match RelativePath::new(&entry.key) {
        Ok(path) => Ok(ImporterId(Some(path))),
        Err(source) => Err(reader.name_error(entry.at, &entry.key, source)),
    }
}

fn read_importer<'a>(reader: &Reader<'a>, importer: &Entry<'a>) -> Result<Importer, LockfileError> {
    let mut result = Importer::default();
    for entry in reader.mapping(&importer.value, &importer.key)? {
        let value = &entry.value;
        match &*entry.key {
            "dependencies" => result.dependencies = read_group(reader, entry)?,
            "devDependencies" => result.dev_dependencies = read_group(reader, entry)?,
            "optionalDependencies" => result.optional_dependencies = read_group(reader, entry)?,
            "dependenciesMeta" => result.dependencies_meta = Some(reader.json(value)),
            "publishDirectory" => {
                result.publish_directory = Some(reader.text(value, &entry.key)?.into());
            }
            "linkDirectory" => {
                result.links_project = reader.json(value) == serde_json::Value::Bool(false);
            }
            _ => {
                result
                    .other
                    .insert((&*entry.key).into(), reader.json(value));
            }
        }
    }
    Ok(result)
}

fn read_group<'a>(
    reader: &Reader<'a>,
    group: &Entry<'a>,
) -> Result<BTreeMap<PackageName, ImporterDependency>, LockfileError> {
    let entries = reader.mapping(&group.value, &group.key)?.iter();
    let entries = entries.map(|entry| {
        let alias = reader.package_name(entry.at, &entry.key)?;
        let dependency = read_dependency(reader, entry, &alias)?;
        Ok((alias, dependency))
    });
    entries.collect()
}

fn read_dependency<'a>(
    reader: &Reader<'a>,
    dependency: &Entry<'a>,
    alias: &PackageName,
) -> Result<ImporterDependency, LockfileError> {
    let mut specifier = None;
    let mut reference = None;
    for entry in reader.mapping(&dependency.value, &dependency.key)? {
        let text = reader.text(&entry.value, &entry.key)?;
        match &*entry.key {
            "specifier" => specifier = Some(text.into()),
            "version" => {
                let parsed = Reference::parse(alias, text);
                let parsed =
                    parsed.map_err(|source| reader.dep_path_error(entry.at, text, source))?;
                reference = Some(parsed);
            }
            _ => return Err(reader.shape(entry.at, "specifier or version", &dependency.key)),
        }
    }
    match (specifier, reference) {
        (Some(specifier), Some(reference)) => Ok(ImporterDependency {
            specifier,
            reference,
        }),
        _ => Err(reader.shape(dependency.at, "specifier and version", &dependency.key)),
    }
}
