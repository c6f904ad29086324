//! From configuration to a mount: what `install --virtual` and `mount` share.

mod back;
mod before;
mod old;
mod telling;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::building::InstallScripts;
use super::choices::Choices;
use super::commands::mount::mountpoints_of;
use super::context::Context;
use super::failure::Failure;
use super::recorded;
use super::relocking::{self, Relocked};
use super::writing;
use crate::fs::control::RunDirectory;
use crate::fs::error::MountError;
use crate::fs::image::{Image, ImageError};
use crate::fs::kernel::Access;
use crate::fs::layer;
use crate::fs::links::links_of;
use crate::fs::mount::{
    self, MountOutcome, MountPlan, RealFiles, ServerCommand, check_prerequisites,
};
use crate::fs::mountinfo;
use crate::fs::mountpoint;
use crate::fs::server::THREADS_DEFAULT;
use crate::install::builds::Build;
use crate::install::config::{Config, VirtualMode};
use crate::install::layout::Layout;
use crate::install::locked::{self, Groups, Inputs, InstallError, Supply};
use crate::install::lockfile::ImporterId;
use crate::install::real;
use crate::install::real::links::{LinkDirectory, are_written, write_links};
use crate::install::scripts::ProjectStages;
use crate::report::{Event, Phase, phase};
use crate::store::{Access as StoreAccess, PackId, Store};
use crate::sys;
use telling::{tell_left_behind, tell_that_reads_stay, tell_unbuilt};

pub(super) use back::{put_back, served_layer};
pub(super) use before::bring_up;
pub(super) use telling::tell;

pub(super) const UP_TO_DATE: &str = "Already up to date";

const fn groups_of(production: bool, development: bool, optional: bool) -> Groups {
    Groups {
        production,
        development,
        optional,
    }
}

/// What flags of an install can ask for, the usual first.
const GROUPS_OF_INSTALLS: [Groups; 5] = [
    groups_of(true, true, true),
    groups_of(true, false, true),
    groups_of(true, true, false),
    groups_of(true, false, false),
    groups_of(false, true, false),
];

/// What a command asks for.
pub(super) struct Place {
    pub(super) groups: Groups,
    pub(super) supply: Supply,
    pub(super) real_files: RealFiles,
    pub(super) verify_reads: bool,
}

/// A layer that was saved, and what has to be mounted where.
pub(super) struct Ready {
    pub(super) plan: MountPlan,
    /// Trees that hold only links, which are written.
    links: Vec<(LinkDirectory, PathBuf)>,
    pub(super) run: RunDirectory,
    pub(super) store: Arc<Store>,
    packages: usize,
    importers: Vec<ImporterId>,
    unbuilt: Option<Unbuilt>,
    /// Packages whose scripts are ignored.
    ignored_builds: Vec<Box<str>>,
}

/// Packages that are to be built in the tree, and the tree.
struct Unbuilt {
    builds: Vec<Build>,
    layout: Layout,
}

/// Brings everything up to date and mounts in the background.
pub(super) fn install_and_mount(context: &Context, place: &Place) -> Result<(), Failure> {
    let start = Start::up_to_date(context, place, None)?;
    if start.is_served(context, place)? {
        context.settle()?;
        context.reporter.report(&Event::Info(UP_TO_DATE));
        tell_that_reads_stay(context, place);
        return Ok(());
    }
    let mut ready = start.make_ready(context, place)?;
    let outcome = mount_ready(context, place, &mut ready)?;
    context.settle()?;
    tell(context, &ready, &outcome);
    tell_unbuilt(context, &ready);
    if !matches!(outcome, MountOutcome::Mounted { .. }) {
        tell_that_reads_stay(context, place);
    }
    Ok(())
}

/// Brings everything up to date, mounts in the background, and runs the scripts that belong to it.
pub(super) fn install(
    context: &Context,
    place: &Place,
    scripts: &InstallScripts<'_>,
) -> Result<(), Failure> {
    let modules = modules_of(context, ".");
    let start = Start::new(context, place).ok();
    if let Some(start) = &start
        && !scripts.are_due_anyway()
        && start.is_served(context, place)?
    {
        context.settle()?;
        context.reporter.report(&Event::Info(UP_TO_DATE));
        return scripts.ignored(&recorded::ignored_builds(&modules));
    }
    install_from(context, place, scripts, start)
}

/// The same, whether or not it seems to be up to date.
pub(super) fn install_anew(
    context: &Context,
    place: &Place,
    scripts: &InstallScripts<'_>,
) -> Result<(), Failure> {
    install_from(context, place, scripts, None)
}

/// `read` is what was read of the project a moment ago.
fn install_from(
    context: &Context,
    place: &Place,
    scripts: &InstallScripts<'_>,
    read: Option<Start>,
) -> Result<(), Failure> {
    let known = read.as_ref().map(|start| &*start.inputs.projects);
    let may_have_changed = scripts.before(known)?;
    let start = Start::up_to_date(context, place, read.filter(|_| !may_have_changed))?;
    let projects = start.inputs.projects.clone();
    let mut ready = start.make_ready(context, place)?;
    let outcome = mount_ready(context, place, &mut ready)?;
    build(context, place, scripts, &ready, &outcome)?;
    context.settle()?;
    tell(context, &ready, &outcome);
    if !matches!(outcome, MountOutcome::Mounted { .. }) {
        tell_that_reads_stay(context, place);
    }
    scripts.of_projects(&projects, ProjectStages::AfterLinking)?;
    match ready.unbuilt {
        None => scripts.ignored(&ready.ignored_builds),
        Some(_) => scripts.ignored(&recorded::ignored_builds(&modules_of(context, "."))),
    }
}

/// Builds packages in the mounted tree, and lets what was stored of them take their places in it.
fn build(
    context: &Context,
    place: &Place,
    scripts: &InstallScripts<'_>,
    ready: &Ready,
    outcome: &MountOutcome,
) -> Result<(), Failure> {
    let Some(unbuilt) = &ready.unbuilt else {
        return Ok(());
    };
    // What cannot be stored is built once for a tree, not at every install.
    let note = ready.plan.layer.with_extension("built");
    if matches!(outcome, MountOutcome::AlreadyMounted { .. }) && note.exists() {
        return Ok(());
    }
    let trees = unbuilt.layout.trees.iter();
    let roots: Vec<PathBuf> = trees
        .map(|tree| modules_of(context, tree.importer.as_str()))
        .collect();
    let report = scripts.of_packages(&ready.store, &unbuilt.layout, &unbuilt.builds, &roots);
    if report.unstored > 0 && report.failure.is_none() {
        write_note(&note)?;
    }
    // What was built before something failed is in the store too: to the next install its files
    // in the tree would be somebody's changes.
    let shown = show_built(context, place, report.stored);
    match report.failure {
        Some(error) => Err(error.into()),
        None => shown,
    }
}

/// Lets what was stored of the packages at these places take their places in the tree.
fn show_built(context: &Context, place: &Place, stored: Vec<PathBuf>) -> Result<(), Failure> {
    if stored.is_empty() {
        return Ok(());
    }
    let mut again = Start::new(context, place)?.make_ready(context, place)?;
    again.plan.forgotten = stored;
    match mount_ready(context, place, &mut again) {
        Ok(outcome) => {
            if let MountOutcome::Swapped { report, .. } = &outcome {
                tell_left_behind(context, report);
            }
            Ok(())
        }
        // It would have to be mounted anew, and somebody is in the tree. What was built is in it
        // too, as what was written into it.
        Err(failure) if failure.is_busy_mount() => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn write_note(path: &Path) -> Result<(), Failure> {
    std::fs::File::create(path).map(drop).map_err(|cause| {
        let sentence = format!("The note {} cannot be written", path.display());
        Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
    })
}

fn mount_ready(
    context: &Context,
    place: &Place,
    ready: &mut Ready,
) -> Result<MountOutcome, Failure> {
    if ready.withdraw_real_files(context)? {
        // What is left there is not an installer's.
        ready.plan.real_files = RealFiles::MoveAside;
    }
    ready.write_links()?;
    let command = server_command(place.verify_reads);
    let _span = tracing::info_span!("mount").entered();
    Ok(phase(&*context.reporter, Phase::Mount, || {
        mount::mount(&ready.plan, &ready.run, &command)
    })?)
}

/// How `node_modules` is to be put in place. Where nobody said, what is served stays served, and
/// what was served when the machine was last up is served again, if that is possible.
pub(super) fn mode(context: &Context) -> Result<VirtualMode, Failure> {
    let said = context.config.virtual_mode;
    if said != VirtualMode::AsItIs {
        return Ok(said);
    }
    let mountpoints = mountpoints_of(context, &RunDirectory::of_user()?)?;
    Ok(if !mountpoints.is_empty() {
        VirtualMode::On
    } else if Choices::kept(context).is_some_and(|choices| choices.is_served()) {
        VirtualMode::Auto
    } else {
        VirtualMode::Off
    })
}

/// Whether `node_modules` is to be served here, as [`mode`] says and the machine can.
pub(super) fn is_to_be_served(context: &Context) -> Result<bool, Failure> {
    Ok(match mode(context)? {
        VirtualMode::Off | VirtualMode::AsItIs => false,
        VirtualMode::On => true,
        VirtualMode::Auto => check_prerequisites(context.config.mount_helper.as_deref()).is_ok(),
    })
}

impl Ready {
    /// Writes the trees that hold only links. Real files have to be out of their way.
    pub(super) fn write_links(&self) -> Result<(), Failure> {
        Ok(write_links(&self.links)?)
    }

    /// Takes real files of this program away where the mounts go.
    ///
    /// Nobody may mount there meanwhile: what is taken away would be the tree that is served.
    fn withdraw_real_files(&self, context: &Context) -> Result<bool, Failure> {
        let places = self.plan.mounts.iter();
        let places: Vec<PathBuf> = places
            .map(|(_, mountpoint)| mountpoint::resolve(mountpoint))
            .collect::<Result<_, _>>()?;
        let Some(first) = places.first() else {
            return Ok(false);
        };
        let place = |id: &ImporterId| (id.clone(), modules_of(context, id.as_str()));
        let projects: Vec<_> = self.importers.iter().map(place).collect();
        let is_own_npm_tree = writing::made_npm_tree(context);
        // Without the lock first, which is a file to be made: hardly ever is there anything.
        if is_any_mounted(&places)? || !real::is_withdrawable(&projects, is_own_npm_tree) {
            return Ok(false);
        }
        let _lock = self.run.lock(first)?;
        if is_any_mounted(&places)? {
            return Ok(false);
        }
        Ok(real::withdraw(&projects, &self.store, is_own_npm_tree)?)
    }
}

fn is_any_mounted(places: &[PathBuf]) -> Result<bool, MountError> {
    for place in places {
        let found = mountinfo::find(place).map_err(|source| MountError::Io {
            path: place.clone(),
            source,
        })?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// This program, as a server.
pub(super) fn server_command(verify_reads: bool) -> ServerCommand {
    let flag = verify_reads.then_some("--verify-reads");
    ServerCommand {
        program: PathBuf::from("/proc/self/exe"),
        leading_args: ["serve"]
            .into_iter()
            .chain(flag)
            .chain(["--"])
            .map(Into::into)
            .collect(),
    }
}

/// What was read of a project, and where its layer is if it was made before.
pub(super) struct Start {
    inputs: Inputs,
    layers: PathBuf,
    named: PathBuf,
    run: RunDirectory,
}

impl Start {
    /// Reads the project, and makes its lockfile anew where it does not fit. A layer of the same
    /// inputs tells that it fits. `read` is what was read of it a moment ago.
    fn up_to_date(context: &Context, place: &Place, read: Option<Self>) -> Result<Self, Failure> {
        let read = read.or_else(|| Self::new(context, place).ok());
        match read {
            Some(start) if start.has_layer() => Ok(start),
            read => match (relocking::bring_up_to_date(context, place.groups)?, read) {
                (Relocked::Kept, Some(start)) => Ok(start),
                _ => Self::new(context, place),
            },
        }
    }

    /// Whether the layer of exactly these inputs was made before: then the lockfile fits.
    fn has_layer(&self) -> bool {
        self.named.exists() && self.importers().is_some()
    }

    /// Reads the project.
    pub(super) fn new(context: &Context, place: &Place) -> Result<Self, Failure> {
        let config = &context.config;
        let inputs = context.inputs(place.groups)?;
        let run = RunDirectory::of_user()?;
        let layers = layers_directory(config, &run);
        let named = layers.join(format!("{}.layer", inputs.digest(config)));
        Ok(Self {
            inputs,
            layers,
            named,
            run,
        })
    }

    /// The same where the scripts of all packages may run.
    fn with_all_built(mut self, context: &Context) -> Self {
        let mut config = context.config.clone();
        config.builds.allow_all = true;
        let name = format!("{}.layer", self.inputs.digest(&config));
        self.named = self.layers.join(name);
        self
    }

    /// Whether the layer of these inputs is what is served, and the store has what it shows: then
    /// nothing else has to be looked at.
    fn is_served(&self, context: &Context, place: &Place) -> Result<bool, Failure> {
        let Some(layer_digest) = Image::saved_digest_text(&self.named) else {
            return Ok(false);
        };
        let Some((mounts, written)) = self.trees(context) else {
            return Ok(false);
        };
        let plan = plan(context, place, self.named.clone(), layer_digest, mounts);
        Ok(mount::is_mounted(&plan, &self.run)?
            && are_written(&written)
            && self.is_stored(&context.config.store_directory))
    }

    /// Whether the store has everything that the saved layer shows: it may have been removed under
    /// the mount, and made again by another project.
    fn is_stored(&self, store: &Path) -> bool {
        let Ok(store) = Store::open(store, StoreAccess::ReadOnly) else {
            return false;
        };
        is_noted_as_whole(&self.named, store.mark().as_deref())
            || matches!(saved_image(&self.named, &store), Ok(Some(_)))
    }

    /// Makes the layer of the project, or takes the one that was saved under the same inputs.
    pub(super) fn make_ready(self, context: &Context, place: &Place) -> Result<Ready, Failure> {
        let config = &context.config;
        let early = context.take_early();
        let access = match place.supply {
            Supply::Fetch => StoreAccess::ReadWrite,
            Supply::StoreOnly => StoreAccess::ReadOnly,
        };
        let store = open_store(config, access, place.supply)?;
        if place.supply == Supply::Fetch {
            forget_what_cannot_be_read(context, &store)?;
        }
        if let Some(importers) = self.importers()
            && let Some(image) = saved_image(&self.named, &store)?
        {
            let trees = trees_of(context, &image, &importers)?;
            return self.ready(context, place, store, &image, None, trees, None);
        }
        let prepared = locked::prepare(
            &self.inputs,
            config,
            &store,
            place.supply,
            early,
            &context.reporter,
        )?;
        let layout = prepared.built.layout;
        let image = layer::build(&layout)?;
        // What is still to be built is no tree to begin the next install with.
        let is_final = prepared.is_repeatable && prepared.builds.builds.is_empty();
        let once = (!is_final).then(|| {
            self.layers
                .join(format!("once-{}.layer", image.digest_text()))
        });
        make_directory(&self.layers)?;
        let saved = once.as_ref().unwrap_or(&self.named);
        image.save(saved)?;
        old::forget(&self.layers, saved, &self.run);
        let importers = layout.trees.iter().map(|tree| &tree.importer);
        let importers: Vec<Box<str>> = importers.map(|id| id.as_str().into()).collect();
        if !self.inputs.is_single_project() {
            let layer = once.as_ref().unwrap_or(&self.named);
            write_importers(&importers_path(layer), &importers)?;
        }
        let trees = trees_of(context, &image, &importers)?;
        let builds = prepared.builds.builds;
        let unbuilt = (!builds.is_empty()).then_some(Unbuilt { builds, layout });
        self.ready(context, place, store, &image, once, trees, unbuilt)
    }

    /// Whose the trees of the saved layer are, in their order.
    fn importers(&self) -> Option<Vec<Box<str>>> {
        if let [project] = &*self.inputs.projects {
            return Some(vec![project.id.as_str().into()]);
        }
        importers_beside(&self.named)
    }

    /// The trees of the saved layer.
    fn trees(&self, context: &Context) -> Option<Trees> {
        let importers = self.importers()?;
        if let [importer] = &*importers {
            return Some((vec![(0, modules_of(context, importer))], Vec::new()));
        }
        trees(context, &Image::load(&self.named).ok()?, &importers)
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of the product")]
    fn ready(
        self,
        context: &Context,
        place: &Place,
        store: Arc<Store>,
        image: &Image,
        once: Option<PathBuf>,
        (mounts, links): Trees,
        unbuilt: Option<Unbuilt>,
    ) -> Result<Ready, Failure> {
        let path = once.unwrap_or(self.named);
        let packs = (0..image.pack_count()).filter_map(|index| Some(image.pack(index)?.0));
        store.set_root(&context.config.lockfile_directory, packs)?;
        let plan = plan(context, place, path, image.digest_text(), mounts);
        let packages = image.instance_count() as usize;
        let importers = self
            .inputs
            .projects
            .iter()
            .map(|project| project.id.clone());
        let importers = importers.collect();
        Ok(Ready {
            ignored_builds: recorded::ignored_builds_in(image),
            plan,
            links,
            run: self.run,
            store,
            packages,
            importers,
            unbuilt,
        })
    }
}

fn plan(
    context: &Context,
    place: &Place,
    layer: PathBuf,
    layer_digest: String,
    mounts: Vec<(u32, PathBuf)>,
) -> MountPlan {
    let config = &context.config;
    MountPlan {
        layer,
        layer_digest,
        store: config.store_directory.clone(),
        project: config.lockfile_directory.clone(),
        mounts,
        access: if config.allow_other {
            Access::Everybody
        } else {
            Access::Owner
        },
        threads: THREADS_DEFAULT,
        real_files: place.real_files,
        forgotten: Vec::new(),
        restores: true,
        clears: context.clears,
        mount_helper: config.mount_helper.clone(),
        profiles: config
            .mount_profile
            .then(|| config.cache_directory.join("profiles")),
    }
}

/// Beside the layer of a workspace.
fn importers_path(layer: &Path) -> PathBuf {
    layer.with_extension("importers")
}

/// Whose the trees of a workspace's layer are.
fn importers_beside(layer: &Path) -> Option<Vec<Box<str>>> {
    serde_json::from_slice(&std::fs::read(importers_path(layer)).ok()?).ok()
}

/// Everywhere that layers may have been saved.
pub(super) fn layer_directories(config: &Config, run: &RunDirectory) -> [PathBuf; 2] {
    [
        config.cache_directory.join("layers"),
        run.path().join("layers"),
    ]
}

/// The layers that are saved in a directory, which need not be there.
pub(super) fn saved_layers(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut layers = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_layer = |extension| extension == "layer";
        if path.extension().is_some_and(is_layer) {
            layers.push(path);
        }
    }
    Ok(layers)
}

/// Where layers are saved: in the cache, or where nothing can be written there, beside the sockets
/// of the servers.
fn layers_directory(config: &Config, run: &RunDirectory) -> PathBuf {
    let [in_cache, beside_sockets] = layer_directories(config, run);
    match sys::directory::is_writable(&in_cache) {
        true => in_cache,
        false => beside_sockets,
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), Failure> {
    sys::directory::make(path).map_err(|source| {
        Failure::from(InstallError::Directory {
            path: path.to_owned(),
            source,
        })
    })
}

pub(super) fn open_store(
    config: &Config,
    access: StoreAccess,
    supply: Supply,
) -> Result<Arc<Store>, Failure> {
    let path = &config.store_directory;
    if config.frozen_store {
        return Ok(Arc::new(Store::open(path, StoreAccess::ReadOnly)?));
    }
    // A command that only mounts must not make a store where there is none, but it must be able to
    // say which packages are missing.
    let opened = match Store::open(path, access) {
        Err(_) if supply == Supply::StoreOnly && !path.exists() => {
            Store::open(path, StoreAccess::ReadWrite)
        }
        other => other,
    };
    Ok(Arc::new(opened?))
}

/// Forgets the packages that a server of this project could not read, so that they are fetched
/// again.
pub(super) fn forget_what_cannot_be_read(context: &Context, store: &Store) -> Result<(), Failure> {
    let run = RunDirectory::of_user()?;
    let packs = mount::unreadable_packs(&context.config.lockfile_directory, store.path(), &run)?;
    if packs.is_empty() || store.is_read_only() {
        return Ok(());
    }
    let message = format!(
        "{} damaged packs of the store are replaced: {}",
        packs.len(),
        packs
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    );
    context.reporter.report(&Event::Warning {
        code: "ERR_PACQUET_PACK_DAMAGED",
        message: &message,
    });
    Ok(store.forget_packs(&packs)?)
}

/// The saved layer, if it is there and whole and the store still has all that it shows.
fn saved_image(path: &Path, store: &Store) -> Result<Option<Image>, Failure> {
    let Ok(image) = Image::load(path) else {
        return Ok(None);
    };
    old::note_use(path);
    let mark = store.mark();
    if is_noted_as_whole(path, mark.as_deref()) {
        return Ok(Some(image));
    }
    let packages: Vec<(&str, PackId)> = (0..image.instance_count())
        .filter_map(|index| {
            let instance = image.instance(index)?;
            Some((std::str::from_utf8(instance.key).ok()?, instance.pack))
        })
        .collect();
    if store.missing_of(&packages)? > 0 {
        return Ok(None);
    }
    if let Some(mark) = mark
        && let Err(error) = std::fs::write(note_of_whole(path), mark)
    {
        tracing::debug!(%error, "the next install goes through the packages again");
    }
    Ok(Some(image))
}

/// Beside a layer: the mark of the store when that had everything that the layer shows.
fn note_of_whole(layer: &Path) -> PathBuf {
    layer.with_extension("whole")
}

/// Whether the store had everything that the layer shows, and nothing in it has changed since: then
/// it need not be gone through.
fn is_noted_as_whole(layer: &Path, mark: Option<&str>) -> bool {
    let noted = std::fs::read_to_string(note_of_whole(layer));
    mark.is_some_and(|mark| noted.is_ok_and(|noted| noted == mark))
}

fn write_importers(path: &Path, importers: &[Box<str>]) -> Result<(), Failure> {
    let text = serde_json::to_vec(importers).expect("invariant: a list of texts is JSON");
    std::fs::write(path, text).map_err(|cause| {
        let sentence = format!("{} cannot be written", path.display());
        Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
    })
}

/// Trees by number that are mounted, and those that are written, each with its place.
type Trees = (Vec<(u32, PathBuf)>, Vec<(LinkDirectory, PathBuf)>);

/// Which trees of `image` are mounted, and which hold only links; the root's always is mounted.
/// `None` where these are not the trees of these importers.
fn trees(context: &Context, image: &Image, importers: &[Box<str>]) -> Option<Trees> {
    if importers.len() != image.tree_count() as usize {
        return None;
    }
    let (mut mounts, mut written) = (Vec::new(), Vec::new());
    for (number, importer) in (0..).zip(importers) {
        let modules = modules_of(context, importer);
        match links_of(image, number).filter(|_| number > 0) {
            Some(links) => written.push((links, modules)),
            None => mounts.push((number, modules)),
        }
    }
    Some((mounts, written))
}

/// The same, where the image must be one of these importers.
fn trees_of(context: &Context, image: &Image, importers: &[Box<str>]) -> Result<Trees, Failure> {
    let trees = trees(context, image, importers);
    trees.ok_or_else(|| ImageError::Damaged("it has other trees than projects").into())
}

pub(super) fn modules_of(context: &Context, importer: &str) -> PathBuf {
    let config = &context.config;
    let project = match importer {
        "." => config.lockfile_directory.clone(),
        other => config.lockfile_directory.join(other),
    };
    project.join(&config.modules_directory)
}
