//! `root`, `bin` and `prefix`: where things are.

use crate::cli::arguments::GlobalArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::config::Options;

pub(in crate::cli) fn root(global: &GlobalArguments) -> Result<(), Failure> {
    let config = Context::load(global, Options::default())?.config;
    let modules = config.directory.join(&config.modules_directory);
    print(&format!("{}\n", modules.display()));
    Ok(())
}

pub(in crate::cli) fn prefix(global: &GlobalArguments) -> Result<(), Failure> {
    let config = Context::load(global, Options::default())?.config;
    print(&format!("{}\n", config.directory.display()));
    Ok(())
}

pub(in crate::cli) fn bin(global: &GlobalArguments) -> Result<(), Failure> {
    let config = Context::load(global, Options::default())?.config;
    let bin = config
        .directory
        .join(&config.modules_directory)
        .join(".bin");
    print(&format!("{}\n", bin.display()));
    Ok(())
}
