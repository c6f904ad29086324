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
use crate::fixture::Fixture;
use crate::peers::{self, Kind, Peer};
use crate::plan::{self, Clock, Estimate, Experience};
use crate::project::{self, Part, ProjectError};
use crate::recording::{self, Replay};
use crate::result::Log;
use crate::scenario::{Subject, Turn};
use crate::{Group, Options, document, report, say, tools};

/// Compares, and writes the result.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut absolute = options.clone();
    absolute.places = options.places.absolute()?;
    let options = &absolute;
    peers::set_up_once(&options.places.peers, &say)?;
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
    log.hide(disk.path());
    describe(options, &mut log);
    let kinds: Vec<Kind> = peers.iter().map(|peer| peer.kind).collect();
    let recorded = recording::record_lacking(&options.places, &kinds, &options.fixtures(), &say);
    if let Err(error) = recorded {
        // What is there may be enough; what lacks something will fail by name.
        let note = format!("the recording could not be completed: {error}");
        log.say(&note);
        log.results.notes.push(note);
    }
    let fixtures: Result<Vec<Fixture>, _> = options
        .fixtures()
        .iter()
        .map(|name| Fixture::find(name, &options.places, options.size))
        .collect();
    let fixtures = fixtures?;
    log.say(&format!(
        "preparations and one round will take {}",
        estimate(options, &fixtures, &peers)
    ));
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
    only; npm and yarn: not in next, in app only a first run, ten checkouts, memory and system \
    calls and installs over an installed tree in small only; memory and system calls of deno and \
    utoo in small only; trees are used as pacquet and pnpm make them, unless --tree-peer says \
    otherwise";

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
        let started = Instant::now();
        let replay = Replay::start(&fixture.recording, port, link)?;
        warm(&fixture.recording.join("tarballs"))?;
        let mut subjects = Vec::new();
        let has_part = |peer: &&Peer| plan::has_part(&fixture.name, peer.kind);
        for peer in peers.iter().filter(has_part) {
            if let Some(reason) = plan::absence(&fixture.name, peer.kind) {
                log.remark(&fixture.name, plan::FIRST_SCENARIO, peer.kind, reason);
                continue;
            }
            let turn = Instant::now();
            let folder = disk.path().join(&fixture.name).join(peer.kind.id());
            match project::prepare(peer, &fixture.folder, &folder, &replay.registry()) {
                Ok(place) => subjects.push(Subject {
                    peer,
                    place,
                    fixture: &fixture.name,
                }),
                Err(error) => log.failure(&fixture.name, peer.kind, &error.to_string()),
            }
            let seconds = turn.elapsed().as_secs_f64();
            log.turn(&fixture.name, PREPARATION, peer.kind, seconds);
        }
        let seconds = started.elapsed().as_secs();
        log.say(&format!("{} was prepared in {seconds} s", fixture.name));
        Ok(Self {
            fixture,
            replay,
            subjects,
        })
    }

    /// Gives every peer that takes part in the group its turn in a round.
    fn round(&self, options: &Options, (group, round): (Group, u32), disk: &Disk, log: &mut Log) {
        for kind in self.subjects.iter().map(|subject| subject.peer.kind) {
            let omission = plan::omission(&self.fixture.name, group, kind);
            // Accounts have a table of their own, which says who is not in it.
            if let Some((reason, scenario)) = omission.filter(|_| group != Group::Account) {
                log.remark(&self.fixture.name, scenario, kind, reason);
            }
        }
        let wanted = |subject: &&Subject<'_>| {
            let kind = subject.peer.kind;
            has_turn(options, self.fixture, group, kind)
                && (round < options.slow_rounds || !kind.is_slow())
        };
        let subjects: Vec<Subject<'_>> = self.subjects.iter().filter(wanted).cloned().collect();
        let node = peers::node(&options.places.peers);
        let is_locked = self.fixture.is_locked();
        in_turn(&subjects, (group, round), disk, log, |turn| match group {
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

/// What is measured in a fixture.
fn groups(fixture: &Fixture) -> Vec<Group> {
    let name = fixture.name.as_str();
    if !fixture.is_locked() {
        return vec![Group::Resolve];
    }
    let mut groups = vec![Group::Restore, Group::Mount];
    if !plan::is_workspace(name) {
        // Adding and resolving is measured in the other fixtures.
        groups.push(Group::Resolve);
    }
    if ["app", "small"].contains(&name) {
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
    if ["alotta-files", "small"].contains(&name) {
        groups.push(Group::Account);
    }
    groups
}

/// Whether a peer that takes part in a fixture has a turn in one of its groups.
fn has_turn(options: &Options, fixture: &Fixture, group: Group, kind: Kind) -> bool {
    match group {
        Group::Walk | Group::Tools => options.tree_peer.iter().any(|peer| peer == kind.id()),
        Group::Mount => kind == Kind::Pacquet,
        _ if kind == Kind::PacquetHoisted => group == Group::FirstRun,
        _ => plan::omission(&fixture.name, group, kind).is_none(),
    }
}

/// How long the preparations and one round will take.
fn estimate(options: &Options, fixtures: &[Fixture], peers: &[Peer]) -> Estimate {
    let experience = Experience::gather(options);
    let mut estimate = Estimate::default();
    for fixture in fixtures {
        let kinds = peers.iter().map(|peer| peer.kind).filter(|kind| {
            let has_part = plan::has_part(&fixture.name, *kind);
            has_part && plan::absence(&fixture.name, *kind).is_none()
        });
        for kind in kinds {
            let seconds = |group: &str| experience.seconds(&fixture.name, group, kind.id());
            estimate.add(seconds(PREPARATION), None);
            for group in groups(fixture) {
                if options.rounds(group) > 0 && has_turn(options, fixture, group, kind) {
                    estimate.add(seconds(group.name()), Some(group));
                }
            }
        }
    }
    estimate
}

/// Beside the groups, the name of what comes before them.
const PREPARATION: &str = "prepare";

/// One group of one fixture.
struct Task {
    stage: usize,
    group: Group,
    /// How long its last round took.
    last: Duration,
}

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
        tasks.extend(groups(stage.fixture).into_iter().map(|group| Task {
            stage: number,
            group,
            last: Duration::ZERO,
        }));
    }
    tasks.sort_by_key(|task| plan::place(&stages[task.stage].fixture.name, task.group));
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
            disk.trim();
        }
    }
    Ok(())
}

/// Gives every subject its turn, each round beginning with another one. What fails is reported.
fn in_turn(
    subjects: &[Subject<'_>],
    (group, round): (Group, u32),
    disk: &Disk,
    log: &mut Log,
    mut work: impl FnMut(&mut Turn<'_>) -> Result<(), ProjectError>,
) {
    for step in 0..subjects.len() {
        let subject = &subjects[(step + round as usize) % subjects.len()];
        let started = Instant::now();
        let mut turn = Turn { subject, disk, log };
        if let Err(error) = work(&mut turn) {
            log.failure(subject.fixture, subject.peer.kind, &error.to_string());
            let _ = project::clear(&subject.place, subject.peer, &[Part::Tree]);
        }
        let seconds = started.elapsed().as_secs_f64();
        log.turn(subject.fixture, group.name(), subject.peer.kind, seconds);
    }
}
