//! `completion`: scripts for shells.

use clap::CommandFactory;

use crate::cli::arguments::Arguments;
use crate::cli::failure::Failure;
use crate::cli::print;

pub(in crate::cli) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "pacquet", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(())
}
