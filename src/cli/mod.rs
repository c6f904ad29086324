//! The command line: the only place that reads arguments and that prints.
//!
//! **Architecture Invariant:** no other module names clap, and no other module writes to standard
//! output or standard error.

mod absent;
mod apart;
mod arguments;
mod building;
mod choices;
mod commands;
mod config_packages;
mod context;
mod env_file;
mod exceptions;
mod failure;
mod freshness;
mod hooked_settings;
mod installed;
mod interrupt;
mod narrowing;
mod other_fields;
mod package_manager;
mod pending;
mod prompt;
mod recorded;
mod relocking;
mod report;
mod runtimes;
mod scripting;
mod serving;
mod setting_flags;
mod table;
mod trace;
mod words;
mod writing;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind as UsageKind};
use clap::{CommandFactory, FromArgMatches};

use arguments::{
    Arguments, Command, GlobalArguments, InstallArguments, ReporterKind, RunArguments,
    SetArguments, deferred,
};
use context::Context;
use failure::Failure;

use crate::install::config::Options;
use crate::install::scripts::ScriptEnd;
use crate::install::workspace::find_workspace_root;
use crate::sys::process;

/// What the program ends with where its arguments are wrong, as pnpm does.
const USAGE_EXIT: u8 = 2;

/// Runs the program. Returns its exit code: 0, 2 for wrong arguments, or 1 for every other failure,
/// as pnpm does.
pub fn main() -> ExitCode {
    crate::sys::memory::share_heap_where_limited();
    if let Some(serve) = words::as_server(std::env::args_os().skip(1)) {
        trace::start_log();
        return match commands::serve::run(&serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                show(&failure, None);
                ExitCode::FAILURE
            }
        };
    }
    crate::sys::memory::grow_heap_in_large_steps();
    if let Some(words) = words::to_complete(std::env::args_os().skip(1)) {
        commands::completion::answer(&words);
        return ExitCode::SUCCESS;
    }
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    if let Err(failure) = env_file::load(&arguments.global.env_file) {
        show(&failure, arguments.global.reporter);
        return ExitCode::FAILURE;
    }
    let _trace = match arguments.command {
        Command::Serve(_) => {
            trace::start_log();
            None
        }
        _ => trace::start(arguments.global.trace.as_deref()),
    };
    let result = run(&arguments).or_else(|failure| without_project(&arguments, failure));
    interrupt::leave_the_end_to_the_watcher();
    match result {
        Ok(ending) => ending.exit_code(),
        Err(failure) => {
            show(&failure, arguments.global.reporter);
            match failure.is_usage() {
                true => ExitCode::from(USAGE_EXIT),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// The arguments of this process.
fn arguments() -> Result<Arguments, clap::Error> {
    let names = deferred::names();
    let words = words::prepared(&names, std::env::args_os());
    if let Some(arguments) = understood(&names, &words) {
        return Ok(arguments);
    }
    let mut command = Arguments::command();
    let mut matches = command.try_get_matches_from_mut(words)?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The arguments where their first word that is the name of a command is one, and they are what
/// that command takes. For what else there is all commands are needed: help, the scripts of a
/// project, and what is wrong.
fn understood(names: &clap::Command, words: &[OsString]) -> Option<Arguments> {
    let mut words_known = words.iter().filter_map(|word| word.to_str());
    let name = words_known.find_map(|word| names.find_subcommand(word))?;
    let mut command = deferred::alone(name.get_name())?;
    let mut matches = command.try_get_matches_from_mut(words).ok()?;
    Arguments::from_arg_matches_mut(&mut matches).ok()
}

/// Help and version are no failures. A flag that pnpm has is refused by its name.
fn usage(error: &clap::Error) -> ExitCode {
    if error.kind() == UsageKind::UnknownArgument
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && let Some(failure) = absent::flag(word)
    {
        show(&failure, None);
        return ExitCode::FAILURE;
    }
    // A closed pipe is the reader's business.
    let _ = error.print();
    match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE_EXIT),
    }
}

/// How a command that did not fail ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// With 0.
    Success,
    /// As the script or program ended that it ran; that has been told.
    As(ScriptEnd),
}

impl Ending {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Success => ExitCode::SUCCESS,
            Self::As(ScriptEnd::Code(code)) => {
                ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
            }
            Self::As(ScriptEnd::Signal(signal)) => process::end_by(signal),
            Self::As(ScriptEnd::TimedOut) => ExitCode::FAILURE,
        }
    }
}

/// Where there is no project, there is nothing to do for many commands, which is no failure of
/// pnpm's either; and scripts are missing in a way of their own.
fn without_project(arguments: &Arguments, failure: Failure) -> Result<Ending, Failure> {
    if !failure.is_missing_manifest() {
        return Err(failure);
    }
    match &arguments.command {
        Command::Update(_) | Command::Dedupe(_) | Command::Rebuild(_) | Command::Prune(_) => {
            complain("Already up to date");
            Ok(Ending::Success)
        }
        Command::List(_)
        | Command::ListLong(_)
        | Command::Why(_)
        | Command::Outdated(_)
        | Command::Peers(_)
        | Command::Unlink(_) => Ok(Ending::Success),
        Command::Run(_) if arguments.global.workspace.is_recursive() => {
            Err(failure.coded("ERR_PNPM_RECURSIVE_RUN_NO_SCRIPT"))
        }
        Command::Run(_)
        | Command::Test(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Restart(_) => Err(failure.coded("ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND")),
        Command::Install(_) | Command::Ci(_) if is_in_workspace(arguments) => Ok(Ending::Success),
        Command::Add(_) if arguments.global.workspace.is_recursive() => Ok(Ending::Success),
        Command::Remove(_) => Err(failure.coded("ERR_PNPM_CANNOT_REMOVE_MISSING_DEPS")),
        Command::Import => Err(failure.coded("ERR_PNPM_LOCKFILE_NOT_FOUND")),
        Command::Licenses(_) => Err(failure.coded("ERR_PNPM_LICENSES_NO_LOCKFILE")),
        _ => Err(failure),
    }
}

/// Whether the command is called in a workspace. One that has no projects is none for `install` to
/// fail at.
fn is_in_workspace(arguments: &Arguments) -> bool {
    let current = std::env::current_dir().unwrap_or_default();
    let directory = match &arguments.global.dir {
        Some(directory) => current.join(directory),
        None => current,
    };
    !arguments.global.ignore_workspace && find_workspace_root(&directory).is_some()
}

fn run(arguments: &Arguments) -> Result<Ending, Failure> {
    let global = &arguments.global;
    let ending = match &arguments.command {
        Command::Run(run) => return commands::run::run(global, run),
        Command::Test(script) => return commands::run::script(global, "test", script),
        Command::Start(script) => return commands::run::script(global, "start", script),
        Command::Stop(script) => return commands::run::script(global, "stop", script),
        Command::Restart(script) => return commands::run::restart(global, script),
        Command::Exec(exec) => return commands::exec::run(global, exec),
        Command::Dlx(dlx) => return commands::dlx::dlx(global, dlx),
        Command::Create(create) => return commands::dlx::create(global, create),
        Command::Rebuild(rebuild) => commands::builds::rebuild(global, rebuild),
        Command::IgnoredBuilds => commands::builds::ignored(global),
        Command::ApproveBuilds(approve) => commands::builds::approve(global, approve),
        Command::Unknown(words) => return commands::run::unknown(global, words),
        Command::Install(install) => commands::install::run(global, install),
        Command::Ci(install) => commands::clean::ci(global, install),
        Command::InstallTest(install) => return install_test(global, install),
        Command::Clean(clean) => commands::clean::run(global, clean),
        Command::Prune(prune) => commands::install::prune(global, prune),
        Command::Add(arguments) => commands::add::run(global, arguments),
        Command::Remove(arguments) => commands::remove::run(global, arguments),
        Command::Update(arguments) => commands::update::run(global, arguments),
        Command::Dedupe(arguments) => commands::dedupe::run(global, arguments),
        Command::Import => commands::import::run(global),
        Command::Mount(mount) => commands::mount::mount(global, mount),
        Command::Unmount(unmount) => commands::mount::unmount(global, unmount),
        Command::UpgradeServer(upgrade) => commands::mount::upgrade_server(global, upgrade),
        Command::Status(status) => commands::status::run(status),
        Command::Fetch(fetch) => commands::fetch::run(global, fetch),
        Command::Deploy(deploy) => commands::deploy::run(global, deploy),
        Command::Init(init) => commands::init::run(global, init),
        Command::Completion { shell } => commands::completion::run(shell.as_deref()),
        Command::List(list) => commands::list::run(global, list, list.long),
        Command::ListLong(list) => commands::list::run(global, list, true),
        Command::Why(why) => commands::why::run(global, why),
        Command::Outdated(outdated) => return commands::outdated::run(global, outdated),
        Command::Audit(audit) => return commands::audit::run(global, audit),
        Command::Peers(peers) => return commands::peers::run(global, peers),
        Command::Licenses(licenses) => commands::licenses::run(global, licenses),
        Command::Doctor(doctor) => return commands::doctor::run(global, doctor),
        Command::Config(config) => commands::config::run(global, config),
        Command::Pkg(pkg) => commands::pkg::run(global, pkg),
        Command::View(view) => commands::view::run(global, view),
        Command::Version(version) => commands::version::run(global, version),
        Command::Pack(pack) => commands::pack::run(global, pack),
        Command::SetScript(words) => commands::pkg::set_script(global, words),
        Command::Get(get) => commands::config::get(global, get.key.as_deref(), &get.flags),
        Command::Set(set) => short_set(global, set),
        Command::Patch(patch) => commands::patch::patch(global, patch),
        Command::PatchCommit(patch) => commands::patch::commit(global, patch),
        Command::PatchRemove(patch) => commands::patch::remove(global, patch),
        Command::Link(link) => commands::link::link(global, link),
        Command::Unlink(unlink) => commands::link::unlink(global, unlink),
        Command::Root { global: is_global } => commands::place::root(global, *is_global),
        Command::Bin { global: is_global } => commands::place::bin(global, *is_global),
        Command::Prefix { global: is_global } => commands::place::prefix(global, *is_global),
        Command::Profile(profile) => commands::profile::run(global, profile),
        Command::Service(service) => commands::service::run(global, service),
        Command::Store(store) => commands::store::run(global, store),
        Command::Serve(serve) => commands::serve::run(serve),
        Command::Walk(walk) => {
            // Nobody is there to be told: what it could not touch stays untouched.
            let _ = crate::fs::warm::walk(&walk.mountpoint);
            Ok(())
        }
    };
    ending.map(|()| Ending::Success)
}

/// `set`, for `config set`.
fn short_set(global: &GlobalArguments, set: &SetArguments) -> Result<(), Failure> {
    let (key, value) = (set.key.as_deref(), set.value.as_deref());
    commands::config::set(global, key, value, &set.flags)
}

/// `install-test`: tests what the install is about, which in a workspace is every project. Outside
/// of one there must be something to test.
fn install_test(global: &GlobalArguments, arguments: &InstallArguments) -> Result<Ending, Failure> {
    commands::install::run(global, arguments)?;
    let context = Context::load(global, Options::default())?;
    let mut global = global.clone();
    global.workspace.recursive |=
        context.config.workspace_root.is_some() && context.config.selection.installs_all;
    let test = RunArguments {
        words: vec!["test".to_owned()],
        ..RunArguments::default()
    };
    commands::run::run(&global, &test)
}

/// Shows a failure: as an object on standard output for programs, else as text on standard error.
fn show(failure: &Failure, reporter: Option<ReporterKind>) {
    if reporter == Some(ReporterKind::Ndjson) {
        let _ = writeln!(std::io::stdout().lock(), "{}", failure.json());
    }
    if !failure.is_told() {
        complain(&failure.text());
    }
}

/// Prints what is no result to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a result to standard output. Where nobody reads it, the program ends quietly; where it
/// cannot be written, it fails, for half a result is none.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    let Err(error) = written else { return };
    let is_unread = error.kind() == ErrorKind::BrokenPipe;
    if !is_unread {
        let sentence = "Standard output cannot be written";
        complain(&Failure::io("ERR_PACQUET_OUTPUT", sentence, error).text());
    }
    #[expect(clippy::exit, reason = "there is nobody left to tell anything")]
    std::process::exit(i32::from(!is_unread));
}
