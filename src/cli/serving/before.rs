//! What is put in place before a script or a program runs.

use std::path::Path;

use super::{GROUPS_OF_INSTALLS, Place, Start, install, is_to_be_served};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::choices::Choices;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, IGNORED_BUILDS};
use crate::cli::{freshness, recorded, writing};
use crate::fs::mount::RealFiles;
use crate::install::config::VerifyDependencies;
use crate::install::locked::{Groups, LockfilePlace, Supply};
use crate::install::scripts::Children;
use crate::report::Event;

/// pnpm's code for a `node_modules` that a script should not see.
const OUT_OF_DATE: &str = "ERR_PNPM_VERIFY_DEPS_BEFORE_RUN";

/// Puts `node_modules` in place before a script or a program runs in `directories`: where the
/// project is one that is served, is locked, and is not served as it should be; and real files that
/// are out of date. The groups of dependencies that are there are kept.
pub(in crate::cli) fn bring_up<'a>(
    context: &Context,
    children: &Children,
    directories: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let config = &context.config;
    let verify = config.scripts.verify_dependencies;
    if verify == VerifyDependencies::Never || !config.makes_modules {
        return Ok(());
    }
    context.narrow_to_installed(directories)?;
    let is_locked = LockfilePlace::find(config).path.exists();
    let scripts = || InstallScripts::new(context, children, ProjectScripts::All);
    let present = || recorded::groups(context).unwrap_or(Groups::ALL);
    if !is_to_be_served(context)? {
        return match freshness::is_out_of_date(context)? {
            true => brought_up(context, || {
                let groups = present();
                let scripts = scripts().of_groups(groups);
                going_on(context, writing::install(context, groups, &scripts))
            }),
            false => Ok(()),
        };
    }
    if !is_locked {
        return Ok(());
    }
    let place = |groups| Place {
        groups,
        supply: Supply::Fetch,
        real_files: RealFiles::Refuse,
        verify_reads: false,
    };
    // An install with `--prod` or the like is up to date too, and one whose flag let every package
    // run its scripts: what they have built stays, and nothing runs for it here.
    let is_all_built = Choices::kept(context).is_some_and(|kept| kept.allow_all_builds());
    for groups in GROUPS_OF_INSTALLS {
        let place = place(groups);
        let start = Start::new(context, &place)?;
        if start.is_served(context, &place)?
            || (is_all_built && start.with_all_built(context).is_served(context, &place)?)
        {
            return Ok(());
        }
    }
    brought_up(context, || {
        let groups = present();
        install(context, &place(groups), &scripts().of_groups(groups))
    })
}

/// Real files that could not be brought up to date may do for what is to run, as pnpm sees it.
fn going_on(context: &Context, result: Result<(), Failure>) -> Result<(), Failure> {
    let failure = match result {
        Err(failure) if !failure.is_about_ignored_builds() => failure,
        result => return result,
    };
    let sentence = failure.sentence();
    context.reporter.report(&Event::Warning {
        code: failure.code(),
        message: &format!(
            "node_modules could not be brought up to date: {sentence} (verifyDepsBeforeRun: false \
             skips this)"
        ),
    });
    Ok(())
}

/// Does what is to be done where dependencies are not in place, before something runs.
fn brought_up(context: &Context, put: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    match context.config.scripts.verify_dependencies {
        VerifyDependencies::Warn => {
            context.reporter.report(&Event::Warning {
                code: OUT_OF_DATE,
                message: "node_modules is not up to date with the lockfile",
            });
            Ok(())
        }
        VerifyDependencies::Error | VerifyDependencies::Prompt => Err(Failure::new(
            OUT_OF_DATE,
            "node_modules is not up to date with the lockfile",
            Some("run `pacquet install`, or set verifyDepsBeforeRun to install"),
        )),
        VerifyDependencies::Install | VerifyDependencies::Never => match put() {
            // The packages are there, and what is to run may need nothing of their builds.
            Err(failure) if failure.is_about_ignored_builds() => {
                context.reporter.report(&Event::Warning {
                    code: IGNORED_BUILDS,
                    message: &failure.sentence(),
                });
                Ok(())
            }
            result => result,
        },
    }
}
