//! What is put in place before a script or a program runs.

use super::{GROUPS_OF_INSTALLS, Place, Start, install, is_to_be_served};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, IGNORED_BUILDS};
use crate::cli::writing;
use crate::fs::mount::RealFiles;
use crate::install::config::VerifyDependencies;
use crate::install::locked::{LockfilePlace, Supply};
use crate::install::scripts::Children;
use crate::report::Event;

/// pnpm's code for a `node_modules` that a script should not see.
const OUT_OF_DATE: &str = "ERR_PNPM_VERIFY_DEPS_BEFORE_RUN";

/// Puts `node_modules` in place before a script or a program runs: where the project is one that is
/// served, is locked, and is not served as it should be; and as real files where nothing is there.
pub(in crate::cli) fn bring_up(context: &Context, children: &Children) -> Result<(), Failure> {
    let config = &context.config;
    let verify = config.scripts.verify_dependencies;
    if verify == VerifyDependencies::Never {
        return Ok(());
    }
    let is_locked = LockfilePlace::find(config).path.exists();
    let scripts = || InstallScripts::new(context, children, ProjectScripts::All);
    if !is_to_be_served(context)? {
        return match writing::is_missing(context)? {
            true => brought_up(context, || {
                writing::install(context, GROUPS_OF_INSTALLS[0], &scripts())
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
    // An install with `--prod` or the like is up to date too.
    for groups in GROUPS_OF_INSTALLS {
        let place = place(groups);
        if Start::new(context, &place)?.is_served(context, &place)? {
            return Ok(());
        }
    }
    brought_up(context, || {
        install(context, &place(GROUPS_OF_INSTALLS[0]), &scripts())
    })
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
