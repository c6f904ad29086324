//! The registry of a run: recorded once, replayed by a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use pacquet_test_registry::packument::Form;
use pacquet_test_registry::record::{self, Options};
use pacquet_test_registry::replay::{self, Link, Preparation};

use crate::commands::{ADDED, Action};
use crate::measure::MYSELF;
use crate::peers::{self, Kind, Peer, Place, Program};
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
    /// Starts this program as the registry's process, on this port or on one above it where it is
    /// taken.
    pub(crate) fn start(recording: &Path, port: u16, link: Link) -> std::io::Result<Self> {
        let mut process = Command::new(MYSELF)
            .arg("serve")
            .arg(recording)
            .args([free(port).to_string(), link.round_trip_ms.to_string()])
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

/// A port that nobody has: this one, or one of some above it.
fn free(port: u16) -> u16 {
    const STEP: u16 = 50;
    const TRIED: u16 = 20;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = (0..TRIED).filter_map(|number| port.checked_add(number * STEP));
    ports.find(is_free).unwrap_or(port)
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

/// Whose wishes are recorded: one peer of each program that asks a registry in a way of its own.
const ASKING: [Kind; 6] = [
    Kind::Pnpm,
    Kind::BunHoisted,
    Kind::Npm,
    Kind::YarnPnp,
    Kind::Deno,
    Kind::Utoo,
];

/// Who asks for what this one asks for.
fn asks_like(kind: Kind) -> Kind {
    match kind.program() {
        Program::Pacquet => Kind::Pnpm,
        program => {
            let mut asking = ASKING.into_iter();
            asking
                .find(|other| other.program() == program)
                .unwrap_or(kind)
        }
    }
}

/// By fixture, the peers that lacked nothing when they were last asked; kept in the recording.
type Complete = BTreeMap<String, BTreeSet<String>>;

const COMPLETE_FILE: &str = "complete.json";

fn read_complete(recording: &Path) -> std::io::Result<Complete> {
    match fs::read(recording.join(COMPLETE_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Complete::new()),
        bytes => Ok(serde_json::from_slice(&bytes?)?),
    }
}

/// Fixtures that have a recording of the real registry, by name.
fn recorded_fixtures(fixtures: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(fixtures)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.join("pnpm-lock.yaml").exists() {
            found.insert(name.into_owned(), path.clone());
        }
    }
    Ok(found)
}

/// Records what these peers and fixtures need and no recording has been found to have.
pub(crate) fn record_lacking(
    places: &Places,
    peers: &[Kind],
    fixtures: &[String],
    say: &dyn Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let complete = read_complete(&places.recording)?;
    let asking: BTreeSet<Kind> = peers.iter().copied().map(asks_like).collect();
    for name in recorded_fixtures(&places.fixtures)?.into_keys() {
        let has = |kind: &Kind| {
            complete
                .get(&name)
                .is_some_and(|done| done.contains(kind.id()))
        };
        let lacking = asking.iter().filter(|kind| !has(kind));
        let lacking: Vec<String> = lacking.map(|kind| kind.id().to_owned()).collect();
        if fixtures.contains(&name) && !lacking.is_empty() {
            say(&format!("{name} is recorded for {}", lacking.join(", ")));
            record_all(places, &lacking, &[name], say)?;
        }
    }
    Ok(())
}

/// Records what the fixtures' lockfiles name, and then what else the peers ask for when they
/// make their own lockfiles.
pub(crate) fn record_all(
    places: &Places,
    peers: &[String],
    fixtures: &[String],
    say: &dyn Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let is_wanted = |name: &str, named: &[String]| {
        named.is_empty() || named.iter().any(|other| other.as_str() == name)
    };
    let mut folders = recorded_fixtures(&places.fixtures)?;
    folders.retain(|name, _| is_wanted(name, fixtures));
    let lockfiles = folders.values().map(|path| path.join("pnpm-lock.yaml"));
    let mut options = Options {
        lockfiles: lockfiles.collect(),
        into: places.recording.clone(),
        packuments: vec![Form::Full, Form::Abbreviated],
        before: Some(BEFORE.to_owned()),
        leave_out: vec![LEFT_OUT.to_owned()],
        also: vec![format!("/{ADDED}")],
        concurrency: 16,
    };
    record::record(&options, say)?;
    // Never asked for again: what the real registry does not have either.
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for kind in ASKING
        .into_iter()
        .filter(|kind| is_wanted(kind.id(), peers))
    {
        let peer = match peers::find(kind, &places.peers, None) {
            Ok(peer) => peer,
            Err(reason) => {
                say(&format!("nothing is recorded for {}: {reason}", kind.id()));
                continue;
            }
        };
        for (name, fixture) in &folders {
            if record_for(places, (&peer, fixture), &mut options, &mut asked, say)? {
                let mut complete = read_complete(&places.recording)?;
                let done = complete.entry(name.clone()).or_default();
                done.insert(kind.id().to_owned());
                let json = serde_json::to_vec_pretty(&complete)?;
                fs::write(places.recording.join(COMPLETE_FILE), json)?;
            }
        }
    }
    Ok(())
}

/// Lets a peer lock and install a fixture, and records what it lacked, until it lacks nothing;
/// whether that was so in the end. What one peer wanted, the next one finds.
fn record_for(
    places: &Places,
    (peer, fixture): (&Peer, &Path),
    options: &mut Options,
    asked: &mut BTreeSet<String>,
    say: &dyn Fn(&str),
) -> Result<bool, Box<dyn Error>> {
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
            return Ok(true);
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
    Ok(false)
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
