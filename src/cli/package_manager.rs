//! Which package manager a project says that it uses.

use std::fs;

use serde_json::Value;

use super::context::Context;
use super::failure::Failure;
use crate::name::escaped;
use crate::report::Event;

/// Refuses to write a lockfile for a project of another package manager, or warns of it, as the
/// project says. `devEngines.packageManager` goes before `packageManager`.
pub(super) fn check(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    let root = config.workspace_root.as_ref();
    let root = root.unwrap_or(&config.directory);
    let text = fs::read_to_string(root.join("package.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some((name, reaction)) = declared(&manifest) else {
        return Ok(());
    };
    // This program does pnpm's work, with its files.
    if matches!(name, "pnpm" | "pacquet") || reaction == "ignore" {
        return Ok(());
    }
    let sentence = format!("This project is configured to use {}", escaped(name));
    if reaction == "warn" {
        context.reporter.report(&Event::Warning {
            code: "ERR_PNPM_OTHER_PM_EXPECTED",
            message: &sentence,
        });
        return Ok(());
    }
    Err(Failure::new(
        "ERR_PNPM_OTHER_PM_EXPECTED",
        sentence,
        Some("change packageManager in package.json to use this one"),
    ))
}

/// The name, and what happens where another one is used.
fn declared(manifest: &Value) -> Option<(&str, &str)> {
    let engine = manifest
        .get("devEngines")
        .and_then(|all| all.get("packageManager"));
    if let Some(engine) = engine {
        let name = engine.get("name").and_then(Value::as_str)?;
        let reaction = engine.get("onFail").and_then(Value::as_str);
        return Some((name, reaction.unwrap_or("error")));
    }
    let text = manifest.get("packageManager")?.as_str()?;
    Some((text.split('@').next().unwrap_or(text), "error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_go_before_the_other_field() {
        for (manifest, expected) in [
            (r#"{}"#, None),
            (r#"{ "packageManager": 1 }"#, None),
            (
                r#"{ "packageManager": "yarn@1.22.0" }"#,
                Some(("yarn", "error")),
            ),
            (
                r#"{ "packageManager": "pnpm@9", "devEngines": { "packageManager": { "name":
                "npm", "onFail": "warn" } } }"#,
                Some(("npm", "warn")),
            ),
            (
                r#"{ "devEngines": { "packageManager": { "name": "bun" } } }"#,
                Some(("bun", "error")),
            ),
        ] {
            let manifest = serde_json::from_str(manifest).expect("JSON");
            assert_eq!(declared(&manifest), expected, "{manifest}");
        }
    }
}
