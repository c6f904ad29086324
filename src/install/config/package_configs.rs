//! `packageConfigs`: settings of single projects, where each has a lockfile of its own.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::error::ConfigWarning;
use super::options::Options;
use super::value::{Origin, Refusal, Setting, Written};
use crate::install::manifest::Manifest;

/// `packageConfigs`: names of projects, and what is so for them. What comes later goes before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageConfigs(Vec<(Vec<String>, ProjectSettings)>);

/// What may be set for a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ProjectSettings {
    hoist: Option<bool>,
    modules_dir: Option<PathBuf>,
    overrides: Option<IndexMap<String, String>>,
    save_exact: Option<bool>,
    save_prefix: Option<String>,
    /// Which of them are there.
    keys: Vec<&'static str>,
}

/// The names of those.
const KEYS: [&str; 5] = [
    "hoist",
    "modulesDir",
    "overrides",
    "saveExact",
    "savePrefix",
];

/// Which projects an entry of a list is about.
const MATCH: &str = "match";

impl Setting for PackageConfigs {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let parsed;
        let value = match written {
            Written::Typed(value) => value,
            Written::Text(text) => {
                parsed = serde_json::from_str(text).map_err(|_| refusal())?;
                &parsed
            }
        };
        let entries = match value {
            Value::Object(map) => map
                .iter()
                .map(|(name, settings)| {
                    let settings = settings.as_object().ok_or_else(refusal)?;
                    let settings = ProjectSettings::read(settings, origin)?;
                    Ok((vec![name.clone()], settings))
                })
                .collect::<Result<_, Refusal>>()?,
            Value::Array(list) => list
                .iter()
                .map(|entry| {
                    let mut settings = entry.as_object().ok_or_else(refusal)?.clone();
                    let names = settings.shift_remove(MATCH).ok_or_else(refusal)?;
                    let names = Vec::read(Written::Typed(&names), origin)?;
                    Ok((names, ProjectSettings::read(&settings, origin)?))
                })
                .collect::<Result<_, Refusal>>()?,
            _ => return Err(refusal()),
        };
        Ok(Self(entries))
    }
}

fn refusal() -> Refusal {
    Refusal::Expected(
        "a map from projects to hoist, modulesDir, overrides, saveExact and savePrefix, or a list \
         of such with `match`",
    )
}

impl ProjectSettings {
    fn read(map: &Map<String, Value>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        fn of<T: Setting>(
            map: &Map<String, Value>,
            key: &str,
            origin: &Origin<'_>,
        ) -> Result<Option<T>, Refusal> {
            match map.get(key) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => T::read(Written::Typed(value), origin).map(Some),
            }
        }
        let keys = map
            .keys()
            .map(|key| KEYS.into_iter().find(|known| known == key));
        Ok(Self {
            keys: keys.collect::<Option<_>>().ok_or_else(refusal)?,
            hoist: of(map, KEYS[0], origin)?,
            modules_dir: of(map, KEYS[1], origin)?,
            overrides: of(map, KEYS[2], origin)?,
            save_exact: of(map, KEYS[3], origin)?,
            save_prefix: of(map, KEYS[4], origin)?,
        })
    }

    fn options(&self) -> Options {
        Options {
            // As with pnpm, what is off for all is on for none.
            hoist: self.hoist.filter(|hoist| !hoist),
            modules_dir: self.modules_dir.clone(),
            overrides: self.overrides.clone(),
            save_exact: self.save_exact,
            save_prefix: self.save_prefix.clone(),
            ..Options::default()
        }
    }
}

impl PackageConfigs {
    /// What is so for the project in `directory`.
    pub(super) fn of_project(&self, directory: &Path) -> Options {
        // What is wrong with a manifest is told by who needs it.
        let manifest = Manifest::read_optional(directory).ok().flatten();
        let Some(name) = manifest.and_then(|manifest| manifest.name) else {
            return Options::default();
        };
        let concerned = self.0.iter().rev();
        let concerned = concerned.filter(|(names, _)| names.iter().any(|one| *one == *name));
        concerned.fold(Options::default(), |options, (_, settings)| {
            options.or(settings.options())
        })
    }

    /// What is said where all projects share a lockfile.
    pub(super) fn ignored(&self) -> Option<ConfigWarning> {
        let all = self.0.iter().flat_map(|(names, settings)| {
            let keys = settings.keys.iter();
            keys.flat_map(|key| names.iter().map(move |name| format!("\"{name}.{key}\"")))
        });
        let all: Vec<String> = all.map(|text| crate::name::escaped(&text)).collect();
        (!all.is_empty()).then(|| ConfigWarning {
            code: "ERR_PACQUET_CONFIG_NOT_APPLIED",
            message: format!(
                "The following \"packageConfigs\" settings were ignored: {}. They apply only when \
                 each project has its own lockfile (\"sharedWorkspaceLockfile: false\")",
                all.join(", ")
            ),
        })
    }
}
