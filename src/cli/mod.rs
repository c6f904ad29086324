//! The command line: the only place that reads arguments and that prints.
//!
//! **Architecture Invariant:** no other module names clap, and no other module writes to standard
//! output or standard error.

mod arguments;
mod commands;
mod context;
mod failure;
mod interrupt;
mod report;
mod serving;
mod trace;
mod writing;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as UsageKind;

use arguments::{Arguments, Command, ReporterKind};
use failure::Failure;

/// Runs the program. Returns its exit code: 0, or 1 for every failure, as pnpm does.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(std::env::args_os().map(split_generic)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let _trace = match arguments.command {
        Command::Serve(_) => {
            trace::start_log();
            None
        }
        _ => trace::start(arguments.global.trace.as_deref()),
    };
    let result = run(&arguments);
    interrupt::leave_the_end_to_the_watcher();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show(&failure, arguments.global.reporter);
            ExitCode::FAILURE
        }
    }
}

/// `--config.key=value` becomes `--config=key=value`, which clap can take.
fn split_generic(argument: OsString) -> OsString {
    match argument
        .to_str()
        .and_then(|text| text.strip_prefix("--config."))
    {
        Some(pair) => format!("--config={pair}").into(),
        None => argument,
    }
}

/// Help and version are no failures; everything else is, with code 1.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is the reader's business.
    let _ = error.print();
    match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Install(install) => commands::install::run(global, install),
        Command::Mount(mount) => commands::mount::mount(global, mount),
        Command::Unmount(unmount) => commands::mount::unmount(global, unmount),
        Command::Status(status) => commands::status::run(status),
        Command::Store(store) => commands::store::run(global, store),
        Command::Serve(serve) => commands::serve::run(serve),
        // Nobody is there to be told: what it could not touch stays untouched.
        Command::Walk(walk) => Ok(drop(crate::fs::warm::walk(&walk.mountpoint))),
    }
}

/// Shows a failure: as an object on standard output for programs, else as text on standard error.
fn show(failure: &Failure, reporter: Option<ReporterKind>) {
    if reporter == Some(ReporterKind::Ndjson) {
        print(&format!("{}\n", failure.json()));
    }
    let _ = writeln!(std::io::stderr().lock(), "{}", failure.text());
}

/// Prints a result to standard output. Where nobody reads it, the program ends quietly.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        #[expect(clippy::exit, reason = "there is nobody left to tell anything")]
        std::process::exit(0);
    }
}
