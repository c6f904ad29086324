//! Layers that no install has taken up for long. Each change of a lockfile makes another one, and
//! `store prune` keeps what they show, so what nobody comes back to has to go by itself.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::saved_layers;
use crate::fs::control::RunDirectory;
use crate::fs::image::Image;

/// How long a layer is kept after its last use.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How exactly the time of the last use is known: an install of every day writes nothing.
const USE_STEP: Duration = Duration::from_secs(24 * 60 * 60);

/// What may be beside a layer.
const NOTES: [&str; 3] = ["importers", "built", "whole"];

/// Notes that the layer is used now, by the time of its file.
pub(super) fn note_use(layer: &Path) {
    let noted = || -> io::Result<()> {
        if age(layer)? > USE_STEP {
            let file = File::options().append(true).open(layer)?;
            file.set_modified(SystemTime::now())?;
        }
        Ok(())
    };
    if let Err(error) = noted() {
        tracing::debug!(%error, "the use of a layer is not noted");
    }
}

/// Removes the layers in `directory` that nobody uses, but for `saved`, which was just saved: the
/// clock of its file system may be far behind this machine's. A failure is nobody's concern: what
/// is left there takes room.
pub(super) fn forget(directory: &Path, saved: &Path, run: &RunDirectory) {
    let (Ok(layers), Ok(states)) = (saved_layers(directory), run.states()) else {
        return;
    };
    let served: HashSet<String> = states.into_iter().map(|state| state.layer_digest).collect();
    for layer in layers {
        let is_old = layer != saved && age(&layer).is_ok_and(|age| age > KEPT_FOR);
        let is_served = || {
            let digest = Image::saved_digest_text(&layer);
            digest.is_none_or(|digest| served.contains(&digest))
        };
        if is_old && !is_served() && fs::remove_file(&layer).is_ok() {
            for note in NOTES {
                let _ = fs::remove_file(layer.with_extension(note));
            }
        }
    }
}

fn age(path: &Path) -> io::Result<Duration> {
    let modified = fs::metadata(path)?.modified()?;
    Ok(SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_used_for_long_goes_with_its_notes() {
        let scratch = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(&scratch.path().join("run")).unwrap();
        let layers = scratch.path().join("layers");
        fs::create_dir(&layers).unwrap();
        let make = |name: &str, used_before: Duration| {
            let path = layers.join(name);
            fs::write(&path, [7; 64]).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - used_before).unwrap();
            path
        };
        let old = make("old.layer", KEPT_FOR + USE_STEP);
        make("old.whole", Duration::ZERO);
        let used = make("used.layer", KEPT_FOR + USE_STEP);
        note_use(&used);
        let young = make("young.layer", KEPT_FOR / 2);
        let saved = make("saved.layer", KEPT_FOR * 12);
        forget(&layers, &saved, &run);
        assert!(!old.exists() && !old.with_extension("whole").exists());
        assert!(used.exists() && young.exists() && saved.exists());
    }
}
