//! What is done and timed. The names of the first group are those of pnpm's own benchmark.

use std::path::Path;

use crate::disk::{Disk, drop_caches};
use crate::measure::{Sample, cpu_ms, status_kib};
use crate::peers::{Kind, Peer, Place};
use crate::project::{Part, ProjectError, clear, tool};
use crate::result::{Log, ServerMemory};

/// An installed project, or one to be installed.
pub(crate) struct Subject<'a> {
    /// Who installs it.
    pub(crate) peer: &'a Peer,
    /// Where it is.
    pub(crate) place: Place,
    /// The fixture's name.
    pub(crate) fixture: &'a str,
}

/// One installer's turn in a round: empty store, nothing to do, removal, warm store.
pub(crate) fn install_turn(
    subject: &Subject<'_>,
    disk: &Disk,
    log: &mut Log,
) -> Result<(), ProjectError> {
    let Subject {
        peer,
        place,
        fixture,
    } = subject;
    clear(place, peer, &[Part::Tree, Part::Store, Part::Cache])?;
    let before = disk.usage();
    let cold = peer.install(place, "cold").succeed()?;
    let usage = disk.usage().since(before);
    log.disk(fixture, peer.kind, usage);
    let mut note = |scenario: &str, sample: Sample| log.add(fixture, scenario, peer.kind, sample);
    note("fresh-restore.cold-cache.cold-store", cold);
    note("repeat-install.after-cold", peer.repeat(place).succeed()?);
    for scenario in ["first", "again"] {
        note(
            &format!("remove.{scenario}"),
            peer.remove(place, "remove").succeed()?,
        );
        clear(place, peer, &[Part::Tree])?;
        disk.settle();
        let warm = peer.install(place, scenario).succeed()?;
        note(
            &format!("fresh-restore.hot-cache.hot-store.{scenario}"),
            warm,
        );
    }
    note(
        "repeat-install.hot-cache.hot-store",
        peer.repeat(place).succeed()?,
    );
    clear(place, peer, &[Part::Tree, Part::Store, Part::Cache])?;
    disk.settle();
    Ok(())
}

/// Whether caches are emptied before a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caches {
    Warm,
    Dropped,
}

/// Programs that walk and read the whole tree. `{self}` is this program.
const WALKS: [(&str, &[&str]); 3] = [
    (
        "find",
        &["find", "node_modules", "-type", "f", "-size", "+1"],
    ),
    ("read", &["{self}", "read", "node_modules"]),
    (
        "tar",
        &["sh", "-c", "tar cf - node_modules | cat > /dev/null"],
    ),
];

/// Commands of developers, with the fixtures in which they work.
const TOOLS: [(&str, &[&str], &[&str]); 4] = [
    (
        "require-eslint",
        &["node", "-e", "require('eslint')"],
        &["alotta-files", "app"],
    ),
    (
        "require-typescript",
        &["node", "-e", "require('typescript')"],
        &["app", "small"],
    ),
    (
        "eslint",
        &["node", "node_modules/eslint/bin/eslint.js", "."],
        &["app"],
    ),
    (
        "tsc",
        &["node", "node_modules/typescript/bin/tsc", "--noEmit"],
        &["app"],
    ),
];

/// One tree's turn in a round: walked, read and used, warm and with dropped caches.
pub(crate) fn tree_turn(
    subject: &Subject<'_>,
    node: &Path,
    log: &mut Log,
) -> Result<(), ProjectError> {
    let Subject {
        peer,
        place,
        fixture,
    } = subject;
    let myself = std::env::current_exe()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for (name, words) in WALKS {
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "{self}" { &myself } else { *word })
            .collect();
        for (caches, suffix) in [(Caches::Dropped, "caches-dropped"), (Caches::Warm, "warm")] {
            let job = tool(peer, place, node, &words, name);
            match caches {
                Caches::Dropped => drop_caches().map_err(|source| ProjectError::File {
                    path: "/proc/sys/vm/drop_caches".into(),
                    source,
                })?,
                // Whatever the first run after dropping left cold is warm after one more.
                Caches::Warm => {
                    job.succeed()?;
                }
            }
            log.add(
                fixture,
                &format!("tree.{name}.{suffix}"),
                peer.kind,
                job.succeed()?,
            );
        }
    }
    if let Some(memory) = server_memory(peer, place) {
        log.memory(fixture, memory);
    }
    for (name, words, fixtures) in TOOLS {
        if !fixtures.contains(fixture) {
            continue;
        }
        let job = tool(peer, place, node, words, name);
        // Program and contents are in the page cache; only the mount is new.
        job.succeed()?;
        if peer.kind == Kind::Pacquet {
            peer.remove(place, "remount").succeed()?;
            peer.install(place, "remount").succeed()?;
        }
        log.add(
            fixture,
            &format!("tool.{name}.first"),
            peer.kind,
            job.succeed()?,
        );
        log.counters(fixture, &format!("tool.{name}.first"), status(peer, place));
        log.add(
            fixture,
            &format!("tool.{name}.second"),
            peer.kind,
            job.succeed()?,
        );
    }
    Ok(())
}

/// What `status --json` prints of the mount at this place.
fn status(peer: &Peer, place: &Place) -> Option<serde_json::Value> {
    let job = peer.status(place)?;
    job.measure().ok()?;
    let text = std::fs::read_to_string(&job.log).ok()?;
    let mounts: serde_json::Value = serde_json::from_str(&text).ok()?;
    let mountpoint = place.project.join("node_modules");
    let here = |mount: &&serde_json::Value| mount["mountpoint"].as_str() == mountpoint.to_str();
    mounts.as_array()?.iter().find(here).cloned()
}

fn server_memory(peer: &Peer, place: &Place) -> Option<ServerMemory> {
    let process = u32::try_from(status(peer, place)?["server_pid"].as_u64()?).ok()?;
    Some(ServerMemory {
        resident_kib: status_kib(process, "VmRSS:")?,
        anonymous_kib: status_kib(process, "RssAnon:")?,
        peak_kib: status_kib(process, "VmHWM:")?,
        cpu_ms: cpu_ms(process),
    })
}
