//! One run: disk, registry, peers, rounds, report.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pacquet_test_registry::replay::Link;

use crate::commands::ONLINE_RESOLVE;
use crate::disk::Disk;
use crate::fixture::{Fixture, WORKSPACE, WORKSPACE_LARGE};
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
    let fixtures: Result<Vec<Fixture>, _> = options
        .fixtures()
        .iter()
        .map(|name| Fixture::find(name, &options.places, options.size))
        .collect();
    let fixtures = fixtures?;
    let clock = Clock::start(options.minutes);
    let mut stages = Vec::new();
    for (fixture, port) in fixtures.iter().zip(options.port..) {
        stages.push(Stage::prepare(
            options,
            fixture,
            &peers,
            (&disk, port),
            &mut log,
        )?);
    }
    log.say(&format!(
        "everything is prepared after {} s",
        clock.seconds()
    ));
    compare(options, &stages, (&disk, &clock), &mut log)?;
    for stage in &stages {
        stage.end(&disk, &mut log)?;
    }
    write(options, &log)?;
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
        if options.quick && !kind.is_main() && !named {
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
             measured once; after {} minutes nothing has a further round",
            options.slow_rounds, options.minutes
        ),
        LARGE_NOTE.to_owned(),
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

/// What is not the same for everyone.
const LARGE_NOTE: &str = "workspace-large (300 projects, 3,000 packages): pacquet, pnpm and bun \
    only; trees are used as pacquet and pnpm make them, unless --tree-peer says otherwise";

/// A fixture that is ready: its registry runs, and every peer has its project.
struct Stage<'a> {
    fixture: &'a Fixture,
    replay: Replay,
    subjects: Vec<Subject<'a>>,
}

impl<'a> Stage<'a> {
    fn prepare(
        options: &Options,
        fixture: &'a Fixture,
        peers: &'a [Peer],
        (disk, port): (&Disk, u16),
        log: &mut Log,
    ) -> Result<Self, Box<dyn Error>> {
        let link = Link {
            round_trip_ms: options.round_trip_ms,
            bandwidth_mbit: (options.bandwidth_mbit > 0).then_some(options.bandwidth_mbit),
        };
        let replay = Replay::start(&fixture.recording, port, link)?;
        warm(&fixture.recording.join("tarballs"))?;
        let mut subjects = Vec::new();
        for peer in peers.iter().filter(|peer| takes_part(fixture, peer.kind)) {
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
        Ok(Self {
            fixture,
            replay,
            subjects,
        })
    }

    /// What is measured in this fixture.
    fn groups(&self) -> Vec<Group> {
        let name = self.fixture.name.as_str();
        if !self.fixture.is_locked() {
            return vec![Group::Resolve];
        }
        let mut groups = vec![Group::Restore, Group::Mount];
        if ![WORKSPACE, WORKSPACE_LARGE].contains(&name) {
            // Adding and resolving is measured in the other fixtures.
            groups.push(Group::Resolve);
        }
        if name == "app" {
            groups.push(Group::Worktrees);
        }
        if tools::has_first_runs(name) {
            groups.push(Group::FirstRun);
        }
        if tools::is_walked(name) {
            groups.push(Group::Walk);
        }
        if tools::is_used(name) {
            groups.push(Group::Tools);
        }
        if name == "alotta-files" {
            groups.push(Group::Account);
        }
        groups
    }

    /// Gives every peer that takes part in the group its turn in a round.
    fn round(&self, options: &Options, (group, round): (Group, u32), disk: &Disk, log: &mut Log) {
        let uses_trees = [Group::Walk, Group::Tools].contains(&group);
        let wanted = |subject: &&Subject<'_>| {
            let kind = subject.peer.kind;
            let is_named = options.tree_peer.iter().any(|peer| peer == kind.id());
            (!uses_trees || is_named) && (round < options.slow_rounds || !kind.is_slow())
        };
        let subjects: Vec<Subject<'_>> = self.subjects.iter().filter(wanted).cloned().collect();
        let node = peers::node(&options.places.peers);
        let is_locked = self.fixture.is_locked();
        in_turn(&subjects, round, disk, log, |turn| match group {
            Group::Restore => turn.restore(),
            Group::Resolve if is_locked => turn.resolve(),
            Group::Resolve => turn.peer_heavy(),
            Group::Mount => turn.mount(),
            Group::Worktrees => turn.worktrees(),
            Group::FirstRun => turn.first_runs(&node),
            Group::Walk => turn.walk(),
            Group::Tools => turn.tools(&node),
            Group::Account => turn.accounts(),
        });
    }

    /// Removes everything, and keeps what the registry has cost.
    fn end(&self, disk: &Disk, log: &mut Log) -> Result<(), Box<dyn Error>> {
        for subject in &self.subjects {
            project::clear(&subject.place, subject.peer, &[Part::Tree])?;
        }
        fs::remove_dir_all(disk.path().join(&self.fixture.name))?;
        if let Some(statistics) = self.replay.statistics() {
            let every = log.results.registry.get_or_insert_default();
            every.insert(self.fixture.name.clone(), statistics);
        }
        Ok(())
    }
}

/// The large workspace would take most peers longer than all the rest together.
fn takes_part(fixture: &Fixture, kind: Kind) -> bool {
    fixture.name != WORKSPACE_LARGE || kind.is_main()
}

/// How much of the time for a run is left.
struct Clock {
    started: Instant,
    limit: Duration,
}

impl Clock {
    fn start(minutes: u64) -> Self {
        Self {
            started: Instant::now(),
            limit: Duration::from_secs(minutes * 60),
        }
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whether something that takes so long is done in time.
    fn has(&self, time: Duration) -> bool {
        self.started.elapsed() + time <= self.limit
    }
}

/// One group of one fixture.
struct Task {
    stage: usize,
    group: Group,
    /// How long its last round took.
    last: Duration,
}

/// What the targets are about; it comes first in every round, in this order.
const IMPORTANT: [(&str, Group); 10] = [
    ("alotta-files", Group::Restore),
    ("app", Group::FirstRun),
    ("app", Group::Tools),
    ("alotta-files", Group::Walk),
    ("alotta-files", Group::Resolve),
    ("alotta-files", Group::Account),
    ("next", Group::Tools),
    ("alotta-files", Group::Tools),
    (WORKSPACE_LARGE, Group::Restore),
    ("app", Group::Worktrees),
];

/// Everything once, the important things first, and then again as often as it was asked for and
/// as time allows.
fn compare(
    options: &Options,
    stages: &[Stage<'_>],
    (disk, clock): (&Disk, &Clock),
    log: &mut Log,
) -> std::io::Result<()> {
    let mut tasks = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        tasks.extend(stage.groups().into_iter().map(|group| Task {
            stage: number,
            group,
            last: Duration::ZERO,
        }));
    }
    tasks.sort_by_key(|task| {
        let name = stages[task.stage].fixture.name.as_str();
        let place = IMPORTANT
            .iter()
            .position(|entry| *entry == (name, task.group));
        place.unwrap_or(IMPORTANT.len())
    });
    let rounds = tasks.iter().map(|task| options.rounds(task.group)).max();
    for round in 0..rounds.unwrap_or_default() {
        for task in &mut tasks {
            let is_wanted = round < options.rounds(task.group);
            if !is_wanted || (round > 0 && !clock.has(task.last)) {
                continue;
            }
            let started = Instant::now();
            let stage = &stages[task.stage];
            stage.round(options, (task.group, round), disk, log);
            task.last = started.elapsed();
            log.say(&format!(
                "{} s: round {round} of {:?} in {} took {} s",
                clock.seconds(),
                task.group,
                stage.fixture.name,
                task.last.as_secs()
            ));
            write(options, log)?;
        }
    }
    Ok(())
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
