//! What is said of a tree that is served.

use super::{Place, Ready, UP_TO_DATE};
use crate::cli::context::Context;
use crate::fs::control::SwapReport;
use crate::fs::mount::MountOutcome;
use crate::report::Event;

/// Says what was done.
pub(in crate::cli) fn tell(context: &Context, ready: &Ready, outcome: &MountOutcome) {
    let say = |text: &str| context.reporter.report(&Event::Info(text));
    match outcome {
        MountOutcome::AlreadyMounted { .. } => say(UP_TO_DATE),
        MountOutcome::Swapped { report, .. } => tell_swapped(context, ready, report),
        MountOutcome::Mounted { moved_aside, .. } => {
            for path in moved_aside {
                say(&format!("The real files were moved to {}", path.display()));
            }
            for (_, mountpoint) in &ready.plan.mounts {
                let packages = ready.packages;
                say(&format!(
                    "{packages} packages are served at {}",
                    mountpoint.display()
                ));
            }
        }
    }
}

/// A command that only mounts runs no scripts.
pub(super) fn tell_unbuilt(context: &Context, ready: &Ready) {
    let Some(unbuilt) = &ready.unbuilt else {
        return;
    };
    let names = unbuilt
        .builds
        .iter()
        .map(|build| build.dep_path.package_id_str());
    let names: Vec<&str> = names.collect();
    let message = format!(
        "the scripts of {} have not run yet: run `pacquet install`",
        names.join(", ")
    );
    context.reporter.report(&Event::Warning {
        code: "ERR_PACQUET_NOT_BUILT",
        message: &message,
    });
}

fn tell_swapped(context: &Context, ready: &Ready, report: &SwapReport) {
    let reporter = &context.reporter;
    for (_, mountpoint) in &ready.plan.mounts {
        let text = format!(
            "{} packages are served at {}, which stayed mounted",
            ready.packages,
            mountpoint.display()
        );
        reporter.report(&Event::Info(&text));
    }
    tell_left_behind(context, report);
}

/// Says what of the writes did not follow to another layer.
pub(super) fn tell_left_behind(context: &Context, report: &SwapReport) {
    let reporter = &context.reporter;
    for path in &report.discarded {
        let message = format!(
            "what was written into packages that are gone was moved to {}",
            path.display()
        );
        reporter.report(&Event::Warning {
            code: "ERR_PACQUET_WRITES_DISCARDED",
            message: &message,
        });
    }
    if let Some(problem) = &report.problem {
        let message = format!("not all that was written could follow the packages: {problem}");
        reporter.report(&Event::Warning {
            code: "ERR_PACQUET_WRITES_STAYED",
            message: &message,
        });
    }
}

/// A server goes on as it was started.
pub(super) fn tell_that_reads_stay(context: &Context, place: &Place) {
    if place.verify_reads {
        context.reporter.report(&Event::Warning {
            code: "ERR_PACQUET_SERVED_ALREADY",
            message: "the server goes on as it was started; unmount first where that was without \
                      --verify-reads",
        });
    }
}
