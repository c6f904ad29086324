//! `completion`: scripts for shells.

use clap::{CommandFactory, ValueEnum as _};
use clap_complete::Shell;

use crate::cli::arguments::Arguments;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::name::escaped;

pub(in crate::cli) fn run(shell: Option<&str>) -> Result<(), Failure> {
    let name = shell.ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_MISSING_SHELL_NAME",
            "`pacquet completion` requires a shell name",
            Some("for example: `pacquet completion bash`"),
        )
    })?;
    let known = if name == "pwsh" { "powershell" } else { name };
    let shell = Shell::from_str(known, false).map_err(|_| {
        Failure::new(
            "ERR_PNPM_UNSUPPORTED_SHELL",
            format!("'{}' is not supported", escaped(name)),
            Some("Supported shells are: bash, fish, pwsh, zsh, elvish"),
        )
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "pacquet", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(())
}
