//! Changes that a server had made and not acknowledged when it was killed: the next one gets the
//! request again, and must not answer that the name is taken, or gone.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use pacquet::fs::control::process_start;
use pacquet::fs::mount::mount;

use crate::mount_fixture::{Fixture, can_mount, server_command, walk};

/// A change asks for its names first, and the kernel for what the server can do. No change has as
/// many answers as this.
const ANSWERS_MAX: u32 = 24;

/// How long a tracer may take to end after who it traced.
const TRACER_PATIENCE: Duration = Duration::from_secs(5);

/// One change to a directory.
type Change = (&'static str, fn(&Path) -> std::io::Result<()>);

/// Each begins where all before it have been done.
const CHANGES: &[Change] = &[
    ("mkdir", |top| fs::create_dir(top.join("made"))),
    ("create", |top| {
        fs::File::create_new(top.join("made/file")).map(drop)
    }),
    ("mkdir in installed", |top| {
        fs::create_dir(top.join("a/lib/made"))
    }),
    ("symlink", |top| symlink("file", top.join("made/link"))),
    ("link", |top| {
        fs::hard_link(top.join("made/file"), top.join("made/second"))
    }),
    ("link installed", |top| {
        fs::hard_link(top.join("a/package.json"), top.join("made/third"))
    }),
    ("rename", |top| {
        fs::rename(top.join("made/file"), top.join("made/renamed"))
    }),
    ("rename over", |top| {
        fs::rename(top.join("made/renamed"), top.join("made/third"))
    }),
    ("rename over installed", |top| {
        fs::rename(top.join("made/third"), top.join("a/lib/index.js"))
    }),
    ("rename directory", |top| {
        fs::rename(top.join("made"), top.join("moved"))
    }),
    ("rename installed", |top| {
        fs::rename(top.join("a/lib"), top.join("moved/lib"))
    }),
    ("set attribute", |top| {
        attribute(top, &["-n", "user.one", "-v", "1"])
    }),
    ("remove attribute", |top| {
        attribute(top, &["-x", "user.one"])
    }),
    ("unlink", |top| fs::remove_file(top.join("moved/link"))),
    ("unlink linked", |top| {
        fs::remove_file(top.join("moved/second"))
    }),
    ("unlink installed", |top| {
        fs::remove_file(top.join("a/package.json"))
    }),
    ("unlink symlink", |top| {
        fs::remove_file(top.join("dangling"))
    }),
    ("rmdir", |top| fs::remove_dir(top.join("moved/lib/made"))),
    ("truncate", |top| {
        let file = fs::File::options()
            .write(true)
            .open(top.join(".modules.yaml"))?;
        file.set_len(3)
    }),
    ("mode", |top| {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(top.join(".modules.yaml"), mode)
    }),
    ("exchange", |top| {
        exchange(top, "moved/lib/index.js", ".modules.yaml")
    }),
    ("exchange installed", |top| {
        exchange(top, "@s", ".pnpm/b@2.0.0_a@1.0.0")
    }),
    ("exchange directories", |top| exchange(top, "moved", "@s")),
    ("exchange again", |top| exchange(top, "@s", "moved")),
    ("exchange with installed", |top| {
        exchange(top, "a", ".modules.yaml")
    }),
];

fn exchange(top: &Path, one: &str, other: &str) -> std::io::Result<()> {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    let (one, other) = (top.join(one), top.join(other));
    Ok(rustix::fs::renameat_with(
        rustix::fs::CWD,
        one,
        rustix::fs::CWD,
        other,
        flags,
    )?)
}

fn attribute(top: &Path, arguments: &[&str]) -> std::io::Result<()> {
    let status = Command::new("setfattr")
        .args(arguments)
        .arg(top.join("moved/lib/index.js"))
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(status.to_string())),
    }
}

pub(crate) fn has(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if version.is_err() {
        eprintln!("skipped in part: no {program}");
    }
    version.is_ok()
}

/// A server, and the tracer that lets it die.
pub(crate) struct Doomed {
    server: u32,
    tracer: Child,
}

/// Lets the server die where it is about to give its answer of this number: what was asked for is
/// done. Returns once that is so.
pub(crate) fn kill_at_answer(fixture: &Fixture, number: u32) -> Doomed {
    loop {
        let server = server_pid(fixture);
        let mut tracer = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "--trace=writev"])
            .arg(format!("--inject=writev:signal=SIGKILL:when={number}"))
            .args(["-p", &server.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(tracer.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        if said.contains("attached") {
            // Nobody may be kept from writing.
            thread::spawn(move || lines.for_each(drop));
            return Doomed { server, tracer };
        }
        // The last tracer may have killed it after what it was to be killed in: files are released
        // when who closed them has gone on.
        tracer.wait().unwrap();
        assert!(process_start(server).is_none(), "{said}");
    }
}

impl Doomed {
    /// Whether it came to that. A server that did not give so many answers is let go.
    pub(crate) fn was_killed(mut self) -> bool {
        if process_start(self.server).is_some() {
            let pid = self.tracer.id().to_string();
            let told = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(told.unwrap().success());
        }
        // It may have seen no end of a server whose threads ended while it took hold of them.
        let began = Instant::now();
        while self.tracer.try_wait().unwrap().is_none() {
            if began.elapsed() > TRACER_PATIENCE {
                self.tracer.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(1));
        }
        process_start(self.server).is_none()
    }
}

/// The server that lives, learned without a look into the mount.
pub(crate) fn server_pid(fixture: &Fixture) -> u32 {
    loop {
        let server = fixture.run.states().unwrap()[0].server;
        if server.is_alive() {
            return server.pid;
        }
        assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
        thread::sleep(Duration::from_millis(1));
    }
}

fn mounted() -> Fixture {
    let fixture = Fixture::new();
    let mut plan = fixture.plan("sample");
    // The answers of one thread can be counted.
    plan.threads = 1;
    mount(&plan, &fixture.run, &server_command("sample")).unwrap();
    fixture
}

#[test]
fn changes_that_were_made_and_not_acknowledged_are_not_made_twice() {
    let test = "changes_that_were_made_and_not_acknowledged_are_not_made_twice";
    if !can_mount(test) || !has("strace") {
        return;
    }
    let has_attributes = has("setfattr");
    let changes: Vec<&Change> = CHANGES
        .iter()
        .filter(|(name, _)| has_attributes || !name.contains("attribute"))
        .collect();
    let untouched = mounted();
    for (name, change) in &changes {
        change(&untouched.root()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let expected = walk(&untouched.root());
    drop(untouched);
    let mut killed = BTreeSet::new();
    for number in 1.. {
        assert!(number < ANSWERS_MAX, "{killed:?}");
        let killed_before = killed.len();
        let fixture = mounted();
        for (name, change) in &changes {
            let doomed = kill_at_answer(&fixture, number);
            let done = change(&fixture.root());
            assert!(done.is_ok(), "{name}, killed at answer {number}: {done:?}");
            if doomed.was_killed() {
                killed.insert((*name, number));
            }
            assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
        }
        assert_eq!(walk(&fixture.root()), expected, "killed at answer {number}");
        // So of each change the last answer was cut off too, which says that it was done.
        if killed.len() == killed_before {
            break;
        }
    }
    for (name, _) in &changes {
        assert!(killed.contains(&(*name, 1)), "{name}: {killed:?}");
    }
}
