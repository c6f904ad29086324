//! `profile export` and `import`.

use std::fs;

use crate::cli::arguments::{GlobalArguments, ProfileCommand};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::fs::warm::{Profile, ProfilePlace};
use crate::install::config::Options;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    command: &ProfileCommand,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let config = &context.config;
    let mountpoint = config.lockfile_directory.join(&config.modules_directory);
    let place = ProfilePlace::new(&config.cache_directory.join("profiles"), &mountpoint, None);
    match command {
        ProfileCommand::Export { file } => {
            let profile = place.load().ok_or_else(|| {
                Failure::new(
                    "ERR_PACQUET_NO_PROFILE",
                    "Nothing is known yet of what programs touch in this project",
                    Some("run them once in a served node_modules"),
                )
            })?;
            let text = profile.to_text();
            match file {
                Some(file) => fs::write(file, text).map_err(|cause| {
                    let sentence = format!("{} cannot be written", file.display());
                    Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
                }),
                None => {
                    print(&text);
                    Ok(())
                }
            }
        }
        ProfileCommand::Import { file } => Ok(place.save(&Profile::load(file)?)?),
    }
}
