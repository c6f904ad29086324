//! Changes of single settings in YAML files of settings (`pnpm-workspace.yaml`, the user's
//! `config.yaml`), of which everything else stays as it is: comments, order, blank lines.
//!
//! New keys are sorted in where the keys that are there are sorted (`packages` may come first),
//! and come last otherwise. Where all blocks have an empty line in front, so has a new one.
//!
//! **Architecture Invariant:** a file whose text cannot be changed line by line without touching
//! what it means (a map in braces with anything but plain entries, an anchor) is refused, and what
//! is written is read again before it replaces the file.

mod emit;
mod lines;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::install::config;
use crate::install::drafts::{Draft, DraftKind, Drafts};
use crate::limits::CONFIG_BYTES_MAX;
use crate::name::escaped;
use crate::sys;

use lines::Block;

/// The file's name in a workspace.
pub const WORKSPACE_FILE_NAME: &str = "pnpm-workspace.yaml";

/// Why a file of settings cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFileError {
    /// It cannot be read or written.
    #[error("Cannot {what} {}", path.display())]
    Io {
        /// `read`, `write` or `remove`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no YAML, or would be none afterwards.
    #[error("{} is not a map of settings in YAML", path.display())]
    Yaml {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_norway::Error,
    },
    /// A setting has a form that is not changed here.
    #[error("\"{key}\" in {} is written in a form that is not changed by commands", path.display())]
    Form {
        /// Which setting.
        key: String,
        /// Of which file.
        path: PathBuf,
    },
    /// A control character.
    #[error("{text:?} has a control character and cannot be written to {}", path.display())]
    Control {
        /// What was to be written.
        text: String,
        /// Where.
        path: PathBuf,
    },
}

impl Diagnostic for SettingsFileError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { what: "read", .. } => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_READ",
            Self::Io { .. } => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_WRITE",
            Self::Yaml { .. } => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_PARSE",
            Self::Form { .. } => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_UNSUPPORTED_INLINE_BLOCK",
            Self::Control { .. } => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_INVALID_CONTROL_CHARACTER",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Form { .. } => {
                "write it as a block, one line an entry, and run the command again"
            }
            Self::Io { .. } => "check whose the file is, and that its directory can be written",
            Self::Yaml { .. } => "correct the file at that place",
            Self::Control { .. } => "leave the character out",
        };
        Some(hint.to_owned())
    }
}

/// A file of settings, to be changed.
#[derive(Debug)]
pub struct SettingsFile {
    path: PathBuf,
    before: Option<String>,
    text: String,
}

impl SettingsFile {
    /// Reads the file at `path`; one that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is no map in YAML.
    pub fn read(path: &Path) -> Result<Self, SettingsFileError> {
        let before = match sys::file::read_text(path, CONFIG_BYTES_MAX) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => {
                return Err(SettingsFileError::Io {
                    what: "read",
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let text = before.clone().unwrap_or_default();
        let file = Self {
            path: path.to_owned(),
            before,
            text,
        };
        file.parsed(&file.text)?;
        Ok(file)
    }

    /// Reads the file of the workspace or project in `directory`.
    ///
    /// # Errors
    /// As [`SettingsFile::read`].
    pub fn of_workspace(directory: &Path) -> Result<Self, SettingsFileError> {
        Self::read(&directory.join(WORKSPACE_FILE_NAME))
    }

    /// The same where it may have a draft.
    ///
    /// # Errors
    /// As [`SettingsFile::read`].
    pub fn drafted(directory: &Path, drafts: &Drafts) -> Result<Self, SettingsFileError> {
        let mut file = Self::of_workspace(directory)?;
        if let Some(content) = drafts.content(&file.path) {
            file.text = String::from_utf8_lossy(content.unwrap_or_default()).into_owned();
        }
        Ok(file)
    }

    /// What is to be written.
    pub fn draft(&self) -> Draft {
        let is_empty = lines::keys(&self.text, &Block::whole(&self.text)).is_empty();
        let is_as_before = self.before.as_ref() == Some(&self.text);
        Draft {
            path: self.path.clone(),
            kind: DraftKind::Settings,
            before: self.before.clone().map(String::into_bytes),
            // One in which no setting is left is removed.
            after: (!is_empty || is_as_before).then(|| self.text.clone().into_bytes()),
        }
    }

    fn parsed(&self, text: &str) -> Result<Value, SettingsFileError> {
        config::parse_settings(text).map_err(|source| SettingsFileError::Yaml {
            path: self.path.clone(),
            source,
        })
    }

    /// The value at `path` (keys from the outside in).
    ///
    /// # Errors
    /// The text is no map in YAML.
    pub fn get(&self, path: &[&str]) -> Result<Option<Value>, SettingsFileError> {
        Ok(at(&self.parsed(&self.text)?, path).cloned())
    }

    /// Sets the value at `path`, and makes the maps around it where they are missing. Whether that
    /// changed anything.
    ///
    /// # Errors
    /// What is there has a form that is not changed, or there is a control character.
    pub fn set(&mut self, path: &[&str], value: &Value) -> Result<bool, SettingsFileError> {
        let before = self.parsed(&self.text)?;
        if at(&before, path) == Some(value) {
            return Ok(false);
        }
        self.refuse_control_characters(path, value)?;
        let Some((_, around)) = path.split_last() else {
            return Ok(false);
        };
        // The innermost map around it that has a line an entry: what is further in is written anew.
        let mut depth = around.len();
        let block = loop {
            match self.block(&path[..depth]) {
                Some(block) => break block,
                None => depth -= 1,
            }
        };
        let (key, inner) = (path[depth], &path[depth + 1..]);
        let mut written = at(&before, &path[..=depth]).cloned().unwrap_or_default();
        put(&mut written, inner, value);
        self.text = match lines::entry(&self.text, &block, key) {
            Some(entry) => {
                let lines = match entry.key_text(&self.text) {
                    Some(key) => emit::below(block.indent, key, &written),
                    None => emit::entry(block.indent, key, &written),
                };
                let known = at(&before, &path[..=depth]).and_then(Value::as_array);
                let relisted = known.zip(written.as_array()).and_then(|(known, list)| {
                    let (same, added) = list.split_at_checked(known.len())?;
                    let same: Vec<Option<&Value>> = same.iter().map(Some).collect();
                    let after = (&*same, added);
                    lines::relisted(&self.text, &entry, known, after, emit::plain)
                });
                relisted.unwrap_or_else(|| lines::replaced(&self.text, &entry, &lines))
            }
            None => {
                let lines = emit::entry(block.indent, key, &written);
                lines::inserted(&self.text, &block, key, &lines)
            }
        };
        self.check(&before, path, Some(value))?;
        Ok(true)
    }

    /// Takes the value at `path` out, and the maps around it that become empty. Whether it was
    /// there.
    ///
    /// # Errors
    /// It has a form that is not changed.
    pub fn remove(&mut self, path: &[&str]) -> Result<bool, SettingsFileError> {
        let before = self.parsed(&self.text)?;
        if at(&before, path).is_none() {
            return Ok(false);
        }
        let mut path = path;
        while let [around @ .., _] = path
            && !around.is_empty()
            && at(&before, around).and_then(Value::as_object).map(Map::len) == Some(1)
        {
            path = around;
        }
        let Some((last, around)) = path.split_last() else {
            return Ok(false);
        };
        let entry = self
            .block(around)
            .and_then(|block| lines::entry(&self.text, &block, last));
        match entry {
            Some(entry) => self.text = lines::removed(&self.text, &entry),
            None if around.is_empty() => return Err(self.form(last)),
            None => {
                // It is in a map on one line, which is written anew.
                let mut map = at(&before, around).cloned().unwrap_or_default();
                if let Some(map) = map.as_object_mut() {
                    map.shift_remove(*last);
                }
                self.set(around, &map)?;
            }
        }
        self.check(&before, path, None)?;
        Ok(true)
    }

    /// Takes items out of the list `key`, or writes them anew: `after` has what comes of each of
    /// those that are there `before`. A list in which nothing is left goes.
    ///
    /// # Errors
    /// It has a form that is not changed.
    pub fn retain(
        &mut self,
        key: &str,
        before: &[Value],
        after: &[Option<Value>],
    ) -> Result<(), SettingsFileError> {
        let left: Vec<Value> = after.iter().flatten().cloned().collect();
        if left == before {
            return Ok(());
        }
        if left.is_empty() {
            return self.remove(&[key]).map(drop);
        }
        let parsed = self.parsed(&self.text)?;
        let kept: Vec<Option<&Value>> = after.iter().map(Option::as_ref).collect();
        let entry = lines::entry(&self.text, &Block::whole(&self.text), key);
        let relisted = entry.and_then(|entry| {
            lines::relisted(&self.text, &entry, before, (&kept, &[]), emit::plain)
        });
        let list = Value::Array(left);
        match relisted {
            Some(text) => self.text = text,
            None => return self.set(&[key], &list).map(drop),
        }
        self.check(&parsed, &[key], Some(&list))
    }

    /// The lines of the map at `path`; `None` where there is no map in block form.
    fn block(&self, path: &[&str]) -> Option<Block> {
        let mut block = Block::whole(&self.text);
        for key in path {
            block = lines::entry(&self.text, &block, key)?.inside(&self.text)?;
        }
        Some(block)
    }

    fn form(&self, key: &str) -> SettingsFileError {
        SettingsFileError::Form {
            key: escaped(key),
            path: self.path.clone(),
        }
    }

    fn refuse_control_characters(
        &self,
        path: &[&str],
        value: &Value,
    ) -> Result<(), SettingsFileError> {
        let is_control =
            |one: char| one.is_control() || matches!(one, '\u{2028}' | '\u{2029}' | '\u{feff}');
        let mut texts: Vec<&str> = path.to_vec();
        let mut values = vec![value];
        while let Some(value) = values.pop() {
            match value {
                Value::String(text) => texts.push(text),
                Value::Array(list) => values.extend(list),
                Value::Object(map) => {
                    texts.extend(map.keys().map(String::as_str));
                    values.extend(map.values());
                }
                _ => {}
            }
        }
        match texts.iter().find(|text| text.contains(is_control)) {
            Some(text) => Err(SettingsFileError::Control {
                text: (*text).to_owned(),
                path: self.path.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether the text says now what it should at `path`, and elsewhere what it said `before`.
    fn check(
        &self,
        before: &Value,
        path: &[&str],
        value: Option<&Value>,
    ) -> Result<(), SettingsFileError> {
        let key = path.first().copied().unwrap_or_default();
        let after = self.parsed(&self.text)?;
        let others = |value: &Value| {
            let mut map = value.as_object().cloned().unwrap_or_default();
            map.shift_remove(key);
            map
        };
        match at(&after, path) == value && others(before) == others(&after) {
            true => Ok(()),
            false => Err(self.form(key)),
        }
    }

    /// Writes the file where anything changed; one in which no setting is left is removed.
    ///
    /// # Errors
    /// It cannot be written; the old one is there then.
    pub fn write(&self) -> Result<(), SettingsFileError> {
        if self.before.as_ref() == Some(&self.text) || self.before.is_none() && self.text.is_empty()
        {
            return Ok(());
        }
        if lines::keys(&self.text, &Block::whole(&self.text)).is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(self.failed("remove", error))
                }
                _ => Ok(()),
            };
        }
        self.replace().map_err(|error| self.failed("write", error))
    }

    fn replace(&self) -> std::io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        sys::directory::make(directory)?;
        let mode = match fs::metadata(&self.path) {
            Ok(facts) => facts.permissions().mode() & 0o777,
            Err(_) => 0o644,
        };
        sys::file::replace(&self.path, self.text.as_bytes(), Some(mode))
    }

    fn failed(&self, what: &'static str, source: std::io::Error) -> SettingsFileError {
        SettingsFileError::Io {
            what,
            path: self.path.clone(),
            source,
        }
    }
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(*key))
}

/// Puts `new` at `path` in `value`, which becomes a map where it is none.
fn put(value: &mut Value, path: &[&str], new: &Value) {
    let Some((key, inner)) = path.split_first() else {
        *value = new.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        put(map.entry(*key).or_insert(Value::Null), inner, new);
    }
}

#[cfg(test)]
mod tests;
