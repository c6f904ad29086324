//! An install that is interrupted takes its temporary files along.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::failure::Failure;
use crate::install::scripts::Children;
use crate::store::Store;
use crate::sys::signal;

/// What a shell adds to the number of the signal that ended a program.
const SIGNAL_EXIT_BASE: i32 = 128;

/// How often it is looked for temporary files: threads that fill directories go on.
const CLEANINGS_MAX: usize = 100;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the program at the first SIGINT, SIGTERM or SIGHUP with the code that shells give, after
/// the temporary files of this process were removed from `store`. What was stored stays.
/// The scripts that run are ended first.
pub(super) fn watch(store: &Path, children: &Children) -> Result<(), Failure> {
    let failed = |cause| {
        Failure::io(
            "ERR_PACQUET_SIGNALS",
            "The signals of the process cannot be watched",
            cause,
        )
    };
    let signals = signal::end_signals_as_bytes().map_err(failed)?;
    let store = store.to_owned();
    let children = children.clone();
    let watcher = thread::Builder::new().name("interrupt".to_owned());
    watcher
        .spawn(move || wait(signals, &store, &children))
        .map_err(failed)?;
    Ok(())
}

/// Passes SIGINT, SIGTERM and SIGHUP on to `children`, whose end then ends the command. A second
/// signal of the kind ends the program itself.
pub(super) fn forward(children: &Children) -> Result<(), Failure> {
    let failed = |cause| {
        Failure::io(
            "ERR_PACQUET_SIGNALS",
            "The signals of the process cannot be watched",
            cause,
        )
    };
    let mut signals = signal::end_signals_as_bytes().map_err(failed)?;
    let children = children.clone();
    let watcher = thread::Builder::new().name("signals".to_owned());
    let pass_on = move || {
        let mut number = [0];
        while signals.read_exact(&mut number).is_ok() {
            children.forward(i32::from(number[0]));
        }
    };
    watcher.spawn(pass_on).map_err(failed)?;
    Ok(())
}

fn wait(mut signals: File, store: &Path, children: &Children) {
    let mut number = [0];
    if signals.read_exact(&mut number).is_err() {
        return;
    }
    INTERRUPTED.store(true, Ordering::SeqCst);
    children.end();
    Store::begin_no_more_temporary_files();
    // Other threads may go on with those that they have begun. Nobody can be told any more, and the
    // next cleaning removes what is left.
    for _ in 0..CLEANINGS_MAX {
        if !matches!(Store::remove_own_temporary_files(store), Ok(1..)) {
            break;
        }
    }
    signal::exit_now(SIGNAL_EXIT_BASE + i32::from(number[0]));
}

/// Does not return once a signal has come: its code is the program's, and a failure that the
/// removal of files caused is not shown.
pub(super) fn leave_the_end_to_the_watcher() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}
