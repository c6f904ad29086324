//! Each peer's configuration, and its words for what all of them do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::measure::Job;
use crate::peers::{Kind, Peer, Place, Program};

/// What a peer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Install exactly what the lockfile says.
    Restore,
    /// Bring an installed project up to date, as its users do.
    Install,
    /// Install a project that has no lockfile.
    Fresh,
    /// Write the lockfile of a project that has none, out of the caches.
    Resolve,
    /// Add a dependency to a project that is locked.
    Add,
}

/// The package that [`Action::Add`] adds.
pub(crate) const ADDED: &str = "is-odd";

/// Why a peer does not take part in a scenario.
pub(crate) type Reason = &'static str;

/// What is not the same for everyone.
pub(crate) const ONLINE_RESOLVE: &str = "fresh-resolve: utoo has no switch for working offline, \
    and yarn's finds no candidates, so both ask the registry on loopback";

impl Peer {
    /// Writes its configuration into the project.
    pub(crate) fn configure(&self, place: &Place) -> io::Result<()> {
        let registry = &place.registry;
        let store = place.store.display();
        fs::write(
            place.project.join(".npmrc"),
            format!("registry={registry}\n"),
        )?;
        let (name, text) = match self.kind.program() {
            Program::Pacquet | Program::Pnpm => ("pnpm-workspace.yaml", self.pnpm_settings(place)?),
            Program::Bun => ("bunfig.toml", self.bun_settings(place)),
            Program::Npm => (
                ".npmrc",
                format!(
                    "registry={registry}\ncache={store}\nignore-scripts=true\naudit=false\n\
                     fund=false\nupdate-notifier=false\nlegacy-peer-deps=true\n\
                     allow-remote=all\n"
                ),
            ),
            Program::Yarn => (
                ".yarnrc.yml",
                format!(
                    "npmRegistryServer: \"{registry}\"\nunsafeHttpWhitelist: [\"127.0.0.1\"]\n\
                     nodeLinker: pnp\nenableGlobalCache: true\nenableScripts: false\n\
                     enableTelemetry: false\nnpmMinimalAgeGate: 0\n"
                ),
            ),
            Program::Deno => ("deno.json", "{\"nodeModulesDir\": \"auto\"}\n".to_owned()),
            Program::Utoo => return self.plain_workspace(place),
        };
        fs::write(place.project.join(name), text)?;
        self.plain_workspace(place)
    }

    fn pnpm_settings(&self, place: &Place) -> io::Result<String> {
        let path = place.project.join("pnpm-workspace.yaml");
        let fixture = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let (store, cache) = (place.store.display(), place.cache.display());
        let mode = match self.kind {
            Kind::Pacquet => "virtual: true\n",
            Kind::PacquetHoisted => "nodeLinker: hoisted\nvirtual: true\n",
            Kind::PnpmGlobal => "enableGlobalVirtualStore: true\n",
            Kind::PnpmLoaded => "nodeLinker:\n  type: loaded\n",
            _ => "enableGlobalVirtualStore: false\n",
        };
        Ok(format!(
            "{fixture}storeDir: {store}\ncacheDir: {cache}\npackageImportMethod: hardlink\n\
             minimumReleaseAge: 0\nignoreScripts: true\nupdateNotifier: false\n{mode}"
        ))
    }

    fn bun_settings(&self, place: &Place) -> String {
        let linker = match self.kind {
            Kind::BunHoisted => "hoisted",
            _ => "isolated",
        };
        format!(
            "[install]\nregistry = \"{}\"\nlinker = \"{linker}\"\nglobalStore = {}\n",
            place.registry,
            self.kind == Kind::BunGlobal
        )
    }

    /// npm and utoo know no `workspace:`; for them any version of a neighbour is the neighbour.
    fn plain_workspace(&self, place: &Place) -> io::Result<()> {
        if !matches!(self.kind.program(), Program::Npm | Program::Utoo) {
            return Ok(());
        }
        for folder in project_folders(&place.project) {
            let manifest = folder.join("package.json");
            let text = fs::read_to_string(&manifest)?;
            fs::write(manifest, text.replace("\"workspace:*\"", "\"*\""))?;
        }
        Ok(())
    }

    pub(crate) fn job(&self, place: &Place, arguments: &[&str], log: &str) -> Job {
        let arguments = arguments.iter().map(|word| (*word).to_owned());
        Job {
            words: self.words.iter().cloned().chain(arguments).collect(),
            directory: place.project.clone(),
            environment: self.environment(place),
            log: place.logs.join(format!("{log}.log")),
        }
    }

    /// The command that makes its lockfile, where it does not read pnpm's.
    pub(crate) fn lock(&self, place: &Place) -> Option<Job> {
        let arguments: &[&str] = match self.kind.program() {
            Program::Pacquet | Program::Pnpm => return None,
            Program::Bun => &["install", "--lockfile-only", "--ignore-scripts"],
            Program::Npm => &["install", "--package-lock-only"],
            Program::Yarn => &["install", "--mode=update-lockfile"],
            Program::Deno => &["install", "--lockfile-only", "--min-dep-age=0"],
            Program::Utoo => &["deps", "--registry", &place.registry],
        };
        Some(self.job(place, arguments, "lock"))
    }

    /// The command for an action, or why there is none.
    pub(crate) fn act(&self, action: Action, place: &Place, log: &str) -> Result<Job, Reason> {
        let store = place.store.to_string_lossy();
        let registry = ["--registry", place.registry.as_str()];
        let cache = ["--cache-dir", &store];
        let words: Vec<&str> = match self.kind.program() {
            Program::Pacquet => pacquet_words(action),
            Program::Pnpm => pnpm_words(action),
            Program::Bun => bun_words(action),
            Program::Npm => npm_words(action),
            Program::Yarn => yarn_words(action),
            Program::Deno => deno_words(action),
            Program::Utoo => [utoo_words(action), &registry, &cache].concat(),
        };
        Ok(self.job(place, &words, log))
    }

    /// The command that takes an install down: an unmount, or the removal of what was written.
    pub(crate) fn remove(&self, place: &Place, log: &str) -> Job {
        if self.kind.is_served() {
            return self.job(place, &["unmount"], log);
        }
        let mut job = self.job(place, &[], log);
        job.words = vec!["rm".to_owned(), "-rf".to_owned()];
        let products = products(self.kind, &place.project);
        let names = products
            .iter()
            .map(|path| path.to_string_lossy().into_owned());
        job.words.extend(names);
        job
    }

    /// The command that serves what is in the store, for those that serve.
    pub(crate) fn mount(&self, place: &Place, log: &str) -> Option<Job> {
        let words = ["mount", "--reporter", "silent"];
        self.kind.is_served().then(|| self.job(place, &words, log))
    }

    /// The command that says how its mounts are.
    pub(crate) fn status(&self, place: &Place) -> Option<Job> {
        let words = ["status", "--json"];
        self.kind
            .is_served()
            .then(|| self.job(place, &words, "status"))
    }
}

fn pacquet_words(action: Action) -> Vec<&'static str> {
    const QUIET: [&str; 2] = ["--reporter", "silent"];
    // Scripts are off by the setting that every project here has.
    let words: &[&str] = match action {
        Action::Restore => &["install", "--frozen-lockfile"],
        Action::Install | Action::Fresh => &["install"],
        Action::Resolve => &["install", "--lockfile-only", "--offline"],
        Action::Add => &["add", ADDED],
    };
    [words, &QUIET].concat()
}

fn pnpm_words(action: Action) -> Vec<&'static str> {
    const QUIET: [&str; 2] = ["--ignore-scripts", "--reporter=silent"];
    let words: &[&str] = match action {
        Action::Restore => &["install", "--frozen-lockfile"],
        Action::Install | Action::Fresh => &["install"],
        Action::Resolve => &["install", "--lockfile-only", "--offline"],
        Action::Add => &["add", ADDED],
    };
    [words, &QUIET].concat()
}

fn bun_words(action: Action) -> Vec<&'static str> {
    const QUIET: [&str; 2] = ["--ignore-scripts", "--silent"];
    let words: &[&str] = match action {
        Action::Restore => &["install", "--frozen-lockfile"],
        Action::Install | Action::Fresh => &["install"],
        Action::Resolve => &["install", "--lockfile-only", "--offline"],
        Action::Add => &["add", ADDED],
    };
    [words, &QUIET].concat()
}

fn npm_words(action: Action) -> Vec<&'static str> {
    match action {
        // `npm ci` begins with removing everything, so it is not how a project is kept up to date.
        Action::Restore => vec!["ci", "--silent"],
        Action::Install | Action::Fresh => vec!["install", "--silent"],
        Action::Resolve => vec!["install", "--package-lock-only", "--offline", "--silent"],
        Action::Add => vec!["install", ADDED, "--silent"],
    }
}

fn yarn_words(action: Action) -> Vec<&'static str> {
    match action {
        Action::Restore => vec!["install", "--immutable", "--mode=skip-build"],
        Action::Install | Action::Fresh => vec!["install", "--mode=skip-build"],
        Action::Resolve => vec!["install", "--mode=update-lockfile"],
        Action::Add => vec!["add", ADDED, "--mode=skip-build"],
    }
}

fn deno_words(action: Action) -> Vec<&'static str> {
    match action {
        Action::Restore => vec!["install", "--frozen", "--quiet"],
        Action::Install => vec!["install", "--quiet"],
        Action::Fresh => vec!["install", "--quiet", "--min-dep-age=0"],
        Action::Resolve => vec!["install", "--lockfile-only", "--cached-only", "--quiet"],
        Action::Add => vec!["add", "npm:is-odd", "--quiet", "--min-dep-age=0"],
    }
}

fn utoo_words(action: Action) -> &'static [&'static str] {
    match action {
        Action::Restore | Action::Install | Action::Fresh => &["install", "--ignore-scripts"],
        Action::Resolve => &["deps"],
        Action::Add => &["install", ADDED, "--ignore-scripts"],
    }
}

/// The folders of a project and, in a workspace, of those below `projects/`.
pub(crate) fn project_folders(project: &Path) -> Vec<PathBuf> {
    let members = fs::read_dir(project.join("projects"));
    let members = members.into_iter().flatten().flatten();
    let mut folders = vec![project.to_owned()];
    folders.extend(members.map(|entry| entry.path()));
    folders
}

/// What an install leaves in a project, which a fresh checkout does not have.
pub(crate) fn products(kind: Kind, project: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = project_folders(project)
        .iter()
        .map(|folder| folder.join("node_modules"))
        .collect();
    if kind == Kind::YarnPnp {
        let own = [".pnp.cjs", ".pnp.loader.mjs", ".yarn/install-state.gz"];
        found.extend(own.iter().map(|name| project.join(name)));
    }
    found
}

/// Where a peer keeps what it knows of packages apart from the packages themselves; `None` where
/// both are in one cache.
pub(crate) fn metadata(kind: Kind, place: &Place) -> Option<Vec<PathBuf>> {
    let store = &place.store;
    let mut found = Vec::new();
    match kind.program() {
        Program::Npm => return None,
        Program::Pacquet | Program::Pnpm => {}
        Program::Yarn => found.push(store.join("metadata")),
        Program::Bun => {
            let files = children(store);
            found.extend(
                files
                    .into_iter()
                    .filter(|path| path.extension().is_some_and(|extension| extension == "npm")),
            );
        }
        Program::Deno => {
            for host in children(&store.join("npm")) {
                let packages = package_folders(&host);
                found.extend(packages.iter().map(|folder| folder.join("registry.json")));
            }
        }
        Program::Utoo => {
            for folder in package_folders(store) {
                found.push(folder.join("versions.json"));
                found.push(folder.join("manifests"));
            }
        }
    }
    Some(found)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The folders of packages, also below those of scopes.
fn package_folders(folder: &Path) -> Vec<PathBuf> {
    let is_scope = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"))
    };
    let (scopes, mut found): (Vec<_>, Vec<_>) = children(folder).into_iter().partition(is_scope);
    found.extend(scopes.iter().flat_map(|scope| children(scope)));
    found
}
