//! `root`, `bin` and `prefix`: where things are.

use std::path::Path;

use crate::cli::arguments::GlobalArguments;
use crate::cli::commands::global::Places;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::config::Options;

pub(in crate::cli) fn root(global: &GlobalArguments, is_global: bool) -> Result<(), Failure> {
    if is_global {
        return Places::mutable(global).map(|places| show(&places.packages));
    }
    let config = Context::load(global, Options::default())?.config;
    let modules = config.directory.join(&config.modules_directory);
    show(&modules);
    Ok(())
}

pub(in crate::cli) fn prefix(global: &GlobalArguments, is_global: bool) -> Result<(), Failure> {
    if is_global {
        return Places::mutable(global)
            .map(|places| show(places.packages.parent().unwrap_or(&places.packages)));
    }
    let config = Context::load(global, Options::default())?.config;
    show(&config.directory);
    Ok(())
}

pub(in crate::cli) fn bin(global: &GlobalArguments, is_global: bool) -> Result<(), Failure> {
    if is_global {
        return Places::mutable(global).map(|places| show(&places.commands));
    }
    let config = Context::load(global, Options::default())?.config;
    let bin = config
        .directory
        .join(&config.modules_directory)
        .join(".bin");
    show(&bin);
    Ok(())
}

fn show(path: &Path) {
    print(&format!("{}\n", path.display()));
}
