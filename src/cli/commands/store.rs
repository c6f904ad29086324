//! `store path`, `status`, `verify` and `rebuild-index`.

use serde_json::{Value, json};

use crate::cli::arguments::{GlobalArguments, StoreCommand};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::report::human_bytes;
use crate::install::config::Options;
use crate::report::{Phase, phase};
use crate::store::{Access, Finding, PackId, Severity, Store};

pub(in crate::cli) fn run(global: &GlobalArguments, command: &StoreCommand) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    match command {
        StoreCommand::Path => {
            print(&format!("{}\n", context.config.store_directory.display()));
            Ok(())
        }
        StoreCommand::Status { json } => status(&context, *json),
        StoreCommand::Verify { json } => verify(&context, *json),
        StoreCommand::RebuildIndex => rebuild_index(&context),
    }
}

fn open(context: &Context) -> Result<Store, Failure> {
    Ok(Store::open(
        &context.config.store_directory,
        Access::ReadWrite,
    )?)
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
