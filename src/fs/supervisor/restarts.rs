//! When the next server is started after one has died.
//!
//! One that was killed is replaced at once, however often. One that cannot begin, or that crashes
//! as soon as it serves, is replaced after a pause that grows each time. After a few crashes in a
//! row the next server fails what the kernel sends again, because something among it seems to be
//! what makes them crash. After too many that could not even begin, nothing is started any more,
//! so that nobody waits for ever.

use std::fmt;
use std::time::Duration;

use super::protocol::Resent;
use crate::fs::control::Trouble;

/// A server that served for this long began well.
const WELL: Duration = Duration::from_secs(1);

/// Servers that fail in a row and are replaced without a pause.
const FREE_FAILURES: u32 = 2;

const FIRST_PAUSE: Duration = Duration::from_millis(10);

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Crashes in a row after which what comes again is failed.
const CRASHES_MAX: u32 = 3;

/// Servers in a row that could not begin, after which there are no more. The pauses between them
/// add up to ten seconds.
const STILLBORN_MAX: u32 = 12;

/// How a server died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// The signal, where it was one.
    pub(super) signal: Option<i32>,
    /// For how long it had served.
    pub(super) served: Duration,
}

/// `SIGKILL`, which is sent by somebody else.
pub(super) const KILLED: i32 = 9;

impl fmt::Display for Death {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal {
            Some(signal) => write!(formatter, "it died of signal {signal}"),
            None => formatter.write_str("it ended"),
        }
    }
}

/// What has happened in a row.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    failures: u32,
    crashes: u32,
    stillborn: u32,
}

impl Restarts {
    /// A server died that had begun. Says what `status` shall tell of it.
    pub(super) fn died(&mut self, death: Death) -> Option<Trouble> {
        self.stillborn = 0;
        if death.signal == Some(KILLED) || death.served >= WELL {
            (self.failures, self.crashes) = (0, 0);
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        self.crashes = self.crashes.saturating_add(1);
        (self.crashes > 1).then(|| Trouble {
            message: format!("the server crashes as soon as it serves: {death}"),
            times: self.crashes,
        })
    }

    /// A server could not begin.
    pub(super) fn failed(&mut self, error: &dyn std::error::Error) -> Trouble {
        self.failures = self.failures.saturating_add(1);
        self.stillborn = self.stillborn.saturating_add(1);
        Trouble {
            message: error.to_string(),
            times: self.stillborn,
        }
    }

    /// How long to wait before the next one.
    pub(super) fn delay(&self) -> Duration {
        match self.failures.checked_sub(FREE_FAILURES + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(LONGEST_PAUSE),
        }
    }

    /// What the next one does with requests that come again.
    pub(super) fn resent(&self) -> Resent {
        if self.crashes >= CRASHES_MAX {
            Resent::Failed
        } else {
            Resent::Answered
        }
    }

    /// Whether there shall be no next one.
    pub(super) fn is_hopeless(&self) -> bool {
        self.stillborn >= STILLBORN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(signal: i32, served_ms: u64) -> Death {
        Death {
            signal: Some(signal),
            served: Duration::from_millis(served_ms),
        }
    }

    #[test]
    fn killed_servers_are_replaced_at_once_however_often() {
        let mut restarts = Restarts::default();
        for _ in 0..1000 {
            assert_eq!(restarts.died(death(9, 0)), None);
            assert_eq!(restarts.delay(), Duration::ZERO);
            assert_eq!(restarts.resent(), Resent::Answered);
        }
    }

    #[test]
    fn crashes_in_a_row_cost_longer_pauses_and_what_comes_again() {
        let mut restarts = Restarts::default();
        let mut delays = Vec::new();
        for times in 1..=14 {
            let trouble = restarts.died(death(6, 5));
            assert_eq!(
                trouble.map(|trouble| trouble.times),
                (times > 1).then_some(times)
            );
            assert_eq!(restarts.resent() == Resent::Failed, times >= 3);
            assert!(!restarts.is_hopeless());
            delays.push(restarts.delay().as_millis());
        }
        assert_eq!(delays[..5], [0, 0, 10, 20, 40]);
        assert_eq!(delays[13], 5000);
        restarts.died(death(6, 2000));
        assert_eq!(restarts.delay(), Duration::ZERO);
        assert_eq!(restarts.resent(), Resent::Answered);
    }

    #[test]
    fn servers_that_cannot_begin_are_given_up() {
        let mut restarts = Restarts::default();
        let mut waited = Duration::ZERO;
        while !restarts.is_hopeless() {
            restarts.failed(&std::io::Error::other("no store"));
            waited += restarts.delay();
        }
        assert!(
            waited > Duration::from_secs(5) && waited < Duration::from_secs(20),
            "{waited:?}"
        );
    }
}
