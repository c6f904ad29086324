//! Many questions to registries at once.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::error::InstallError;
use crate::install::runtime;

/// Asks everything at once, and hands over each answer as it comes.
///
/// # Errors
/// There are no threads to be had, or the first question that has no answer.
pub(super) fn ask_all<T>(
    asked: impl IntoIterator<Item = impl Future<Output = Result<T, InstallError>>>,
    mut take: impl FnMut(T),
) -> Result<(), InstallError> {
    let runtime = runtime::on_this_thread().map_err(InstallError::Runtime)?;
    let mut asked: FuturesUnordered<_> = asked.into_iter().collect();
    runtime.block_on(async {
        while let Some(answer) = asked.next().await {
            take(answer?);
        }
        Ok::<(), InstallError>(())
    })?;
    drop(asked);
    runtime.shutdown_background();
    Ok(())
}
