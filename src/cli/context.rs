//! From arguments to configuration: what every command begins with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::arguments::{
    ChangeArguments, DeployArguments, GlobalArguments, InstallArguments, Linker, LogLevel,
    NetworkArguments, PlatformArguments, ReporterKind, SelectionArguments, VirtualMode,
    WorkspaceArguments,
};
use super::config_packages::Need;
use super::failure::Failure;
use super::narrowing::Narrowing;
use super::pending::Pending;
use super::{config_packages, hooked_settings, other_fields, package_manager, report};
use crate::install::config::{
    self, CliOverrides, Config, Environment, LogLevelName, Options, ReporterName,
};
use crate::install::drafts::Draft;
use crate::install::locked::{ChosenSender, EarlyFetch, Groups};
use crate::install::lockfile::{Lockfile, read_lockfile};
use crate::install::scripts::Children;
use crate::install::workspace::find_project_directory;
use crate::report::{Event, Reporter};
use crate::store::Store;

/// What a command works with.
pub(super) struct Context {
    /// The user's environment.
    pub(super) environment: Environment,
    /// The settings.
    pub(super) config: Config,
    /// Where the command is called: in the project, or somewhere below it.
    pub(super) called_in: PathBuf,
    /// How progress is shown.
    pub(super) reporter_kind: Option<ReporterKind>,
    /// Where progress goes.
    pub(super) reporter: Arc<dyn Reporter>,
    /// Where it goes of an install, also where what scripts say is the result of the command.
    pub(super) aside: Arc<dyn Reporter>,
    /// What fetches what is chosen, until the install takes it.
    early: Mutex<Option<EarlyFetch>>,
    /// The lockfile that this command makes.
    written: Mutex<Option<Written>>,
    /// What is decided and not written.
    pub(super) pending: Mutex<Pending>,
    /// What is running for the command, and ends with it.
    pub(super) children: Children,
    /// Whether packages that a mount does not show any more are out of reach at once.
    pub(super) clears: bool,
    /// Whether a lockfile that refers to what is not there is mended (`--fix-lockfile`).
    pub(super) mends: bool,
    /// The projects that an install is about, where it is not about all.
    pub(super) narrowing: OnceLock<Narrowing>,
}

/// A lockfile, and its text on disk.
struct Written {
    text: String,
    lockfile: Arc<Lockfile>,
}

impl Context {
    /// Loads the configuration of the project that `global` names, and tells of what is odd in it.
    ///
    /// Fails where the project is one of another package manager.
    pub(super) fn load(global: &GlobalArguments, flags: Options) -> Result<Self, Failure> {
        let context = Self::with(global, flags, Need::All)?;
        package_manager::check(&context)?;
        Ok(context)
    }

    /// The same for a command that installs: a project that other installers know as a workspace
    /// becomes one.
    pub(super) fn load_to_install(
        global: &GlobalArguments,
        flags: Options,
    ) -> Result<Self, Failure> {
        let context = Self::load(global, flags.clone())?;
        match other_fields::begun(&context, global)? {
            Some(draft) => {
                context.draft(draft)?;
                Self::load_again(global, flags, &context)
            }
            None => Ok(context),
        }
    }

    /// The same, whosever the project is.
    pub(super) fn load_anywhere(global: &GlobalArguments, flags: Options) -> Result<Self, Failure> {
        Self::with(global, flags, Need::Known)
    }

    fn with(global: &GlobalArguments, flags: Options, need: Need) -> Result<Self, Failure> {
        let drafted = Drafted::default();
        let (environment, config, called_in, draft) = read(global, flags, drafted, need)?;
        let reporter_kind = reporter_kind(global, &config);
        let reporter = report::make(reporter_kind, &config.directory);
        for warning in &config.warnings {
            reporter.report(&Event::Warning {
                code: warning.code,
                message: &warning.message,
            });
        }
        let context = Self {
            environment,
            config,
            called_in,
            reporter_kind,
            aside: Arc::clone(&reporter),
            reporter,
            early: Mutex::default(),
            written: Mutex::default(),
            pending: Mutex::default(),
            children: Children::default(),
            clears: false,
            mends: false,
            narrowing: OnceLock::new(),
        };
        draft.map_or(Ok(()), |draft| context.draft(draft))?;
        Ok(context)
    }

    /// The same with the settings as `before` has decided that they will be, and all else that it
    /// has decided.
    pub(super) fn load_again(
        global: &GlobalArguments,
        flags: Options,
        before: &Self,
    ) -> Result<Self, Failure> {
        let pending = before.take_pending();
        let config = &before.config;
        let root = config.root();
        let drafted = Drafted {
            workspace_file: pending.workspace_file(root),
            lockfile: pending.lockfile_text(root),
        };
        let reporter = before.reporter.clone();
        let (environment, config, called_in, draft) = read(global, flags, drafted, Need::All)?;
        let context = Self {
            environment,
            config,
            called_in,
            reporter_kind: before.reporter_kind,
            aside: Arc::clone(&reporter),
            reporter,
            early: Mutex::default(),
            written: Mutex::default(),
            pending: Mutex::new(pending),
            children: Children::default(),
            clears: before.clears,
            mends: before.mends,
            narrowing: before.narrowing.clone(),
        };
        draft.map_or(Ok(()), |draft| context.draft(draft))?;
        Ok(context)
    }

    /// Begins to fetch what will be chosen. It is no failure where nothing can be begun.
    pub(super) fn begin_early(&self, store: &Arc<Store>) -> Option<ChosenSender> {
        let (config, environment) = (&self.config, &self.environment);
        if config.network.offline || store.is_read_only() {
            return None;
        }
        let early = EarlyFetch::start(config, environment, store, &self.reporter).ok()?;
        let sender = early.sender();
        *self.early.lock().unwrap_or_else(PoisonError::into_inner) = Some(early);
        Some(sender)
    }

    /// Keeps a lockfile that is written as `text`, for it need not be read again.
    pub(super) fn keep_written(&self, text: String, lockfile: Lockfile) -> Arc<Lockfile> {
        debug_assert_eq!(
            read_lockfile(&text).ok().as_ref(),
            Some(&lockfile),
            "what is written is what is read again"
        );
        let lockfile = Arc::new(lockfile);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = Some(Written {
            text,
            lockfile: Arc::clone(&lockfile),
        });
        lockfile
    }

    /// The lockfile that `text` is, where this command made it.
    pub(super) fn written(&self, text: &str) -> Option<Arc<Lockfile>> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let written = written.as_ref().filter(|written| written.text == text)?;
        Some(Arc::clone(&written.lockfile))
    }

    /// What was begun.
    pub(super) fn take_early(&self) -> Option<EarlyFetch> {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.take()
    }
}

/// What is decided already of the files that the configuration is read from.
#[derive(Default)]
struct Drafted {
    workspace_file: Option<(PathBuf, Option<String>)>,
    lockfile: Option<String>,
}

/// How progress is shown, as flags say it or else settings.
fn reporter_kind(global: &GlobalArguments, config: &Config) -> Option<ReporterKind> {
    let of_setting = config.flags.reporter.map(|name| match name {
        ReporterName::Default => ReporterKind::Default,
        ReporterName::AppendOnly => ReporterKind::AppendOnly,
        ReporterName::Ndjson => ReporterKind::Ndjson,
        ReporterName::Silent => ReporterKind::Silent,
    });
    let kind = global.reporter_kind().or(of_setting);
    let level = match global.loglevel {
        None => config.flags.log_level,
        Some(LogLevel::Silent) => Some(LogLevelName::Silent),
        Some(LogLevel::Error) => Some(LogLevelName::Error),
        Some(LogLevel::Warn) => Some(LogLevelName::Warn),
        Some(LogLevel::Info) => Some(LogLevelName::Info),
        Some(LogLevel::Debug) => Some(LogLevelName::Debug),
    };
    match (level, kind) {
        (Some(LogLevelName::Silent | LogLevelName::Error), _) => Some(ReporterKind::Silent),
        (
            Some(LogLevelName::Warn),
            None | Some(ReporterKind::Default | ReporterKind::AppendOnly),
        ) => Some(ReporterKind::Warnings),
        _ => kind,
    }
}

fn read(
    global: &GlobalArguments,
    flags: Options,
    drafted: Drafted,
    need: Need,
) -> Result<(Environment, Config, PathBuf, Option<Draft>), Failure> {
    let current = std::env::current_dir().map_err(|cause| {
        Failure::io(
            "ERR_PACQUET_DIRECTORY",
            "The current directory cannot be read",
            cause,
        )
    })?;
    let environment = Environment::of_process(current.clone());
    let mut directory = match &global.dir {
        Some(dir) => canonical(&current.join(dir))?,
        None => current,
    };
    if global.workspace.workspace_root {
        directory = workspace_around(&environment, &directory)?;
    }
    let called_in = directory;
    let directory = match global.dir.is_some() || global.workspace.workspace_root {
        true => called_in.clone(),
        false => find_project_directory(&called_in).to_owned(),
    };
    let mut options = flags.or(workspace_options(&global.workspace)?);
    options.store_dir = global
        .store_dir
        .as_ref()
        .map(|path| absolute(&environment, path));
    let lockfile_dir = options.lockfile_dir.as_ref();
    options.lockfile_dir = lockfile_dir.map(|path| called_in.join(path));
    if !global.workspace_packages.is_empty() {
        options.packages = Some(global.workspace_packages.clone());
    }
    options.registry = global.registry.as_deref().map(config::Secret::new);
    let mut generic = generic(&global.config)?;
    for (name, text) in [
        ("pnpmfile", &global.pnpmfile),
        ("globalPnpmfile", &global.global_pnpmfile),
        ("npmrcAuthFile", &global.npmrc_auth_file),
        ("stateDir", &global.state_dir),
        ("httpsProxy", &global.https_proxy),
        ("httpProxy", &global.http_proxy),
        ("noProxy", &global.no_proxy),
    ] {
        generic.extend(text.iter().map(|text| (name.to_owned(), text.clone())));
    }
    if global.ignore_pnpmfile {
        options.ignore_pnpmfile = Some(true);
    }
    let mut overrides = CliOverrides {
        options,
        generic,
        ignore_workspace: global.ignore_workspace,
        workspace_file: drafted.workspace_file,
        ..CliOverrides::default()
    };
    let mut config = Config::load(&environment, &overrides, &directory)?;
    let reporter = report::make(reporter_kind(global, &config), &directory);
    let lockfile = drafted.lockfile;
    let draft = config_packages::bring(&mut config, &environment, &reporter, lockfile, need)?;
    overrides.updated = hooked_settings::updated(&config, &overrides, &reporter)?;
    if overrides.updated.is_some() {
        let installed = std::mem::take(&mut config.packages.installed);
        config = Config::load(&environment, &overrides, &directory)?;
        config.packages.installed = installed;
    }
    Ok((environment, config, called_in, draft))
}

/// The root of the workspace of which somebody in `directory` works on a project.
fn workspace_around(environment: &Environment, directory: &Path) -> Result<PathBuf, Failure> {
    let around = find_project_directory(directory);
    let config = Config::load(environment, &CliOverrides::default(), around)?;
    config.workspace_root.ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_NOT_IN_WORKSPACE",
            "--workspace-root may only be used inside a workspace",
            Some("a workspace has a pnpm-workspace.yaml at its root"),
        )
    })
}

/// The settings that the flags about projects of a workspace stand for.
fn workspace_options(arguments: &WorkspaceArguments) -> Result<Options, Failure> {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let concurrency = |text: &String| {
        config::Concurrency::parse(text).ok_or_else(|| {
            Failure::usage("--workspace-concurrency needs a whole number or Infinity")
        })
    };
    let concurrency = arguments.workspace_concurrency.as_ref().map(concurrency);
    Ok(Options {
        include_workspace_root: flag(
            arguments.include_workspace_root,
            arguments.no_include_workspace_root,
        ),
        fail_if_no_match: flag(arguments.fail_if_no_match, arguments.no_fail_if_no_match),
        test_pattern: list(&arguments.test_pattern),
        changed_files_ignore_pattern: list(&arguments.changed_files_ignore_pattern),
        workspace_concurrency: concurrency.transpose()?,
        ..Options::default()
    })
}

fn canonical(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|cause| {
        let sentence = format!("The directory {} cannot be used", path.display());
        Failure::io("ERR_PACQUET_DIRECTORY", &sentence, cause)
            .hinted("name one that is there with -C, or make it")
    })
}

fn absolute(environment: &Environment, path: &Path) -> PathBuf {
    environment.current_directory().join(path)
}

/// `--config.KEY=VALUE` reaches clap as the option `config` with the value `KEY=VALUE`: see
/// [`super::words`].
pub(super) fn generic(written: &[String]) -> Result<Vec<(String, String)>, Failure> {
    written
        .iter()
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            if key.is_empty() {
                return Err(Failure::usage("--config.KEY=VALUE needs a key"));
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The settings that flags of `install` stand for.
pub(super) fn install_options(arguments: &InstallArguments) -> Options {
    let mut options = selection_options(&arguments.selection);
    options.virtual_mode = match (arguments.virtual_mode, arguments.no_virtual) {
        (_, true) | (Some(VirtualMode::False), _) => Some(config::VirtualMode::Off),
        (Some(VirtualMode::True), _) => Some(config::VirtualMode::On),
        (Some(VirtualMode::Auto), _) => Some(config::VirtualMode::Auto),
        (None, false) => None,
    };
    options.frozen_lockfile = flag(arguments.frozen_lockfile, arguments.no_frozen_lockfile);
    options.prefer_frozen_lockfile = flag(
        arguments.prefer_frozen_lockfile,
        arguments.no_prefer_frozen_lockfile || arguments.fix_lockfile,
    );
    options.trust_lockfile = flag(arguments.trust_lockfile, arguments.no_trust_lockfile);
    options.lockfile = flag(arguments.lockfile, arguments.no_lockfile);
    options.auto_dedupe = flag(arguments.auto_dedupe, arguments.no_auto_dedupe);
    options.ignore_scripts = flag(arguments.ignore_scripts, arguments.no_ignore_scripts);
    options.engine_strict = arguments.force.then_some(false);
    network_options(&arguments.network, &mut options);
    options
}

/// The settings that flags of `deploy` stand for.
pub(super) fn deploy_options(arguments: &DeployArguments) -> Options {
    let mut options = selection_options(&arguments.selection);
    options.ignore_scripts = flag(arguments.ignore_scripts, arguments.no_ignore_scripts);
    network_options(&arguments.network, &mut options);
    options
}

/// The settings that flags of the commands that change dependencies stand for.
pub(super) fn change_options(arguments: &ChangeArguments) -> Options {
    let mut options = Options {
        lockfile_dir: arguments.lockfile_dir.clone(),
        virtual_mode: arguments.virtual_mode.map(|mode| match mode {
            VirtualMode::True => config::VirtualMode::On,
            VirtualMode::Auto => config::VirtualMode::Auto,
            VirtualMode::False => config::VirtualMode::Off,
        }),
        frozen_lockfile: Some(false),
        lockfile: arguments.no_lockfile.then_some(false),
        ignore_scripts: flag(arguments.ignore_scripts, arguments.no_ignore_scripts),
        trust_lockfile: flag(arguments.trust_lockfile, arguments.no_trust_lockfile),
        auto_dedupe: flag(arguments.auto_dedupe, arguments.no_auto_dedupe),
        ..Options::default()
    };
    network_options(&arguments.network, &mut options);
    options
}

pub(super) fn network_options(arguments: &NetworkArguments, options: &mut Options) {
    options.offline = flag(arguments.offline, arguments.no_offline);
    options.prefer_offline = flag(arguments.prefer_offline, arguments.no_prefer_offline);
    options.fetch_warn_timeout_ms = arguments.fetch_warn_timeout_ms;
    options.fetch_min_speed_ki_bps = arguments.fetch_min_speed_ki_bps;
    options.user_agent.clone_from(&arguments.user_agent);
    options.network_concurrency = arguments.network_concurrency.map(u64::from);
    options.fetch_timeout = arguments.fetch_timeout;
    options.fetch_retries = arguments.fetch_retries.map(u64::from);
}

/// The settings that the flags of `install` and `mount` together stand for.
pub(super) fn selection_options(arguments: &SelectionArguments) -> Options {
    Options {
        supported_architectures: architectures(&arguments.platforms),
        node_linker: arguments.node_linker.map(|linker| match linker {
            Linker::Isolated => config::NodeLinker::Isolated,
            Linker::Hoisted => config::NodeLinker::Hoisted,
        }),
        lockfile_dir: arguments.lockfile_dir.clone(),
        ..Options::default()
    }
}

/// The platforms that flags name.
pub(super) fn architectures(
    arguments: &PlatformArguments,
) -> Option<config::SupportedArchitectures> {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let architectures = config::SupportedArchitectures {
        all: false,
        os: list(&arguments.os),
        cpu: list(&arguments.cpu),
        libc: list(&arguments.libc),
    };
    let named = [&architectures.os, &architectures.cpu, &architectures.libc];
    let is_any = named.iter().any(|list| list.is_some());
    is_any.then_some(architectures)
}

/// Which groups of dependencies the flags ask for.
pub(super) fn groups(arguments: &SelectionArguments) -> Groups {
    Groups {
        production: !arguments.dev,
        development: !arguments.prod,
        optional: !arguments.no_optional,
    }
}

/// What a flag and its opposite say.
pub(super) fn flag(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
