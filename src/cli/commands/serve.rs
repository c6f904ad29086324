//! `serve`: the server process that `install --virtual` and `mount` start.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::arguments::ServeArguments as Arguments;
use crate::cli::failure::Failure;
use crate::fs::mount::{ServerCommand, run_server};
use crate::fs::package::CacheLimits;
use crate::fs::server::Service;
use crate::fs::stored::{Reads, StoredPackages};
use crate::fs::warm::WALK;
use crate::store::{Access, Store, StoreError};

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let reads = reads(arguments.verify_reads);
    run_server(arguments.arguments.iter().cloned(), |serve| {
        Ok::<_, StoreError>(service(packages(&serve.store, reads)?, &serve.store))
    })?;
    Ok(())
}

/// The packs of the store at `path`. One that was removed under its mounts is no reason to leave
/// them without a server: what was written into them can be used, and everything be removed.
fn packages(path: &Path, reads: Reads) -> Result<StoredPackages, StoreError> {
    match Store::open(path, Access::ReadOnly) {
        Ok(store) => Ok(StoredPackages::new(Arc::new(store), reads)),
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(StoredPackages::of_absent(path.to_owned(), reads))
        }
        Err(error) => Err(error),
    }
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
fn service(packages: StoredPackages, store: &Path) -> Service {
    let path = store.to_owned();
    Service {
        packages: Box::new(packages),
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
