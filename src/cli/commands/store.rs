//! `store path`, `status`, `add`, `import`, `verify`, `rebuild-index` and `prune`.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::arguments::{GlobalArguments, StoreCommand};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::report::human_bytes;
use crate::cli::serving::{layer_directories, saved_layers};
use crate::fs::control::RunDirectory;
use crate::fs::image::Image;
use crate::install::config::{DeclaredPackage, Options};
use crate::install::config_packages::{self, Fetching};
use crate::install::locked::{Groups, Imported, Inputs, import_from_pnpm};
use crate::install::relock::Named;
use crate::name::escaped;
use crate::report::{Event, Phase, phase};
use crate::store::{Access, Finding, PackId, PrunePlan, Severity, Store};

pub(in crate::cli) fn run(global: &GlobalArguments, command: &StoreCommand) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    match command {
        StoreCommand::Path => {
            print(&format!("{}\n", context.config.store_directory.display()));
            Ok(())
        }
        StoreCommand::Status { json } => status(&context, *json),
        StoreCommand::Add { packages } => add(&context, packages),
        StoreCommand::Verify { json } => verify(&context, *json),
        StoreCommand::Import { from, json } => import(&context, from.as_deref(), *json),
        StoreCommand::RebuildIndex => rebuild_index(&context),
        StoreCommand::Prune { dry_run, json } => prune(&context, *dry_run, *json),
    }
}

fn open(context: &Context) -> Result<Store, Failure> {
    Ok(Store::open(
        &context.config.store_directory,
        Access::ReadWrite,
    )?)
}

/// Adds what can be had, and fails where something cannot.
fn add(context: &Context, packages: &[String]) -> Result<(), Failure> {
    let store = open(context)?;
    let fetching = Fetching {
        config: &context.config,
        environment: &context.environment,
        store: &store,
        reporter: &context.reporter,
    };
    let add_one = |text: &String| -> Result<String, Failure> {
        let named = Named::parse(text);
        let Some(name) = named.alias else {
            return Err(Failure::new(
                "ERR_PNPM_STORE_ADD_UNSUPPORTED_SPEC",
                format!("Cannot add \"{}\" to the store", escaped(text)),
                Some("only packages of registries can be added: NAME or NAME@VERSION"),
            ));
        };
        let default = || context.config.resolution.default_tag.clone();
        let specifier = named.specifier.unwrap_or_else(default);
        let declared = DeclaredPackage::new(specifier);
        let pinned = config_packages::choose(fetching, &name, &declared)?;
        config_packages::store(fetching, &name, &pinned)?;
        Ok(format!("+ {name}@{}", escaped(&pinned.version)))
    };
    let mut is_whole = true;
    for text in packages {
        match add_one(text) {
            Ok(added) => context.reporter.report(&Event::Info(&added)),
            Err(failure) => {
                is_whole = false;
                context.reporter.report(&Event::Warning {
                    code: failure.code(),
                    message: &failure.sentence(),
                });
            }
        }
    }
    match is_whole {
        true => Ok(()),
        false => Err(Failure::new(
            "ERR_PNPM_STORE_ADD_FAILURE",
            "Some packages have not been added correctly",
            Some("what was added stays in the store"),
        )),
    }
}

fn import(context: &Context, from: Option<&Path>, json: bool) -> Result<(), Failure> {
    let config = &context.config;
    let from = match from {
        Some(path) => context.environment.current_directory().join(path),
        None => config.pnpm_store_directory.clone().ok_or_else(|| {
            Failure::new(
                "ERR_PACQUET_NO_PNPM_STORE",
                "It is not known where pnpm's store is",
                Some("name it: `pacquet store import DIR`"),
            )
        })?,
    };
    // A store is named with or without the version in it.
    let versioned = from.join("v11");
    let from = if versioned.is_dir() { versioned } else { from };
    if !from.join("index.db").is_file() {
        return Err(Failure::new(
            "ERR_PACQUET_NO_PNPM_STORE",
            format!("There is no store of pnpm 11 or 12 at {}", from.display()),
            Some("`pnpm store path` tells where it is: `pacquet store import DIR`"),
        ));
    }
    let mut inputs = Inputs::read(config, &context.environment, Groups::ALL)?;
    inputs.children = context.children.clone();
    let store = open(context)?;
    let reporter = &context.reporter;
    let report = phase(&**reporter, Phase::Fetch, || {
        import_from_pnpm(&inputs, config, &store, &from, reporter)
    })?;
    let Imported {
        imported,
        known,
        missing,
    } = report;
    if json {
        let object = json!({
            "from": from,
            "imported": imported,
            "known": known,
            "missing": missing,
        });
        print(&format!("{object}\n"));
        return Ok(());
    }
    print(&format!(
        "{imported} packages were imported from {}\n  {known} were in the store before\n",
        from.display()
    ));
    for package in &missing {
        print(&format!("  {} is not in pnpm's store\n", escaped(package)));
    }
    Ok(())
}

fn status(context: &Context, json: bool) -> Result<(), Failure> {
    let store = open(context)?;
    let status = store.status()?;
    if json {
        let object = json!({
            "path": store.path(),
            "read_only": store.is_read_only(),
            "packages": status.packages,
            "durable": status.durable,
            "not_durable": status.not_durable,
            "packs": status.packs,
            "pack_bytes": status.pack_bytes,
            "temporary_files": status.temporary_files,
            "temporary_bytes": status.temporary_bytes,
        });
        print(&format!("{object}\n"));
        return Ok(());
    }
    print(&format!(
        "{}\n  {} packages in {} packs, {}\n  {} not yet known to be on disk\n",
        store.path().display(),
        status.packages,
        status.packs,
        human_bytes(status.pack_bytes),
        status.not_durable,
    ));
    if status.temporary_files > 0 {
        print(&format!(
            "  {} temporary files, {}\n",
            status.temporary_files,
            human_bytes(status.temporary_bytes)
        ));
    }
    Ok(())
}

fn verify(context: &Context, json: bool) -> Result<(), Failure> {
    let store = open(context)?;
    let findings = phase(&*context.reporter, Phase::Verify, || store.verify())?;
    let damages = findings
        .iter()
        .filter(|one| one.severity() == Severity::Damage)
        .count();
    if json {
        let list: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({
                    "id": finding.id(),
                    "damage": finding.severity() == Severity::Damage,
                    "message": finding.to_string(),
                })
            })
            .collect();
        print(&format!("{}\n", Value::Array(list)));
    } else {
        for finding in &findings {
            print(&format!("{}: {finding}\n", finding.id()));
        }
        if findings.is_empty() {
            print("The store is whole\n");
        }
    }
    if damages == 0 {
        return Ok(());
    }
    if !store.is_read_only() {
        let packs: Vec<PackId> = findings.iter().filter_map(Finding::damaged_pack).collect();
        store.forget_packs(&packs)?;
    }
    Err(Failure::new(
        "ERR_PACQUET_STORE_DAMAGED",
        format!("The store is damaged in {damages} places"),
        Some("install again: what is damaged or missing is fetched anew"),
    ))
}

fn prune(context: &Context, dry_run: bool, json: bool) -> Result<(), Failure> {
    let store = open(context)?;
    let plan = store.prune(|pruner| {
        let used = packs_in_use(context, store.path())?;
        let plan = pruner.plan(&used)?;
        let summary = Summary::of(&plan);
        if !dry_run {
            pruner.execute(plan)?;
        }
        Ok::<_, Failure>(summary)
    })?;
    if json {
        print(&format!("{}\n", plan.json(dry_run)));
        return Ok(());
    }
    for path in &plan.foreign {
        print(&format!("{path} does not belong to a store and stays\n"));
    }
    let verb = if dry_run { "Would remove" } else { "Removed" };
    print(&format!(
        "{verb} {} packages, {} packs and {} unpacked copies, {}\n",
        plan.packages.len(),
        plan.packs,
        plan.unpacked,
        human_bytes(plan.bytes)
    ));
    Ok(())
}

/// What a prune removes, for a person or a program.
struct Summary {
    packages: Vec<String>,
    packs: usize,
    unpacked: usize,
    bytes: u64,
    foreign: Vec<String>,
}

impl Summary {
    fn of(plan: &PrunePlan) -> Self {
        let shown = |path: &PathBuf| escaped(&path.to_string_lossy());
        Self {
            // A key is an integrity, a tab, and what the package is called.
            packages: plan
                .packages
                .iter()
                .map(|key| {
                    key.as_str()
                        .split('\t')
                        .nth(1)
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect(),
            packs: plan.packs.len(),
            unpacked: plan.unpacked.len(),
            bytes: plan.bytes,
            foreign: plan.foreign.iter().map(shown).collect(),
        }
    }

    fn json(&self, dry_run: bool) -> Value {
        json!({
            "dry_run": dry_run,
            "packages": self.packages,
            "packs": self.packs,
            "unpacked": self.unpacked,
            "bytes": self.bytes,
            "foreign": self.foreign,
        })
    }
}

/// The packs that saved layers and live mounts show. One that cannot be read ends the command.
fn packs_in_use(context: &Context, store: &Path) -> Result<HashSet<PackId>, Failure> {
    let mut layers: BTreeSet<PathBuf> = BTreeSet::new();
    let run = RunDirectory::of_user()?;
    let refused = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(
            "ERR_PACQUET_PRUNE_REFUSED",
            format!("{} cannot be read: {why}", path.display()),
            Some("nothing is removed while it is not known what is used; remove it if nobody does"),
        )
    };
    for directory in layer_directories(&context.config, &run) {
        layers.extend(saved_layers(&directory).map_err(|error| refused(&directory, &error))?);
    }
    let mut packs = HashSet::new();
    let mut digests = HashSet::new();
    for path in layers {
        let image = Image::load(&path).map_err(|error| refused(&path, &error))?;
        packs.extend((0..image.pack_count()).filter_map(|index| Some(image.pack(index)?.0)));
        digests.insert(image.digest_text());
    }
    // A mount of another run directory is a root: it was noted when it was made.
    for state in run.states()? {
        let is_of_store = state.store == store && state.is_alive();
        if is_of_store && !digests.contains(&state.layer_digest) {
            let path = &state.project;
            return Err(refused(
                path,
                &"what is served there is not known; unmount it",
            ));
        }
    }
    Ok(packs)
}

fn rebuild_index(context: &Context) -> Result<(), Failure> {
    let store = open(context)?;
    let report = phase(&*context.reporter, Phase::Verify, || store.rebuild_index())?;
    print(&format!(
        "The index has {} packages again\n",
        report.packages
    ));
    for pack in &report.damaged {
        print(&format!("  the pack {pack} is damaged and was left out\n"));
    }
    Ok(())
}
