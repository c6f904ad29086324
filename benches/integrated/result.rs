//! What a run found, as JSON that can be committed and read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::disk::Usage;
use crate::measure::Sample;
use crate::peers::{Kind, Peer};

/// Everything that a run found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The command that repeats it.
    pub(crate) command: String,
    /// When it began (seconds since 1970).
    pub(crate) started: u64,
    /// The commit of the code that was measured.
    pub(crate) commit: String,
    /// Kernel, processors, memory, file system, link.
    pub(crate) machine: BTreeMap<String, String>,
    /// Rounds.
    pub(crate) rounds: u32,
    /// Who took part: id, title, version.
    pub(crate) peers: Vec<(String, String, String)>,
    /// Who did not, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// The samples, by fixture, scenario, peer.
    pub(crate) samples: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<Sample>>>>,
    /// The server's memory after a full walk and read, by fixture.
    pub(crate) memory: BTreeMap<String, Vec<ServerMemory>>,
    /// What an install into an empty store adds to the disk, by fixture and peer.
    #[serde(default)]
    pub(crate) disk: BTreeMap<String, BTreeMap<String, Usage>>,
    /// The server's counters after a scenario, by fixture and scenario.
    pub(crate) counters: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// What failed: fixture, peer, message.
    pub(crate) failures: Vec<(String, String, String)>,
    /// The registry's own cost.
    pub(crate) registry: Option<serde_json::Value>,
}

/// What the server of a mount uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerMemory {
    /// `VmRSS`.
    pub(crate) resident_kib: u64,
    /// `RssAnon`.
    pub(crate) anonymous_kib: u64,
    /// `VmHWM`.
    pub(crate) peak_kib: u64,
    /// Processor time so far.
    pub(crate) cpu_ms: f64,
}

/// Collects results, and says each as it comes.
pub(crate) struct Log {
    /// What was found so far.
    pub(crate) results: Results,
    say: fn(&str),
}

impl Log {
    /// An empty log that speaks through `say`.
    pub(crate) fn new(say: fn(&str)) -> Self {
        Self {
            results: Results::default(),
            say,
        }
    }

    /// Tells the person who waits.
    pub(crate) fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// Notes who takes part.
    pub(crate) fn peer(&mut self, peer: &Peer) {
        let kind = peer.kind;
        let entry = (
            kind.id().to_owned(),
            kind.title().to_owned(),
            peer.version.clone(),
        );
        self.results.peers.push(entry);
    }

    /// Notes a sample.
    pub(crate) fn add(&mut self, fixture: &str, scenario: &str, kind: Kind, sample: Sample) {
        self.say(&format!(
            "{fixture:13} {:13} {scenario:44} {:9.1} ms  user {:8.1}  system {:8.1}  {:6} MiB",
            kind.id(),
            sample.wall_ms,
            sample.user_ms,
            sample.system_ms,
            sample.peak_kib >> 10,
        ));
        let scenarios = self.results.samples.entry(fixture.to_owned()).or_default();
        let peers = scenarios.entry(scenario.to_owned()).or_default();
        peers.entry(kind.id().to_owned()).or_default().push(sample);
    }

    /// Notes what an install added to the disk.
    pub(crate) fn disk(&mut self, fixture: &str, kind: Kind, usage: Usage) {
        let peers = self.results.disk.entry(fixture.to_owned()).or_default();
        peers.insert(kind.id().to_owned(), usage);
    }

    /// Notes the server's memory.
    pub(crate) fn memory(&mut self, fixture: &str, memory: ServerMemory) {
        let resident = memory.resident_kib >> 10;
        self.say(&format!("{fixture:13} server resident {resident} MiB"));
        self.results
            .memory
            .entry(fixture.to_owned())
            .or_default()
            .push(memory);
    }

    /// Notes the server's counters.
    pub(crate) fn counters(
        &mut self,
        fixture: &str,
        scenario: &str,
        value: Option<serde_json::Value>,
    ) {
        if let Some(value) = value {
            let scenarios = self.results.counters.entry(fixture.to_owned()).or_default();
            scenarios.insert(scenario.to_owned(), value);
        }
    }

    /// Notes a failure.
    pub(crate) fn failure(&mut self, fixture: &str, kind: Kind, message: &str) {
        self.say(&format!("{fixture:13} {:13} FAILED: {message}", kind.id()));
        let entry = (fixture.to_owned(), kind.id().to_owned(), message.to_owned());
        self.results.failures.push(entry);
    }
}
