//! The rows of the tables: what each scenario is called, and what pacquet should reach in it.

use crate::peers::Kind;

/// A scenario's title and the targets for pacquet's median wall time.
pub(crate) struct Row {
    /// Its name in the results.
    pub(crate) scenario: String,
    /// What it is.
    pub(crate) title: String,
    /// At most this share of that peer.
    pub(crate) targets: Vec<(Kind, f64)>,
    /// At most this many milliseconds.
    pub(crate) limit_ms: Option<f64>,
}

const COLD: &[(Kind, f64)] = &[(Kind::Pnpm, 0.25), (Kind::BunHoisted, 0.8)];
const WARM: &[(Kind, f64)] = &[
    (Kind::Pnpm, 1.0 / 15.0),
    (Kind::PnpmGlobal, 0.2),
    (Kind::BunGlobal, 0.6),
];
const NOT_SLOWER: &[(Kind, f64)] = &[
    (Kind::Pnpm, 1.0),
    (Kind::PnpmGlobal, 1.0),
    (Kind::BunHoisted, 1.0),
    (Kind::BunIsolated, 1.0),
    (Kind::BunGlobal, 1.0),
];
const NONE: &[(Kind, f64)] = &[];

/// While installing: scenario, title, targets, limit in milliseconds.
type Install = (
    &'static str,
    &'static str,
    &'static [(Kind, f64)],
    Option<f64>,
);

const INSTALLS: [Install; 20] = [
    (
        "fresh-restore.cold-cache.cold-store",
        "empty store, locked",
        COLD,
        None,
    ),
    (
        "fresh-restore.hot-cache.hot-store.first",
        "warm store, locked, first time",
        WARM,
        Some(30.0),
    ),
    (
        "fresh-restore.hot-cache.hot-store.again",
        "warm store, locked, again",
        WARM,
        Some(30.0),
    ),
    (
        "fresh-install.cold-cache.cold-store",
        "no lockfile, all empty",
        NONE,
        None,
    ),
    (
        "fresh-install.cold-cache.hot-store",
        "no lockfile, warm store",
        NONE,
        None,
    ),
    (
        "fresh-install.hot-cache.hot-store",
        "no lockfile, all warm",
        NONE,
        None,
    ),
    (
        "repeat-install.hot-cache.hot-store",
        "nothing to do",
        NONE,
        Some(8.0),
    ),
    (
        "repeat-install.cold-cache.hot-store",
        "nothing to do, no metadata",
        NONE,
        None,
    ),
    (
        "repeat-install.after-cold",
        "nothing to do, after the first install",
        NONE,
        None,
    ),
    (
        "fresh-add-dep.hot-cache.hot-store",
        "add a dependency",
        NONE,
        None,
    ),
    (
        "fresh-resolve.hot-cache.offline",
        "write a lockfile, offline",
        NONE,
        None,
    ),
    (
        "peer-heavy-resolve.hot-cache.offline",
        "write a lockfile full of peers",
        NONE,
        None,
    ),
    ("mount.warm", "mount", NONE, None),
    ("mount.remount", "unmount and mount", NONE, None),
    (
        "remove.first",
        "removal after the first install",
        NONE,
        None,
    ),
    ("remove.again", "removal", NONE, None),
    (
        "worktrees.ten.install",
        "ten checkouts, install",
        NONE,
        None,
    ),
    ("worktrees.ten.remove", "ten checkouts, removal", NONE, None),
    ("live-swap", "re-install under a mount", NONE, None),
    (
        "first-require.after-cold",
        "require('eslint') after an install into an empty store",
        NONE,
        None,
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

/// Shares of a real tree: first run with a profile, without, second, with dropped caches.
type Limits = [f64; 4];

const PROGRAM: Limits = [1.05, 1.2, 1.02, 0.95];
const REQUIRE: Limits = [f64::INFINITY, f64::INFINITY, 1.03, f64::INFINITY];

const PHASES: [(&str, &str); 4] = [
    ("first.profile", "first after a mount, with a profile"),
    ("first", "first after a mount"),
    ("second", "second"),
    ("caches-dropped", "caches dropped"),
];

fn real(limit: f64) -> Vec<(Kind, f64)> {
    let known = limit.is_finite();
    known.then_some((Kind::Pnpm, limit)).into_iter().collect()
}

/// All rows, in the order of the tables.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = INSTALLS
        .iter()
        .map(|(scenario, title, targets, limit_ms)| Row {
            scenario: (*scenario).to_owned(),
            title: (*title).to_owned(),
            targets: targets.to_vec(),
            limit_ms: *limit_ms,
        })
        .collect();
    let mut push = |scenario: String, title: String, targets: Vec<(Kind, f64)>| {
        rows.push(Row {
            scenario,
            title,
            targets,
            limit_ms: None,
        });
    };
    for program in ["eslint", "next-build"] {
        for caches in ["warm", "caches-dropped"] {
            let scenario = format!("install-and-first-run.{program}.{caches}");
            let title = format!("install, then {}, {}", program, caches.replace('-', " "));
            push(scenario, title, NOT_SLOWER.to_vec());
        }
    }
    for (walk, title, warm, dropped) in WALKS {
        push(
            format!("tree.{walk}.warm"),
            format!("{title}, warm"),
            real(warm),
        );
        let name = format!("tree.{walk}.caches-dropped");
        push(name, format!("{title}, caches dropped"), real(dropped));
    }
    for (tool, title, limits) in TOOLS {
        for ((phase, when), limit) in PHASES.iter().zip(limits) {
            let name = format!("tool.{tool}.{phase}");
            push(name, format!("{title}, {when}"), real(limit));
        }
    }
    for (place, where_) in [("cache", "below .cache"), ("tree", "beside packages")] {
        let title = format!("write 1,000 small files {where_}");
        push(format!("tree.write.{place}"), title, Vec::new());
        let title = format!("remove 1,000 small files {where_}");
        push(format!("tree.rm.{place}"), title, Vec::new());
    }
    rows
}
