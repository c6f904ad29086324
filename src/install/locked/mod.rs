//! From a locked project to the layout of its `node_modules`: read, check, select, fetch, lay out.
//!
//! [`Inputs::read`] gathers everything that decides the result, and [`Inputs::digest`] names it.
//! A caller that kept the product of the same digest needs nothing else of this module.
//!
//! **Architecture Invariant:** the lockfile and the manifests are never written, and nothing is
//! fetched before the lockfile was found to fit.

mod addresses;
mod asking;
mod check;
mod checksums;
mod early;
mod error;
mod fetch;
mod from_pnpm;
mod from_source;
mod inputs;
mod linked;
mod node;
mod npm;
mod patches;
mod policies;
mod pristine;
mod runtimes;
mod sources;
mod state;
mod unpinned;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

pub use addresses::registry_version;
pub use check::{MayLack, fits};
pub use checksums::with_checksums_of_today;
pub use early::{Chosen, ChosenSender, EarlyFetch};
pub use error::InstallError;
pub use from_pnpm::{Imported, import_from_pnpm};
pub use inputs::{Inputs, LockfilePlace, check_engines, platforms};
pub use node::program_version;
pub use npm::{Locations, installed_by_npm};
pub use patches::Patches;
pub use policies::{Violation, note_policies, verify_policies};
pub use pristine::pristine;
pub use runtimes::leave_out as leave_out_runtimes;
pub use state::current_lockfile;

use crate::install::builds::{self, BuildPlan, PlanInput};
use crate::install::config::Config;
use crate::install::layout::{
    BuiltLayout, IncludedGroups, InstalledPackage, LayoutError, LayoutInput, LayoutWarning,
    build_layout,
};
use crate::install::lockfile::{DepPath, ImporterId, Lockfile, check_integrity, read_lockfile};
use crate::install::select::{
    self, Incompatible, IncompatiblePackage, Selection, SelectionOptions, select,
};
use crate::install::workspace::Project;
use crate::limits::TARBALL_BYTES_MAX;
use crate::name::escaped;
use crate::report::{Event, Phase, Reporter, phase};
use crate::store::{Integrity, PackId, PackageKey, PackageRecord, Store, start_workers};
use crate::sys;

use fetch::Fetcher;
use policies::Fetched;
use sources::{Source, Wanted, WantedPackages};

/// Whether packages may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// From the network and from this machine.
    Fetch,
    /// What the store has must do.
    StoreOnly,
}

/// What an install came to.
#[derive(Debug)]
pub struct Prepared {
    /// The tree, with its state files.
    pub built: BuiltLayout,
    /// Whether the same inputs will always give the same tree: not where a directory or an archive
    /// of this machine is a package, nor where policies could not be looked into.
    pub is_repeatable: bool,
    /// The scripts of packages: what is still to be built in the tree, and what is not.
    pub builds: BuildPlan,
    /// The packs of packages that have scripts, which may write into their own directory.
    pub packs_with_scripts: HashSet<PackId>,
}

/// Brings the store up to date with the lockfile and builds the layout. `early` has been fetching
/// since before the lockfile was complete.
///
/// # Errors
/// The first thing that is wrong. Packages that arrived whole stay in the store.
pub fn prepare(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    supply: Supply,
    early: Option<EarlyFetch>,
    reporter: &Arc<dyn Reporter>,
) -> Result<Prepared, InstallError> {
    if inputs.lockfile.is_of_npm {
        return npm::prepare(inputs, config, store, supply, reporter);
    }
    let mut lockfile = phase(&**reporter, Phase::Read, || {
        read_and_check(inputs, config, reporter)
    })?;
    // One that was made a moment ago is made of what keeps to them.
    let is_verified =
        inputs.known_lockfile.is_some() || verify_policies(&lockfile, config, store, reporter)?;
    if inputs.groups != IncludedGroups::ALL {
        select::leave_out_peers(Arc::make_mut(&mut lockfile), inputs.groups);
    }
    if let Some(installed) = &inputs.installed {
        leave_out_others(Arc::make_mut(&mut lockfile), installed);
    }
    if !config.installs_runtimes {
        runtimes::leave_out(Arc::make_mut(&mut lockfile));
    }
    let selection = selected(&lockfile, inputs, config, reporter)?;
    let wanted = WantedPackages::of(&selection, &inputs.patches, config)?;
    let fetched = early.map(|early| {
        let _span = tracing::info_span!("fetch_early").entered();
        let keys = wanted.packages.iter().map(|wanted| wanted.key.clone());
        phase(&**reporter, Phase::Fetch, || early.finish(keys))
    });
    let fetched = fetched.unwrap_or_default();
    let records = supply_all(&wanted, &fetched, inputs, config, store, supply, reporter)?;
    let _span = tracing::info_span!("layout").entered();
    let mut prepared = phase(&**reporter, Phase::Layout, || {
        lay_out(
            inputs, config, store, &lockfile, &selection, &wanted, &records, reporter,
        )
    })?;
    prepared.is_repeatable &= is_verified;
    Ok(prepared)
}

/// Takes away what projects depend on that are not installed. They are still there, and others may
/// be linked to them.
pub fn leave_out_others(lockfile: &mut Lockfile, installed: &BTreeSet<ImporterId>) {
    let importers = lockfile.importers.iter_mut();
    for (_, importer) in importers.filter(|(id, _)| !installed.contains(*id)) {
        importer.dependencies.clear();
        importer.dev_dependencies.clear();
        importer.optional_dependencies.clear();
    }
}

/// Brings what the lockfile names into the store, whatever the manifests say, and tells how many
/// packages that are.
///
/// # Errors
/// As [`prepare`].
pub fn fetch_all(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<usize, InstallError> {
    if inputs.lockfile.is_of_npm {
        return npm::fetch_all(inputs, config, store, reporter);
    }
    let mut lockfile = read_lockfile(&inputs.lockfile_text)?;
    if !config.installs_runtimes {
        runtimes::leave_out(&mut lockfile);
    }
    check_integrity(&lockfile)?;
    verify_policies(&lockfile, config, store, reporter)?;
    let selection = selected(&lockfile, inputs, config, reporter)?;
    let wanted = WantedPackages::of(&selection, &inputs.patches, config)?;
    let fetched = HashSet::new();
    let supply = Supply::Fetch;
    let records = supply_all(&wanted, &fetched, inputs, config, store, supply, reporter)?;
    Ok(records.len())
}

fn read_and_check(
    inputs: &Inputs,
    config: &Config,
    reporter: &Arc<dyn Reporter>,
) -> Result<Arc<Lockfile>, InstallError> {
    check_engines(&inputs.projects, config, &inputs.environment)?;
    let lockfile = {
        let _span = tracing::info_span!("read_lockfile").entered();
        match &inputs.known_lockfile {
            Some(known) => Arc::clone(known),
            None => Arc::new(read_lockfile(&inputs.lockfile_text)?),
        }
    };
    if let Some(warning) = lockfile.compatibility_warning() {
        reporter.report(&Event::Warning {
            code: warning.code,
            message: &warning.message,
        });
    }
    let is_checked = |project: &&Project| {
        let checked = inputs.checked.as_ref();
        checked.is_none_or(|checked| checked.contains(&project.id))
    };
    let checked: Vec<Project> = inputs.projects.iter().filter(is_checked).cloned().collect();
    fits(
        &lockfile,
        &checked,
        &inputs.patches,
        config,
        MayLack::Optional,
        reporter,
    )?;
    check_integrity(&lockfile)?;
    Ok(lockfile)
}

fn selected<'a>(
    lockfile: &'a Lockfile,
    inputs: &Inputs,
    config: &Config,
    reporter: &Arc<dyn Reporter>,
) -> Result<Selection<'a>, InstallError> {
    let _span = tracing::info_span!("select").entered();
    let incompatible = if config.engine_strict {
        Incompatible::Refuse
    } else {
        Incompatible::Warn
    };
    let selection = select(
        lockfile,
        &SelectionOptions {
            importers: None,
            included: inputs.groups,
            platforms: &inputs.platforms,
            node_version: inputs.node_version.as_deref(),
            incompatible,
            node_linker: config.node_linker,
        },
    )?;
    report_incompatible(&selection.incompatible, reporter);
    Ok(selection)
}

fn report_incompatible(incompatible: &[IncompatiblePackage], reporter: &Arc<dyn Reporter>) {
    let mut told = HashSet::new();
    for unfit in incompatible {
        let package = unfit.dep_path.package_id_str();
        // Its peers do not matter here.
        if !told.insert(package) {
            continue;
        }
        let package = escaped(package);
        let message = format!("{package} does not fit: {}", unfit.mismatch);
        reporter.report(&Event::Warning {
            code: "ERR_PNPM_UNSUPPORTED_ENGINE",
            message: &message,
        });
    }
}

/// The store's record of every wanted package, after fetching those that were missing. `fetched` is
/// what this install has fetched already.
fn supply_all(
    wanted: &WantedPackages,
    fetched: &HashSet<PackageKey>,
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    supply: Supply,
    reporter: &Arc<dyn Reporter>,
) -> Result<Vec<PackageRecord>, InstallError> {
    let keys = wanted.packages.iter().map(|wanted| wanted.key.clone());
    let keys: Vec<PackageKey> = keys.collect();
    let mut records = phase(&**reporter, Phase::Plan, || {
        let _span = tracing::info_span!("plan").entered();
        store.lookup_many(&keys)
    })?;
    for (wanted, record) in wanted.packages.iter().zip(&mut records) {
        // What is of this machine may have changed since it was packed.
        let may_differ = match &wanted.source {
            Source::LocalDirectory(_) => true,
            Source::LocalArchive(path) => !is_still(path, wanted.integrity.as_ref()),
            Source::Registry { .. } | Source::Address(_) | Source::Git { .. } => false,
        };
        if may_differ && supply == Supply::Fetch {
            *record = None;
        }
    }
    let missing: Vec<&Wanted> = wanted
        .packages
        .iter()
        .zip(&records)
        .filter_map(|(wanted, record)| record.is_none().then_some(wanted))
        .collect();
    if reporter.wants_packages() {
        for (wanted, record) in wanted.packages.iter().zip(&records) {
            reporter.report(&Event::Resolved {
                package: &wanted.label,
                is_stored: record.is_some(),
            });
        }
    }
    reporter.report(&Event::Planned {
        packages: records.len(),
        reused: records.len()
            - missing.len()
            - keys.iter().filter(|key| fetched.contains(*key)).count(),
    });
    if !missing.is_empty() {
        refuse_where_nothing_may_be_fetched(&missing, config, supply)?;
        let _span = tracing::info_span!("fetch", packages = missing.len()).entered();
        let fetcher = fetcher(inputs, config, store, reporter)?;
        let packed = phase(&**reporter, Phase::Fetch, || fetcher.fetch(&missing))?;
        let mut by_key: HashMap<PackageKey, PackageRecord> = packed
            .into_iter()
            .map(|packed| (packed.key, packed.record))
            .collect();
        for (key, record) in keys.iter().zip(&mut records) {
            if record.is_none() {
                *record = by_key.remove(key);
            }
        }
    }
    Ok(records.into_iter().flatten().collect())
}

fn fetcher<'a>(
    inputs: &'a Inputs,
    config: &'a Config,
    store: &'a Store,
    reporter: &'a Arc<dyn Reporter>,
) -> Result<Fetcher<'a>, InstallError> {
    let is_of_npm = inputs.lockfile.is_of_npm;
    let is_of_now = inputs.known_lockfile.is_some();
    Ok(Fetcher {
        store,
        config,
        environment: &inputs.environment,
        patches: &inputs.patches,
        children: &inputs.children,
        reporter,
        checks_addresses: !(is_of_npm || config.lockfile.is_trusted),
        ages: match is_of_npm || is_of_now {
            true => None,
            false => Fetched::new(config)?,
        },
    })
}

/// Whether the archive at `path` is the one that the lockfile pins.
fn is_still(path: &Path, integrity: Option<&Integrity>) -> bool {
    let matches = |integrity: &Integrity| -> std::io::Result<bool> {
        let mut file = sys::file::open(path)?.take(TARBALL_BYTES_MAX);
        let mut checker = integrity.checker();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(checker.finish().is_ok()),
                length => checker.update(&buffer[..length]),
            }
        }
    };
    integrity.is_some_and(|integrity| matches(integrity).unwrap_or_default())
}

fn refuse_where_nothing_may_be_fetched(
    missing: &[&Wanted],
    config: &Config,
    supply: Supply,
) -> Result<(), InstallError> {
    let is_remote = |wanted: &&&Wanted| {
        !matches!(
            wanted.source,
            Source::LocalArchive(_) | Source::LocalDirectory(_)
        )
    };
    let offline = config.network.offline;
    let mut unobtainable: Vec<String> = missing
        .iter()
        .filter(|wanted| supply == Supply::StoreOnly || (offline && is_remote(wanted)))
        .map(|wanted| wanted.label.clone())
        .collect();
    if unobtainable.is_empty() {
        return Ok(());
    }
    unobtainable.sort();
    Err(InstallError::NotInStore {
        missing: unobtainable,
        offline: supply == Supply::Fetch,
    })
}

#[expect(clippy::too_many_arguments, reason = "each is one part of the install")]
fn lay_out(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    lockfile: &Lockfile,
    selection: &Selection<'_>,
    wanted: &WantedPackages,
    records: &[PackageRecord],
    reporter: &Arc<dyn Reporter>,
) -> Result<Prepared, InstallError> {
    let (installed, builds) = built_or_plain(inputs, config, store, lockfile, wanted, records)?;
    let manifests = inputs.linked_manifests(lockfile, config);
    let settings = inputs.layout_settings(config);
    let input = LayoutInput {
        lockfile,
        installed: &installed,
        included: inputs.groups,
        manifests: &manifests,
        settings: &settings,
    };
    start_workers().map_err(|source| LayoutError::Thread { source })?;
    // To write the lockfile takes about as long as to lay it out.
    let current = || current_lockfile(lockfile, inputs.installed.as_ref(), inputs.groups);
    let (built, current) = rayon::join(|| build_layout(&input), current);
    let mut built = built?;
    report_layout_warnings(&built, reporter);
    let pending_projects = match config.builds.ignore_scripts {
        true => inputs.projects_with_scripts(),
        false => Vec::new(),
    };
    let state = state::StateInput {
        inputs,
        config,
        selection,
        built: &built,
        settings: &settings,
        builds: &builds,
        pending_projects: &pending_projects,
    };
    let files = state::files(&state, current);
    built.insert_state_files(files)?;
    if config.packages.is_of(&config.lockfile_directory) {
        built.insert_config_packages(config.packages.links())?;
    }
    Ok(Prepared {
        built,
        is_repeatable: is_repeatable(wanted),
        builds,
        packs_with_scripts: packs_with_scripts(records),
    })
}

/// What is installed, as it was built where that is known, and what is still to be built.
fn built_or_plain(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    lockfile: &Lockfile,
    wanted: &WantedPackages,
    records: &[PackageRecord],
) -> Result<(HashMap<DepPath, InstalledPackage>, BuildPlan), InstallError> {
    let mut installed: HashMap<DepPath, InstalledPackage> = wanted
        .snapshots
        .iter()
        .filter_map(|(dep_path, at)| {
            let record = records.get(*at)?.clone();
            let key = wanted.packages[*at].key.clone();
            Some((dep_path.clone(), InstalledPackage { key, record }))
        })
        .collect();
    let input = PlanInput {
        lockfile,
        policy: &config.builds,
        running: &config.build_running,
        node_version: inputs.node_version.as_deref(),
        store,
        project: &config.lockfile_directory,
    };
    let builds = builds::plan(&input, &mut installed)?;
    Ok((installed, builds))
}

fn is_repeatable(wanted: &WantedPackages) -> bool {
    let is_local = |wanted: &Wanted| {
        let source = &wanted.source;
        matches!(source, Source::LocalDirectory(_) | Source::LocalArchive(_))
    };
    !wanted.packages.iter().any(is_local)
}

fn packs_with_scripts(records: &[PackageRecord]) -> HashSet<PackId> {
    let with_scripts = records.iter().filter(|record| record.facts.requires_build);
    with_scripts.map(|record| record.pack).collect()
}

fn report_layout_warnings(built: &BuiltLayout, reporter: &Arc<dyn Reporter>) {
    for warning in &built.warnings {
        let LayoutWarning::BinConflict {
            directory,
            bin,
            winner,
            loser,
        } = warning;
        let message = format!(
            "the command {bin} of {} is not linked in {}: {} has one of this name",
            escaped(loser),
            escaped(directory),
            escaped(winner),
        );
        reporter.report(&Event::Warning {
            code: "ERR_PACQUET_BIN_CONFLICT",
            message: &message,
        });
    }
}

/// Groups of dependencies, as the command line names them.
pub type Groups = IncludedGroups;
