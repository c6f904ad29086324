//! What a run found, as JSON that can be committed and read again.

use std::collections::{BTreeMap, BTreeSet};

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::Usage;
use crate::measure::{Account, Sample};
use crate::peers::{Kind, Peer};

/// Seconds that a peer's first turn took, by fixture, group, peer; what is not timed included.
pub(crate) type Turns = BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>;

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
    /// What the kernel holds more after a mount has been walked in advance, by fixture.
    #[serde(default)]
    pub(crate) kernel: BTreeMap<String, Vec<KernelMemory>>,
    /// What an install into an empty store adds to the disk, by fixture and peer.
    #[serde(default)]
    pub(crate) disk: BTreeMap<String, BTreeMap<String, Usage>>,
    /// What ten checkouts of one project add, by fixture and peer.
    #[serde(default)]
    pub(crate) worktrees: BTreeMap<String, BTreeMap<String, Usage>>,
    /// Memory and system calls, by fixture, scenario, peer.
    #[serde(default)]
    pub(crate) accounts: BTreeMap<String, BTreeMap<String, BTreeMap<String, Account>>>,
    /// The messages that the server answered in a scenario, by fixture, scenario, kind.
    #[serde(default)]
    pub(crate) messages: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    /// Why there are no samples ("not yet", "failed: …"), by fixture, scenario, peer.
    #[serde(default)]
    pub(crate) remarks: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    /// How long everything took.
    #[serde(default)]
    pub(crate) turns: Turns,
    /// What else a reader of the tables should know.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// What failed: fixture, peer, message.
    pub(crate) failures: Vec<(String, String, String)>,
    /// The registry's own cost, by fixture.
    pub(crate) registry: Option<BTreeMap<String, serde_json::Value>>,
}

impl Results {
    /// The fixtures of which something is known.
    pub(crate) fn fixtures(&self) -> BTreeSet<&str> {
        let names = self.samples.keys().chain(self.remarks.keys());
        names.map(String::as_str).collect()
    }
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

/// What the kernel holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KernelMemory {
    /// `Slab`: names, inodes and the like.
    pub(crate) slab_kib: u64,
    /// `Cached`: contents of files.
    pub(crate) cached_kib: u64,
}

impl KernelMemory {
    /// What `/proc/meminfo` says.
    pub(crate) fn now() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |name: &str| {
            let mut lines = text.lines().map(str::split_whitespace);
            let line = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words));
            let number = line.and_then(|mut words| words.next()?.parse().ok());
            number.unwrap_or_default()
        };
        Self {
            slab_kib: field("Slab:"),
            cached_kib: field("Cached:"),
        }
    }

    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            slab_kib: self.slab_kib.saturating_sub(before.slab_kib),
            cached_kib: self.cached_kib.saturating_sub(before.cached_kib),
        }
    }
}

/// Collects results, and says each as it comes.
pub(crate) struct Log {
    /// What was found so far.
    pub(crate) results: Results,
    say: fn(&str),
    /// Folders of this machine, which say nothing elsewhere.
    hidden: Vec<String>,
}

impl Log {
    /// An empty log that speaks through `say`.
    pub(crate) fn new(say: fn(&str), folders: &[&Path]) -> Self {
        let hidden = folders
            .iter()
            .map(|folder| folder.to_string_lossy().into_owned());
        Self {
            results: Results::default(),
            say,
            hidden: hidden.collect(),
        }
    }

    /// Says nothing of this folder from now on.
    pub(crate) fn hide(&mut self, folder: &Path) {
        self.hidden.push(folder.to_string_lossy().into_owned());
    }

    fn without_paths(&self, text: &str) -> String {
        let hide = |text: String, folder: &String| text.replace(folder, "…");
        self.hidden.iter().fold(text.to_owned(), hide)
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

    /// Notes what the kernel holds more.
    pub(crate) fn kernel(&mut self, fixture: &str, memory: KernelMemory) {
        let (slab, cached) = (memory.slab_kib >> 10, memory.cached_kib >> 10);
        self.say(&format!(
            "{fixture:13} walker: slab {slab} MiB, cached {cached} MiB"
        ));
        let list = self.results.kernel.entry(fixture.to_owned());
        list.or_default().push(memory);
    }

    /// Notes how long a turn took; the first round counts, which does what later ones leave out.
    pub(crate) fn turn(&mut self, fixture: &str, group: &str, kind: Kind, seconds: f64) {
        let groups = self.results.turns.entry(fixture.to_owned()).or_default();
        let peers = groups.entry(group.to_owned()).or_default();
        peers.entry(kind.id().to_owned()).or_insert(seconds);
    }

    /// Takes the last sample of a scenario for another one too, in which the peer does the same; or
    /// why there is none.
    pub(crate) fn same(&mut self, fixture: &str, from: &str, to: &str, kind: Kind) {
        if let Some(remark) = self.remark_of(fixture, from, kind).map(str::to_owned) {
            self.remark(fixture, to, kind, &remark);
        }
        let Some(scenarios) = self.results.samples.get_mut(fixture) else {
            return;
        };
        let samples = scenarios.get(from).and_then(|peers| peers.get(kind.id()));
        let Some(samples) = samples.cloned() else {
            return;
        };
        let peers = scenarios.entry(to.to_owned()).or_default();
        peers.insert(kind.id().to_owned(), samples);
    }

    /// Notes what ten checkouts added.
    pub(crate) fn worktrees(&mut self, fixture: &str, kind: Kind, usage: Usage) {
        let peers = self.results.worktrees.entry(fixture.to_owned());
        peers.or_default().insert(kind.id().to_owned(), usage);
    }

    /// Notes memory and system calls.
    pub(crate) fn account(&mut self, fixture: &str, scenario: &str, kind: Kind, account: Account) {
        self.say(&format!(
            "{fixture:13} {:13} {scenario:44} {:6} MiB {:9} system calls",
            kind.id(),
            account.peak_kib >> 10,
            account.system_calls.get("all").copied().unwrap_or_default(),
        ));
        let scenarios = self.results.accounts.entry(fixture.to_owned()).or_default();
        let peers = scenarios.entry(scenario.to_owned()).or_default();
        peers.insert(kind.id().to_owned(), account);
    }

    /// Notes the messages of a scenario; later rounds replace earlier ones.
    pub(crate) fn messages(
        &mut self,
        fixture: &str,
        scenario: &str,
        messages: BTreeMap<String, u64>,
    ) {
        let scenarios = self.results.messages.entry(fixture.to_owned()).or_default();
        scenarios.insert(scenario.to_owned(), messages);
    }

    /// Notes why there is no sample.
    pub(crate) fn remark(&mut self, fixture: &str, scenario: &str, kind: Kind, remark: &str) {
        if self.has_remark(fixture, scenario, kind) {
            return;
        }
        let remark = self.without_paths(remark);
        self.say(&format!(
            "{fixture:13} {:13} {scenario:44} {remark}",
            kind.id()
        ));
        let scenarios = self.results.remarks.entry(fixture.to_owned()).or_default();
        let peers = scenarios.entry(scenario.to_owned()).or_default();
        peers.insert(kind.id().to_owned(), remark);
    }

    /// Whether it is known why there is no sample.
    pub(crate) fn has_remark(&self, fixture: &str, scenario: &str, kind: Kind) -> bool {
        self.remark_of(fixture, scenario, kind).is_some()
    }

    fn remark_of(&self, fixture: &str, scenario: &str, kind: Kind) -> Option<&str> {
        let peers = self.results.remarks.get(fixture)?.get(scenario)?;
        peers.get(kind.id()).map(String::as_str)
    }

    /// Notes a failure.
    pub(crate) fn failure(&mut self, fixture: &str, kind: Kind, message: &str) {
        self.say(&format!("{fixture:13} {:13} FAILED: {message}", kind.id()));
        let message = self.without_paths(message);
        let entry = (fixture.to_owned(), kind.id().to_owned(), message);
        self.results.failures.push(entry);
    }
}
