//! What was served before a command, again: after the command failed when its own tree had taken
//! the place of that.

use std::path::PathBuf;

use super::{
    Place, importers_beside, layer_directories, open_store, plan, saved_layers, server_command,
    trees_of,
};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::fs::control::RunDirectory;
use crate::fs::image::Image;
use crate::fs::{mount, status};
use crate::install::locked::Supply;
use crate::install::real::links::write_links;
use crate::store::Access;

/// The digest of the layer that is served for the project.
pub(in crate::cli) fn served_layer(context: &Context) -> Option<String> {
    let config = &context.config;
    let mounts = status::mounts(&RunDirectory::of_user().ok()?).ok()?;
    let mut states = mounts.into_iter().filter_map(|(entry, state)| {
        state.filter(|state| state.project_of(&entry) == config.lockfile_directory)
    });
    let state = states.find(|state| state.store == config.store_directory && state.is_alive());
    state.map(|state| state.layer_digest)
}

/// Serves the layer with this digest where another one is served.
pub(in crate::cli) fn put_back(context: &Context, place: &Place, digest: &str) {
    if served_layer(context).is_none_or(|served| served == digest) {
        return;
    }
    // The failure of the command is what is told; the next install serves what is locked.
    let _ = serve_again(context, place, digest);
}

fn serve_again(context: &Context, place: &Place, digest: &str) -> Result<(), Failure> {
    let config = &context.config;
    let run = RunDirectory::of_user()?;
    let Some(layer) = saved_layer(&layer_directories(config, &run), digest) else {
        return Ok(());
    };
    let image = Image::load(&layer)?;
    let importers = match image.tree_count() {
        1 => vec![".".into()],
        _ => importers_beside(&layer).unwrap_or_default(),
    };
    let (mounts, links) = trees_of(context, &image, &importers)?;
    write_links(&links)?;
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let packs = (0..image.pack_count()).filter_map(|index| Some(image.pack(index)?.0));
    store.set_root(&config.lockfile_directory, packs)?;
    let plan = plan(context, place, layer, digest.to_owned(), mounts);
    mount::mount(&plan, &run, &server_command(place.verify_reads))?;
    Ok(())
}

fn saved_layer(directories: &[PathBuf], digest: &str) -> Option<PathBuf> {
    let layers = directories
        .iter()
        .filter_map(|path| saved_layers(path).ok());
    let mut layers = layers.flatten();
    layers.find(|path| Image::saved_digest_text(path).as_deref() == Some(digest))
}
