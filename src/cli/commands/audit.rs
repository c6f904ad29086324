//! `audit`: known vulnerabilities of what the lockfile has.

mod output;
mod update;

use serde_json::{Map, Value, json};

use crate::cli::Ending;
use crate::cli::arguments::{AuditArguments, AuditFix, GlobalArguments, ListArguments};
use crate::cli::context::{Context, network_options};
use crate::cli::failure::Failure;
use crate::cli::installed::Source;
use crate::cli::serving::open_store;
use crate::cli::{complain, print, prompt};
use crate::install::audit::{
    Advisory, AuditError, AuditGraph, Registry, Report, Severity, normal_ghsa, overrides,
};
use crate::install::config::{Config, Options};
use crate::install::layout::IncludedGroups;
use crate::install::locked::{LockfilePlace, Supply};
use crate::install::lockfile::ImporterId;
use crate::install::scripts::ScriptEnd;
use crate::install::settings_file::SettingsFile;
use crate::store::Access;

/// Ends with 1 where there is a vulnerability.
pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &AuditArguments,
) -> Result<Ending, Failure> {
    let how = how_to_fix(arguments)?;
    let mut options = Options::default();
    network_options(&arguments.network, &mut options);
    let context = Context::load(global, options)?;
    let config = &context.config;
    let level = level(config, arguments)?;
    if !LockfilePlace::find(config).path.exists() {
        return Err(Failure::new(
            "ERR_PNPM_AUDIT_NO_LOCKFILE",
            "No pnpm-lock.yaml found: Cannot audit a project without a lockfile",
            Some("`pacquet install --lockfile-only` writes one"),
        ));
    }
    let graph = graph(global, arguments)?;
    let report = match ask(&context, &graph) {
        Err(error) if arguments.ignore_registry_errors && error.is_of_the_registry() => {
            complain(&error.to_string());
            return Ok(match arguments.json {
                true => tell(config, arguments, Report::default(), &graph, level),
                false => Ending::Success,
            });
        }
        report => report?,
    };
    match how {
        Some(AuditFix::Override) => return fix(config, arguments, report, level),
        Some(AuditFix::Update) => return update::fix(&context, (global, arguments), report, level),
        None => {}
    }
    if !arguments.ignore.is_empty() || arguments.ignore_unfixable {
        return ignore(config, arguments, report, level);
    }
    Ok(tell(config, arguments, report, &graph, level))
}

/// How to fix what is found; refuses what does not go together, or is not there.
fn how_to_fix(arguments: &AuditArguments) -> Result<Option<AuditFix>, Failure> {
    let words = arguments.words.join(" ");
    if words == "signatures" {
        return Err(Failure::new(
            "ERR_PACQUET_NOT_SUPPORTED",
            "`audit signatures` is not supported",
            Some("an install holds every archive against the lockfile's integrity"),
        ));
    }
    if !words.is_empty() {
        return Err(Failure::new(
            "ERR_PNPM_AUDIT_UNKNOWN_SUBCOMMAND",
            format!("Unknown audit subcommand: {}", crate::name::escaped(&words)),
            None,
        ));
    }
    let fix = arguments.fix().map_err(|named| {
        Failure::new(
            "ERR_PNPM_INVALID_FIX_OPTION",
            format!(
                "Invalid value for --fix: {}. Should be one of \"override\" or \"update\"",
                crate::name::escaped(named)
            ),
            None,
        )
    })?;
    let ignores = match (arguments.ignore.is_empty(), arguments.ignore_unfixable) {
        (false, _) => Some("--ignore"),
        (true, true) => Some("--ignore-unfixable"),
        (true, false) => None,
    };
    match (fix, ignores) {
        (Some(_), Some(flag)) => {
            let fix = if arguments.interactive && !arguments.has_fix() {
                "--interactive"
            } else {
                "--fix"
            };
            Err(Failure::new(
                "ERR_PNPM_AUDIT_FIX_WITH_IGNORE",
                format!("\"{fix}\" may not be used with \"{flag}\""),
                None,
            ))
        }
        _ => Ok(fix),
    }
}

/// The least severity that counts.
fn level(config: &Config, arguments: &AuditArguments) -> Result<Severity, Failure> {
    let named = |text: &str| Severity::ALL.into_iter().find(|one| one.as_str() == text);
    match (&arguments.audit_level, &config.audit.level) {
        (Some(level), _) => Ok(level.severity()),
        (None, None) => Ok(Severity::Low),
        (None, Some(text)) => named(text).ok_or_else(|| {
            Failure::usage("auditLevel is one of info, low, moderate, high and critical")
        }),
    }
}

fn graph(global: &GlobalArguments, arguments: &AuditArguments) -> Result<AuditGraph, Failure> {
    let listed = ListArguments {
        lockfile_only: true,
        ..ListArguments::default()
    };
    let source = Source::read(global, &listed)?;
    let selection = &global.workspace;
    let is_selected = selection.is_filtered() || selection.workspace_root;
    let is_root_alone = !selection.is_filtered();
    let chosen = source
        .chosen
        .iter()
        .map(|at| source.projects[*at].id.clone());
    let chosen = chosen.filter(|id| !is_root_alone || id.0.is_none());
    let chosen: Option<Vec<ImporterId>> = is_selected.then(|| chosen.collect());
    let included = arguments.groups.included();
    let groups = IncludedGroups {
        optional: included.optional && included.production,
        ..included
    };
    let graph = AuditGraph::new(&source.lockfile, chosen.as_deref(), groups);
    Ok(graph.map_err(AuditError::from)?)
}

fn ask(context: &Context, graph: &AuditGraph) -> Result<Report, AuditError> {
    let config = &context.config;
    let store = open_store(config, Access::ReadWrite, Supply::Fetch);
    let temporary = match &store {
        Ok(store) => store.path().join("tmp"),
        Err(_) => std::env::temp_dir(),
    };
    Registry::new(config, temporary, &context.reporter)?.report(graph)
}

fn tell(
    config: &Config,
    arguments: &AuditArguments,
    mut report: Report,
    graph: &AuditGraph,
    level: Severity,
) -> Ending {
    let before = report.counts();
    let ignored = report.take_ignored(&config.audit.ignored);
    let counts = report.counts();
    let mut shown: Vec<&Advisory> = report.advisories.iter().collect();
    shown.retain(|advisory| advisory.severity >= level);
    let ending = ending(!shown.is_empty());
    if arguments.json {
        let advisories: Map<String, Value> = shown
            .iter()
            .map(|advisory| (advisory.id.to_string(), advisory.json()))
            .collect();
        let severities: Map<String, Value> = before
            .iter()
            .map(|(severity, count)| (severity.as_str().to_owned(), json!(count)))
            .collect();
        let all = graph.counts();
        let object = json!({
            "advisories": advisories,
            "metadata": {
                "vulnerabilities": severities,
                "dependencies": all.production,
                "devDependencies": all.development,
                "optionalDependencies": all.optional,
                "totalDependencies": all.all,
            },
        });
        let text = serde_json::to_string_pretty(&object).unwrap_or_default();
        print(&format!("{text}\n"));
        return ending;
    }
    shown.sort_by_key(|advisory| std::cmp::Reverse(advisory.severity));
    let mut text: String = shown.into_iter().map(output::table).collect();
    text.push_str(&output::summary(&counts, &ignored.counts()));
    print(&text);
    ending
}

fn ending(is_vulnerable: bool) -> Ending {
    match is_vulnerable {
        true => Ending::As(ScriptEnd::Code(1)),
        false => Ending::Success,
    }
}

fn settings_file(config: &Config) -> Result<SettingsFile, Failure> {
    let root = config.workspace_root.as_ref();
    Ok(SettingsFile::of_workspace(
        root.unwrap_or(&config.lockfile_directory),
    )?)
}

/// Those that somebody chooses.
fn chosen(mut fixable: Vec<Advisory>) -> Result<Vec<Advisory>, Failure> {
    fixable.sort_by_key(|advisory| std::cmp::Reverse(advisory.severity));
    let labels: Vec<String> = fixable.iter().map(output::label).collect();
    let chosen = prompt::choose_some("Choose which vulnerabilities to fix", &labels)?;
    Ok(chosen.into_iter().map(|at| fixable[at].clone()).collect())
}

/// `--fix`: overrides in the workspace's file.
fn fix(
    config: &Config,
    arguments: &AuditArguments,
    mut report: Report,
    level: Severity,
) -> Result<Ending, Failure> {
    report.take_ignored(&config.audit.ignored);
    let mut fixable = report.advisories;
    fixable.retain(|one| one.severity >= level && one.patched.range().is_some());
    if arguments.interactive {
        fixable = chosen(fixable)?;
    }
    let prefix = match config.save.exact {
        true => "",
        false => &config.save.prefix,
    };
    let overrides = overrides(&fixable, prefix);
    if overrides.is_empty() {
        print("No fixes were made\n");
        return Ok(Ending::Success);
    }
    let mut file = settings_file(config)?;
    for (key, value) in &overrides {
        file.set(&["overrides", key], &json!(value))?;
    }
    file.write()?;
    let listed = serde_json::to_string_pretty(&overrides).unwrap_or_default();
    print(&format!(
        "{} overrides were added to pnpm-workspace.yaml to fix vulnerabilities.\n\
         Run \"pacquet install\" to apply the fixes.\n\nThe added overrides:\n{listed}\n",
        overrides.len()
    ));
    Ok(Ending::Success)
}

/// `--ignore`, `--ignore-unfixable`: ids in the workspace's file.
fn ignore(
    config: &Config,
    arguments: &AuditArguments,
    mut report: Report,
    level: Severity,
) -> Result<Ending, Failure> {
    let known: Vec<String> = config
        .audit
        .ignored
        .iter()
        .map(|id| normal_ghsa(id))
        .collect();
    let mut new = Vec::new();
    if arguments.ignore_unfixable {
        for one in report
            .advisories
            .iter()
            .filter(|one| one.patched.range().is_none())
        {
            if one.ghsa.is_empty() {
                return Err(Failure::new(
                    "ERR_PNPM_AUDIT_MISSING_GHSA",
                    format!(
                        "Cannot ignore advisory {} ({}): the registry did not provide a GHSA id",
                        one.id,
                        crate::name::escaped(&one.name)
                    ),
                    None,
                ));
            }
            new.push(one.ghsa.clone());
        }
    } else {
        new.extend(arguments.ignore.iter().map(|id| normal_ghsa(id)));
    }
    let mut seen = std::collections::HashSet::new();
    new.retain(|id| !known.contains(id) && seen.insert(id.clone()));
    let all: Vec<String> = known.into_iter().chain(new.iter().cloned()).collect();
    report.take_ignored(&all);
    let is_vulnerable = report.advisories.iter().any(|one| one.severity >= level);
    if new.is_empty() {
        print("No new vulnerabilities were ignored\n");
        return Ok(ending(is_vulnerable));
    }
    let mut file = settings_file(config)?;
    file.set(&["auditConfig", "ignoreGhsas"], &json!(all))?;
    file.write()?;
    print(&format!(
        "{} new vulnerabilities were ignored:\n{}\n",
        new.len(),
        new.join("\n")
    ));
    Ok(ending(is_vulnerable))
}
