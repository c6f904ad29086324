//! Packages that come from a repository by the `git` program, and which files of a directory make
//! a package.
//!
//! **Architecture Invariant:** nothing of a repository is executed but the scripts that
//! `allowBuilds` allows for it: no hooks, no remote helpers, no submodules. What a lockfile says
//! reaches `git` only as an operand after `--`, a commit only as hexadecimal digits.

mod checkout;
mod every_file;
mod ignore;
mod packlist;
mod prepare;
mod releases;
mod tree;

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::install::config::{Config, Environment};

use every_file::{Below, every_file};

pub use checkout::{Checkout, GitError, GitProgram, GitSource};
pub use packlist::{PackList, PackListError, pack_list, pack_list_of_archive};
pub use prepare::{PrepareError, must_be_prepared, prepare};
pub use releases::{ReleaseError, Releases, Tag};

/// Which files of a project its copies have.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub fn copied_files(directory: &Path, config: &Config) -> Result<PackList, PackListError> {
    match config.copies_every_file {
        true => every_file(directory, Below::LeftOut),
        false => pack_list(directory),
    }
}

/// Everything in `directory`, what packages in it carry too.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub fn whole_list(directory: &Path) -> Result<PackList, PackListError> {
    every_file(directory, Below::Kept)
}

/// Asks git about the user's own repository.
///
/// # Errors
/// When there is no git that could be asked.
pub(super) fn ask(
    directory: &Path,
    environment: &Environment,
    arguments: &[&str],
) -> io::Result<Output> {
    Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.variables())
        .stdin(Stdio::null())
        .output()
}
