//! Building in the tree.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::plan::Build;
use super::{BuildError, Kept};
use crate::install::layout::{DirectoryIndex, InstanceIndex, Layout, LayoutEntry};
use crate::install::scripts::schedule::{self, OnFailure, Outcome};
use crate::install::scripts::{Launcher, Script, ScriptEnd, ScriptManifest};
use crate::name::escaped;
use crate::report::Event;

/// The stages of a package, in their order.
const STAGES: [&str; 3] = ["preinstall", "install", "postinstall"];

/// Where a package is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlace {
    /// Its directory.
    pub path: PathBuf,
    /// Which one of the layout that is.
    pub directory: DirectoryIndex,
}

/// Where each instance of a layout is, by its number. `roots` are where the layout's trees are.
pub fn places(layout: &Layout, roots: &[PathBuf]) -> HashMap<InstanceIndex, BuildPlace> {
    let mut found = HashMap::new();
    for (tree, root) in layout.trees.iter().zip(roots) {
        let mut open = vec![(tree.root, root.clone())];
        while let Some((index, path)) = open.pop() {
            let Some(directory) = layout.directories.get(index.0 as usize) else {
                continue;
            };
            for (name, entry) in &directory.entries {
                if let LayoutEntry::Directory(child) = entry {
                    open.push((*child, path.join(name.as_str())));
                }
            }
            if let Some(backing) = &directory.backing
                && backing.directory.is_none()
            {
                let directory = index;
                found
                    .entry(backing.instance)
                    .or_insert(BuildPlace { path, directory });
            }
        }
    }
    found
}

/// What came of building.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// Packages that were built and stored, by their places.
    pub stored: Vec<PathBuf>,
    /// Packages that were built, and that only this tree has.
    pub unstored: usize,
    /// The first that failed; what was being built then was ended.
    pub failure: Option<BuildError>,
}

/// What `after` makes of a package that was built.
type After<'a> = &'a (dyn Fn(&Build, &BuildPlace) -> Result<Kept, BuildError> + Sync);

/// Builds in the tree, dependencies first, at most `concurrency` at once; `after` is called for
/// each place that was built. An optional package may fail.
pub fn run(
    builds: &[Build],
    places: &HashMap<&str, Vec<BuildPlace>>,
    launcher: &Launcher,
    concurrency: usize,
    after: After<'_>,
) -> BuildReport {
    let waits_for: Vec<Vec<usize>> = builds.iter().map(|build| build.waits_for.clone()).collect();
    let waits_for = schedule::without_circles(&waits_for);
    let report = Mutex::new(BuildReport::default());
    let work = |at: usize| {
        let build = &builds[at];
        let places = places
            .get(build.dep_path.as_str())
            .map_or(&[][..], Vec::as_slice);
        for place in places {
            let kept = build_one(build, place, launcher).and_then(|built| {
                if built {
                    after(build, place)
                } else {
                    Ok(Kept::Nothing)
                }
            });
            match kept {
                Ok(Kept::Nothing) => {}
                Ok(Kept::Stored) => lock(&report).stored.push(place.path.clone()),
                Ok(Kept::InTheTree) => lock(&report).unstored += 1,
                Err(_) if build.is_optional && !launcher.children.is_stopped() => {
                    tell_of_optional(build, launcher);
                    return Outcome::Passed;
                }
                Err(error) => {
                    lock(&report).failure.get_or_insert(error);
                    launcher.children.stop();
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Passed
    };
    schedule::run(&waits_for, concurrency, OnFailure::Stop, work);
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell_of_optional(build: &Build, launcher: &Launcher) {
    let package = escaped(build.dep_path.package_id_str());
    let message =
        format!("the optional package {package} could not be built, and is left as it is");
    launcher.reporter.report(&Event::Warning {
        code: "ERR_PNPM_OPTIONAL_BUILD_FAILED",
        message: &message,
    });
}

/// Runs the scripts of one package at one place. `false`: it has none.
fn build_one(build: &Build, place: &BuildPlace, launcher: &Launcher) -> Result<bool, BuildError> {
    let package = build.dep_path.as_str();
    let failed = |source| BuildError::Script {
        package: package.to_owned(),
        source,
    };
    let manifest = ScriptManifest::read(&place.path).map_err(|error| failed(error.into()))?;
    let Some(manifest) = manifest else {
        return Ok(false);
    };
    let shown = build.dep_path.package_id_str();
    for stage in STAGES {
        let Some(text) = manifest.stage(stage) else {
            continue;
        };
        let script = Script {
            package: &manifest,
            shown,
            dep_path: package,
            is_optional: build.is_optional,
            stage,
            text,
            arguments: &[],
        };
        let end = launcher.run(&script).map_err(failed)?;
        if end != ScriptEnd::Code(0) {
            return Err(BuildError::Failed {
                what: format!("{shown} {stage}"),
                script: text.to_owned(),
                end,
            });
        }
    }
    Ok(true)
}
