//! `add --config`: packages that configuration is made of.

use serde_json::Value;

use crate::cli::arguments::{AddArguments, GlobalArguments};
use crate::cli::commands::install::settle;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::serving::open_store;
use crate::install::config::Options;
use crate::install::locked::Supply;
use crate::install::relock::{Named, specifiers};
use crate::name::escaped;
use crate::store::Access;

/// Writes the packages into `configDependencies`, and the versions that are chosen for them into
/// the lockfile.
pub(super) fn run(
    global: &GlobalArguments,
    arguments: &AddArguments,
    options: Options,
) -> Result<(), Failure> {
    let context = Context::load(global, options.clone())?;
    let config = &context.config;
    let mut file = context.settings_file(config.root())?;
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let (environment, reporter) = (&context.environment, &context.reporter);
    let specifiers = specifiers(config, environment, &store, reporter, None)?;
    for text in &arguments.packages {
        let named = Named::parse(text);
        if named.alias.is_none() {
            return Err(not_of_registry(text));
        }
        let (name, specifier) = specifiers.added(&named, |_| None)?;
        if specifier.contains(':') {
            return Err(not_of_registry(text));
        }
        let path = ["configDependencies", name.as_str()];
        file.set(&path, &Value::from(specifier))?;
    }
    drop(specifiers);
    context.draft(file.draft())?;
    settle(&Context::load_again(global, options, &context)?)
}

fn not_of_registry(text: &str) -> Failure {
    Failure::new(
        "ERR_PNPM_BAD_CONFIG_DEP",
        format!(
            "Cannot resolve {} as a configuration dependency because it has no integrity",
            escaped(text)
        ),
        Some(
            "only packages of registries can be configuration: name one, with or without @version",
        ),
    )
}
