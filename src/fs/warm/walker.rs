//! The thread that tells the walker's process what to ask for, and the one that pushes contents
//! behind it.
//!
//! ```text
//! server ──► walker, standard input: steps as words ([`super::walk`]), several at a time
//! walker ──► server, standard output: its threads, and what it has done
//! ```

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::plan::{Plan, Step};
use super::prefetch::Prefetch;
use super::push::Pusher;
use super::selection::{self, Selection, Selections};
use super::touches::Touches;
use super::walk::{THREADS, Words};
use super::written::{self, Due};
use crate::fs::adapter::Invalidator;
use crate::fs::mount::ServerCommand;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// What the end of a mount has before the walker starts: a supervisor that waited for a processor
/// while the walker's process began made every mount milliseconds longer.
const HEAD_START: Duration = Duration::from_millis(10);

/// A walker that nobody has needed for this long is ended.
const IDLE: Duration = Duration::from_secs(10);

/// How long nothing is touched in advance once the program that asked last has ended: the next one,
/// which may know everything, has the processors for itself, unless it reads something.
const REST: Duration = Duration::from_millis(300);

/// Steps that the walker gets at a time: each time is three wake-ups.
const STEPS_MAX: usize = 8;

/// Times that the walker was given steps and has not done them: few, so that what is urgent comes
/// soon.
const FLYING_MAX: usize = 6;

/// Names of which a listing is made: it costs a message, and one more for what it makes the kernel
/// doubt of the directory.
const SELECTED_MIN: usize = 3;

/// The replay, and what comes after it while the tree is served.
pub(super) struct Replay {
    touches: Arc<Touches>,
    flight: Arc<Flight>,
    thread: Option<JoinHandle<()>>,
}

/// What a replay needs.
pub(super) struct Task {
    pub(super) command: ServerCommand,
    pub(super) mountpoint: PathBuf,
    pub(super) device: OwnedFd,
    pub(super) invalidator: Invalidator,
    pub(super) vfs: Arc<Vfs>,
    pub(super) root: u32,
    pub(super) touches: Arc<Touches>,
}

/// What the thread that feeds the walker shares with the one that follows it.
#[derive(Default)]
struct Flight {
    state: Mutex<Flying>,
    changed: Condvar,
}

#[derive(Default)]
struct Flying {
    child: Option<Child>,
    follower: Option<JoinHandle<()>>,
    /// What the walker was given and has not done, by its number.
    given: HashMap<u32, Given>,
    next: u32,
    /// Threads of the walker that are known as such.
    threads: usize,
    has_ended: bool,
    stopped: bool,
}

/// Steps that the walker was given at a time.
#[derive(Default)]
struct Given {
    /// Names that it will be shown meanwhile.
    selections: Vec<Selection>,
    /// What is pushed when it has done them.
    contents: Vec<Node>,
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, Flying> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the walker, where there is one.
    fn land(&self) {
        let (child, follower) = {
            let mut flying = self.lock();
            (flying.child.take(), flying.follower.take())
        };
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The end of the walker's output ends it.
        if let Some(follower) = follower {
            let _ = follower.join();
        }
        self.lock().given.clear();
        self.changed.notify_all();
    }
}

impl Replay {
    /// Makes a plan, starts the walker and pushes contents, all in threads of their own. Of a mount
    /// that is not fresh, the walker is started when it is needed.
    pub(super) fn start(
        task: Task,
        is_fresh: bool,
        plan: impl FnOnce(&Vfs) -> Plan + Send + 'static,
    ) -> io::Result<Self> {
        let flight = Arc::new(Flight::default());
        let touches = Arc::clone(&task.touches);
        let shared = Arc::clone(&flight);
        let thread = thread::Builder::new()
            .name("replay".to_owned())
            .spawn(move || {
                thread::park_timeout(HEAD_START);
                let task = Arc::new(task);
                // Its process begins while the plan is made.
                let walker = is_fresh.then(|| take_off(&task, &shared)).transpose();
                let fed = walker.and_then(|input| {
                    let plan = plan(&task.vfs);
                    let profile = plan.profile();
                    let _prefetch = (!profile.is_empty())
                        .then(|| Prefetch::start(&task.vfs, task.root, profile));
                    feed(&task, plan, input, &shared)
                });
                if let Err(error) = fed {
                    tracing::debug!(%error, "the replay ended early");
                }
                shared.land();
            })?;
        Ok(Self {
            touches,
            flight,
            thread: Some(thread),
        })
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.touches.written.want(false);
        self.touches.end_reads();
        self.flight.lock().stopped = true;
        self.flight.land();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Hands steps to the walker: those of the plan, and before them those for what programs read and
/// have written.
fn feed(
    task: &Arc<Task>,
    mut plan: Plan,
    mut input: Option<ChildStdin>,
    flight: &Arc<Flight>,
) -> io::Result<()> {
    let mut ahead = Ahead::default();
    let mut urgent: VecDeque<Step> = VecDeque::new();
    let mut busy_at = Instant::now();
    task.touches.written.want(true);
    loop {
        let idle = urgent.is_empty() && plan.is_over() && ahead.is_idle();
        let rests = !idle && task.touches.asker_has_ended();
        let patience = match task.touches.written.due(Instant::now()) {
            Due::Now(files) => {
                let contents = &task.touches.contents;
                urgent.extend(written::steps(&task.vfs, task.root, &files, contents));
                Duration::ZERO
            }
            Due::In(rest) if idle => rest,
            Due::Nothing if idle => IDLE,
            _ if rests => REST,
            _ => Duration::ZERO,
        };
        let Some(reads) = task.touches.take_reads(patience) else {
            return Ok(());
        };
        if rests {
            task.touches.forget_asker();
        }
        let nodes = reads.into_iter().rev();
        for file in nodes.filter_map(|id| Node::from_id(id, task.root)) {
            if !plan.was_read(&task.vfs, file) {
                ahead.was_read(file);
            }
            busy_at = Instant::now();
        }
        if urgent.is_empty()
            && let Some(steps) = ahead.next(&task.vfs, task.root)
        {
            steps.iter().for_each(|step| task.touches.guessed(step));
            urgent.extend(steps);
        }
        let mut steps = Vec::new();
        while steps.len() < STEPS_MAX
            && let Some(step) = urgent
                .pop_front()
                .or_else(|| plan.next(&task.vfs, task.root))
        {
            steps.push(step);
        }
        if !steps.is_empty() {
            let input = match &mut input {
                Some(input) => input,
                none => none.insert(take_off(task, flight)?),
            };
            if !hand_over(steps, &task.touches.selections, input, flight)? {
                return Ok(());
            }
            busy_at = Instant::now();
        } else if busy_at.elapsed() >= IDLE {
            // It has waited in vain: what the kernel knew may be forgotten when it goes on.
            input = None;
            flight.land();
            task.touches.forget_walkers();
            (ahead, plan) = (Ahead::default(), Plan::default());
            busy_at = Instant::now();
        }
    }
}

/// Starts the walker and the thread that follows it.
fn take_off(task: &Arc<Task>, flight: &Arc<Flight>) -> io::Result<ChildStdin> {
    let mut flying = flight.lock();
    if flying.stopped {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let mut child = Command::new(&task.command.program)
        .args(&task.command.leading_args)
        .arg(&task.mountpoint)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    task.touches.forget_walkers();
    (flying.threads, flying.has_ended) = (0, false);
    let pipes = (child.stdin.take(), child.stdout.take());
    flying.child = Some(child);
    let (Some(mut input), Some(output)) = pipes else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    input.write_all(Words::START)?;
    let (task, shared) = (Arc::clone(task), Arc::clone(flight));
    let follower = thread::Builder::new()
        .name("push".to_owned())
        .spawn(move || {
            if let Err(error) = follow(&task, output, &shared) {
                tracing::debug!(%error, "contents are not pushed any more");
            }
        })?;
    flying.follower = Some(follower);
    Ok(input)
}

/// Hands steps over when the walker has few. Returns whether it goes on.
fn hand_over(
    steps: Vec<Step>,
    selections: &Arc<Selections>,
    input: &mut ChildStdin,
    flight: &Flight,
) -> io::Result<bool> {
    let mut given = Given::default();
    let mut words = Words::default();
    for mut step in steps {
        say(&step, selections, &mut words, &mut given.selections);
        given.contents.append(&mut step.contents);
    }
    let mut flying = flight.lock();
    while (flying.given.len() >= FLYING_MAX || flying.threads < THREADS)
        && !flying.stopped
        && !flying.has_ended
    {
        flying = flight
            .changed
            .wait(flying)
            .unwrap_or_else(PoisonError::into_inner);
    }
    if flying.stopped || flying.has_ended {
        return Ok(false);
    }
    let number = flying.next;
    flying.next = number.wrapping_add(1);
    flying.given.insert(number, given);
    drop(flying);
    input.write_all(&words.done(number))?;
    Ok(true)
}

/// Says what a step is. What is asked for in one listing is added to `selected`.
fn say(
    step: &Step,
    selections: &Arc<Selections>,
    words: &mut Words,
    selected: &mut Vec<Selection>,
) {
    let mut ask = |words: &mut Words, names: &[&str]| {
        for names in names.chunks(selection::NAMES_MAX) {
            if names.len() < SELECTED_MIN {
                names.iter().for_each(|name| words.name(name));
                continue;
            }
            let chosen = names.iter().map(|name| Box::from(*name)).collect();
            let selection = Selections::choose(selections, chosen);
            words.selected(selection.offset(), names);
            selected.push(selection);
        }
    };
    words.directory(&step.directory);
    let found = step.found.iter().chain(&step.links);
    let found: Vec<&str> = found.map(AsRef::as_ref).collect();
    ask(words, &found);
    if step.is_listed {
        words.listing();
    }
    step.missing.iter().for_each(|name| words.name(name));
    for (name, offset) in &step.ends {
        words.end(name, *offset);
    }
    step.links.iter().for_each(|name| words.link(name));
    // Reading a symlink or a file makes the kernel doubt when it was read last.
    let renewed = step.links.iter().chain(&step.renewed);
    let renewed: Vec<&str> = renewed.map(AsRef::as_ref).collect();
    ask(words, &renewed);
}

/// Pushes the contents of each step that the walker has done, until it ends.
fn follow(task: &Task, output: ChildStdout, flight: &Flight) -> io::Result<()> {
    let device = File::from(task.device.try_clone()?);
    let mut pusher = Pusher {
        device: &device,
        invalidator: &task.invalidator,
        vfs: &task.vfs,
        contents: &task.touches.contents,
        root: task.root,
        buffer: Vec::new(),
    };
    let mut output = BufReader::new(output);
    let mut word = Vec::new();
    loop {
        word.clear();
        if output.read_until(0, &mut word)? == 0 {
            // Whoever waits for it learns that it has ended.
            let mut flying = flight.lock();
            flying.has_ended = true;
            flying.given.clear();
            flight.changed.notify_all();
            return Ok(());
        }
        let text = std::str::from_utf8(&word).unwrap_or_default();
        let (letter, number) = text
            .trim_end_matches('\0')
            .split_at_checked(1)
            .unwrap_or_default();
        let number: u32 = number.parse().unwrap_or_default();
        let mut flying = flight.lock();
        let given = match letter {
            "t" => {
                task.touches.add_walker(number);
                flying.threads += 1;
                None
            }
            _ => flying.given.remove(&number),
        };
        drop(flying);
        flight.changed.notify_all();
        let contents = given.map(|given| given.contents);
        contents
            .iter()
            .flatten()
            .try_for_each(|node| pusher.push(*node).map(drop))?;
    }
}
