//! `ignored-builds`, `approve-builds` and `rebuild`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal};
use std::path::Path;

use crate::cli::arguments::{ApproveArguments, GlobalArguments, RebuildArguments};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::commands::install::decide_allowed;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::serving::{self, Place, modules_of};
use crate::cli::{interrupt, print, recorded, writing};
use crate::fs::mount::RealFiles;
use crate::install::builds::allow_key;
use crate::install::config::Options;
use crate::install::locked::{Groups, Inputs, Supply, prepare};
use crate::install::lockfile::DepPath;
use crate::name::escaped;
use crate::report::{Event, Reporter};
use crate::store::PackageKey;

/// `ignored-builds`.
pub(in crate::cli) fn ignored(global: &GlobalArguments) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let modules = modules_of(&context, ".");
    print("Automatically ignored builds during installation:\n");
    let is_installed = modules.join(".modules.yaml").exists();
    let keys = ignored_keys(&modules);
    if !is_installed {
        print("  Cannot identify as no node_modules found\n");
    } else if keys.is_empty() {
        print("  None\n");
    } else {
        print_names(keys.iter());
        print(
            "hint: To allow the scripts of a package, add it to \"allowBuilds\" in \
             pnpm-workspace.yaml with the value \"true\", then run `pacquet rebuild`.\n\
             hint: To be rid of it here, give it the value \"false\".\n",
        );
    }
    let denied = context.config.builds.allow_builds.0.iter();
    let denied: BTreeSet<&String> = denied
        .filter_map(|(key, allowed)| (*allowed == Some(false)).then_some(key))
        .collect();
    if !denied.is_empty() {
        print("\nExplicitly ignored package builds (via allowBuilds):\n");
        print_names(denied.into_iter());
    }
    Ok(())
}

fn print_names<'a>(names: impl Iterator<Item = &'a String>) {
    for name in names {
        print(&format!("  {}\n", escaped(name)));
    }
}

/// The keys under which `allowBuilds` would decide on what was ignored.
fn ignored_keys(modules: &Path) -> Vec<String> {
    let ids = recorded::ignored_builds(modules);
    let parsed = ids.iter().filter_map(|id| DepPath::new(id).ok());
    let mut keys: Vec<String> = parsed.map(|id| allow_key(&id).to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// `approve-builds`: writes the decisions, and builds what was approved.
pub(in crate::cli) fn approve(
    global: &GlobalArguments,
    arguments: &ApproveArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let waiting = ignored_keys(&modules_of(&context, "."));
    let decisions = decisions(arguments, &waiting, &*context.reporter)?;
    if decisions.is_empty() {
        print("There are no packages awaiting approval\n");
        return Ok(());
    }
    let words = decisions.iter().map(|(key, allowed)| match allowed {
        true => key.clone(),
        false => format!("!{key}"),
    });
    decide_allowed(&context, &words.collect::<Vec<_>>())?;
    context.settle()?;
    for (key, allowed) in &decisions {
        let word = if *allowed { "may run" } else { "may not run" };
        print(&format!("{} {word} scripts\n", escaped(key)));
    }
    if !decisions.keys().any(|key| waiting.contains(key)) {
        return Ok(());
    }
    match install(&Context::load(global, Options::default())?) {
        // Of the others nobody wanted to decide now.
        Err(failure) if failure.is_about_ignored_builds() => Ok(()),
        result => result,
    }
}

/// What was decided: by the words of the command line, for all, or by somebody who is asked.
fn decisions(
    arguments: &ApproveArguments,
    waiting: &[String],
    reporter: &dyn Reporter,
) -> Result<BTreeMap<String, bool>, Failure> {
    if arguments.all {
        return Ok(waiting.iter().map(|key| (key.clone(), true)).collect());
    }
    if !arguments.packages.is_empty() {
        let decided = arguments
            .packages
            .iter()
            .map(|word| match word.strip_prefix('!') {
                Some(key) => (key.to_owned(), false),
                None => (word.clone(), true),
            });
        let decided: BTreeMap<String, bool> = decided.collect();
        let strangers: Vec<String> = decided
            .keys()
            .filter(|key| !waiting.contains(key))
            .map(|key| escaped(key))
            .collect();
        if !strangers.is_empty() {
            reporter.report(&Event::Warning {
                code: "ERR_PACQUET_NOT_AWAITING_APPROVAL",
                message: &format!(
                    "The following packages are not awaiting approval: {}",
                    strangers.join(", ")
                ),
            });
        }
        return Ok(decided);
    }
    if waiting.is_empty() {
        return Ok(BTreeMap::new());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "ERR_PNPM_APPROVE_BUILDS_NEEDS_TERMINAL",
            "There is nobody to be asked which packages may run scripts",
            Some("name the packages, with ! in front of those that may not, or use --all"),
        ));
    }
    let mut decided = BTreeMap::new();
    for key in waiting {
        print(&format!(
            "May {} run scripts during installation? [y/N] ",
            escaped(key)
        ));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok_and(|bytes| bytes > 0) {
            let yes = answer.trim().eq_ignore_ascii_case("y");
            decided.insert(key.clone(), yes);
        }
    }
    Ok(decided)
}

/// `rebuild`: forgets what was built, and installs.
pub(in crate::cli) fn rebuild(
    global: &GlobalArguments,
    arguments: &RebuildArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    // What has not been built yet is built by every install.
    if !arguments.pending {
        forget_builds(&context, &arguments.packages)?;
    } else {
        writing::forget_note(&context)?;
    }
    install(&context)
}

/// Forgets what was built of these packages of the project, or of all.
fn forget_builds(context: &Context, names: &[String]) -> Result<(), Failure> {
    let config = &context.config;
    let mut inputs = Inputs::read(config, &context.environment, Groups::ALL)?;
    inputs.children = context.children.clone();
    let access = crate::store::Access::ReadWrite;
    let store = serving::open_store(config, access, Supply::Fetch)?;
    let reporter = &context.reporter;
    let prepared = prepare(&inputs, config, &store, Supply::Fetch, None, reporter)?;
    let is_named = |dep_path: &str| {
        let parsed = DepPath::new(dep_path).ok();
        parsed.is_some_and(|dep_path| {
            names.is_empty()
                || names
                    .iter()
                    .any(|name| *name == dep_path.name_str() || *name == dep_path.package_id_str())
        })
    };
    let built: Vec<PackageKey> = prepared
        .built
        .layout
        .instances
        .iter()
        .filter(|instance| instance.key.is_built() && is_named(&instance.dep_path))
        .map(|instance| instance.key.clone())
        .collect();
    store.forget(&built)?;
    writing::forget_note(context)
}

/// Installs the groups of dependencies that are there, whether or not something seems to be up to
/// date.
fn install(context: &Context) -> Result<(), Failure> {
    let children = context.children.clone();
    interrupt::watch(&context.config.store_directory, &children)?;
    let scripts = InstallScripts::new(context, &children, ProjectScripts::None);
    let groups = recorded::groups(context).unwrap_or(Groups::ALL);
    if !serving::is_to_be_served(context)? {
        return writing::install(context, groups, &scripts);
    }
    let place = Place {
        groups,
        supply: Supply::Fetch,
        real_files: RealFiles::Refuse,
        verify_reads: false,
    };
    serving::install_anew(context, &place, &scripts)
}
