//! One run: disk, registry, peers, rounds, report.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use pacquet_test_registry::replay::Link;

use crate::disk::Disk;
use crate::peers::{self, Kind, Peer};
use crate::project::{self, Part};
use crate::recording::Replay;
use crate::result::Log;
use crate::scenario::{Subject, install_turn, tree_turn};
use crate::{Options, report, say};

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
    let mut log = Log::new(say);
    let peers = find_peers(options, &mut log);
    let link = Link {
        round_trip_ms: options.round_trip_ms,
        bandwidth_mbit: (options.bandwidth_mbit > 0).then_some(options.bandwidth_mbit),
    };
    let replay = Replay::start(&options.places.recording, options.port, link)?;
    warm(&options.places.recording.join("tarballs"))?;
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
    for fixture in &options.fixture {
        let outcome = compare(options, fixture, &peers, &replay, &disk, &mut log);
        log.results.registry = replay.statistics();
        write(options, &log)?;
        outcome?;
    }
    say(&format!("{}.md", options.output.display()));
    Ok(())
}

fn write(options: &Options, log: &Log) -> std::io::Result<()> {
    let json = serde_json::to_vec_pretty(&log.results)?;
    fs::write(options.output.with_extension("json"), json)?;
    fs::write(
        options.output.with_extension("md"),
        report::markdown(&log.results),
    )
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
    log.results.rounds = options.rounds;
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
    fixture: &str,
    peers: &[Peer],
    replay: &Replay,
    disk: &Disk,
    log: &mut Log,
) -> Result<(), Box<dyn Error>> {
    let source = options.places.fixtures.join(fixture);
    let mut subjects = Vec::new();
    for peer in peers {
        let folder = disk.path().join(fixture).join(peer.kind.id());
        match project::prepare(peer, &source, &folder, &replay.registry()) {
            Ok(place) => subjects.push(Subject {
                peer,
                place,
                fixture,
            }),
            Err(error) => log.failure(fixture, peer.kind, &error.to_string()),
        }
    }
    for round in 0..options.rounds {
        in_turn(&mut subjects, round, log, |subject, log| {
            install_turn(subject, disk, log)
        });
    }
    let node = peers::node(&options.places.peers);
    subjects.retain(|subject| {
        options
            .tree_peer
            .iter()
            .any(|id| id == subject.peer.kind.id())
    });
    if options.tree_rounds > 0 {
        in_turn(&mut subjects, 0, log, |subject, _| {
            subject.peer.install(&subject.place, "tree").succeed()?;
            Ok(())
        });
    }
    for round in 0..options.tree_rounds {
        in_turn(&mut subjects, round, log, |subject, log| {
            tree_turn(subject, &node, log)
        });
    }
    for subject in &subjects {
        let parts = [Part::Tree, Part::Store, Part::Cache];
        project::clear(&subject.place, subject.peer, &parts)?;
    }
    Ok(())
}

/// Gives every subject its turn, each round beginning with another one. One that fails is
/// reported and takes no further part.
fn in_turn(
    subjects: &mut Vec<Subject<'_>>,
    round: u32,
    log: &mut Log,
    mut turn: impl FnMut(&Subject<'_>, &mut Log) -> Result<(), project::ProjectError>,
) {
    let mut failed = Vec::new();
    for step in 0..subjects.len() {
        let index = (step + round as usize) % subjects.len();
        let subject = &subjects[index];
        if let Err(error) = turn(subject, log) {
            log.failure(subject.fixture, subject.peer.kind, &error.to_string());
            let _ = project::clear(&subject.place, subject.peer, &[Part::Tree]);
            failed.push(subject.peer.kind);
        }
    }
    subjects.retain(|subject| !failed.contains(&subject.peer.kind));
}
