//! Where packages are installed that belong to no project: where pnpm has them too.

use std::path::PathBuf;

use super::environment::Environment;
use super::options::Options;
use super::pnpm_store::pnpm_home;

/// The version of the layout, which is the last component of the directory of packages.
const VERSION: &str = "v11";

/// Where packages are installed that belong to no project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalPlaces {
    /// `globalDir`, of this layout: a directory a group of packages.
    pub packages: PathBuf,
    /// `globalBinDir`: their commands.
    pub commands: PathBuf,
}

pub(super) fn places(options: &Options, environment: &Environment) -> Option<GlobalPlaces> {
    let home = pnpm_home(environment);
    let below = |name: &str| home.as_ref().map(|home| home.join(name));
    let packages = options.global_dir.clone().or_else(|| below("global"))?;
    Some(GlobalPlaces {
        packages: packages.join(VERSION),
        commands: options.global_bin_dir.clone().or_else(|| below("bin"))?,
    })
}
