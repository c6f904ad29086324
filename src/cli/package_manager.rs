//! Which package manager a project says that it uses.

use serde_json::Value;

use super::context::Context;
use super::failure::Failure;
use super::runtimes;
use crate::install::config::{Config, EngineReaction, PNPM_VERSION};
use crate::install::locked::LockfilePlace;
use crate::install::manifest::Manifest;
use crate::install::semver::{Range, Version};
use crate::name::escaped;
use crate::report::Event;

/// `package.json` of the root as it stands; `null` where there is none that can be read.
pub(super) fn root_manifest(config: &Config) -> Value {
    let json = Manifest::read_bytes(config.root()).ok().flatten();
    serde_json::from_slice(&json.unwrap_or_default()).unwrap_or_default()
}

/// Refuses a project of another package manager, or warns of it, as the project says.
/// `devEngines.packageManager` goes before `packageManager`.
pub(super) fn check(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    let manifest = root_manifest(config);
    check_version(&manifest)?;
    runtimes::check(context, &manifest)?;
    let Some((name, reaction)) = declared(&manifest) else {
        return Ok(());
    };
    let set = config.package_manager_on_fail.map(EngineReaction::as_str);
    let reaction = set.unwrap_or(reaction);
    // Lockfiles of npm are installed as they stand.
    if name == "npm" && LockfilePlace::find(config).is_of_npm {
        return Ok(());
    }
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
        Some(
            "change packageManager in package.json to use this one, or set pmOnFail to \"warn\" or \
             \"ignore\"",
        ),
    ))
}

/// Refuses a project that needs another version of pnpm (`engines.pnpm`) than this program stands
/// for.
fn check_version(manifest: &Value) -> Result<(), Failure> {
    let wanted = manifest
        .get("engines")
        .and_then(|engines| engines.get("pnpm")?.as_str());
    let (Some(wanted), Some(own)) = (wanted, Version::parse(PNPM_VERSION)) else {
        return Ok(());
    };
    match Range::parse(wanted) {
        Some(range) if !range.contains(&own) => Err(Failure::new(
            "ERR_PNPM_UNSUPPORTED_ENGINE",
            format!(
                "The project needs pnpm {}, and this program does the work of {PNPM_VERSION}",
                escaped(wanted)
            ),
            Some("change engines.pnpm in package.json to use this one"),
        )),
        _ => Ok(()),
    }
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
