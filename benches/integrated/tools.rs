//! What is done with an installed tree: walks, reads and programs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::capability::{self, Capability};
use crate::commands::Action;
use crate::disk::drop_caches;
use crate::measure::{Job, Sample, cpu_ms, status_kib};
use crate::peers::{Kind, Peer, Place, Program};
use crate::project::{self, Part, ProjectError};
use crate::result::ServerMemory;
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

/// Fixtures whose whole trees are walked.
const WALKED: [&str; 2] = ["alotta-files", "app"];

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

/// The programs whose first run after an install is measured for every peer.
const FIRST_RUNS: [&str; 2] = ["eslint", "next-build"];

/// Whether something is done with this fixture's tree.
pub(crate) fn is_used(fixture: &str) -> bool {
    WALKED.contains(&fixture) || TOOLS.iter().any(|tool| tool.fixtures.contains(&fixture))
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
    Job {
        words,
        directory: place.project.clone(),
        environment: peer.environment(place),
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
        if !WALKED.contains(fixture) {
            return Ok(());
        }
        let myself = std::env::current_exe()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for (name, words) in WALKS {
            let words = words.iter().map(|word| word.replace("{self}", &myself));
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
        self.write(&myself)
    }

    /// Small files as caches of tools write them, and their removal.
    fn write(&mut self, myself: &str) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        let folder = ["node_modules/.cache/measured", "node_modules/measured"];
        for (folder, kind) in folder.iter().zip(["cache", "tree"]) {
            let job = |words: &[&str]| {
                let words = words.iter().map(|word| (*word).to_owned()).collect();
                plain(peer, place, words, "write")
            };
            let write = job(&[myself, "write", folder]);
            if self.time(&format!("tree.write.{kind}"), Ok(write)) {
                let remove = job(&["rm", "-rf", folder]);
                self.time(&format!("tree.rm.{kind}"), Ok(remove));
            }
        }
        Ok(())
    }

    /// Programs: the first run after a mount, the next one, and one with dropped caches.
    pub(crate) fn tools(&mut self, node: &Path) -> Result<(), ProjectError> {
        let fixture = self.subject.fixture;
        if WALKED.contains(&fixture) {
            self.first_require(node)?;
        }
        for tool in TOOLS.iter().filter(|tool| tool.fixtures.contains(&fixture)) {
            self.tool(tool, node)?;
        }
        Ok(())
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
        remove_outputs(place)?;
        // Program and contents are in the page cache; only the mount is new.
        if let Err(error) = job.succeed() {
            for phase in ["first", "second", "caches-dropped"] {
                let message = format!("failed: {error}");
                self.log
                    .remark(fixture, &scenario(phase), peer.kind, &message);
            }
            return remove_outputs(place);
        }
        if peer.kind == Kind::Pacquet && !capability::has(Capability::Profile) {
            self.log
                .remark(fixture, &scenario("first.profile"), peer.kind, "not yet");
        }
        for phase in ["first", "second", "caches-dropped"] {
            remove_outputs(place)?;
            if phase != "second" {
                self.remount()?;
            }
            if phase == "caches-dropped" {
                empty_caches()?;
            }
            let before = messages(peer, place);
            self.time(&scenario(phase), Ok(job.clone()));
            if let (Some(before), Some(after)) = (before, messages(peer, place)) {
                let sent = difference(&before, &after);
                self.log.messages(fixture, &scenario(phase), sent);
            }
        }
        remove_outputs(place)
    }

    /// Takes a mount down and serves the same again; a real tree stays as it is.
    fn remount(&self) -> Result<(), ProjectError> {
        let Subject { peer, place, .. } = self.subject;
        if let Some(mount) = peer.mount(place, "remount") {
            peer.remove(place, "remount").succeed()?;
            mount.succeed()?;
        }
        Ok(())
    }

    /// An install with a warm store and the first run of a program, together.
    pub(crate) fn first_runs(&mut self, node: &Path) -> Result<(), ProjectError> {
        let fixture = self.subject.fixture;
        let tools = TOOLS
            .iter()
            .filter(|tool| FIRST_RUNS.contains(&tool.name) && tool.fixtures.contains(&fixture));
        for tool in tools {
            self.install("first-run")?;
            for caches in ["warm", "caches-dropped"] {
                remove_outputs(&self.subject.place)?;
                if caches == "warm" && self.subject.peer.kind.program() != Program::Pacquet {
                    // What the program reads is in the page cache.
                    let _ = tool
                        .job(self.subject.peer, &self.subject.place, node)
                        .measure();
                    remove_outputs(&self.subject.place)?;
                }
                self.clear(&[Part::Tree])?;
                if caches == "caches-dropped" {
                    empty_caches()?;
                }
                let scenario = format!("install-and-first-run.{}.{caches}", tool.name);
                self.note(&scenario, |subject| {
                    let (peer, place) = (subject.peer, &subject.place);
                    let install = peer.act(Action::Restore, place, "first-run")?;
                    let run = tool.job(peer, place, node);
                    let both = install
                        .succeed()
                        .and_then(|installed| Ok::<Sample, _>(installed.plus(&run.succeed()?)));
                    Ok(both.map_err(ProjectError::from))
                });
            }
            remove_outputs(&self.subject.place)?;
            self.clear(&[Part::Tree])?;
        }
        Ok(())
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
