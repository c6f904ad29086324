//! The rows of the tables: what each scenario is called, and what pacquet should reach in it.

use crate::fixture::WORKSPACE_LARGE;
use crate::peers::Kind;

/// A scenario's title and its targets.
pub(crate) struct Row {
    /// Its name in the results.
    pub(crate) scenario: String,
    /// What it is.
    pub(crate) title: String,
    /// What should be reached.
    pub(crate) targets: Vec<Target>,
}

/// At most this share of another one's median wall time.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Whose time is judged.
    pub(crate) ours: Kind,
    /// Whose time it is compared with.
    pub(crate) theirs: Kind,
    /// The share.
    pub(crate) share: f64,
}

impl Row {
    /// Whether its targets are meant for this fixture: those of installing and of walking the
    /// whole tree are for the field's standard project, those of programs for any.
    pub(crate) fn is_judged(&self, fixture: &str) -> bool {
        let program = ["tool.", "install-and-first-run."];
        fixture == "alotta-files" || program.iter().any(|head| self.scenario.starts_with(head))
    }
}

/// Fixture, scenario, and how many milliseconds pacquet's served tree may take at most.
pub(crate) const LIMITS: [(&str, &str, f64); 7] = [
    (
        "alotta-files",
        "fresh-restore.hot-cache.hot-store.first",
        30.0,
    ),
    (
        "alotta-files",
        "fresh-restore.hot-cache.hot-store.again",
        30.0,
    ),
    ("alotta-files", "repeat-install.hot-cache.hot-store", 8.0),
    ("alotta-files", "live-swap", 60.0),
    ("alotta-files", "live-swap.locked", 30.0),
    (
        WORKSPACE_LARGE,
        "fresh-restore.hot-cache.hot-store.first",
        150.0,
    ),
    (
        WORKSPACE_LARGE,
        "fresh-restore.hot-cache.hot-store.again",
        150.0,
    ),
];

const fn served(theirs: Kind, share: f64) -> Target {
    Target {
        ours: Kind::Pacquet,
        theirs,
        share,
    }
}

/// What real files may take of pnpm's time.
const fn written(share: f64) -> Target {
    Target {
        ours: Kind::PacquetReal,
        theirs: Kind::Pnpm,
        share,
    }
}

const COLD: &[Target] = &[
    served(Kind::Pnpm, 0.25),
    served(Kind::BunHoisted, 0.8),
    written(0.5),
];
const WARM: &[Target] = &[
    served(Kind::Pnpm, 1.0 / 15.0),
    served(Kind::PnpmGlobal, 0.2),
    served(Kind::BunGlobal, 0.6),
    written(0.8),
];
const UNLOCKED_COLD: &[Target] = &[
    served(Kind::Pnpm, 0.3),
    served(Kind::BunHoisted, 1.0),
    served(Kind::BunIsolated, 1.0),
    served(Kind::BunGlobal, 1.0),
];
const UNLOCKED_WARM: &[Target] = &[
    served(Kind::Pnpm, 0.15),
    served(Kind::PnpmGlobal, 0.25),
    served(Kind::BunGlobal, 1.0),
];
const NOT_SLOWER: &[Target] = &[
    served(Kind::Pnpm, 1.0),
    served(Kind::PnpmGlobal, 1.0),
    served(Kind::BunHoisted, 1.0),
    served(Kind::BunIsolated, 1.0),
    served(Kind::BunGlobal, 1.0),
    // Two trees of the same shape: fewer symlinks are followed in a hoisted one.
    Target {
        ours: Kind::PacquetHoisted,
        theirs: Kind::BunHoisted,
        share: 1.0,
    },
];
const NONE: &[Target] = &[];

/// While installing: scenario, title, targets.
type Install = (&'static str, &'static str, &'static [Target]);

const INSTALLS: [Install; 21] = [
    (
        "fresh-restore.cold-cache.cold-store",
        "empty store, locked",
        COLD,
    ),
    (
        "fresh-restore.hot-cache.hot-store.first",
        "warm store, locked, first time",
        WARM,
    ),
    (
        "fresh-restore.hot-cache.hot-store.again",
        "warm store, locked, again",
        WARM,
    ),
    (
        "fresh-install.cold-cache.cold-store",
        "no lockfile, all empty",
        UNLOCKED_COLD,
    ),
    (
        "fresh-install.cold-cache.hot-store",
        "no lockfile, warm store",
        NONE,
    ),
    (
        "fresh-install.hot-cache.hot-store",
        "no lockfile, all warm",
        UNLOCKED_WARM,
    ),
    ("repeat-install.hot-cache.hot-store", "nothing to do", NONE),
    (
        "repeat-install.cold-cache.hot-store",
        "nothing to do, no metadata",
        NONE,
    ),
    (
        "repeat-install.after-cold",
        "nothing to do, after the first install",
        NONE,
    ),
    (
        "fresh-add-dep.hot-cache.hot-store",
        "add a dependency",
        NONE,
    ),
    (
        "fresh-resolve.hot-cache.offline",
        "write a lockfile, offline",
        NONE,
    ),
    (
        "peer-heavy-resolve.hot-cache.offline",
        "write a lockfile full of peers",
        NONE,
    ),
    (
        "live-swap",
        "add to an installed project (a swap under the mount)",
        NONE,
    ),
    (
        "live-swap.locked",
        "install another lockfile over an installed project",
        NONE,
    ),
    ("mount.warm", "mount", NONE),
    ("mount.remount", "unmount and mount", NONE),
    ("remove.first", "removal after the first install", NONE),
    ("remove.again", "removal", NONE),
    ("worktrees.ten.install", "ten checkouts, install", NONE),
    ("worktrees.ten.remove", "ten checkouts, removal", NONE),
    (
        "first-require.after-cold",
        "require('eslint') after an install into an empty store",
        NONE,
    ),
];

const WALKS: [(&str, &str, f64, f64); 3] = [
    ("read", "whole-tree read", 1.1, 1.0),
    ("tar", "tar", f64::INFINITY, f64::INFINITY),
    ("find", "find", f64::INFINITY, 0.9),
];

const TOOLS: [(&str, &str, Limits); 9] = [
    ("require-eslint", "require('eslint')", REQUIRE),
    ("require-webpack", "require('webpack')", REQUIRE),
    ("require-typescript", "require('typescript')", REQUIRE),
    ("require-twenty", "twenty packages", REQUIRE),
    ("tsc", "tsc --noEmit", PROGRAM),
    ("eslint", "eslint .", PROGRAM),
    ("vite-build", "vite build", PROGRAM),
    ("vitest", "vitest run", PROGRAM),
    ("next-build", "next build", PROGRAM),
];

/// Shares of a real tree, in the order of [`PHASES`].
type Limits = [f64; 5];

const PROGRAM: Limits = [1.05, 1.2, 1.02, 0.95, f64::INFINITY];
const REQUIRE: Limits = [
    f64::INFINITY,
    f64::INFINITY,
    1.03,
    f64::INFINITY,
    f64::INFINITY,
];

const PHASES: [(&str, &str); 5] = [
    ("first.profile", "first after a mount, with a profile"),
    ("first", "first after a mount, without a profile"),
    ("second", "second"),
    ("caches-dropped.profile", "caches dropped, with a profile"),
    ("caches-dropped", "caches dropped, without a profile"),
];

/// What is done with files: scenario, title, share of a real tree.
const FILES: [(&str, &str, f64); 8] = [
    (
        "write.cache",
        "write 2,000 files of 8 kB below .cache",
        f64::INFINITY,
    ),
    ("reread.cache", "read them", f64::INFINITY),
    ("rm.cache", "remove them", f64::INFINITY),
    (
        "write.tree",
        "write 2,000 files of 8 kB beside packages",
        5.0,
    ),
    ("reread.tree", "read them", 1.15),
    ("rm.tree", "remove them", f64::INFINITY),
    ("write.large", "write a file of 200 MB", 1.15),
    ("rm.all", "rm -rf of the whole tree", 3.0),
];

fn real(limit: f64) -> Vec<Target> {
    let known = limit.is_finite();
    let target = known.then_some(served(Kind::Pnpm, limit));
    target.into_iter().collect()
}

/// All rows, in the order of the tables.
pub(crate) fn rows() -> Vec<Row> {
    let row = |scenario: String, title: String, targets: Vec<Target>| Row {
        scenario,
        title,
        targets,
    };
    let installs = INSTALLS.iter();
    let mut rows: Vec<Row> = installs
        .map(|(name, title, targets)| row((*name).into(), (*title).into(), targets.to_vec()))
        .collect();
    for program in ["eslint", "next-build"] {
        for (phase, when) in [
            ("warm", "page cache warm"),
            ("warm.profile", "page cache warm, with a profile"),
            ("caches-dropped", "caches dropped"),
            ("caches-dropped.profile", "caches dropped, with a profile"),
        ] {
            let scenario = format!("install-and-first-run.{program}.{phase}");
            let title = format!("install, then {program}, {when}");
            rows.push(row(scenario, title, NOT_SLOWER.to_vec()));
        }
    }
    for (tool, title, limits) in TOOLS {
        for ((phase, when), limit) in PHASES.iter().zip(limits) {
            let name = format!("tool.{tool}.{phase}");
            rows.push(row(name, format!("{title}, {when}"), real(limit)));
        }
    }
    for (walk, title, warm, dropped) in WALKS {
        for (phase, when, limit) in [
            ("warm", "warm", warm),
            ("caches-dropped", "caches dropped", dropped),
        ] {
            let name = format!("tree.{walk}.{phase}");
            rows.push(row(name, format!("{title}, {when}"), real(limit)));
        }
    }
    for (name, title, limit) in FILES {
        rows.push(row(format!("tree.{name}"), title.to_owned(), real(limit)));
    }
    rows
}
