//! Changing `package.json` without changing how it is written: indentation, the order of fields,
//! the line feed at its end and a byte-order mark stay.
//!
//! **Architecture Invariant:** nothing is written here: what comes of it is a draft.

use std::path::{Path, PathBuf};

use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

use super::drafts::{Draft, DraftKind, Drafts};
use super::manifest::{Manifest, ManifestError};
use crate::name::PackageName;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A field that holds dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `dependencies`.
    Production,
    /// `devDependencies`.
    Development,
    /// `optionalDependencies`.
    Optional,
    /// `peerDependencies`.
    Peer,
}

impl Field {
    /// Where a dependency is looked for, in this order.
    pub const ALL: [Self; 4] = [
        Self::Optional,
        Self::Production,
        Self::Development,
        Self::Peer,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "dependencies",
            Self::Development => "devDependencies",
            Self::Optional => "optionalDependencies",
            Self::Peer => "peerDependencies",
        }
    }
}

/// A `package.json` that is being changed.
#[derive(Debug)]
pub struct ManifestEdit {
    path: PathBuf,
    before: String,
    fields: Map<String, Value>,
    is_changed: bool,
    /// Fields that were there without any dependency: they stay, as with pnpm.
    empty: Vec<Field>,
}

impl ManifestEdit {
    /// Reads `package.json` of `directory`, or its draft.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn read(directory: &Path, drafts: &Drafts) -> Result<Self, ManifestError> {
        // It says what is wrong with a file that cannot be used.
        if Manifest::read_drafted(directory, drafts)?.is_none() {
            return Err(ManifestError::Missing {
                directory: directory.to_path_buf(),
            });
        }
        let path = directory.join("package.json");
        let failed = |source| ManifestError::Read {
            path: path.clone(),
            source,
        };
        let before = drafts.read(&path).map_err(failed)?;
        let before = String::from_utf8(before)
            .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        let text = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&before);
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|source| ManifestError::Json {
                path: path.clone(),
                source,
            })?;
        let is_empty = |field: &Field| {
            let map = fields.get(field.as_str()).and_then(Value::as_object);
            map.is_some_and(Map::is_empty)
        };
        Ok(Self {
            empty: Field::ALL.into_iter().filter(is_empty).collect(),
            fields,
            path,
            before,
            is_changed: false,
        })
    }

    /// The specifier of `alias`, and the field in which it stands.
    pub fn find(&self, alias: &str) -> Option<(Field, &str)> {
        Field::ALL.into_iter().find_map(|field| {
            let specifier = self.fields.get(field.as_str())?.get(alias)?.as_str()?;
            Some((field, specifier))
        })
    }

    /// Writes `specifier` for `alias` into `field`, and takes it out of the other fields but for
    /// peers.
    pub fn put(&mut self, field: Field, alias: &PackageName, specifier: &str) {
        for other in Field::ALL {
            if other != field && other != Field::Peer && field != Field::Peer {
                self.take(other, alias.as_str());
            }
        }
        self.set(field, alias, specifier);
    }

    /// Writes `specifier` for `alias` into `field`, and leaves what other fields have.
    pub fn set(&mut self, field: Field, alias: &PackageName, specifier: &str) {
        let entry = self
            .fields
            .entry(field.as_str())
            .or_insert_with(|| Value::Object(Map::new()));
        if !entry.is_object() {
            *entry = Value::Object(Map::new());
        }
        if let Some(map) = entry.as_object_mut() {
            let known = map.insert(alias.as_str().to_owned(), Value::from(specifier));
            self.is_changed |= known.as_ref().and_then(Value::as_str) != Some(specifier);
        }
    }

    /// Takes `alias` out of `field`. Says whether it was there.
    pub fn take(&mut self, field: Field, alias: &str) -> bool {
        let map = self.fields.get_mut(field.as_str());
        let map = map.and_then(Value::as_object_mut);
        let was_there = map.is_some_and(|map| map.shift_remove(alias).is_some());
        self.is_changed |= was_there;
        was_there
    }

    /// Every dependency in `field`: alias and specifier.
    pub fn entries(&self, field: Field) -> impl Iterator<Item = (&str, &str)> {
        let map = self.fields.get(field.as_str()).and_then(Value::as_object);
        let entries = map.into_iter().flatten();
        entries.filter_map(|(alias, specifier)| Some((alias.as_str(), specifier.as_str()?)))
    }

    /// Takes what is said about `alias` out of `dependenciesMeta`.
    pub fn take_meta(&mut self, alias: &str) {
        let meta = self.fields.get_mut("dependenciesMeta");
        if let Some(meta) = meta.and_then(Value::as_object_mut) {
            meta.shift_remove(alias);
            if meta.is_empty() {
                self.fields.shift_remove("dependenciesMeta");
            }
        }
    }

    /// The manifest as it would be read, but for the order of dependencies: what was there comes
    /// first. pnpm sorts when it writes, and the order decides who of several offers a peer.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn manifest(&self) -> Result<Manifest, ManifestError> {
        let text = Value::Object(self.left()).to_string();
        Manifest::parse(text.as_bytes(), &self.path)
    }

    /// All fields but those that have lost all dependencies.
    fn left(&self) -> Map<String, Value> {
        let mut fields = self.fields.clone();
        for field in Field::ALL {
            let map = fields.get(field.as_str()).and_then(Value::as_object);
            if map.is_some_and(Map::is_empty) && !self.empty.contains(&field) {
                // The last field takes its place, as with pnpm.
                fields.swap_remove(field.as_str());
            }
        }
        fields
    }

    /// The new text, with dependencies sorted by name.
    fn text(&self) -> String {
        written_like(&self.before, self.left())
    }

    /// What is to be written; `None` where nothing changed.
    pub fn draft(&self) -> Option<Draft> {
        self.is_changed.then(|| Draft {
            path: self.path.clone(),
            kind: DraftKind::Manifest,
            before: Some(self.before.clone().into_bytes()),
            after: Some(self.text().into_bytes()),
        })
    }
}

/// The text of a manifest with these fields, in the style of the manifest `model`: its indentation,
/// its byte-order mark and the line feed at its end; with dependencies sorted by name.
pub fn written_like(model: &str, mut fields: Map<String, Value>) -> String {
    let bare = model.strip_prefix(BYTE_ORDER_MARK).unwrap_or(model);
    for field in Field::ALL {
        if let Some(Value::Object(map)) = fields.get_mut(field.as_str()) {
            map.sort_keys();
        }
    }
    let fields = Value::Object(fields);
    let indent = indent_of(bare);
    let mut bytes = Vec::new();
    let mut serializer =
        Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(indent.as_bytes()));
    // Values that came from JSON can be written as JSON.
    let _ = serde::Serialize::serialize(&fields, &mut serializer);
    let mut text = match indent.is_empty() {
        true => fields.to_string(),
        false => String::from_utf8_lossy(&bytes).into_owned(),
    };
    if bare.len() != model.len() {
        text.insert_str(0, BYTE_ORDER_MARK);
    }
    if bare.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The white space in front of the first field; two spaces where there is no telling; nothing where
/// fields have none, as in a file of one line.
fn indent_of(text: &str) -> &str {
    let mut lines = text.trim_end().lines();
    let _brace = lines.next();
    let Some(line) = lines.find(|line| !line.trim().is_empty()) else {
        return if text.contains(':') { "" } else { "  " };
    };
    let width = line.len() - line.trim_start().len();
    match width {
        0 if text.contains(':') => "",
        0 => "  ",
        width => &line[..width],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: &str, change: impl FnOnce(&mut ManifestEdit)) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("package.json");
        std::fs::write(&path, before).expect("written");
        let mut edit = ManifestEdit::read(directory.path(), &Drafts::default()).expect("read");
        change(&mut edit);
        match edit.draft() {
            Some(draft) => String::from_utf8(draft.after.expect("text")).expect("text"),
            None => before.to_owned(),
        }
    }

    fn name(text: &str) -> PackageName {
        PackageName::new(text).expect("a name")
    }

    #[test]
    fn a_file_is_changed_in_its_own_style() {
        let put = |edit: &mut ManifestEdit| edit.put(Field::Production, &name("b"), "^1.0.0");
        for (before, after) in [
            (
                "{\n\t\"name\": \"x\",\n\t\"dependencies\": {\n\t\t\"c\": \"1\"\n\t}\n}\n",
                "{\n\t\"name\": \"x\",\n\t\"dependencies\": {\n\t\t\"b\": \"^1.0.0\",\n\
                 \t\t\"c\": \"1\"\n\t}\n}\n",
            ),
            (
                "{\n    \"name\": \"x\"\n}",
                "{\n    \"name\": \"x\",\n    \"dependencies\": {\n        \"b\": \"^1.0.0\"\n    \
                 }\n}",
            ),
            (
                "{\n  \"devDependencies\": {\n    \"b\": \"1\"\n  }\n}\n",
                "{\n  \"dependencies\": {\n    \"b\": \"^1.0.0\"\n  }\n}\n",
            ),
            (
                "{\n  \"devDependencies\": {\n    \"b\": \"1\"\n  },\n  \"x\": 1,\n  \"y\": 2\n}\n",
                "{\n  \"dependencies\": {\n    \"b\": \"^1.0.0\"\n  },\n  \"x\": 1,\n  \
                 \"y\": 2\n}\n",
            ),
            (
                "{\n  \"devDependencies\": {}\n}\n",
                "{\n  \"devDependencies\": {},\n  \"dependencies\": {\n    \"b\": \"^1.0.0\"\n  \
                 }\n}\n",
            ),
        ] {
            assert_eq!(edited(before, put), after);
        }
        let bare = "{\n\"name\": \"x\",\n\"dependencies\": {\"c\": \"1\"}\n}\n";
        assert_eq!(
            edited(bare, put),
            "{\"name\":\"x\",\"dependencies\":{\"b\":\"^1.0.0\",\"c\":\"1\"}}\n"
        );
    }

    #[test]
    fn nothing_changes_where_nothing_is_changed() {
        let odd = "{ \"name\" : \"x\",   \"dependencies\":{\"a\":\"1\"}}";
        assert_eq!(edited(odd, |_| {}), odd);
    }
}
