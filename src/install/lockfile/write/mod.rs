//! From [`Lockfile`] to text, byte for byte as pnpm 12 writes it.

mod emit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{
    Importer, ImporterDependency, ImporterId, LOCKFILE_VERSION, Lockfile, PackageInfo, Platforms,
    Reference, Resolution, Snapshot,
};
use crate::name::PackageName;
use emit::{
    Emitter, EntryStart, IMPORTER_KEYS, PACKAGE_KEYS, Place, compare_code_units, put_first,
    sorted_fields,
};

type Fields = IndexMap<Box<str>, Json>;

/// Spaces in front of the keys of `importers`, `packages` and `snapshots`, and of their fields.
const ENTRY_INDENT: usize = 2;
const FIELD_INDENT: usize = 4;

/// The text of `lockfile`, with its environment document where it has one.
pub fn write_lockfile(lockfile: &Lockfile) -> String {
    let mut writer = Writer {
        emitter: Emitter::default(),
        is_first: true,
    };
    writer.head(lockfile);
    writer.importers(&lockfile.importers);
    writer.packages(lockfile);
    writer.tail(lockfile);
    let main = writer.emitter.out;
    match &lockfile.environment_document {
        Some(environment) => format!("---\n{environment}\n---\n{main}"),
        None => main,
    }
}

/// The text of the document in front of a lockfile.
pub(super) fn environment_text(document: &Json) -> String {
    let mut writer = Writer {
        emitter: Emitter::default(),
        is_first: true,
    };
    let version = document.get("lockfileVersion").and_then(Json::as_str);
    writer.separate();
    let version = version.unwrap_or(LOCKFILE_VERSION);
    writer.emitter.field(0, "lockfileVersion", version);
    for (section, first_keys) in [
        ("importers", &IMPORTER_KEYS[..]),
        ("packages", &PACKAGE_KEYS[..]),
        ("snapshots", &PACKAGE_KEYS[..]),
    ] {
        writer.separate();
        let entries = document.get(section).and_then(Json::as_object);
        let Some(entries) = entries.filter(|entries| !entries.is_empty()) else {
            writer.emitter.literal(0, section, "{}");
            continue;
        };
        writer.emitter.section(0, section);
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by(|left, right| compare_code_units(left.0, right.0));
        for (key, value) in entries {
            writer.emitter.first_keys = first_keys;
            let mut entry = writer.entry(key);
            for (key, value) in sorted_fields(value, first_keys) {
                entry.json(key, value);
            }
            entry.finish();
        }
        writer.emitter.first_keys = &[];
    }
    writer.emitter.out
}

struct Writer {
    emitter: Emitter,
    /// Whether nothing has been written yet: every other top-level entry follows a blank line.
    is_first: bool,
}

impl Writer {
    fn separate(&mut self) {
        if !self.is_first {
            self.emitter.out.push('\n');
        }
        self.is_first = false;
    }

    /// Everything before `importers`.
    fn head(&mut self, lockfile: &Lockfile) {
        self.separate();
        self.emitter.field(0, "lockfileVersion", &lockfile.version);
        if let Some(settings) = &lockfile.settings {
            self.separate();
            self.emitter.section(0, "settings");
            for (key, value) in settings {
                self.emitter.json(2, key, value);
            }
        }
        if !lockfile.catalogs.is_empty() {
            self.separate();
            self.emitter.section(0, "catalogs");
            for (name, catalog) in &lockfile.catalogs {
                self.emitter.section(2, name);
                for (alias, entry) in catalog {
                    self.emitter.section(4, alias);
                    self.emitter.field(6, "specifier", &entry.specifier);
                    self.emitter.field(6, "version", &entry.version);
                }
            }
        }
        self.text_mapping("overrides", &lockfile.overrides);
        for (key, checksum) in [
            (
                "packageExtensionsChecksum",
                &lockfile.package_extensions_checksum,
            ),
            ("pnpmfileChecksum", &lockfile.pnpmfile_checksum),
        ] {
            if let Some(checksum) = checksum {
                self.separate();
                self.emitter.field(0, key, checksum);
            }
        }
        self.text_mapping("patchedDependencies", &lockfile.patched_dependencies);
    }

    fn text_mapping(&mut self, key: &str, fields: &IndexMap<Box<str>, Box<str>>) {
        if fields.is_empty() {
            return;
        }
        self.separate();
        self.emitter.section(0, key);
        for (key, text) in fields {
            self.emitter.field(2, key, text);
        }
    }

    fn importers(&mut self, importers: &BTreeMap<ImporterId, Importer>) {
        self.separate();
        if importers.is_empty() {
            self.emitter.literal(0, "importers", "{}");
            return;
        }
        self.emitter.section(0, "importers");
        self.emitter.first_keys = &IMPORTER_KEYS;
        let mut importers: Vec<_> = importers.iter().collect();
        importers.sort_by(|left, right| compare_code_units(left.0.as_str(), right.0.as_str()));
        for (id, importer) in importers {
            let mut entry = self.entry(id.as_str());
            entry.dependencies("dependencies", &importer.dependencies);
            if let Some(meta) = &importer.dependencies_meta {
                entry.json("dependenciesMeta", meta);
            }
            entry.dependencies("devDependencies", &importer.dev_dependencies);
            if importer.links_project {
                entry.json("linkDirectory", &Json::Bool(false));
            }
            entry.dependencies("optionalDependencies", &importer.optional_dependencies);
            if let Some(directory) = &importer.publish_directory {
                entry.text("publishDirectory", directory);
            }
            entry.rest(&importer.other);
            entry.finish();
        }
        self.emitter.first_keys = &[];
    }

    fn packages(&mut self, lockfile: &Lockfile) {
        if lockfile.packages.is_empty() {
            return;
        }
        self.separate();
        self.emitter.section(0, "packages");
        self.emitter.first_keys = &PACKAGE_KEYS;
        let mut packages: Vec<_> = lockfile.packages.iter().collect();
        packages.sort_by(|left, right| compare_code_units(left.0.as_str(), right.0.as_str()));
        for (id, package) in packages {
            let mut entry = self.entry(id.as_str());
            entry.package(package);
            entry.finish();
        }
        self.emitter.first_keys = &[];
    }

    fn snapshots(&mut self, lockfile: &Lockfile) {
        self.separate();
        self.emitter.section(0, "snapshots");
        self.emitter.first_keys = &PACKAGE_KEYS;
        let mut snapshots: Vec<_> = lockfile.snapshots.iter().collect();
        snapshots.sort_by(|left, right| compare_code_units(left.0.as_str(), right.0.as_str()));
        for (dep_path, snapshot) in snapshots {
            let mut entry = self.entry(dep_path.as_str());
            entry.snapshot(snapshot);
            entry.finish();
        }
        self.emitter.first_keys = &[];
    }

    /// Everything after `packages`, in the order of the keys.
    fn tail(&mut self, lockfile: &Lockfile) {
        let ignored = &lockfile.ignored_optional_dependencies;
        let mut keys: Vec<&str> = lockfile.other.keys().map(|key| &**key).collect();
        keys.extend((!ignored.is_empty()).then_some("ignoredOptionalDependencies"));
        keys.extend((!lockfile.snapshots.is_empty()).then_some("snapshots"));
        keys.sort_by(|left, right| compare_code_units(left, right));
        for key in keys {
            if key == "snapshots" {
                self.snapshots(lockfile);
                continue;
            }
            self.separate();
            if key == "ignoredOptionalDependencies" {
                let ignored = ignored.iter().map(|pattern| Json::from(&**pattern));
                self.emitter.json(0, key, &ignored.collect());
            } else {
                self.emitter.json(0, key, &lockfile.other[key]);
            }
        }
    }

    /// Begins an entry of one of the three great mappings.
    fn entry(&mut self, key: &str) -> Entry<'_> {
        self.emitter.out.push('\n');
        let start = self.emitter.entry_start(ENTRY_INDENT, key);
        Entry {
            emitter: &mut self.emitter,
            start: Some(start),
        }
    }
}

/// An entry of `importers`, `packages` or `snapshots` that is being written.
struct Entry<'w> {
    emitter: &'w mut Emitter,
    /// How it began, until its first field is written.
    start: Option<EntryStart>,
}

impl Entry<'_> {
    /// The indentation of the next field, after what the entry's start needs.
    fn field_indent(&mut self) -> usize {
        match self.start.take() {
            Some(EntryStart::Explicit) => self.emitter.out.push(' '),
            Some(EntryStart::Implicit) => {
                self.emitter.out.push('\n');
                self.emitter.indent(FIELD_INDENT);
            }
            None => self.emitter.indent(FIELD_INDENT),
        }
        FIELD_INDENT
    }

    fn finish(self) {
        if self.start.is_some() {
            self.emitter.out.push_str(" {}\n");
        }
    }

    fn key(&mut self, key: &str) {
        self.field_indent();
        self.emitter.scalar(key, Place::Key);
        self.emitter.out.push(':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.emitter.out.push(' ');
        self.emitter.scalar(text, Place::Block(FIELD_INDENT));
        self.emitter.out.push('\n');
    }

    fn json(&mut self, key: &str, value: &Json) {
        self.field_indent();
        self.emitter.json_entry(FIELD_INDENT, key, value);
    }

    fn dependencies(
        &mut self,
        key: &str,
        dependencies: &BTreeMap<PackageName, ImporterDependency>,
    ) {
        if dependencies.is_empty() {
            return;
        }
        self.key(key);
        self.emitter.out.push('\n');
        let mut dependencies: Vec<_> = dependencies.iter().collect();
        put_first(&mut dependencies, self.emitter.first_keys, |one| {
            one.0.as_str()
        });
        for (alias, dependency) in dependencies {
            self.emitter.section(6, alias.as_str());
            self.emitter.field(8, "specifier", &dependency.specifier);
            let version = dependency.reference.to_text(alias);
            self.emitter.field(8, "version", &version);
        }
    }

    fn references(&mut self, key: &str, references: &BTreeMap<PackageName, Reference>) {
        if references.is_empty() {
            return;
        }
        self.key(key);
        self.emitter.out.push('\n');
        let mut references: Vec<_> = references.iter().collect();
        put_first(&mut references, self.emitter.first_keys, |one| {
            one.0.as_str()
        });
        for (alias, reference) in references {
            self.emitter
                .field(6, alias.as_str(), &reference.to_text(alias));
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.first(&snapshot.other, &["id"]);
        self.references("dependencies", &snapshot.dependencies);
        self.references("optionalDependencies", &snapshot.optional_dependencies);
        let peers = &snapshot.transitive_peer_dependencies;
        if !peers.is_empty() {
            let peers = peers.iter().map(|peer| Json::from(&**peer));
            self.json("transitivePeerDependencies", &peers.collect());
        }
        if snapshot.optional {
            self.json("optional", &Json::Bool(true));
        }
        self.first(&snapshot.other, &["patched"]);
    }

    fn package(&mut self, package: &PackageInfo) {
        let other = &package.other;
        self.resolution(package);
        if let Some(version) = package
            .version
            .as_ref()
            .filter(|_| package.version_is_written)
        {
            self.text("version", version);
        }
        if !package.engines.is_empty() {
            self.json("engines", &text_object(&package.engines));
        }
        self.first(other, &["engines"]);
        self.platforms(&package.platforms);
        if let Some(deprecated) = &package.deprecated {
            self.text("deprecated", deprecated);
        }
        self.first(other, &["deprecated"]);
        if package.has_bin {
            self.json("hasBin", &Json::Bool(true));
        }
        self.first(other, &["prepare"]);
        if !package.peer_dependencies.is_empty() {
            self.json("peerDependencies", &text_object(&package.peer_dependencies));
        }
        if let Some(meta) = &package.peer_dependencies_meta {
            self.json("peerDependenciesMeta", meta);
        }
        if let Some(bundled) = &package.bundled_dependencies {
            self.json("bundledDependencies", bundled);
        }
    }

    /// Those of `keys` that are in `other`, in this order.
    fn first(&mut self, other: &Fields, keys: &[&str]) {
        for key in keys {
            if let Some(value) = other.get(*key) {
                self.json(key, value);
            }
        }
    }

    /// What is in `other`, in the order of the keys.
    fn rest(&mut self, other: &Fields) {
        let mut rest: Vec<(&str, &Json)> =
            other.iter().map(|(key, value)| (&**key, value)).collect();
        rest.sort_by(|left, right| compare_code_units(left.0, right.0));
        for (key, value) in rest {
            self.json(key, value);
        }
    }

    fn resolution(&mut self, package: &PackageInfo) {
        let mut fields = serde_json::Map::new();
        let mut put = |key: &str, value: &Option<Box<str>>| {
            if let Some(value) = value {
                fields.insert(key.to_owned(), Json::from(&**value));
            }
        };
        match &package.resolution {
            Resolution::Other(value) => return self.json("resolution", value),
            Resolution::Tarball {
                integrity,
                tarball,
                git_hosted,
                path,
            } => {
                put("integrity", integrity);
                put("path", path);
                put("tarball", tarball);
                if *git_hosted {
                    fields.insert("gitHosted".to_owned(), Json::Bool(true));
                }
            }
            Resolution::Git { repo, commit, path } => {
                put("commit", &Some(commit.clone()));
                put("path", path);
                put("repo", &Some(repo.clone()));
                put("type", &Some("git".into()));
            }
            Resolution::Directory { directory } => {
                put("directory", &Some(directory.clone()));
                put("type", &Some("directory".into()));
            }
        }
        let other = package.other_of_resolution.iter();
        fields.extend(other.map(|(key, value)| (key.to_string(), value.clone())));
        self.json("resolution", &Json::Object(fields));
    }

    fn platforms(&mut self, platforms: &Platforms) {
        for (key, list, is_scalar) in [
            ("cpu", &platforms.cpu, platforms.cpu_is_scalar),
            ("os", &platforms.os, platforms.os_is_scalar),
            ("libc", &platforms.libc, platforms.libc_is_scalar),
        ] {
            match list.as_deref() {
                None => {}
                Some([word]) if is_scalar => self.text(key, word),
                Some(list) => {
                    let list = list.iter().map(|word| Json::from(&**word));
                    self.json(key, &list.collect());
                }
            }
        }
    }
}

fn text_object(fields: &BTreeMap<Box<str>, Box<str>>) -> Json {
    let fields = fields.iter();
    let fields = fields.map(|(key, text)| (key.to_string(), Json::from(&**text)));
    Json::Object(fields.collect())
}
