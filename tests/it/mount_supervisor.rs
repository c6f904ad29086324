//! Servers that die, and supervisors that die, while programs use the mount.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pacquet::fs::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, STOP_TIMEOUT, StopMode, ask, process_start,
};
use pacquet::fs::error::MountError;
use pacquet::fs::mount::{MountOutcome, UnmountRequest, wait_unmounted};
use pacquet::fs::status::Health;
use pacquet::fs::upgrade::upgrade;

use crate::kill::children_of;
use crate::mount_fixture::{DEADLINE, Fixture, can_mount, server_command, tree, walk};

/// How often servers are killed while everything is read.
const KILLS: u32 = 8;

/// Sets another number.
const KILLS_VARIABLE: &str = "PACQUET_KILL_SERVERS";

fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn wait_until(fixture: &Fixture, what: impl Fn() -> bool) {
    while !what() {
        assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
        thread::sleep(Duration::from_millis(1));
    }
}

fn supervisor_pid(fixture: &Fixture) -> u32 {
    fixture.statuses()[0].state.as_ref().unwrap().supervisor.pid
}

#[test]
fn killed_servers_are_replaced_and_no_program_notices() {
    if !can_mount("killed_servers_are_replaced_and_no_program_notices") {
        return;
    }
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    let expected = tree("wide").expected;
    let mut killed = 0;
    while killed < kills {
        let fixture = Fixture::mounted("wide");
        let mut held = File::open(fixture.path("p/file-0")).unwrap();
        let mut restarts = 0;
        thread::scope(|scope| {
            let reader = scope.spawn(|| walk(&fixture.root()));
            // The last one may go on to the end.
            while !reader.is_finished() && killed < kills {
                // At another moment of a server's life each time.
                thread::sleep(Duration::from_micros(u64::from(killed) * 7919 % 40_000));
                let pid = fixture.server_pid();
                send("-KILL", pid);
                wait_until(&fixture, || fixture.server_pid() != pid);
                killed += 1;
                restarts += 1;
            }
            assert_eq!(reader.join().unwrap(), expected);
        });
        let mut content = String::new();
        held.read_to_string(&mut content).unwrap();
        assert_eq!(content, "file-0");
        let status = &fixture.statuses()[0];
        assert_eq!(status.health, Health::Healthy);
        assert_eq!(status.state.as_ref().unwrap().restarts, restarts);
    }
}

#[test]
fn a_request_that_a_dead_server_had_taken_is_answered_by_the_next() {
    if !can_mount("a_request_that_a_dead_server_had_taken_is_answered_by_the_next") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.signal("-STOP");
    let path = fixture.path("never-looked-at");
    let looking = thread::spawn(move || fs::symlink_metadata(path).unwrap_err());
    // The stopped server cannot take it, but its successor gets it all the same.
    thread::sleep(Duration::from_millis(20));
    send("-KILL", pid);
    let error = looking.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_dead_supervisor_is_replaced_by_the_next_mount_and_no_program_notices() {
    if !can_mount("a_dead_supervisor_is_replaced_by_the_next_mount_and_no_program_notices") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let expected = tree("sample").expected;
    let held = File::open(fixture.path("a/package.json")).unwrap();
    let supervisor = supervisor_pid(&fixture);
    let server = fixture.server_pid();
    send("-KILL", supervisor);
    wait_until(&fixture, || process_start(supervisor).is_none());
    assert_eq!(walk(&fixture.root()), expected);
    assert_eq!(fixture.statuses()[0].health, Health::Orphaned);
    let outcome = fixture.mount("sample").unwrap();
    let MountOutcome::AlreadyMounted { server_pid } = outcome else {
        panic!("{outcome:?}");
    };
    assert_ne!(server_pid, server);
    assert_eq!(fixture.statuses()[0].health, Health::Healthy);
    assert_eq!(fixture.statuses().len(), 1);
    // The new one replaces servers as the old one did.
    send("-KILL", server_pid);
    wait_until(&fixture, || fixture.server_pid() != server_pid);
    let absent = fs::symlink_metadata(fixture.path("absent")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert_eq!(walk(&fixture.root()), expected);
    drop(held);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert_eq!(fixture.run.states().unwrap(), []);
}

#[test]
fn when_server_and_supervisor_are_killed_the_next_mount_begins_anew() {
    if !can_mount("when_server_and_supervisor_are_killed_the_next_mount_begins_anew") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let held = File::open(fixture.path("a/package.json")).unwrap();
    send("-KILL", supervisor_pid(&fixture));
    fixture.signal("-KILL");
    wait_until(&fixture, || fixture.statuses()[0].health == Health::Dead);
    let outcome = fixture.mount("sample").unwrap();
    assert!(matches!(outcome, MountOutcome::Mounted { .. }));
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
    assert_eq!(fixture.statuses().len(), 1);
    drop(held);
}

#[test]
fn a_hung_server_is_replaced_by_the_next_mount_and_no_program_notices() {
    if !can_mount("a_hung_server_is_replaced_by_the_next_mount_and_no_program_notices") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.signal("-STOP");
    let path = fixture.path("a/package.json");
    let looking = thread::spawn(move || fs::read_to_string(path).unwrap());
    let health = || fixture.statuses()[0].health.clone();
    assert_eq!(health(), Health::Hung);
    // On a busy machine the next server may answer so late that it counts as hung too.
    let mut outcome = fixture.mount("sample");
    while matches!(outcome, Err(MountError::Hung { .. })) {
        assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
        outcome = fixture.mount("sample");
    }
    let outcome = outcome.unwrap();
    assert!(matches!(outcome, MountOutcome::AlreadyMounted { server_pid } if server_pid != pid));
    assert_eq!(looking.join().unwrap(), "{\"name\":\"a\"}");
    wait_until(&fixture, || health() == Health::Healthy);
}

#[test]
fn a_stopped_supervisor_goes_on_with_the_next_mount() {
    if !can_mount("a_stopped_supervisor_goes_on_with_the_next_mount") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let supervisor = supervisor_pid(&fixture);
    send("-STOP", supervisor);
    let outcome = fixture.mount("changed").unwrap();
    assert!(
        matches!(outcome, MountOutcome::Swapped { .. }),
        "{outcome:?}"
    );
    assert_eq!(supervisor_pid(&fixture), supervisor);
    send("-STOP", supervisor);
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn a_terminated_supervisor_unmounts() {
    if !can_mount("a_terminated_supervisor_unmounts") {
        return;
    }
    for signal in ["-TERM", "-INT", "-HUP"] {
        let fixture = Fixture::mounted("sample");
        let server = fixture.server_pid();
        send(signal, supervisor_pid(&fixture));
        assert!(wait_unmounted(&fixture.root(), DEADLINE).unwrap());
        wait_until(&fixture, || process_start(server).is_none());
        wait_until(&fixture, || fixture.run.states().unwrap().is_empty());
    }
}

#[test]
fn a_terminated_server_without_a_supervisor_unmounts() {
    if !can_mount("a_terminated_server_without_a_supervisor_unmounts") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let supervisor = supervisor_pid(&fixture);
    send("-KILL", supervisor);
    wait_until(&fixture, || process_start(supervisor).is_none());
    fixture.signal("-TERM");
    assert!(wait_unmounted(&fixture.root(), DEADLINE).unwrap());
}

#[test]
fn what_a_supervisor_was_told_to_unmount_goes_when_it_dies_instead() {
    if !can_mount("what_a_supervisor_was_told_to_unmount_goes_when_it_dies_instead") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let supervisor = supervisor_pid(&fixture);
    send("-STOP", supervisor);
    fixture.signal("-TERM");
    // The server serves on until somebody has unmounted.
    assert!(fs::read(fixture.path("a/package.json")).is_ok());
    send("-KILL", supervisor);
    assert!(wait_unmounted(&fixture.root(), DEADLINE).unwrap());
}

#[test]
fn a_running_server_is_upgraded_under_its_mount() {
    if !can_mount("a_running_server_is_upgraded_under_its_mount") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let expected = tree("sample").expected;
    let held = File::open(fixture.path("a/package.json")).unwrap();
    let (supervisor, server) = (supervisor_pid(&fixture), fixture.server_pid());
    let state = fixture.statuses()[0].state.clone().unwrap();
    upgrade(&fixture.run, &state, &server_command("sample")).unwrap();
    // The supervisor stays the same process.
    assert_eq!(supervisor_pid(&fixture), supervisor);
    let second = fixture.server_pid();
    assert_ne!(second, server);
    assert_eq!(walk(&fixture.root()), expected);
    assert_eq!(fixture.statuses()[0].health, Health::Healthy);
    send("-KILL", second);
    wait_until(&fixture, || fixture.server_pid() != second);
    let absent = fs::symlink_metadata(fixture.path("absent")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    drop(held);
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn mounting_with_a_newer_program_upgrades_and_a_program_that_is_none_changes_nothing() {
    let test = "mounting_with_a_newer_program_upgrades_and_a_program_that_is_none_changes_nothing";
    if !can_mount(test) {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.server_pid();
    let mut state = fixture.statuses()[0].state.clone().unwrap();
    let mut none = server_command("sample");
    none.program = "/etc/passwd".into();
    let error = upgrade(&fixture.run, &state, &none).unwrap_err();
    assert!(matches!(error, MountError::Upgrade { .. }), "{error}");
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
    state.server.pid = fixture.server_pid();
    state.server.start = process_start(state.server.pid).unwrap();
    state.version = "0.0.1".to_owned();
    fixture.run.save(&state).unwrap();
    let outcome = fixture.mount("sample").unwrap();
    assert!(matches!(outcome, MountOutcome::AlreadyMounted { server_pid } if server_pid != pid));
    let state = fixture.statuses()[0].state.clone().unwrap();
    assert_eq!(state.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
}

/// Unmounts as somebody who does not know of servers.
fn unmount_from_outside(root: &Path) {
    let mut umount = Command::new("umount");
    let by_root = umount.arg(root).stderr(Stdio::null()).status();
    if !by_root.is_ok_and(|status| status.success()) {
        let unmounted = Command::new("fusermount3").arg("-u").arg(root).status();
        assert!(unmounted.unwrap().success());
    }
}

#[test]
fn a_supervisor_that_ends_late_takes_nothing_of_the_next_one_away() {
    let test = "a_supervisor_that_ends_late_takes_nothing_of_the_next_one_away";
    if !can_mount(test) {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let late = fixture.statuses()[0].state.clone().unwrap().supervisor;
    send("-STOP", late.pid);
    unmount_from_outside(&fixture.root());
    let supervisor = fixture.run.supervisor_socket(&fixture.root());
    let old = fs::metadata(&supervisor).unwrap().ino();
    thread::scope(|scope| {
        let mounting = scope.spawn(|| fixture.mount("sample").unwrap());
        // The next one listens, and waits for the directory that the late one has.
        wait_until(&fixture, || {
            fs::metadata(&supervisor).is_ok_and(|now| now.ino() != old)
        });
        send("-CONT", late.pid);
        wait_until(&fixture, || !late.is_alive());
        mounting.join().unwrap();
    });
    let status = &fixture.statuses()[0];
    assert_eq!(status.health, Health::Healthy);
    assert_ne!(status.state.as_ref().unwrap().supervisor, late);
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn a_supervisor_whose_files_were_removed_is_unmounted() {
    if !can_mount("a_supervisor_whose_files_were_removed_is_unmounted") {
        return;
    }
    for ending in ["supervisor", "sock", "json"] {
        let fixture = Fixture::mounted("sample");
        let supervisor = fixture.statuses()[0].state.clone().unwrap().supervisor;
        for entry in fs::read_dir(fixture.run.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == ending) {
                fs::remove_file(path).unwrap();
            }
        }
        let held = File::open(fixture.root()).unwrap();
        let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
        assert!(matches!(error, MountError::Busy { .. }), "{error}");
        drop(held);
        fixture.unmount(UnmountRequest::Strict).unwrap();
        wait_until(&fixture, || !supervisor.is_alive());
    }
}

#[test]
fn an_unmount_waits_for_a_server_that_begins_slowly() {
    if !can_mount("an_unmount_waits_for_a_server_that_begins_slowly") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let supervisor = supervisor_pid(&fixture);
    let children = || children_of(supervisor);
    let dead = fixture.signal("-KILL");
    wait_until(&fixture, || children().iter().any(|pid| *pid != dead));
    let next = children().into_iter().find(|pid| *pid != dead).unwrap();
    send("-STOP", next);
    thread::scope(|scope| {
        let unmounting = scope.spawn(|| fixture.unmount(UnmountRequest::Strict));
        thread::sleep(ANSWER_TIMEOUT + Duration::from_millis(500));
        // One that had begun before it was stopped is not waited for, and is gone.
        let _ = Command::new("kill")
            .args(["-CONT", &next.to_string()])
            .status();
        unmounting.join().unwrap().unwrap();
    });
}

#[test]
fn who_unmounts_while_that_is_under_way_waits_for_it() {
    if !can_mount("who_unmounts_while_that_is_under_way_waits_for_it") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let socket = fixture.run.supervisor_socket(&fixture.root());
    let held = File::open(fixture.root()).unwrap();
    let stop = || {
        let request = ControlRequest::Stop(StopMode::Strict);
        ask(&socket, request, STOP_TIMEOUT).unwrap()
    };
    thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(stop)).collect();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert!(matches!(answer, ControlAnswer::Busy(_)), "{answer:?}");
        }
    });
    drop(held);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| fixture.unmount(UnmountRequest::Lazy)))
            .collect();
        let answers: Vec<_> = asked.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    });
}
