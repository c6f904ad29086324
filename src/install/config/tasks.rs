//! `tasks`: what scripts wait for in the projects of a workspace.

use indexmap::IndexMap;
use serde_json::Value;

use super::error::ConfigWarning;
use super::value::{Origin, Refusal, Setting, Written, object};
use crate::name::escaped;

/// Fields of a task that pnpm knows.
const FIELDS: [&str; 5] = [DEPENDS_ON, "cache", "env", "inputs", "outputs"];

const DEPENDS_ON: &str = "dependsOn";

/// `tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    /// By the name of the script: names of others, of the same project or, with `^` in front, of
    /// those that it depends on.
    pub depends_on: IndexMap<String, Vec<String>>,
    /// Fields that nobody knows.
    unknown: Vec<String>,
}

impl Setting for Tasks {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let expected = "a map from scripts to maps, in which dependsOn is a list of scripts";
        let mut tasks = Self::default();
        for (name, task) in object(written, expected)? {
            let Value::Object(fields) = task else {
                return Err(Refusal::Expected(expected));
            };
            let depends_on = match fields.get(DEPENDS_ON) {
                None | Some(Value::Null) => Vec::new(),
                Some(list) => Vec::read(Written::Typed(list), origin)?,
            };
            let unknown = fields.keys().filter(|key| !FIELDS.contains(&key.as_str()));
            let unknown = unknown.map(|key| format!("\"tasks['{name}'].{key}\""));
            tasks.unknown.extend(unknown);
            tasks.depends_on.insert(name, depends_on);
        }
        Ok(tasks)
    }
}

impl Tasks {
    /// What is said of fields that nobody knows.
    pub(super) fn ignored(&self) -> Option<ConfigWarning> {
        (!self.unknown.is_empty()).then(|| ConfigWarning {
            code: "ERR_PACQUET_UNKNOWN_SETTING",
            message: format!(
                "The following task settings are not known, and were ignored: {}",
                escaped(&self.unknown.join(", "))
            ),
        })
    }
}
