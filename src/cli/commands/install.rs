//! `install`: up to the layout, and then a mount or real files.

mod allowing;
mod catalogs;
mod dry_run;
mod exceptions;
mod fetching;

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{
    AddArguments, ChangeArguments, GlobalArguments, InstallArguments, PruneArguments,
    VirtualMode as VirtualArgument,
};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::choices::Choices;
use crate::cli::commands::add;
use crate::cli::context::{Context, flag, groups, install_options};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::narrowing;
use crate::cli::relocking;
use crate::cli::scripting::Root;
use crate::cli::serving::{self, Place};
use crate::cli::writing;
use crate::fs::mount::{RealFiles, check_prerequisites};
use crate::install::config::{Options, VirtualMode};
use crate::install::filter::{Edges, ProjectGraph};
use crate::install::locked::{Groups, InstallError, Supply};
use crate::name::escaped;
use crate::report::Event;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &InstallArguments,
) -> Result<(), Failure> {
    if !arguments.packages.is_empty() {
        return add::run(global, &as_add(arguments));
    }
    let mut context = Context::load_to_install(global, install_options(arguments))?;
    context.mends = arguments.fix_lockfile;
    let global = &*narrowing::called(&context, global);
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    refuse_cycles(&context, global)?;
    if arguments.lockfile_only || arguments.dry_run {
        context.config.lockfile.thaw_where_implied();
    }
    if !context.narrow(global)? {
        return Ok(());
    }
    if arguments.dry_run {
        return dry_run::run(&context);
    }
    if arguments.force && context.config.frozen_store {
        return Err(frozen_and_forced());
    }
    if arguments.force {
        context.config.force();
    }
    allow(&mut context, &arguments.allow_build);
    relocking::merge_branches(&context)?;
    if arguments.update_checksums {
        relocking::update_checksums(&context)?;
        context.config.lockfile.thaw_where_implied();
    }
    context
        .config
        .lockfile
        .ignore_manifests(arguments.ignore_manifest_check);
    if arguments.lockfile_only {
        decide_allowed(&context, &arguments.allow_build)?;
        return relocking::lockfile_only(&context, arguments.fix_lockfile);
    }
    let place = Place {
        groups: groups(&arguments.selection),
        supply: Supply::Fetch,
        real_files: if arguments.force {
            RealFiles::MoveAside
        } else {
            RealFiles::Refuse
        },
        verify_reads: arguments.verify_reads,
    };
    decide_allowed(&context, &arguments.allow_build)?;
    let scripts = match arguments.force || arguments.fix_lockfile {
        true => ProjectScripts::Always,
        false => ProjectScripts::All,
    };
    let is_served = mount_or_write(&context, &place, scripts)?;
    let choices = Choices::of(global, arguments).of_projects(&context);
    choices.with_served(is_served).keep(&context);
    Ok(())
}

/// `disallowWorkspaceCycles` is about an install of the whole workspace.
fn refuse_cycles(context: &Context, global: &GlobalArguments) -> Result<(), Failure> {
    let config = &context.config;
    if !config.selection.disallows_cycles
        || !global.workspace.filter.is_empty()
        || !global.workspace.filter_prod.is_empty()
    {
        return Ok(());
    }
    let projects = context.projects().map_err(InstallError::from)?;
    let graph = ProjectGraph::new(&projects, Edges::All, config.graph.link_workspace_packages);
    let shown = |cycle: &Vec<usize>| {
        let directories = cycle.iter().map(|place| &projects[*place].directory);
        let texts: Vec<_> = directories.map(|path| path.to_string_lossy()).collect();
        texts.join(", ")
    };
    let cycles: Vec<String> = graph.cycles().iter().map(shown).collect();
    if cycles.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        "ERR_PNPM_DISALLOW_WORKSPACE_CYCLES",
        format!(
            "There are cyclic workspace dependencies: {}",
            escaped(&cycles.join("; "))
        ),
        Some("take one dependency of each circle away, or unset disallowWorkspaceCycles"),
    ))
}

/// `install` with packages.
fn as_add(arguments: &InstallArguments) -> AddArguments {
    let virtual_mode = match arguments.no_virtual {
        true => Some(VirtualArgument::False),
        false => arguments.virtual_mode,
    };
    AddArguments {
        packages: arguments.packages.clone(),
        save_prod: arguments.selection.prod,
        save_dev: arguments.selection.dev,
        allow_build: arguments.allow_build.clone(),
        global: arguments.global,
        no_optional: arguments.selection.no_optional,
        platforms: arguments.selection.platforms.clone(),
        force: arguments.force,
        change: ChangeArguments {
            virtual_mode,
            lockfile_only: arguments.lockfile_only,
            no_lockfile: arguments.no_lockfile,
            lockfile_dir: arguments.selection.lockfile_dir.clone(),
            ignore_scripts: arguments.ignore_scripts,
            no_ignore_scripts: arguments.no_ignore_scripts,
            trust_lockfile: arguments.trust_lockfile,
            no_trust_lockfile: arguments.no_trust_lockfile,
            auto_dedupe: arguments.auto_dedupe,
            no_auto_dedupe: arguments.no_auto_dedupe,
            network: arguments.network.clone(),
            ..ChangeArguments::default()
        },
        ..AddArguments::default()
    }
}

/// `prune`: an install, which removes what nobody asks for.
pub(in crate::cli) fn prune(
    global: &GlobalArguments,
    arguments: &PruneArguments,
) -> Result<(), Failure> {
    let options = Options {
        ignore_scripts: flag(arguments.ignore_scripts, arguments.no_ignore_scripts),
        ..Options::default()
    };
    let mut context = Context::load_to_install(global, options)?;
    context.config.lockfile.thaw_where_implied();
    context.clears = true;
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| prune(global, arguments));
    }
    if !context.narrow(global)? {
        return Ok(());
    }
    let place = Place {
        groups: Groups {
            production: !arguments.dev,
            development: !arguments.prod,
            optional: !arguments.no_optional,
        },
        supply: Supply::Fetch,
        real_files: RealFiles::Refuse,
        verify_reads: false,
    };
    let is_served = mount_or_write(&context, &place, ProjectScripts::Always)?;
    Choices::keep_installed(&context, is_served);
    Ok(())
}

pub(in crate::cli) use catalogs::settle;

pub(in crate::cli) use allowing::{allow, decide as decide_allowed};

/// Puts `node_modules` in place, after a command decided on another lockfile, and writes what was
/// decided. What is served stays served, whoever asked for that.
pub(in crate::cli) fn put_in_place(
    context: &Context,
    lockfile_only: bool,
    scripts: ProjectScripts,
) -> Result<(), Failure> {
    if lockfile_only {
        return settle(context);
    }
    put_groups_in_place(context, (Groups::ALL, RealFiles::Refuse), scripts)
}

/// The same with some groups of dependencies, and for real files of another installer.
pub(in crate::cli) fn put_groups_in_place(
    context: &Context,
    (groups, real_files): (Groups, RealFiles),
    scripts: ProjectScripts,
) -> Result<(), Failure> {
    let place = Place {
        groups,
        supply: Supply::Fetch,
        real_files,
        verify_reads: false,
    };
    let is_served = mount_or_write(context, &place, scripts)?;
    Choices::keep_installed(context, is_served);
    Ok(())
}

/// Mounts or writes, as the settings say, and writes what was decided. Answers whether it is served
/// now. Where it fails, what was served before is served again.
fn mount_or_write(
    context: &Context,
    place: &Place,
    scripts: ProjectScripts,
) -> Result<bool, Failure> {
    match put_tree_in_place(context, place, scripts) {
        Ok(is_served) => settle(context).map(|()| is_served),
        Err(failure) => {
            if let Some(digest) = context.take_pending().served_before() {
                serving::put_back(context, place, digest);
            }
            Err(failure)
        }
    }
}

/// Where serving was left to what the machine can do, a line says why it cannot mount.
fn put_tree_in_place(
    context: &Context,
    place: &Place,
    scripts: ProjectScripts,
) -> Result<bool, Failure> {
    let children = context.children.clone();
    interrupt::watch(&context.config.store_directory, &children)?;
    if !context.config.makes_modules {
        refuse_no_place(context)?;
        return fetching::install(context, place.groups).map(|()| false);
    }
    let scripts = &InstallScripts::new(context, &children, scripts).of_groups(place.groups);
    let write = || writing::install(context, place.groups, scripts).map(|()| false);
    let serve = || serving::install(context, place, scripts).map(|()| true);
    match serving::mode(context)? {
        VirtualMode::Off | VirtualMode::AsItIs => write(),
        VirtualMode::On => serve(),
        VirtualMode::Auto => {
            let able = check_prerequisites(context.config.mount_helper.as_deref());
            let served = able.map_err(Failure::from).and_then(|()| serve());
            match served {
                Err(failure) if failure.is_inability_to_mount() => {
                    let why = failure.sentence();
                    let text = format!("Writing real files, because nothing can be served: {why}");
                    context.reporter.report(&Event::Info(&text));
                    write()
                }
                other => other,
            }
        }
    }
}

fn refuse_no_place(context: &Context) -> Result<(), Failure> {
    match context.config.virtual_store_only {
        true => Err(Failure::new(
            "ERR_PNPM_CONFIG_CONFLICT_VIRTUAL_STORE_ONLY_WITH_NO_MODULES_DIR",
            "Cannot use virtualStoreOnly when enableModulesDir is false: the virtual store is in \
             node_modules/.pnpm",
            Some("unset one of the two; `pacquet fetch` fills the store alone"),
        )),
        false => Ok(()),
    }
}

fn frozen_and_forced() -> Failure {
    Failure::new(
        "ERR_PNPM_CONFIG_CONFLICT_FROZEN_STORE_WITH_FORCE",
        "--force writes packages to the store anew, and frozenStore lets nothing be written",
        Some("leave out one of the two"),
    )
}
