//! The integrated benchmark: installers and the trees that they make, compared in one run.
//!
//! ```text
//! cargo bench --bench integrated -- peers-setup     installs the peers, by npm
//! cargo bench --bench integrated -- record          records the registry, once
//! cargo bench --bench integrated -- run             compares; needs no network any more
//! ```
//!
//! **Invariant:** nothing is asserted. A figure that is worse than a target is printed as such.

#![allow(
    missing_docs,
    reason = "a program; its items are documented where that helps"
)]

mod chart;
mod disk;
mod measure;
mod peers;
mod project;
mod recording;
mod report;
mod result;
mod run;
mod scenario;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::disk::FileSystem;

#[derive(Parser)]
#[command(about = "Compares installers, and the trees that they make")]
struct Arguments {
    /// Given by `cargo bench`; means nothing.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Install the peers with npm
    PeersSetup(Places),
    /// Record what the fixtures need from the registry that npm is configured with
    Record(Places),
    /// Compare
    Run(Box<Options>),
    /// Write the Markdown of a result again, and its charts
    Report {
        /// A result's JSON
        result: PathBuf,
        /// Where the charts go; none are drawn without it
        #[arg(long)]
        charts: Option<PathBuf>,
    },
    /// Run one command and account for it
    #[command(hide = true)]
    Measure {
        result: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Read every file below a folder
    #[command(hide = true)]
    Read { folder: PathBuf },
    /// Serve a recording
    #[command(hide = true)]
    Serve {
        recording: PathBuf,
        port: u16,
        round_trip_ms: u64,
        bandwidth_mbit: u64,
    },
}

#[derive(Args, Clone)]
pub(crate) struct Places {
    /// The folder of the peers
    #[arg(long, default_value = "target/benchmark/peers")]
    peers: PathBuf,
    /// The folder of the recording
    #[arg(long, default_value = "target/benchmark/recording")]
    recording: PathBuf,
    /// The folder of the fixtures
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fixtures"))]
    fixtures: PathBuf,
    /// Where images and project folders are made
    #[arg(long, default_value = "target/benchmark")]
    scratch: PathBuf,
}

#[derive(Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// The pacquet to measure; the one that cargo built for this run if nothing is given
    #[arg(long, default_value = env!("CARGO_BIN_EXE_pacquet"))]
    pacquet: PathBuf,
    /// Only these fixtures
    #[arg(long, value_delimiter = ',', default_value = "alotta-files,app,small")]
    fixture: Vec<String>,
    /// Only these peers (all that are there, if none is named)
    #[arg(long, value_delimiter = ',')]
    peer: Vec<String>,
    /// Peers whose trees are walked, read and used
    #[arg(long, value_delimiter = ',', default_value = "pacquet,pnpm")]
    tree_peer: Vec<String>,
    /// Rounds of installs
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Rounds over the trees; 0 leaves them out
    #[arg(long, default_value_t = 5)]
    tree_rounds: u32,
    /// The file system of the image
    #[arg(long, value_enum, default_value = "ext4")]
    file_system: FileSystem,
    /// The image's size; it is sparse
    #[arg(long, default_value_t = 16)]
    image_gib: u64,
    /// Use the scratch folder's own file system (also when not root)
    #[arg(long)]
    no_image: bool,
    /// The registry's port
    #[arg(long, default_value_t = 47_100)]
    port: u16,
    /// Delay of every answer of the registry
    #[arg(long, default_value_t = 0)]
    round_trip_ms: u64,
    /// Limit of each connection to the registry, in megabits a second; 0 for none
    #[arg(long, default_value_t = 0)]
    bandwidth_mbit: u64,
    /// Where the result goes: NAME.json and NAME.md
    #[arg(long, default_value = "target/benchmark/result")]
    output: PathBuf,
}

fn say(line: &str) {
    // A line that nobody can read is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn read_tree(folder: &Path) -> std::io::Result<()> {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                bytes += std::fs::read(entry.path())?.len() as u64;
            }
        }
    }
    writeln!(std::io::stdout(), "{files} files, {bytes} bytes")
}

fn perform(command: Action) -> Result<(), Box<dyn Error>> {
    match command {
        Action::PeersSetup(places) => peers::set_up(&places.peers)?,
        Action::Record(places) => recording::record_all(&places, &say)?,
        Action::Run(options) => run::run(&options)?,
        Action::Report { result, charts } => {
            let results = serde_json::from_slice(&std::fs::read(result)?)?;
            if let Some(folder) = charts {
                chart::write_all(&results, &folder)?;
            }
            writeln!(std::io::stdout(), "{}", report::markdown(&results))?;
        }
        Action::Measure { result, words } => measure::measure_here(&result, &words)?,
        Action::Read { folder } => read_tree(&folder)?,
        Action::Serve {
            recording,
            port,
            round_trip_ms,
            bandwidth_mbit,
        } => {
            recording::serve(recording, port, round_trip_ms, bandwidth_mbit)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("integrated: {error}"));
            ExitCode::FAILURE
        }
    }
}
