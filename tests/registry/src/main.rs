//! `pacquet-registry`: records what a registry serves, and replays it on loopback.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use pacquet_test_registry::packument::Form;
use pacquet_test_registry::{record, replay};

/// Records what a registry serves, and replays it on loopback.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum PackumentForm {
    Full,
    Abbreviated,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the tarballs and packuments of the packages in some lockfiles, as the registry that
    /// npm is configured with serves them. Run it again to continue.
    Record {
        /// A pnpm-lock.yaml; may be given several times.
        #[arg(long, required = true, num_args = 1..)]
        lockfile: Vec<PathBuf>,
        /// The folder of the recording.
        #[arg(long)]
        into: PathBuf,
        /// Which forms of packuments to ask for: full,abbreviated. What the registry does not
        /// serve is derived from the full form.
        #[arg(long, value_delimiter = ',')]
        packuments: Vec<PackumentForm>,
        /// Leave out versions published after this time (2026-11-01T12:00:00Z).
        #[arg(long)]
        before: Option<String>,
        /// Leave out this name@version; may be given several times.
        #[arg(long)]
        leave_out: Vec<String>,
        /// Also record this path (/name or /name/-/name-1.0.0.tgz); may be given several times.
        #[arg(long)]
        also: Vec<String>,
        /// Requests at a time.
        #[arg(long, default_value_t = 16)]
        concurrency: usize,
    },
    /// Serve a recording on loopback until killed.
    Replay {
        /// The folder of the recording.
        #[arg(long)]
        from: PathBuf,
        /// The port; 0 takes a free one, which is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Delay of every answer, and of every first answer of a connection once more.
        #[arg(long, default_value_t = 0)]
        round_trip_ms: u64,
        /// Limit of each connection, in megabits a second.
        #[arg(long)]
        bandwidth_mbit: Option<u64>,
        /// Make every packument for this port before listening.
        #[arg(long)]
        prepare: bool,
    },
}

fn say(line: &str) {
    // A progress line that cannot be written is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Record {
            lockfile,
            into,
            packuments,
            before,
            leave_out,
            also,
            concurrency,
        } => {
            let forms = packuments.into_iter().map(|form| match form {
                PackumentForm::Full => Form::Full,
                PackumentForm::Abbreviated => Form::Abbreviated,
            });
            let options = record::Options {
                lockfiles: lockfile,
                into,
                packuments: forms.collect(),
                before,
                leave_out,
                also,
                concurrency,
            };
            let index = record::record(&options, &say)?;
            let bytes: u64 = index.tarballs.values().map(|tarball| tarball.bytes).sum();
            let (tarballs, packuments) = (index.tarballs.len(), index.packuments.len());
            say(&format!(
                "{tarballs} tarballs ({bytes} bytes), {packuments} packuments"
            ));
        }
        Command::Replay {
            from,
            port,
            round_trip_ms,
            bandwidth_mbit,
            prepare,
        } => {
            let link = replay::Link {
                round_trip_ms,
                bandwidth_mbit,
            };
            let preparation = match prepare {
                true => replay::Preparation::All,
                false => replay::Preparation::OnDemand,
            };
            let options = replay::Options {
                from,
                port,
                link,
                preparation,
            };
            replay::serve(&options, &|url| {
                let mut output = std::io::stdout();
                let _ = writeln!(output, "{url}").and_then(|()| output.flush());
            })?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("pacquet-registry: {error}"));
            ExitCode::FAILURE
        }
    }
}
