//! `serve`: the server process that `install --virtual` and `mount` start.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::arguments::ServeArguments as Arguments;
use crate::cli::failure::Failure;
use crate::fs::mount::{ServerCommand, run_server};
use crate::fs::package::CacheLimits;
use crate::fs::server::Service;
use crate::fs::stored::{Reads, StoredPackages};
use crate::fs::warm::WALK;
use crate::store::{Access, Store};

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let reads = reads(arguments.verify_reads);
    run_server(arguments.arguments.iter().cloned(), |serve| {
        Store::open(&serve.store, Access::ReadOnly).map(|store| service(Arc::new(store), reads))
    })?;
    Ok(())
}

/// What `--verify-reads` asks for.
fn reads(verify_reads: bool) -> Reads {
    if verify_reads {
        Reads::Verified
    } else {
        Reads::Trusted
    }
}

/// What a server is lent: the packs, and the wish to make the store durable once it is idle, and
/// to remove what killed processes left in it.
fn service(store: Arc<Store>, reads: Reads) -> Service {
    let path = store.path().to_owned();
    Service {
        packages: Box::new(StoredPackages::new(store, reads)),
        cache_limits: CacheLimits::default(),
        settle: Box::new(move || {
            // A store that cannot be written has nothing to settle, and one that was removed is not
            // made again.
            if Store::open(&path, Access::ReadOnly).is_ok()
                && let Ok(store) = Store::open(&path, Access::ReadWrite)
                && let Err(error) = store.settle().and_then(|()| store.clean_temporary_files())
            {
                tracing::warn!(%error, "the store could not be made durable and tidied");
            }
        }),
        walker: Some(ServerCommand {
            program: PathBuf::from("/proc/self/exe"),
            leading_args: vec![WALK.into()],
        }),
    }
}
