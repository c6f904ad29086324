//! What a run does in which order, how long it may take, and how long it will take.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::commands::Reason;
use crate::fixture::{WORKSPACE, WORKSPACE_LARGE};
use crate::peers::Kind;
use crate::result::{Results, Turns};
use crate::{COMMITTED_RESULT, Group, Options, tools};

/// What the targets are about; it comes first in every round, in this order.
const IMPORTANT: [(&str, Group); 12] = [
    ("alotta-files", Group::Restore),
    ("app", Group::FirstRun),
    ("app", Group::Tools),
    ("alotta-files", Group::Walk),
    ("alotta-files", Group::Resolve),
    ("alotta-files", Group::Account),
    (WORKSPACE_LARGE, Group::Restore),
    ("next", Group::Tools),
    ("alotta-files", Group::Tools),
    ("small", Group::Tools),
    ("next", Group::FirstRun),
    ("app", Group::Worktrees),
];

/// Where a task stands in a round.
pub(crate) fn place(fixture: &str, group: Group) -> usize {
    let mut places = IMPORTANT.iter();
    let place = places.position(|entry| *entry == (fixture, group));
    place.unwrap_or(IMPORTANT.len())
}

/// The fixture in which everyone does everything; there it takes the slowest seconds.
const QUICK_FIXTURE: &str = "small";

const TOO_LARGE: Reason = "not run: only pacquet, pnpm and bun, the others would take longer than \
    all the rest";
const IN_QUICK: Reason = "not run: takes this peer minutes, so it is done in `small` only";
const IN_STANDARD: Reason = "not run: takes this peer minutes, so it is done in `alotta-files` and \
    `small` only";

/// Whether anything is asked of a peer in a fixture. A hoisted tree of ours is there to be held
/// against another hoisted one while programs use them.
pub(crate) fn has_part(fixture: &str, kind: Kind) -> bool {
    kind != Kind::PacquetHoisted || tools::has_first_runs(fixture)
}

/// Why a peer has no part in a fixture at all.
pub(crate) fn absence(fixture: &str, kind: Kind) -> Option<Reason> {
    match fixture {
        WORKSPACE_LARGE => (!kind.is_main()).then_some(TOO_LARGE),
        "next" => kind.is_slow().then_some(IN_STANDARD),
        _ => None,
    }
}

/// Why a peer has no turn in a group of scenarios that would cost it minutes, and the scenario
/// in whose row the reason stands.
pub(crate) fn omission(fixture: &str, group: Group, kind: Kind) -> Option<(Reason, &'static str)> {
    let is_quick = fixture == QUICK_FIXTURE;
    match group {
        _ if is_quick => None,
        Group::Worktrees => kind
            .is_slow()
            .then_some((IN_QUICK, "worktrees.ten.install")),
        Group::Account => {
            // The documents name who was not looked at.
            let is_compared = kind.is_main() || kind == Kind::PnpmLoaded;
            (!is_compared).then_some((IN_QUICK, FIRST_SCENARIO))
        }
        Group::Restore if fixture == "app" => {
            kind.is_slow().then_some((IN_STANDARD, FIRST_SCENARIO))
        }
        Group::Resolve if fixture == "app" => {
            let scenario = "fresh-install.cold-cache.cold-store";
            kind.is_slow().then_some((IN_STANDARD, scenario))
        }
        _ => None,
    }
}

/// Why a peer does not install over an installed tree.
pub(crate) fn omits_swap(fixture: &str, kind: Kind) -> Option<Reason> {
    (kind.is_slow() && fixture != QUICK_FIXTURE).then_some(IN_QUICK)
}

/// What every peer does first.
pub(crate) const FIRST_SCENARIO: &str = "fresh-restore.cold-cache.cold-store";

/// Whether nothing but installing is measured in this fixture.
pub(crate) fn is_workspace(fixture: &str) -> bool {
    [WORKSPACE, WORKSPACE_LARGE].contains(&fixture)
}

/// How much of the time for a run is left.
pub(crate) struct Clock {
    started: Instant,
    limit: Duration,
}

impl Clock {
    pub(crate) fn start(minutes: u64) -> Self {
        Self {
            started: Instant::now(),
            limit: Duration::from_secs(minutes * 60),
        }
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whether something that takes so long is done in time.
    pub(crate) fn has(&self, time: Duration) -> bool {
        self.started.elapsed() + time <= self.limit
    }
}

/// How long turns took in earlier runs.
pub(crate) struct Experience {
    results: Vec<Turns>,
}

impl Experience {
    /// Of the run whose result this one replaces, of the last one in the scratch folder and of the
    /// committed one, as far as they exist.
    pub(crate) fn gather(options: &Options) -> Self {
        let output = options.output.with_extension("json");
        let scratch = options.places.scratch.join("result.json");
        let paths = [
            output.as_path(),
            scratch.as_path(),
            Path::new(COMMITTED_RESULT),
        ];
        let read = |path: &&Path| {
            let results: Results = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
            Some(results.turns)
        };
        Self {
            results: paths.iter().filter_map(read).collect(),
        }
    }

    /// Seconds of a peer's turn; `None` where no run has had it.
    pub(crate) fn seconds(&self, fixture: &str, group: &str, peer: &str) -> Option<f64> {
        let find = |turns: &Turns| turns.get(fixture)?.get(group)?.get(peer).copied();
        self.results.iter().find_map(find)
    }
}

/// What a turn takes on two processors where nothing is known of it, in seconds: the mean of those
/// that were seen.
fn usual_seconds(group: Option<Group>) -> f64 {
    match group {
        None => 4.0,
        Some(Group::Mount) => 2.0,
        Some(Group::Restore | Group::Account | Group::Worktrees) => 12.0,
        Some(Group::Resolve) => 15.0,
        Some(Group::Walk | Group::FirstRun) => 25.0,
        Some(Group::Tools) => 100.0,
    }
}

/// How long some turns will take.
#[derive(Default)]
pub(crate) struct Estimate {
    seconds: f64,
    guessed: f64,
}

impl Estimate {
    /// Adds a turn in a group, or in the preparations.
    pub(crate) fn add(&mut self, known: Option<f64>, group: Option<Group>) {
        let seconds = known.unwrap_or_else(|| usual_seconds(group));
        self.seconds += seconds;
        if known.is_none() {
            self.guessed += seconds;
        }
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (all, guessed) = (self.seconds / 60.0, self.guessed / 60.0);
        write!(formatter, "about {all:.0} minutes")?;
        if self.guessed > 0.0 {
            write!(
                formatter,
                " ({guessed:.0} of them guessed: no earlier result has them)"
            )?;
        }
        Ok(())
    }
}
