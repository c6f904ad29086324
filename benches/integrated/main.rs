//! The integrated benchmark: installers and the trees that they make, compared in one run.
//!
//! ```text
//! cargo bench --bench integrated -- run             compares; makes once what it needs for that
//! cargo bench --bench integrated -- peers-setup     installs the peers, by npm
//! cargo bench --bench integrated -- record          records the registry
//! ```
//!
//! **Invariant:** nothing is asserted. A figure that is worse than a target is printed as such.

#![allow(
    missing_docs,
    reason = "a program; its items are documented where that helps"
)]

mod account;
mod chart;
mod commands;
mod disk;
mod document;
mod fixture;
mod measure;
mod peers;
mod plan;
mod project;
mod recording;
mod report;
mod result;
mod rows;
mod run;
mod scenario;
mod tools;
mod verdicts;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::disk::FileSystem;
use crate::fixture::{PEER_HEAVY, Size, WORKSPACE, WORKSPACE_LARGE};

/// The result from which the documents' figures come.
const COMMITTED_RESULT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/results/integrated.json"
);

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
    /// Install the peers with npm, and what the image needs
    PeersSetup {
        #[command(flatten)]
        places: Places,
        /// Also the programs that make images with these file systems
        #[arg(long, value_enum, value_delimiter = ',')]
        file_system: Vec<FileSystem>,
    },
    /// Record what the fixtures need from the registry that npm is configured with
    Record {
        #[command(flatten)]
        places: Places,
        /// Of what peers ask for by themselves, only what these ask for (all, if none is named)
        #[arg(long, value_delimiter = ',')]
        peer: Vec<String>,
        /// Only these fixtures
        #[arg(long, value_delimiter = ',')]
        fixture: Vec<String>,
    },
    /// Compare; what is not set up or not recorded yet is made first
    Run(Box<Options>),
    /// Write what comes from a result: its tables and charts beside it, and the figures in
    /// docs/PERFORMANCE.md and README.md
    Report {
        /// A result's JSON
        #[arg(default_value = COMMITTED_RESULT)]
        result: PathBuf,
    },
    /// Run one command and account for it
    #[command(hide = true)]
    Measure {
        /// See its memory and system calls instead of timing it
        #[arg(long)]
        account: bool,
        result: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Read every file below a folder
    #[command(hide = true)]
    Read { folder: PathBuf },
    /// Write small files into a new folder
    #[command(hide = true)]
    Write { folder: PathBuf },
    /// Write one large file
    #[command(hide = true)]
    WriteLarge { file: PathBuf },
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

impl Places {
    /// The same places for programs that are started elsewhere; those that are written to are
    /// made.
    fn absolute(&self) -> std::io::Result<Self> {
        let existing = |path: &Path| {
            std::fs::create_dir_all(path)?;
            path.canonicalize()
        };
        Ok(Self {
            peers: existing(&self.peers)?,
            recording: existing(&self.recording)?,
            fixtures: self.fixtures.canonicalize()?,
            scratch: existing(&self.scratch)?,
        })
    }
}

#[derive(Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// The pacquet to measure; the one that cargo built for this run if nothing is given
    #[arg(long, default_value = env!("CARGO_BIN_EXE_pacquet"))]
    pacquet: PathBuf,
    /// Only these fixtures
    #[arg(long, value_delimiter = ',')]
    fixture: Vec<String>,
    #[command(flatten)]
    size: Size,
    /// Only these groups of scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    group: Vec<Group>,
    /// Two fixtures, one round, only pacquet, pnpm and bun
    #[arg(long)]
    quick: bool,
    /// After so many minutes only what has no figure yet is measured
    #[arg(long, default_value_t = 28)]
    minutes: u64,
    /// Only these peers (all that are there, if none is named)
    #[arg(long, value_delimiter = ',')]
    peer: Vec<String>,
    /// Peers whose trees are walked, read and used
    #[arg(long, value_delimiter = ',', default_value = "pacquet,pnpm")]
    tree_peer: Vec<String>,
    /// At most so many rounds of installs
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// At most so many rounds for npm and yarn
    #[arg(long, default_value_t = 1)]
    slow_rounds: u32,
    /// At most so many rounds over the trees, and of resolving
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
    /// The first registry's port (each fixture has its own, below those of outgoing connections)
    #[arg(long, default_value_t = 27_100)]
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

/// Scenarios that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    /// fresh-restore, repeat-install, remove
    Restore,
    /// fresh-install, fresh-resolve, fresh-add-dep, peer-heavy-resolve
    Resolve,
    /// mount, remount
    Mount,
    /// Ten checkouts of one project
    Worktrees,
    /// Install and the first run of a program
    FirstRun,
    /// Walks and reads of the whole tree
    Walk,
    /// Programs in the tree
    Tools,
    /// Memory and system calls
    Account,
}

impl Group {
    /// Its name on the command line and in the results.
    fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Resolve => "resolve",
            Self::Mount => "mount",
            Self::Worktrees => "worktrees",
            Self::FirstRun => "first-run",
            Self::Walk => "walk",
            Self::Tools => "tools",
            Self::Account => "account",
        }
    }
}

impl Options {
    /// Rounds of a group.
    fn rounds(&self, group: Group) -> u32 {
        match group {
            _ if !self.wants(group) => 0,
            Group::Worktrees | Group::Account => u32::from(!self.quick),
            _ if self.quick => 1,
            Group::Walk | Group::Tools | Group::FirstRun | Group::Resolve => self.tree_rounds,
            Group::Restore | Group::Mount => self.rounds,
        }
    }

    fn wants(&self, group: Group) -> bool {
        self.group.is_empty() || self.group.contains(&group)
    }

    /// The fixtures to measure.
    fn fixtures(&self) -> Vec<String> {
        let names: &[&str] = match self.quick {
            true => &["alotta-files", "app"],
            false => &[
                "alotta-files",
                "app",
                "small",
                "next",
                WORKSPACE,
                WORKSPACE_LARGE,
                PEER_HEAVY,
            ],
        };
        match self.fixture.is_empty() {
            true => names.iter().map(|name| (*name).to_owned()).collect(),
            false => self.fixture.clone(),
        }
    }
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

fn write_files(folder: &Path) -> std::io::Result<()> {
    const FILES: usize = 2_000;
    let contents = [b'x'; 8_000];
    std::fs::create_dir_all(folder)?;
    for number in 0..FILES {
        std::fs::write(folder.join(number.to_string()), contents)?;
    }
    Ok(())
}

fn write_large(path: &Path) -> std::io::Result<()> {
    const CHUNKS: usize = 200;
    let mut file = std::fs::File::create(path)?;
    let contents = vec![b'x'; 1_000_000];
    for _ in 0..CHUNKS {
        file.write_all(&contents)?;
    }
    Ok(())
}

fn perform(command: Action) -> Result<(), Box<dyn Error>> {
    match command {
        Action::PeersSetup {
            places,
            file_system,
        } => {
            peers::set_up(&places.peers)?;
            for system in file_system {
                disk::install_maker(system)?;
            }
        }
        Action::Record {
            places,
            peer,
            fixture,
        } => {
            recording::record_all(&places.absolute()?, &peer, &fixture, &say)?;
        }
        Action::Run(options) => run::run(&options)?,
        Action::Report { result } => {
            document::write_all(
                &result.canonicalize()?,
                Path::new(env!("CARGO_MANIFEST_DIR")),
            )?;
        }
        Action::Measure {
            account: true,
            result,
            words,
        } => account::account_here(&result, &words)?,
        Action::Measure { result, words, .. } => measure::measure_here(&result, &words)?,
        Action::Read { folder } => read_tree(&folder)?,
        Action::Write { folder } => write_files(&folder)?,
        Action::WriteLarge { file } => write_large(&file)?,
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
