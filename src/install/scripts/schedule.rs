//! Work in an order: each piece when those that it waits for are done, several at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::install::filter::chunks;

/// What became of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not begun: something that it waits for failed, or everything was stopped.
    Queued,
    /// There was nothing to do.
    Skipped,
    /// It is done.
    Passed,
    /// It failed.
    Failed,
}

/// What a failure means for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing else is begun.
    Stop,
    /// What does not wait for it goes on.
    GoOn,
}

/// A circle does not keep its members waiting: of the edges in it those that lead to an earlier
/// chunk count.
pub fn without_circles(waits_for: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut chunk_of = vec![0; waits_for.len()];
    for (number, chunk) in chunks(waits_for).iter().enumerate() {
        for node in chunk {
            chunk_of[*node] = number;
        }
    }
    let earlier = |node: usize, others: &[usize]| {
        let edges = others.iter().copied();
        edges
            .filter(|other| chunk_of[*other] < chunk_of[node])
            .collect()
    };
    let nodes = waits_for.iter().enumerate();
    nodes.map(|(node, others)| earlier(node, others)).collect()
}

/// The nodes of a circle, each of which waits for the next and the last for the first; `None`:
/// there is none.
pub fn circle(waits_for: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut is_done = vec![false; waits_for.len()];
    for start in 0..waits_for.len() {
        // The way from `start`, each with the place among what it waits for that is next.
        let mut way = vec![(start, 0)];
        while let Some((node, at)) = way.last_mut() {
            let Some(next) = waits_for[*node]
                .get(*at)
                .copied()
                .filter(|_| !is_done[*node])
            else {
                is_done[*node] = true;
                way.pop();
                continue;
            };
            *at += 1;
            if let Some(begin) = way.iter().position(|(node, _)| *node == next) {
                return Some(way[begin..].iter().map(|(node, _)| *node).collect());
            }
            way.push((next, 0));
        }
    }
    None
}

/// The edges the other way round.
pub fn reversed(waits_for: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut out = vec![Vec::new(); waits_for.len()];
    for (node, others) in waits_for.iter().enumerate() {
        for other in others {
            out[*other].push(node);
        }
    }
    out
}

/// The graph of the nodes that `keep` says, which wait for each other through those that are left
/// out. Nodes get the numbers of their places among the kept ones.
pub fn contracted(waits_for: &[Vec<usize>], keep: &[bool]) -> Vec<Vec<usize>> {
    let mut place = vec![0; keep.len()];
    let mut count = 0;
    for (node, kept) in keep.iter().enumerate() {
        place[node] = count;
        count += usize::from(*kept);
    }
    let targets = |node: usize| {
        let mut seen = vec![false; keep.len()];
        let mut open = waits_for[node].clone();
        let mut found = Vec::new();
        while let Some(next) = open.pop() {
            if next == node || std::mem::replace(&mut seen[next], true) {
                continue;
            }
            match keep[next] {
                true => found.push(place[next]),
                false => open.extend(&waits_for[next]),
            }
        }
        found.sort_unstable();
        found
    };
    let kept = (0..keep.len()).filter(|node| keep[*node]);
    kept.map(targets).collect()
}

/// Whether never two pieces can run at once.
pub fn is_a_line(waits_for: &[Vec<usize>]) -> bool {
    chunks(waits_for).iter().all(|chunk| chunk.len() == 1)
}

struct State {
    outcomes: Vec<Outcome>,
    begun: Vec<bool>,
    running: usize,
    stopped: bool,
}

/// The nodes of a graph without circles in the order in which one worker does them: first those
/// that wait for nothing, then each when the last that it waits for is done.
pub fn sequence(waits_for: &[Vec<usize>]) -> Vec<usize> {
    let dependents = reversed(waits_for);
    let mut waits: Vec<usize> = waits_for.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for dependent in &dependents[node] {
            waits[*dependent] -= 1;
            if waits[*dependent] == 0 {
                order.push(*dependent);
            }
        }
    }
    order
}

/// Does `work` for every node of a graph without circles (see [`without_circles`]), at most
/// `concurrency` at once, and says what became of each. Of several that can begin, that does which
/// is first in the [`sequence`].
pub fn run(
    waits_for: &[Vec<usize>],
    concurrency: usize,
    on_failure: OnFailure,
    work: impl Fn(usize) -> Outcome + Sync,
) -> Vec<Outcome> {
    run_in_order(
        waits_for,
        &sequence(waits_for),
        concurrency,
        on_failure,
        work,
    )
}

/// The same, where of several that can begin that does which is first in `order`.
pub fn run_in_order(
    waits_for: &[Vec<usize>],
    order: &[usize],
    concurrency: usize,
    on_failure: OnFailure,
    work: impl Fn(usize) -> Outcome + Sync,
) -> Vec<Outcome> {
    let count = waits_for.len();
    let state = Mutex::new(State {
        outcomes: vec![Outcome::Queued; count],
        begun: vec![false; count],
        running: 0,
        stopped: false,
    });
    let changed = Condvar::new();
    let worker = || {
        let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(node) = next(waits_for, order, &guard) else {
                if guard.running == 0 {
                    return;
                }
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            guard.begun[node] = true;
            guard.running += 1;
            drop(guard);
            let outcome = work(node);
            guard = state.lock().unwrap_or_else(PoisonError::into_inner);
            guard.running -= 1;
            guard.outcomes[node] = outcome;
            guard.stopped |= outcome == Outcome::Failed && on_failure == OnFailure::Stop;
            changed.notify_all();
        }
    };
    thread::scope(|scope| {
        for _ in 1..concurrency.min(count) {
            scope.spawn(worker);
        }
        worker();
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.outcomes
}

fn next(waits_for: &[Vec<usize>], order: &[usize], state: &State) -> Option<usize> {
    if state.stopped {
        return None;
    }
    let is_done =
        |node: &usize| matches!(state.outcomes[*node], Outcome::Passed | Outcome::Skipped);
    let can_begin = |node: &usize| !state.begun[*node] && waits_for[*node].iter().all(is_done);
    order.iter().copied().find(can_begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_for_what_it_needs() {
        let waits_for = vec![vec![1, 2], vec![2], vec![], vec![]];
        for concurrency in 1..4 {
            let order = Mutex::new(Vec::new());
            let outcomes = run(&waits_for, concurrency, OnFailure::Stop, |node| {
                order.lock().expect("no panic").push(node);
                Outcome::Passed
            });
            assert_eq!(outcomes, [Outcome::Passed; 4]);
            let order = order.into_inner().expect("no panic");
            let at = |node: usize| order.iter().position(|one| *one == node);
            assert!(at(2) < at(1) && at(1) < at(0), "{order:?}");
        }
    }

    #[test]
    fn a_failure_stops_everything_or_only_what_waits_for_it() {
        let waits_for = vec![vec![], vec![0], vec![], vec![2]];
        let fails = |node: usize| match node {
            0 => Outcome::Failed,
            _ => Outcome::Passed,
        };
        let (failed, queued, passed) = (Outcome::Failed, Outcome::Queued, Outcome::Passed);
        assert_eq!(
            run(&waits_for, 1, OnFailure::Stop, fails),
            [failed, queued, queued, queued]
        );
        assert_eq!(
            run(&waits_for, 1, OnFailure::GoOn, fails),
            [failed, queued, passed, passed]
        );
    }

    #[test]
    fn no_more_than_allowed_run_at_once() {
        let running = Mutex::new((0, 0));
        let outcomes = run(&vec![vec![]; 20], 3, OnFailure::Stop, |_| {
            let mut counts = running.lock().expect("no panic");
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            drop(counts);
            thread::yield_now();
            running.lock().expect("no panic").0 -= 1;
            Outcome::Passed
        });
        assert_eq!(outcomes.len(), 20);
        assert!((1..=3).contains(&running.lock().expect("no panic").1));
    }

    #[test]
    fn what_becomes_ready_first_comes_first() {
        // 0 waits for 1, that for 3, that for 2; 4 waits for 5.
        let waits_for = vec![vec![1], vec![3], vec![], vec![2], vec![5], vec![]];
        assert_eq!(sequence(&waits_for), [2, 5, 3, 4, 1, 0]);
    }

    #[test]
    fn circles_are_cut_and_gaps_are_bridged() {
        let circle = vec![vec![1], vec![0], vec![0]];
        assert_eq!(without_circles(&circle), [vec![], vec![], vec![0]]);
        let chain = vec![vec![1], vec![2], vec![]];
        assert_eq!(contracted(&chain, &[true, false, true]), [vec![1], vec![]]);
        assert_eq!(reversed(&chain), [vec![], vec![0], vec![1]]);
        assert!(is_a_line(&chain) && !is_a_line(&reversed(&[vec![], vec![]])));
    }
}
