//! One run: disk, registry, peers, rounds, report.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use pacquet_test_registry::replay::Link;

use crate::commands::ONLINE_RESOLVE;
use crate::disk::Disk;
use crate::fixture::{Fixture, WORKSPACE};
use crate::peers::{self, Kind, Peer};
use crate::project::{self, Part, ProjectError};
use crate::recording::Replay;
use crate::result::Log;
use crate::scenario::{Subject, Turn};
use crate::{Group, Options, document, report, say, tools};

/// Compares, and writes the result.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let places = &options.places;
    fs::create_dir_all(&places.scratch)?;
    let mut absolute = options.clone();
    absolute.places.scratch = places.scratch.canonicalize()?;
    absolute.places.peers = places.peers.canonicalize().map_err(|error| {
        format!(
            "{}: {error}; make it with the command peers-setup",
            places.peers.display()
        )
    })?;
    let options = &absolute;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hidden = [
        options.places.scratch.as_path(),
        options.places.peers.as_path(),
        root,
    ];
    let mut log = Log::new(say, &hidden);
    let peers = find_peers(options, &mut log);
    let disk = if options.no_image {
        Disk::folder(&options.places.scratch)?
    } else {
        Disk::image(
            &options.places.scratch,
            options.file_system,
            options.image_gib,
        )?
    };
    describe(options, &mut log);
    for name in &options.fixtures() {
        let fixture = Fixture::find(name, &options.places, options.size)?;
        compare(options, &fixture, &peers, &disk, &mut log)?;
        write(options, &log)?;
    }
    say(&format!("{}.md", options.output.display()));
    Ok(())
}

fn write(options: &Options, log: &Log) -> std::io::Result<()> {
    let json = serde_json::to_vec_pretty(&log.results)?;
    fs::write(options.output.with_extension("json"), json)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let before = document::result_before(root, &log.results);
    let details = report::details(&log.results, before.as_ref());
    fs::write(options.output.with_extension("md"), details)
}

/// Reads everything once, so that the registry never waits for a disk.
fn warm(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        std::io::copy(&mut fs::File::open(entry?.path())?, &mut std::io::sink())?;
    }
    Ok(())
}

fn find_peers(options: &Options, log: &mut Log) -> Vec<Peer> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let named = options.peer.iter().any(|name| name == kind.id());
        if !options.peer.is_empty() && !named {
            continue;
        }
        if options.quick && kind.is_slow() && !named {
            let reason = "left out by --quick".to_owned();
            log.results.missing.push((kind.id().to_owned(), reason));
            continue;
        }
        match peers::find(kind, &options.places.peers, Some(&options.pacquet)) {
            Ok(peer) => {
                log.peer(&peer);
                found.push(peer);
            }
            Err(reason) => {
                log.say(&format!("missing: {}: {reason}", kind.id()));
                log.results.missing.push((kind.id().to_owned(), reason));
            }
        }
    }
    found
}

fn describe(options: &Options, log: &mut Log) {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let node = peers::node(&options.places.peers);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default().replace(' ', "");
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let file_system = if options.no_image {
        "the scratch folder's".to_owned()
    } else {
        format!("{:?} on a loop image", options.file_system)
    };
    let rate = match options.bandwidth_mbit {
        0 => "unlimited".to_owned(),
        rate => format!("{rate} Mbit/s a connection"),
    };
    let facts = [
        ("kernel", output("uname", &["-sr"])),
        ("processors", processors.to_string()),
        ("memory", memory),
        ("load average at the start", load.join(" ")),
        ("file system", file_system),
        (
            "link",
            format!("{} ms round trip, {rate}", options.round_trip_ms),
        ),
        ("node", output(&node.to_string_lossy(), &["--version"])),
    ];
    log.results.machine = facts
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<BTreeMap<_, _>>();
    log.results.rounds = options.rounds(Group::Restore);
    log.results.notes = vec![
        format!(
            "npm and yarn have at most {} rounds; ten checkouts, memory and system calls are \
             measured once",
            options.slow_rounds
        ),
        ONLINE_RESOLVE.to_owned(),
    ];
    log.results.commit = output(
        "git",
        &[
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
        ],
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    log.results.started = now.as_secs();
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let command = format!("cargo bench --bench integrated -- {}", arguments.join(" "));
    log.results.command = command;
}

/// All rounds of one fixture.
fn compare(
    options: &Options,
    fixture: &Fixture,
    peers: &[Peer],
    disk: &Disk,
    log: &mut Log,
) -> Result<(), Box<dyn Error>> {
    let link = Link {
        round_trip_ms: options.round_trip_ms,
        bandwidth_mbit: (options.bandwidth_mbit > 0).then_some(options.bandwidth_mbit),
    };
    let replay = Replay::start(&fixture.recording, options.port, link)?;
    warm(&fixture.recording.join("tarballs"))?;
    let mut subjects = Vec::new();
    for peer in peers {
        let folder = disk.path().join(&fixture.name).join(peer.kind.id());
        match project::prepare(peer, &fixture.folder, &folder, &replay.registry()) {
            Ok(place) => subjects.push(Subject {
                peer,
                place,
                fixture: &fixture.name,
            }),
            Err(error) => log.failure(&fixture.name, peer.kind, &error.to_string()),
        }
    }
    let rounds = Rounds { options, disk };
    if fixture.is_locked() {
        rounds.installs(&subjects, fixture, log);
        rounds.uses(&subjects, fixture, log);
    } else {
        rounds.each(Group::Resolve, &subjects, log, |turn| turn.peer_heavy());
    }
    for subject in &subjects {
        project::clear(&subject.place, subject.peer, &[Part::Tree])?;
    }
    fs::remove_dir_all(disk.path().join(&fixture.name))?;
    if let Some(statistics) = replay.statistics() {
        let every = log.results.registry.get_or_insert_default();
        every.insert(fixture.name.clone(), statistics);
    }
    Ok(())
}

/// The rounds of one fixture.
struct Rounds<'a> {
    options: &'a Options,
    disk: &'a Disk,
}

impl Rounds<'_> {
    fn installs(&self, subjects: &[Subject<'_>], fixture: &Fixture, log: &mut Log) {
        self.each(Group::Restore, subjects, log, |turn| turn.restore());
        if fixture.name == WORKSPACE {
            log.say("workspace: adding and resolving is measured in the other fixtures");
        } else {
            self.each(Group::Resolve, subjects, log, |turn| turn.resolve());
        }
        self.each(Group::Mount, subjects, log, |turn| turn.mount());
        if fixture.name == "app" {
            self.each(Group::Worktrees, subjects, log, |turn| turn.worktrees());
            let node = peers::node(&self.options.places.peers);
            self.each(Group::FirstRun, subjects, log, |turn| {
                turn.first_runs(&node)
            });
        }
        self.each(Group::Account, subjects, log, |turn| turn.accounts());
    }

    /// The trees: installed once, then walked, read and used in turn.
    fn uses(&self, subjects: &[Subject<'_>], fixture: &Fixture, log: &mut Log) {
        let wanted = |subject: &&Subject<'_>| {
            let id = subject.peer.kind.id();
            self.options.tree_peer.iter().any(|peer| peer == id)
        };
        let subjects: Vec<Subject<'_>> = subjects.iter().filter(wanted).cloned().collect();
        let node = peers::node(&self.options.places.peers);
        let used = tools::is_used(&fixture.name);
        let groups = [Group::Walk, Group::Tools];
        if !used || groups.iter().all(|group| self.options.rounds(*group) == 0) {
            return;
        }
        in_turn(&subjects, 0, self.disk, log, |turn| turn.install("tree"));
        self.each(Group::Walk, &subjects, log, |turn| turn.walk());
        self.each(Group::Tools, &subjects, log, |turn| turn.tools(&node));
    }

    /// Gives every peer its turn in every round; slow peers have fewer rounds.
    fn each(
        &self,
        group: Group,
        subjects: &[Subject<'_>],
        log: &mut Log,
        mut turn: impl FnMut(&mut Turn<'_>) -> Result<(), ProjectError>,
    ) {
        for round in 0..self.options.rounds(group) {
            let quick = |subject: &&Subject<'_>| {
                round < self.options.slow_rounds || !subject.peer.kind.is_slow()
            };
            let subjects: Vec<Subject<'_>> = subjects.iter().filter(quick).cloned().collect();
            in_turn(&subjects, round, self.disk, log, &mut turn);
        }
    }
}

/// Gives every subject its turn, each round beginning with another one. What fails is reported.
fn in_turn(
    subjects: &[Subject<'_>],
    round: u32,
    disk: &Disk,
    log: &mut Log,
    mut work: impl FnMut(&mut Turn<'_>) -> Result<(), ProjectError>,
) {
    for step in 0..subjects.len() {
        let subject = &subjects[(step + round as usize) % subjects.len()];
        let mut turn = Turn { subject, disk, log };
        if let Err(error) = work(&mut turn) {
            log.failure(subject.fixture, subject.peer.kind, &error.to_string());
            let _ = project::clear(&subject.place, subject.peer, &[Part::Tree]);
        }
    }
}
