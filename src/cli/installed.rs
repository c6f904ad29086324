//! What `list` and `why` share: the lockfile of what is installed, the projects, and trees of text.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::apart::{self, Concerns};
use super::arguments::{GlobalArguments, ListArguments};
use super::context::Context;
use super::failure::Failure;
use super::scripting::{self, Root};
use crate::install::config::Options;
use crate::install::layout::IncludedGroups;
use crate::install::locked::{Inputs, LockfilePlace, installed_by_npm};
use crate::install::lockfile::{Lockfile, read_lockfile};
use crate::install::package_lock::HIDDEN_FILE_NAME;
use crate::install::pnpmfile::{Finders, PnpmfileError};
use crate::install::workspace::{self, Project};

/// How long a file in `node_modules` may take: it may be served by a server that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said of a package that says nothing.
const NO_DETAILS: &str = "[Could not find additional info about this dependency]";

/// What was read.
pub(super) struct Source {
    pub(super) context: Context,
    pub(super) lockfile: Lockfile,
    /// The text of `.modules.yaml`.
    pub(super) modules: Option<String>,
    /// Every project.
    pub(super) projects: Vec<Project>,
    /// Places of the projects that the command is about.
    pub(super) chosen: Vec<usize>,
    /// The command is about a workspace, not about one project.
    pub(super) is_recursive: bool,
}

impl Source {
    /// Reads the current lockfile, or `pnpm-lock.yaml` where nothing is installed or that is what
    /// was asked for.
    pub(super) fn read(global: &GlobalArguments, flags: &ListArguments) -> Result<Self, Failure> {
        let context = Context::load(global, Options::default())?;
        Self::of_context(context, global, flags)
    }

    /// The same for every lockfile that a command is about: several where projects have lockfiles
    /// of their own.
    pub(super) fn read_all(
        global: &GlobalArguments,
        flags: &ListArguments,
        concerns: Concerns,
    ) -> Result<Vec<Self>, Failure> {
        let context = Context::load(global, Options::default())?;
        let config = &context.config;
        let is_root = config.workspace_root.as_deref() == Some(&*config.directory);
        let concerns = match is_root && !global.workspace.workspace_root {
            true => Concerns::All,
            false => concerns,
        };
        let Some(mut projects) = apart::projects(&context, global, concerns, Root::Kept)? else {
            return Ok(vec![Self::of_context(context, global, flags)?]);
        };
        projects.sort();
        let read = |directory| {
            let mut source = Self::read(&apart::alone(global, directory), flags)?;
            source.is_recursive = true;
            Ok(source)
        };
        projects.into_iter().map(read).collect()
    }

    /// The finders that were asked for.
    pub(super) fn finders(&self, flags: &ListArguments) -> Result<Option<Finders>, PnpmfileError> {
        Finders::load(&self.context.config, &flags.find_by, &self.context.reporter)
    }

    fn of_context(
        context: Context,
        global: &GlobalArguments,
        flags: &ListArguments,
    ) -> Result<Self, Failure> {
        let config = &context.config;
        let of_npm = ReadOfNpm::of(&context, flags)?;
        let modules = config.lockfile_directory.join(&config.modules_directory);
        let current = match flags.lockfile_only {
            true => None,
            false => read_in_time(modules.join(".pnpm/lock.yaml"))?,
        };
        let text = match current {
            Some(text) => Some(text),
            None => read_in_time(config.lockfile_to_read())?,
        };
        let mut lockfile = match text {
            Some(text) => read_lockfile(&text)?,
            None => Lockfile::default(),
        };
        let mut modules = read_in_time(modules.join(".modules.yaml"))?;
        let mut all_projects = None;
        if let Some(of_npm) = of_npm {
            lockfile = of_npm.lockfile;
            modules = Some(of_npm.modules);
            all_projects = Some(of_npm.projects);
        }
        let arguments = &global.workspace;
        let is_root = config.workspace_root.as_deref() == Some(&*config.directory);
        let is_filtered = arguments.is_filtered();
        // `-w` is about the root alone.
        let of_root = config
            .workspace_root
            .as_deref()
            .filter(|_| arguments.workspace_root);
        let is_recursive = (arguments.recursive || is_filtered || is_root) && of_root.is_none();
        let (projects, chosen) = if is_filtered {
            let chosen = scripting::choose(&context, arguments, Root::Kept)?;
            (chosen.projects, chosen.selection.projects)
        } else {
            let projects = match all_projects {
                Some(projects) => projects,
                None => workspace::projects(config)?,
            };
            let only = of_root.unwrap_or(&config.directory);
            let is_chosen = |place: &usize| is_recursive || projects[*place].directory == only;
            let chosen = (0..projects.len()).filter(is_chosen).collect();
            (projects, chosen)
        };
        Ok(Self {
            lockfile,
            modules,
            projects,
            chosen,
            is_recursive,
            context,
        })
    }
}

/// What is installed of a project that npm has locked.
struct ReadOfNpm {
    lockfile: Lockfile,
    modules: String,
    projects: Vec<Project>,
}

impl ReadOfNpm {
    /// `None` where another lockfile counts.
    fn of(context: &Context, flags: &ListArguments) -> Result<Option<Self>, Failure> {
        let config = &context.config;
        if !LockfilePlace::find(config).is_of_npm {
            return Ok(None);
        }
        let inputs = Inputs::read(config, &context.environment, IncludedGroups::ALL)?;
        let modules = config.lockfile_directory.join(&config.modules_directory);
        let hidden = match flags.lockfile_only {
            true => None,
            false => read_in_time(modules.join(HIDDEN_FILE_NAME))?,
        };
        let (lockfile, locations) = installed_by_npm(&inputs, config, hidden.as_deref())?;
        Ok(Some(Self {
            lockfile,
            modules: json!({ "hoistedLocations": locations }).to_string(),
            projects: inputs.projects,
        }))
    }
}

/// The text of a file; `None` where there is none.
pub(super) fn read_in_time(path: PathBuf) -> Result<Option<String>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let shown = path.display().to_string();
    let failed = |cause| Failure::io("ERR_PACQUET_READ", &format!("Cannot read {shown}"), cause);
    let reader = std::thread::Builder::new().spawn(move || {
        let _ = sender.send(std::fs::read_to_string(path));
    });
    reader.map_err(failed)?;
    match receiver.recv_timeout(READ_TIMEOUT) {
        Ok(Ok(text)) => Ok(Some(text)),
        Ok(Err(error)) => match error.kind() {
            std::io::ErrorKind::NotFound
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::NotConnected => Ok(None),
            _ => Err(failed(error)),
        },
        Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
    }
}

/// `--depth`: a number, or all.
pub(super) fn depth(flags: &ListArguments, default: Option<i64>) -> Result<Option<i64>, Failure> {
    match flags.depth.as_deref() {
        None => Ok(default),
        Some("Infinity") => Ok(None),
        Some(text) => {
            let levels = text.parse().ok().filter(|levels| *levels >= -1);
            let refusal = || Failure::usage("--depth needs a whole number, Infinity or -1");
            levels.map(Some).ok_or_else(refusal)
        }
    }
}

/// What a package says of itself.
#[derive(Default)]
pub(super) struct Details(Option<Map<String, Value>>);

impl Details {
    /// Reads the manifest of the package in `directory`.
    pub(super) fn read(directory: &Path) -> Self {
        let text = read_in_time(directory.join("package.json")).ok().flatten();
        Self(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.as_ref()?.get(field)?.as_str()
    }

    fn repository(&self) -> Option<&str> {
        let repository = self.0.as_ref()?.get("repository")?;
        repository
            .as_str()
            .or_else(|| repository.get("url")?.as_str())
    }

    /// The fields that `--json --long` adds.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        if self.0.is_none() {
            return vec![("description", json!(NO_DETAILS))];
        }
        let field = |name: &'static str| Some((name, self.0.as_ref()?.get(name)?.clone()));
        let repository = self.repository().map(|text| ("repository", json!(text)));
        [
            field("description"),
            field("license"),
            field("author"),
            field("homepage"),
            repository,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The lines that `--long` adds.
    pub(super) fn lines(&self, directory: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        if self.0.is_none() {
            lines.push(NO_DETAILS.to_owned());
        }
        let said = [
            self.text("description"),
            self.repository(),
            self.text("homepage"),
        ];
        let said = said.into_iter().flatten().filter(|text| !text.is_empty());
        lines.extend(said.map(crate::name::escaped));
        lines.push(directory.display().to_string());
        lines
    }
}

/// With which peers packages are shown: where one has several kinds, each is named.
#[derive(Default)]
pub(super) struct PeerVariations(HashMap<String, HashSet<String>>);

impl PeerVariations {
    pub(super) fn note(&mut self, name: &str, version: &str, hash: Option<&str>) {
        if let Some(hash) = hash {
            let hashes = self.0.entry(format!("{name}@{version}")).or_default();
            hashes.insert(hash.to_owned());
        }
    }

    /// What is said of one of several kinds.
    pub(super) fn suffix(&self, name: &str, version: &str, hash: Option<&str>) -> String {
        let hashes = self.0.get(&format!("{name}@{version}"));
        match (hashes.map_or(0, HashSet::len), hash) {
            (0 | 1, _) | (_, None) => String::new(),
            (count, Some(hash)) => format!(" peer#{hash} ({count} variations)"),
        }
    }
}

/// The lines that finders say of a package.
pub(super) fn message_lines(message: Option<&str>) -> Vec<String> {
    message
        .into_iter()
        .flat_map(str::lines)
        .map(crate::name::escaped)
        .collect()
}

/// A tree of text: lines, the first of which is the node's own, and what is below.
pub(super) struct TextTree {
    pub(super) lines: Vec<String>,
    pub(super) below: Vec<TextTree>,
}

/// Draws `trees` one below the other.
pub(super) fn draw(out: &mut String, trees: &[TextTree], prefix: &str, is_end: bool) {
    for (place, tree) in trees.iter().enumerate() {
        let is_last = is_end && place + 1 == trees.len();
        let branch = if is_last { '└' } else { '├' };
        let fork = if tree.below.is_empty() { '─' } else { '┬' };
        let deeper = format!("{prefix}{}", if is_last { "  " } else { "│ " });
        for (number, line) in tree.lines.iter().enumerate() {
            let start = match (number, tree.below.is_empty()) {
                (0, _) => format!("{prefix}{branch}─{fork} "),
                (_, true) => format!("{deeper}  "),
                (_, false) => format!("{deeper}│ "),
            };
            out.push_str(&start);
            out.push_str(line);
            out.push('\n');
        }
        draw(out, &tree.below, &deeper, true);
    }
}
