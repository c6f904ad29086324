//! The registry of a run: recorded once, replayed by a process of its own.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use pacquet_test_registry::packument::Form;
use pacquet_test_registry::record::{self, Options};
use pacquet_test_registry::replay::{self, Link, Preparation};

use crate::commands::{ADDED, Action};
use crate::peers::{self, Kind, Peer, Place};
use crate::project::{Part, ProjectError};
use crate::{Places, project};

/// The fixtures' lockfiles were made as of this time, without these versions.
const BEFORE: &str = "2026-11-01T12:00:00Z";
const LEFT_OUT: &str = "unrs-resolver@1.13.0";

/// How often a peer is asked what else it needs.
const PASSES: usize = 8;

/// A running replay; it ends when this is dropped.
pub(crate) struct Replay {
    process: Child,
    url: String,
}

impl Replay {
    /// Starts this program as the registry's process.
    pub(crate) fn start(recording: &Path, port: u16, link: Link) -> std::io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(recording)
            .args([port.to_string(), link.round_trip_ms.to_string()])
            .arg(link.bandwidth_mbit.unwrap_or(0).to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process
            .stdout
            .take()
            .ok_or_else(|| std::io::Error::other("no output"))?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        if url.trim().is_empty() {
            let _ = process.wait();
            return Err(std::io::Error::other("the replay did not start"));
        }
        Ok(Self {
            process,
            url: url.trim().to_owned(),
        })
    }

    /// The address with a slash at its end.
    pub(crate) fn registry(&self) -> String {
        format!("{}/", self.url)
    }

    /// Ends it, and deletes the packuments that were made for its port alone.
    fn forget_port(self, recording: &Path) {
        let port = self.url.rsplit(':').next().unwrap_or_default().to_owned();
        drop(self);
        if port.parse::<u16>().is_ok() {
            let _ = fs::remove_dir_all(recording.join("served").join(port));
        }
    }

    /// What it has cost so far, and what it lacked.
    pub(crate) fn statistics(&self) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://")?).ok()?;
        let request = "GET /-/replay/statistics HTTP/1.1\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The registry's process.
pub(crate) fn serve(
    from: PathBuf,
    port: u16,
    round_trip_ms: u64,
    bandwidth_mbit: u64,
) -> Result<(), replay::ReplayError> {
    let bandwidth_mbit = (bandwidth_mbit > 0).then_some(bandwidth_mbit);
    let link = Link {
        round_trip_ms,
        bandwidth_mbit,
    };
    // A run that is killed must not leave its registry behind.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let options = replay::Options {
        from,
        port,
        link,
        preparation: Preparation::OnDemand,
    };
    replay::serve(&options, &|url| {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "{url}").and_then(|()| output.flush());
    })
}

/// Records what the fixtures' lockfiles name, and then what else the peers ask for when they
/// make their own lockfiles.
pub(crate) fn record_all(
    places: &Places,
    named: &[String],
    say: &dyn Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let mut fixtures: Vec<PathBuf> = fs::read_dir(&places.fixtures)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    fixtures.retain(|path| path.join("pnpm-lock.yaml").exists());
    let mut options = Options {
        lockfiles: fixtures
            .iter()
            .map(|path| path.join("pnpm-lock.yaml"))
            .collect(),
        into: places.recording.clone(),
        packuments: vec![Form::Full, Form::Abbreviated],
        before: Some(BEFORE.to_owned()),
        leave_out: vec![LEFT_OUT.to_owned()],
        also: vec![format!("/{ADDED}")],
        concurrency: 16,
    };
    record::record(&options, say)?;
    let kinds = [
        Kind::Pnpm,
        Kind::BunHoisted,
        Kind::Npm,
        Kind::YarnPnp,
        Kind::Deno,
        Kind::Utoo,
    ];
    // Never asked for again: what the real registry does not have either.
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let wanted = |kind: &Kind| named.is_empty() || named.iter().any(|name| name == kind.id());
    for kind in kinds.into_iter().filter(wanted) {
        let Ok(peer) = peers::find(kind, &places.peers, None) else {
            say(&format!(
                "{} is missing: nothing is recorded for it",
                kind.id()
            ));
            continue;
        };
        for fixture in &fixtures {
            record_for(places, (&peer, fixture), &mut options, &mut asked, say)?;
        }
    }
    Ok(())
}

/// Lets a peer lock and install a fixture, and records what it lacked, until it lacks nothing.
/// What one peer wanted, the next one finds.
fn record_for(
    places: &Places,
    (peer, fixture): (&Peer, &Path),
    options: &mut Options,
    asked: &mut BTreeSet<String>,
    say: &dyn Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let name = fixture.file_name().unwrap_or_default().to_string_lossy();
    for pass in 1..=PASSES {
        let (missing, failure) = needed_by(places, peer, fixture)?;
        let new: Vec<String> = missing
            .into_iter()
            .filter(|path| asked.insert(path.clone()))
            .collect();
        say(&format!(
            "{} on {name}, pass {pass}: wants {} more paths",
            peer.kind.id(),
            new.len()
        ));
        if new.is_empty() {
            if let Some(failure) = failure {
                say(&failure);
            }
            return Ok(());
        }
        options.also.clone_from(&new);
        if record::record(options, &|_| ()).is_ok() {
            continue;
        }
        for path in new {
            options.also = vec![path.clone()];
            if let Err(error) = record::record(options, &|_| ()) {
                say(&format!("{path}: {error}"));
            }
        }
    }
    Ok(())
}

/// Lets a peer lock and install a fixture once; the paths that the replay lacked, and what failed.
fn needed_by(
    places: &Places,
    peer: &Peer,
    fixture: &Path,
) -> Result<(Vec<String>, Option<String>), Box<dyn Error>> {
    fs::create_dir_all(&places.scratch)?;
    let scratch = tempfile::Builder::new()
        .prefix("record-")
        .tempdir_in(&places.scratch)?;
    let scratch = scratch.path().canonicalize()?;
    let replay = Replay::start(&places.recording, 0, Link::default())?;
    let prepared = project::prepare(peer, fixture, &scratch.join("peer"), &replay.registry());
    let done = prepared.and_then(|place| ask_for_everything(peer, &place));
    let list = replay
        .statistics()
        .map(|statistics| statistics["missing"].clone());
    replay.forget_port(&places.recording);
    let missing = serde_json::from_value(list.unwrap_or_default())?;
    Ok((missing, done.err().map(|error| error.to_string())))
}

/// Does all that a run does, as far as the registry is concerned.
fn ask_for_everything(peer: &Peer, place: &Place) -> Result<(), ProjectError> {
    let act = |action| match peer.act(action, place, "record") {
        Ok(job) => job.succeed().map(|_| ()),
        Err(_) => Ok(()),
    };
    act(Action::Restore)?;
    project::clear(place, peer, &[Part::Tree, Part::Lockfile, Part::Cache])?;
    act(Action::Fresh)?;
    project::clear(place, peer, &[Part::Tree])?;
    project::restore(place)?;
    Ok(act(Action::Add)?)
}
