//! How many bytes of archives are in memory at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit of the semaphore stands for.
const UNIT_BYTES: u64 = 1024;

/// A number of bytes, of which parts are given out and come back.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// A part of the budget. Dropping it gives it back.
#[derive(Debug)]
pub struct BodyPermit(OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let units = u32::try_from((bytes / UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            semaphore: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits until `bytes` are free; more than there are in all counts as all. First come, first
    /// served.
    pub(super) async fn take(&self, bytes: u64) -> BodyPermit {
        let units = self.units_of(bytes);
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(units).await;
        BodyPermit(permit.expect("invariant: the semaphore is never closed"))
    }

    fn units_of(&self, bytes: u64) -> u32 {
        let units = bytes.div_ceil(UNIT_BYTES).max(1);
        u32::try_from(units).unwrap_or(u32::MAX).min(self.units)
    }

    /// Gives back what `permit` holds beyond `bytes`.
    pub(super) fn shrink(&self, permit: &mut BodyPermit, bytes: u64) {
        let surplus = permit
            .0
            .num_permits()
            .saturating_sub(self.units_of(bytes) as usize);
        drop(permit.0.split(surplus));
    }

    #[cfg(test)]
    fn free_units(&self) -> usize {
        self.semaphore.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_comes_back() {
        let budget = Budget::new(100 << 10);
        let mut permit = budget.take(60 << 10).await;
        assert_eq!(budget.free_units(), 40);
        budget.shrink(&mut permit, 1);
        assert_eq!(budget.free_units(), 99);
        budget.shrink(&mut permit, 50 << 10);
        assert_eq!(budget.free_units(), 99);
        drop(permit);
        assert_eq!(budget.free_units(), 100);
        let all = budget.take(u64::MAX).await;
        assert_eq!(budget.free_units(), 0);
        drop(all);
    }
}
