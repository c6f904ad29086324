//! The process that asks for names in advance, and the thread that pushes contents behind it.
//!
//! ```text
//! server ──► walker, standard input: for each step, each word ended by NUL
//!            "d" path, "l" number of entries to list, then any number of
//!            "o" offset of a byte and "e" file of which to read it, "s" name to ask for,
//!            "k" symlink to read, and "."
//!            after a swap, "v" device number, and for each directory "m" name that is
//!            shown or "g" name that is gone, of which watchers shall be told
//! walker ──► server, standard output: one byte a step that is done
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::plan::{Plan, Step};
use super::push::Pusher;
use super::touches::Touches;
use super::written::{self, Due};
use crate::fs::adapter::Invalidator;
use crate::fs::mount::ServerCommand;
use crate::fs::node::Node;
use crate::fs::swap;
use crate::fs::vfs::Vfs;

/// Priority below that of the programs that wait for files.
const NICE: i32 = 10;

/// Share of time in which somebody waits for memory (`Documentation/accounting/psi.rst`), in
/// percent, above which memory is short.
const MEMORY_PRESSURE_MAX: f32 = 5.0;

/// What the end of a mount has before the walker starts: a supervisor that waited for a processor
/// while the walker's process began made every mount milliseconds longer.
const HEAD_START: Duration = Duration::from_millis(10);

/// Steps between two looks at the memory.
const STEPS_BETWEEN_LOOKS: usize = 64;

/// The first argument of a walker's process.
pub const WALK: &str = "walk";

/// A walker that nobody has needed for this long is ended.
const IDLE: Duration = Duration::from_secs(10);

/// How long nothing is touched in advance once the program that asked last has ended: the next one,
/// which may know everything, has the processors for itself, unless it reads something.
const REST: Duration = Duration::from_millis(300);

/// Steps that the walker has got and not done: few, so that what is urgent comes soon.
const FLYING_MAX: usize = 16;

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
    /// What is pushed when the walker has done the step, oldest first.
    contents: VecDeque<Vec<Node>>,
    stopped: bool,
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
        self.lock().contents.clear();
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
            Due::Now { files, is_urgent } => {
                urgent.extend(written::steps(&task.vfs, task.root, &files, is_urgent));
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
            ahead.was_read(file);
            busy_at = Instant::now();
        }
        if urgent.is_empty()
            && let Some(steps) = ahead.next(&task.vfs, task.root)
        {
            urgent.extend(steps);
        }
        let next = urgent.pop_front();
        match next.or_else(|| plan.next(&task.vfs, task.root)) {
            Some(step) => {
                let input = match &mut input {
                    Some(input) => input,
                    none => none.insert(take_off(task, flight)?),
                };
                if !hand_over(step, input, flight)? {
                    return Ok(());
                }
                busy_at = Instant::now();
            }
            // It has waited in vain: what the kernel knew may be forgotten when it goes on.
            None if busy_at.elapsed() >= IDLE => {
                input = None;
                flight.land();
                task.touches.set_walker(0);
                ahead = Ahead::default();
                busy_at = Instant::now();
            }
            None => {}
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
    task.touches.set_walker(child.id());
    let pipes = (child.stdin.take(), child.stdout.take());
    flying.child = Some(child);
    let (Some(input), Some(output)) = pipes else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
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

/// Hands one step over when the walker has few. Returns whether it goes on.
fn hand_over(mut step: Step, input: &mut ChildStdin, flight: &Flight) -> io::Result<bool> {
    let mut flying = flight.lock();
    while flying.contents.len() >= FLYING_MAX && !flying.stopped {
        flying = flight
            .changed
            .wait(flying)
            .unwrap_or_else(PoisonError::into_inner);
    }
    if flying.stopped || flying.child.is_none() {
        return Ok(false);
    }
    flying
        .contents
        .push_back(std::mem::take(&mut step.contents));
    drop(flying);
    input.write_all(&encode(&step))?;
    Ok(true)
}

/// Pushes the contents of each step that the walker has done, until it ends.
fn follow(task: &Task, mut output: ChildStdout, flight: &Flight) -> io::Result<()> {
    let device = File::from(task.device.try_clone()?);
    let mut pusher = Pusher {
        device: &device,
        invalidator: &task.invalidator,
        vfs: &task.vfs,
        contents: &task.touches.contents,
        root: task.root,
        buffer: Vec::new(),
    };
    let mut done = [0; 64];
    loop {
        let count = output.read(&mut done)?;
        if count == 0 {
            // Whoever waits for it learns that it has ended.
            flight.lock().contents.clear();
            flight.changed.notify_all();
            return Ok(());
        }
        for _ in 0..count {
            let contents = flight.lock().contents.pop_front();
            flight.changed.notify_all();
            contents
                .iter()
                .flatten()
                .try_for_each(|node| pusher.push(*node).map(drop))?;
        }
    }
}

fn encode(step: &Step) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut word = |letter: u8, text: &str| {
        bytes.push(letter);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    };
    word(b'd', &step.directory);
    if step.entries > 0 {
        word(b'l', &step.entries.to_string());
    }
    for (name, offset) in &step.ends {
        word(b'o', &offset.to_string());
        word(b'e', name);
    }
    for name in &step.names {
        word(b's', name);
    }
    for name in &step.links {
        word(b'k', name);
    }
    word(b'.', "");
    bytes
}

/// The walker's process: does the steps that come on standard input in the tree at `mountpoint`.
///
/// # Errors
/// When the steps cannot be read or nobody listens any more.
pub fn walk(mountpoint: &Path) -> io::Result<()> {
    rustix::process::nice(NICE)?;
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    let mut directory = mountpoint.to_owned();
    let mut word = Vec::new();
    let mut done = 0;
    let mut device = None;
    let mut offset = 0;
    loop {
        word.clear();
        if input.read_until(0, &mut word)? == 0 {
            return Ok(());
        }
        word.pop();
        let Some((letter, text)) = word.split_first() else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        // What fails here fails for the program that touches it too, or never comes to it.
        match letter {
            b'd' if text.is_empty() => mountpoint.clone_into(&mut directory),
            b'd' => directory = mountpoint.join(text),
            b'l' => list(&directory, text.parse().unwrap_or(0)),
            b'o' => offset = text.parse().unwrap_or(0),
            b'e' => drop(read_byte(&directory.join(text), offset)),
            b's' => drop(fs::symlink_metadata(directory.join(text))),
            b'k' => follow_link(&directory.join(text)),
            b'v' => device = swap::device(text),
            b'm' | b'g' => {
                let Some(device) = device else { continue };
                let announce = if *letter == b'm' {
                    swap::pass
                } else {
                    swap::go
                };
                drop(announce(&directory, text, device));
            }
            _ => {
                output.write_all(&[0])?;
                output.flush()?;
                done += 1;
                if done % STEPS_BETWEEN_LOOKS == 0 && is_memory_short() {
                    return Ok(());
                }
            }
        }
    }
}

/// Lists so many entries: one more question would only tell that there are no more.
fn list(directory: &Path, entries: usize) {
    if let Ok(shown) = fs::read_dir(directory) {
        for _ in shown.take(entries) {}
    }
    ask_again(directory);
}

/// Makes the kernel read a page of a regular file.
fn read_byte(path: &Path, offset: u64) -> io::Result<()> {
    let mut options = File::options();
    // What is no file by now must not make this wait.
    options
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options.open(path)?.read_exact_at(&mut [0], offset)
}

fn follow_link(link: &Path) {
    let _ = fs::read_link(link);
    ask_again(link);
}

/// Reading a directory or a symlink makes the kernel doubt its access time (`fuse_invalidate_atime`
/// in `fs/fuse/dir.c`): the next stat would cost a GETATTR.
fn ask_again(path: &Path) {
    let _ = fs::symlink_metadata(path);
}

fn is_memory_short() -> bool {
    memory_pressure().is_some_and(|percent| percent > MEMORY_PRESSURE_MAX)
}

/// `some avg10` of `/proc/pressure/memory`.
fn memory_pressure() -> Option<f32> {
    let text = fs::read_to_string("/proc/pressure/memory").ok()?;
    let (_, rest) = text.lines().next()?.split_once("avg10=")?;
    rest.split(' ').next()?.parse().ok()
}
