//! What is done and timed while installing. The names are those of pnpm's own benchmark where it
//! has the scenario.

use std::fs;

use crate::commands::{Action, Reason, metadata};
use crate::disk::Disk;
use crate::measure::{Job, Sample};
use crate::peers::{Peer, Place};
use crate::plan;
use crate::project::{self, Part, ProjectError, clear, file_error};
use crate::result::Log;

/// Checkouts of one project in [`Turn::worktrees`].
const WORKTREES: usize = 10;

const EVERYTHING: [Part; 3] = [Part::Tree, Part::Store, Part::Cache];

/// What follows the first install of a locked project.
const AFTER_RESTORE: [&str; 7] = [
    "repeat-install.after-cold",
    "remove.first",
    "fresh-restore.hot-cache.hot-store.first",
    "remove.again",
    "fresh-restore.hot-cache.hot-store.again",
    "repeat-install.hot-cache.hot-store",
    "repeat-install.cold-cache.hot-store",
];

/// An installed project, or one to be installed.
#[derive(Clone)]
pub(crate) struct Subject<'a> {
    /// Who installs it.
    pub(crate) peer: &'a Peer,
    /// Where it is.
    pub(crate) place: Place,
    /// The fixture's name.
    pub(crate) fixture: &'a str,
}

/// One peer's turn in a round.
pub(crate) struct Turn<'a> {
    /// Whose turn it is.
    pub(crate) subject: &'a Subject<'a>,
    /// Where it happens.
    pub(crate) disk: &'a Disk,
    /// Takes what is found.
    pub(crate) log: &'a mut Log,
}

impl Turn<'_> {
    fn peer(&self) -> &Peer {
        self.subject.peer
    }

    fn place(&self) -> &Place {
        &self.subject.place
    }

    /// Removes parts, outside the timing, and lets the disk come to rest.
    pub(crate) fn clear(&self, parts: &[Part]) -> Result<(), ProjectError> {
        clear(self.place(), self.peer(), parts)?;
        self.disk.settle();
        Ok(())
    }

    /// Times a command. What fails, or what the peer cannot do, is noted by name, and not tried
    /// again in later rounds; then the answer is false.
    pub(crate) fn time(&mut self, scenario: &str, job: Result<Job, Reason>) -> bool {
        self.note(scenario, |_| {
            job.map(|job| job.succeed().map_err(ProjectError::from))
        })
    }

    /// As [`Turn::time`], for more than one command.
    pub(crate) fn note(
        &mut self,
        scenario: &str,
        work: impl FnOnce(&Subject<'_>) -> Result<Result<Sample, ProjectError>, Reason>,
    ) -> bool {
        let (fixture, kind) = (self.subject.fixture, self.subject.peer.kind);
        if self.log.has_remark(fixture, scenario, kind) {
            return false;
        }
        match work(self.subject) {
            Ok(Ok(sample)) => {
                self.log.add(fixture, scenario, kind, sample);
                true
            }
            Ok(Err(error)) => {
                let message = format!("failed: {error}");
                self.log.remark(fixture, scenario, kind, &message);
                false
            }
            Err(reason) => {
                self.log.remark(fixture, scenario, kind, reason);
                false
            }
        }
    }

    fn act(&self, action: Action, log: &str) -> Result<Job, Reason> {
        self.peer().act(action, self.place(), log)
    }

    /// With a lockfile: empty store, nothing to do, removal, warm store.
    pub(crate) fn restore(&mut self) -> Result<(), ProjectError> {
        self.clear(&EVERYTHING)?;
        let before = self.disk.usage();
        let job = self.act(Action::Restore, "cold");
        if !self.time("fresh-restore.cold-cache.cold-store", job) {
            for scenario in AFTER_RESTORE {
                self.time(scenario, Err(SEE_RESTORE));
            }
            return Ok(());
        }
        let usage = self.disk.usage().since(before);
        self.log
            .disk(self.subject.fixture, self.subject.peer.kind, usage);
        let job = self.act(Action::Install, "repeat");
        self.time("repeat-install.after-cold", job);
        for scenario in ["first", "again"] {
            let job = self.peer().remove(self.place(), "remove");
            self.time(&format!("remove.{scenario}"), Ok(job));
            self.clear(&[Part::Tree])?;
            let job = self.act(Action::Restore, scenario);
            self.time(
                &format!("fresh-restore.hot-cache.hot-store.{scenario}"),
                job,
            );
        }
        let job = self.act(Action::Install, "repeat");
        self.time("repeat-install.hot-cache.hot-store", job);
        if metadata(self.peer().kind, self.place()).is_some() {
            self.forget_metadata()?;
            let job = self.act(Action::Install, "repeat");
            self.time("repeat-install.cold-cache.hot-store", job);
        } else {
            self.time("repeat-install.cold-cache.hot-store", Err(ONE_CACHE));
        }
        self.clear(&EVERYTHING)?;
        project::restore(self.place())
    }

    /// Removes the metadata below an installed tree, which stays.
    fn forget_metadata(&self) -> Result<(), ProjectError> {
        for path in metadata(self.peer().kind, self.place()).unwrap_or_default() {
            project::remove(&path)?;
        }
        project::remove(&self.place().cache)?;
        self.disk.settle();
        Ok(())
    }

    /// Without a lockfile, and with one more dependency.
    pub(crate) fn resolve(&mut self) -> Result<(), ProjectError> {
        const UNLOCKED: [Part; 2] = [Part::Tree, Part::Lockfile];
        self.clear(&[Part::Tree, Part::Store, Part::Cache, Part::Lockfile])?;
        let job = self.act(Action::Fresh, "fresh");
        if self.time("fresh-install.cold-cache.cold-store", job) {
            if metadata(self.peer().kind, self.place()).is_some() {
                self.clear(&[Part::Tree, Part::Lockfile, Part::Cache])?;
                let job = self.act(Action::Fresh, "fresh");
                self.time("fresh-install.cold-cache.hot-store", job);
            } else {
                self.time("fresh-install.cold-cache.hot-store", Err(ONE_CACHE));
            }
            self.clear(&UNLOCKED)?;
            let job = self.act(Action::Fresh, "fresh");
            self.time("fresh-install.hot-cache.hot-store", job);
            self.clear(&UNLOCKED)?;
            let job = self.act(Action::Resolve, "resolve");
            self.time("fresh-resolve.hot-cache.offline", job);
        } else {
            for scenario in [
                "fresh-install.cold-cache.hot-store",
                "fresh-install.hot-cache.hot-store",
                "fresh-resolve.hot-cache.offline",
            ] {
                self.time(scenario, Err(SEE_COLD));
            }
        }
        self.add()
    }

    fn add(&mut self) -> Result<(), ProjectError> {
        self.clear(&[Part::Tree])?;
        project::restore(self.place())?;
        let job = self.act(Action::Add, "add");
        if job.is_ok() {
            // Once for the caches, so that they hold what is added.
            let _ = self.act(Action::Add, "add").map(|job| job.measure());
            self.clear(&[Part::Tree])?;
            project::restore(self.place())?;
        }
        if self.time("fresh-add-dep.hot-cache.hot-store", job) {
            self.swap()?;
        }
        self.clear(&EVERYTHING)?;
        project::restore(self.place())
    }

    /// Installs over an installed tree.
    fn swap(&mut self) -> Result<(), ProjectError> {
        if let Some(reason) = plan::omits_swap(self.subject.fixture, self.peer().kind) {
            self.time("live-swap", Err(reason));
            self.time("live-swap.locked", Err(reason));
            return Ok(());
        }
        project::restore(self.place())?;
        self.install("swap")?;
        self.disk.settle();
        let job = self.act(Action::Add, "swap");
        if self.time("live-swap", job) {
            self.swap_back_and_forth()?;
        }
        Ok(())
    }

    /// An installed project gets another lockfile, as from `git checkout`, and is installed.
    fn swap_back_and_forth(&mut self) -> Result<(), ProjectError> {
        let names = ["package.json", self.peer().kind.program().lockfile()];
        let paths = names.map(|name| self.place().project.join(name));
        let mut added = Vec::new();
        for path in &paths {
            added.push(fs::read(path).map_err(file_error(path))?);
        }
        project::restore(self.place())?;
        self.install("swap-back")?;
        for (path, bytes) in paths.iter().zip(&added) {
            fs::write(path, bytes).map_err(file_error(path))?;
        }
        self.disk.settle();
        let job = self.act(Action::Restore, "swap");
        self.time("live-swap.locked", job);
        Ok(())
    }

    /// The lockfile of the project whose packages all have a peer.
    pub(crate) fn peer_heavy(&mut self) -> Result<(), ProjectError> {
        const SCENARIO: &str = "peer-heavy-resolve.hot-cache.offline";
        self.clear(&[Part::Tree, Part::Lockfile])?;
        match self.act(Action::Fresh, "fresh") {
            Err(reason) => {
                self.time(SCENARIO, Err(reason));
            }
            Ok(job) => {
                // Once for the caches.
                if self.note_failure(SCENARIO, &job) {
                    self.clear(&[Part::Tree, Part::Lockfile])?;
                    let job = self.act(Action::Resolve, "resolve");
                    self.time(SCENARIO, job);
                }
            }
        }
        self.clear(&[Part::Tree, Part::Lockfile])
    }

    /// Runs a command untimed; its failure is the scenario's.
    fn note_failure(&mut self, scenario: &str, job: &Job) -> bool {
        let Err(error) = job.succeed() else {
            return true;
        };
        let (fixture, kind) = (self.subject.fixture, self.subject.peer.kind);
        self.log
            .remark(fixture, scenario, kind, &format!("failed: {error}"));
        false
    }

    /// Serving a project whose packages are in the store, and serving it again.
    pub(crate) fn mount(&mut self) -> Result<(), ProjectError> {
        let Some(mount) = self.peer().mount(self.place(), "mount") else {
            return Ok(());
        };
        self.install("mount")?;
        let remove = self.peer().remove(self.place(), "unmount");
        remove.succeed()?;
        self.time("mount.warm", Ok(mount.clone()));
        self.note("mount.remount", |_| {
            Ok(remove
                .succeed()
                .and_then(|gone| Ok(gone.plus(&mount.succeed()?)))
                .map_err(ProjectError::from))
        });
        self.clear(&[Part::Tree])
    }

    /// Installs what the lockfile says, untimed.
    pub(crate) fn install(&self, log: &str) -> Result<(), ProjectError> {
        if let Ok(job) = self.act(Action::Restore, log) {
            job.succeed()?;
        }
        Ok(())
    }

    /// Ten checkouts of one project, one after the other, with a warm store.
    pub(crate) fn worktrees(&mut self) -> Result<(), ProjectError> {
        self.install("worktrees")?;
        self.clear(&[Part::Tree])?;
        let base = self.place().saved.with_file_name("worktrees");
        let mut places = Vec::new();
        for number in 0..WORKTREES {
            let folder = base.join(number.to_string());
            places.push(project::worktree(self.place(), &folder)?);
        }
        let before = self.disk.usage();
        let each = |work: fn(&Peer, &Place) -> Result<Job, Reason>| {
            let places = &places;
            move |subject: &Subject<'_>| {
                let mut total = Sample::default();
                for place in places {
                    match work(subject.peer, place)?.succeed() {
                        Ok(sample) => total = total.plus(&sample),
                        Err(error) => return Ok(Err(error.into())),
                    }
                }
                Ok(Ok(total))
            }
        };
        let installed = self.note(
            "worktrees.ten.install",
            each(|peer, place| peer.act(Action::Restore, place, "worktree")),
        );
        if installed {
            let usage = self.disk.usage().since(before);
            let kind = self.subject.peer.kind;
            self.log.worktrees(self.subject.fixture, kind, usage);
            self.note(
                "worktrees.ten.remove",
                each(|peer, place| Ok(peer.remove(place, "worktree"))),
            );
        }
        for place in &places {
            clear(place, self.peer(), &[Part::Tree])?;
        }
        project::remove(&base)?;
        self.clear(&[Part::Tree])
    }

    /// Memory and system calls, in runs that are not timed.
    pub(crate) fn accounts(&mut self) -> Result<(), ProjectError> {
        let (fixture, kind) = (self.subject.fixture, self.subject.peer.kind);
        let steps: [(&str, &[Part], Action); 5] = [
            (
                "fresh-restore.cold-cache.cold-store",
                &EVERYTHING,
                Action::Restore,
            ),
            (
                "fresh-restore.hot-cache.hot-store.again",
                &[Part::Tree],
                Action::Restore,
            ),
            ("repeat-install.hot-cache.hot-store", &[], Action::Install),
            (
                "fresh-install.cold-cache.cold-store",
                &[Part::Tree, Part::Store, Part::Cache, Part::Lockfile],
                Action::Fresh,
            ),
            (
                "fresh-resolve.hot-cache.offline",
                &[Part::Tree, Part::Lockfile],
                Action::Resolve,
            ),
        ];
        for (scenario, parts, action) in steps {
            self.clear(parts)?;
            if let Ok(job) = self.act(action, "account") {
                match job.account() {
                    Ok(account) => self.log.account(fixture, scenario, kind, account),
                    Err(error) => self.log.failure(fixture, kind, &error.to_string()),
                }
            }
        }
        self.clear(&EVERYTHING)?;
        project::restore(self.place())
    }
}

const ONE_CACHE: Reason = "cannot: packages and what is known of them are in one cache";
const SEE_RESTORE: Reason = "not run: the first install says why";
const SEE_COLD: Reason = "not run: the first fresh install says why";
