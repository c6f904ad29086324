//! What is done with an installed tree: walks, reads and programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::commands::{Action, Reason};
use crate::disk::drop_caches;
use crate::measure::{Job, MYSELF, Sample, cpu_ms, status_kib};
use crate::peers::{Kind, Peer, Place};
use crate::project::{self, Part, ProjectError};
use crate::result::{KernelMemory, ServerMemory};
use crate::scenario::{Subject, Turn};

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

/// The fixture whose whole tree is walked.
const WALKED: &str = "alotta-files";

/// Fixtures in which a package is required right after an install into an empty store.
const REQUIRED_COLD: [&str; 2] = ["alotta-files", "app"];

/// A program that developers start.
struct Tool {
    /// Its name in the tables.
    name: &'static str,
    /// Its name in `node_modules/.bin`; none for a script of ours.
    bin: Option<&'static str>,
    /// What node runs, and its arguments.
    words: &'static [&'static str],
    /// The fixtures in which it works.
    fixtures: &'static [&'static str],
}

/// Twenty packages of `alotta-files` that can be required.
const TWENTY_OLD: &str = "for (const name of 'autoprefixer babel-core css-loader cssnano ejs \
    eslint express glob gulp history less lodash mobx moment qs react react-dom superagent \
    uglify-js uuid'.split(/ +/)) require(name)";

/// Twenty packages of `app`, most of which are modules.
const TWENTY_NEW: &str = "Promise.all('@tanstack/react-query axios clsx date-fns framer-motion \
    i18next lucide-react react react-dom react-hook-form react-i18next react-router recharts \
    tailwind-merge zod zustand eslint prettier typescript vite'.split(/ +/).map(name => \
    import(name))).then(() => process.exit(0))";

/// All of them, in the order of the tables.
const TOOLS: [Tool; 10] = [
    script(
        "require-eslint",
        &["-e", "require('eslint')"],
        &["alotta-files", "app"],
    ),
    script(
        "require-webpack",
        &["-e", "require('./node_modules/.pnpm/node_modules/webpack')"],
        &["alotta-files"],
    ),
    script(
        "require-typescript",
        &["-e", "require('typescript')"],
        &["app", "small"],
    ),
    script("require-twenty", &["-e", TWENTY_OLD], &["alotta-files"]),
    script("require-twenty", &["-e", TWENTY_NEW], &["app"]),
    program(
        "tsc",
        "tsc",
        &["node_modules/typescript/bin/tsc", "--noEmit"],
        &["app"],
    ),
    program(
        "eslint",
        "eslint",
        &["node_modules/eslint/bin/eslint.js", "."],
        &["app"],
    ),
    program(
        "vite-build",
        "vite",
        &["node_modules/vite/bin/vite.js", "build"],
        &["app"],
    ),
    program(
        "vitest",
        "vitest",
        &["node_modules/vitest/vitest.mjs", "run"],
        &["app"],
    ),
    program(
        "next-build",
        "next",
        &["node_modules/next/dist/bin/next", "build"],
        &["next"],
    ),
];

const fn script(
    name: &'static str,
    words: &'static [&'static str],
    fixtures: &'static [&'static str],
) -> Tool {
    Tool {
        name,
        bin: None,
        words,
        fixtures,
    }
}

const fn program(
    name: &'static str,
    bin: &'static str,
    words: &'static [&'static str],
    fixtures: &'static [&'static str],
) -> Tool {
    Tool {
        name,
        bin: Some(bin),
        words,
        fixtures,
    }
}

/// What the programs write, and what their next run would find.
const OUTPUTS: [&str; 4] = ["dist", ".next", "coverage", "tsconfig.tsbuildinfo"];

/// The programs whose first run after an install is measured.
const FIRST_RUNS: [&str; 2] = ["eslint", "next-build"];

/// What takes so long that it is not run in every phase.
const LONG: [&str; 4] = ["tsc", "vite-build", "vitest", "next-build"];

/// A build takes so long that only the main peers do it after an install.
const MAIN_ONLY: &str = "next-build";
const NOT_RUN: Reason = "not run: only pacquet, pnpm and bun";
const SEE_PROFILE: Reason = "not run: takes long, so with dropped caches only with a profile";
const SEE_DROPPED: Reason = "not run: the run with dropped caches says why it fails";

/// Whether the whole tree of this fixture is walked.
pub(crate) fn is_walked(fixture: &str) -> bool {
    fixture == WALKED
}

/// Whether programs run in this fixture's tree.
pub(crate) fn is_used(fixture: &str) -> bool {
    TOOLS.iter().any(|tool| tool.fixtures.contains(&fixture))
}

/// Whether installs and first runs are measured together in this fixture.
pub(crate) fn has_first_runs(fixture: &str) -> bool {
    let is_first = |tool: &&Tool| FIRST_RUNS.contains(&tool.name);
    let mut tools = TOOLS.iter().filter(is_first);
    tools.any(|tool| tool.fixtures.contains(&fixture))
}

impl Tool {
    fn job(&self, peer: &Peer, place: &Place, node: &Path) -> Job {
        let node = node.to_string_lossy().into_owned();
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let arguments: Vec<String> = all(self.words);
        let words = match (self.bin, peer.kind) {
            // They have no tree, and start programs themselves.
            (Some(bin), Kind::YarnPnp) => [
                peer.words.clone(),
                all(&["run", bin]),
                arguments[1..].to_vec(),
            ]
            .concat(),
            (Some(bin), Kind::PnpmLoaded) => [
                peer.words.clone(),
                all(&["exec", bin]),
                arguments[1..].to_vec(),
            ]
            .concat(),
            _ => [vec![node], arguments].concat(),
        };
        plain(peer, place, words, self.name)
    }
}

fn plain(peer: &Peer, place: &Place, words: Vec<String>, log: &str) -> Job {
    let mut environment = peer.environment(place);
    // What one run keeps for the next would make the order of the phases count.
    environment.push(("NODE_DISABLE_COMPILE_CACHE".to_owned(), "1".to_owned()));
    Job {
        words,
        directory: place.project.clone(),
        environment,
        log: place.logs.join(format!("{log}.log")),
    }
}

fn remove_outputs(place: &Place) -> Result<(), ProjectError> {
    for name in OUTPUTS {
        project::remove(&place.project.join(name))?;
    }
    Ok(())
}

fn empty_caches() -> Result<(), ProjectError> {
    drop_caches().map_err(|source| ProjectError::File {
        path: "/proc/sys/vm/drop_caches".into(),
        source,
    })
}

impl Turn<'_> {
    /// Walks and reads of the whole tree, warm and with dropped caches.
    pub(crate) fn walk(&mut self) -> Result<(), ProjectError> {
        let Subject {
            peer,
            place,
            fixture,
        } = self.subject;
        self.install("tree")?;
        self.read_all()?;
        for (name, words) in WALKS {
            let words = words.iter().map(|word| word.replace("{self}", MYSELF));
            let job = plain(peer, place, words.collect(), name);
            empty_caches()?;
            self.time(&format!("tree.{name}.caches-dropped"), Ok(job.clone()));
            // Whatever the first run after dropping left cold is warm after one more.
            job.succeed()?;
            self.time(&format!("tree.{name}.warm"), Ok(job));
        }
        if let Some(memory) = server_memory(peer, place) {
            self.log.memory(fixture, memory);
        }
        self.kernel_memory()?;
        self.write()?;
        self.remove_all()
    }

    /// Reads the whole tree, untimed: what an install left packed is unpacked now, and not in what
    /// is timed next.
    fn read_all(&self) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        let words = own(&["read", "node_modules"]);
        plain(peer, place, words, "read").succeed()?;
        Ok(())
    }

    /// What the kernel holds more after the walker has walked a tree of which everything is known
    /// to be used.
    fn kernel_memory(&mut self) -> Result<(), ProjectError> {
        let Subject {
            peer,
            place,
            fixture,
        } = self.subject;
        let Some(mount) = peer.mount(place, "walker") else {
            return Ok(());
        };
        peer.remove(place, "walker").succeed()?;
        empty_caches()?;
        let before = KernelMemory::now();
        mount.succeed()?;
        wait_until_quiet(peer, place);
        self.log.kernel(fixture, KernelMemory::now().since(&before));
        Ok(())
    }

    /// Small files as caches of tools write them, many beside packages, and a large one.
    fn write(&mut self) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        let job = |words: &[&str]| plain(peer, place, own(words), "write");
        let folder = ["node_modules/.cache/measured", "node_modules/measured"];
        for (folder, kind) in folder.iter().zip(["cache", "tree"]) {
            if self.time(&format!("tree.write.{kind}"), Ok(job(&["write", folder]))) {
                let read = job(&["read", folder]);
                self.time(&format!("tree.reread.{kind}"), Ok(read));
                let mut remove = job(&[]);
                remove.words = ["rm", "-rf", folder].map(str::to_owned).to_vec();
                self.time(&format!("tree.rm.{kind}"), Ok(remove));
            }
        }
        let large = "node_modules/measured-large";
        self.disk.settle();
        let write = job(&["write-large", large]);
        self.time("tree.write.large", Ok(write));
        project::remove(&place.project.join(large))
    }

    /// `rm -rf` of all that is in the tree, which a served tree survives.
    fn remove_all(&mut self) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        let line = "rm -rf node_modules/* node_modules/.pnpm";
        let words = ["sh", "-c", line].map(str::to_owned).to_vec();
        self.disk.settle();
        self.time("tree.rm.all", Ok(plain(peer, place, words, "rm")));
        self.clear(&[Part::Tree])
    }

    /// Programs: the first run after a mount, the next one, and one with dropped caches; all of
    /// it without a profile and with one.
    pub(crate) fn tools(&mut self, node: &Path) -> Result<(), ProjectError> {
        let fixture = self.subject.fixture;
        if REQUIRED_COLD.contains(&fixture) {
            self.first_require(node)?;
        }
        self.install("tree")?;
        if self.subject.peer.kind == Kind::Pacquet {
            self.read_all()?;
        }
        for tool in TOOLS.iter().filter(|tool| tool.fixtures.contains(&fixture)) {
            self.tool(tool, node)?;
        }
        self.clear(&[Part::Tree])
    }

    /// The first use of packages that have just been downloaded: what an install left for later
    /// is done now.
    fn first_require(&mut self, node: &Path) -> Result<(), ProjectError> {
        self.clear(&[Part::Tree, Part::Store, Part::Cache])?;
        self.install("cold")?;
        let job = TOOLS[0].job(self.subject.peer, &self.subject.place, node);
        self.time("first-require.after-cold", Ok(job));
        Ok(())
    }

    fn tool(&mut self, tool: &Tool, node: &Path) -> Result<(), ProjectError> {
        let Subject {
            peer,
            place,
            fixture,
        } = self.subject;
        let job = tool.job(peer, place, node);
        let scenario = |phase: &str| format!("tool.{}.{phase}", tool.name);
        let is_served = peer.kind == Kind::Pacquet;
        let is_long = LONG.contains(&tool.name);
        for phase in PHASES {
            let name = scenario(phase.name);
            if !is_served && is_long && phase.name == "second" {
                // A warm real tree is the same in both.
                self.log.same(fixture, &scenario("first"), &name, peer.kind);
                continue;
            }
            if is_served && is_long && phase.name == PHASES[0].name {
                self.time(&name, Err(SEE_PROFILE));
                // What it would have left in the page cache.
                self.read_all()?;
                continue;
            }
            if !is_served && phase.with_profile {
                // A real tree has no profile: it does in both what it always does.
                let same = phase.name.trim_end_matches(".profile");
                self.log.same(fixture, &scenario(same), &name, peer.kind);
                continue;
            }
            remove_outputs(place)?;
            self.remount(phase)?;
            let before = messages(peer, place);
            if !self.time(&name, Ok(job.clone())) {
                continue;
            }
            if let (Some(before), Some(after)) = (before, messages(peer, place)) {
                let sent = difference(&before, &after);
                self.log.messages(fixture, &name, sent);
            }
        }
        remove_outputs(place)
    }

    /// Takes a mount down and serves the same again, as the phase wants it; a real tree stays as
    /// it is.
    fn remount(&self, phase: Phase) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        let mount = peer.mount(place, "remount").filter(|_| phase.is_remounted);
        if mount.is_some() {
            peer.remove(place, "remount").succeed()?;
            if !phase.with_profile {
                project::forget_profile(place)?;
            }
        }
        if phase.drops_caches {
            empty_caches()?;
        }
        if let Some(mount) = mount {
            mount.succeed()?;
        }
        Ok(())
    }

    /// An install with a warm store and the first run of a program, together: as on a machine
    /// where the program has not run before, and as on one where it has.
    pub(crate) fn first_runs(&mut self, node: &Path) -> Result<(), ProjectError> {
        // The first one leaves what the next one reads in the page cache.
        const CASES: [(&str, bool); 4] = [
            ("caches-dropped", false),
            ("warm", false),
            ("warm.profile", true),
            ("caches-dropped.profile", true),
        ];
        let Subject { peer, fixture, .. } = self.subject;
        let tools = TOOLS
            .iter()
            .filter(|tool| FIRST_RUNS.contains(&tool.name) && tool.fixtures.contains(fixture));
        for tool in tools {
            let name = |case: &str| format!("install-and-first-run.{}.{case}", tool.name);
            let takes_part = peer.kind.is_main() && peer.kind != Kind::PacquetReal;
            if tool.name == MAIN_ONLY && !takes_part {
                for (case, _) in CASES {
                    self.time(&name(case), Err(NOT_RUN));
                }
            }
            if self.log.has_remark(fixture, &name(CASES[0].0), peer.kind) {
                continue;
            }
            self.install("first-run")?;
            if peer.kind.is_served() {
                self.read_all()?;
            }
            for (case, with_profile) in CASES {
                if with_profile && !peer.kind.is_served() {
                    let same = case.trim_end_matches(".profile");
                    self.log.same(fixture, &name(same), &name(case), peer.kind);
                    continue;
                }
                if self.log.has_remark(fixture, &name(CASES[0].0), peer.kind) {
                    self.time(&name(case), Err(SEE_DROPPED));
                    continue;
                }
                self.prepare_first_run(case, with_profile)?;
                self.install_and_run(&name(case), tool, node);
            }
            remove_outputs(&self.subject.place)?;
            self.clear(&[Part::Tree])?;
        }
        Ok(())
    }

    fn prepare_first_run(&self, case: &str, with_profile: bool) -> Result<(), ProjectError> {
        remove_outputs(&self.subject.place)?;
        self.clear(&[Part::Tree])?;
        if !with_profile {
            project::forget_profile(&self.subject.place)?;
        }
        if case.starts_with("caches-dropped") {
            empty_caches()?;
        }
        Ok(())
    }

    fn install_and_run(&mut self, scenario: &str, tool: &Tool, node: &Path) {
        self.note(scenario, |subject| {
            let (peer, place) = (subject.peer, &subject.place);
            let install = peer.act(Action::Restore, place, "first-run")?;
            let run = tool.job(peer, place, node);
            let both = install
                .succeed()
                .and_then(|installed| Ok::<Sample, _>(installed.plus(&run.succeed()?)));
            Ok(both.map_err(ProjectError::from))
        });
    }
}

/// When a program is run, and what was done before.
#[derive(Clone, Copy)]
struct Phase {
    name: &'static str,
    is_remounted: bool,
    with_profile: bool,
    drops_caches: bool,
}

/// In this order: a run leaves contents in the page cache, and a profile.
const PHASES: [Phase; 5] = [
    Phase {
        name: "caches-dropped",
        is_remounted: true,
        with_profile: false,
        drops_caches: true,
    },
    Phase {
        name: "first",
        is_remounted: true,
        with_profile: false,
        drops_caches: false,
    },
    Phase {
        name: "second",
        is_remounted: false,
        with_profile: false,
        drops_caches: false,
    },
    Phase {
        name: "first.profile",
        is_remounted: true,
        with_profile: true,
        drops_caches: false,
    },
    Phase {
        name: "caches-dropped.profile",
        is_remounted: true,
        with_profile: true,
        drops_caches: true,
    },
];

/// This program, with arguments.
fn own(words: &[&str]) -> Vec<String> {
    let words = std::iter::once(MYSELF).chain(words.iter().copied());
    words.map(str::to_owned).collect()
}

/// Waits until the server was asked nothing for a while: then the walker has done its work.
fn wait_until_quiet(peer: &Peer, place: &Place) {
    const LOOKS_MAX: usize = 60;
    const QUIET: Duration = Duration::from_millis(500);
    let mut last = None;
    for _ in 0..LOOKS_MAX {
        std::thread::sleep(QUIET);
        let now = messages(peer, place);
        if now == last {
            return;
        }
        last = now;
    }
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

/// The messages that the server has answered so far, by kind.
fn messages(peer: &Peer, place: &Place) -> Option<BTreeMap<String, u64>> {
    let counters = status(peer, place)?["counters"]["requests"].take();
    serde_json::from_value(counters).ok()
}

fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let since = |(kind, count): (&String, &u64)| {
        let count = count - before.get(kind).copied().unwrap_or_default().min(*count);
        (count > 0).then(|| (kind.clone(), count))
    };
    after.iter().filter_map(since).collect()
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
