//! `service`: a systemd user unit that mounts a project at login and unmounts it at logout.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::cli::arguments::{GlobalArguments, ServiceCommand};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::config::LOCKFILE_NAME;
use crate::install::config::Options;
use crate::name::hexadecimal;
use crate::report::Event;
use crate::sys;

/// Where the user manager looks for units, below its directory of configuration.
const UNITS: &str = "systemd/user";

/// What is started at login, below the directory of units.
const WANTED_AT_LOGIN: &str = "default.target.wants";

/// Bytes of a digest that tell projects of one name apart.
const DIGEST_BYTES: usize = 6;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    command: &ServiceCommand,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let units = units_directory(&context)?;
    let project = &context.config.lockfile_directory;
    let unit = units.join(unit_name(project));
    let link = units.join(WANTED_AT_LOGIN).join(unit_name(project));
    match command {
        ServiceCommand::Install => install(&context, &unit, &link),
        ServiceCommand::Remove => remove(&context, &unit, &link),
    }
}

fn install(context: &Context, unit: &Path, link: &Path) -> Result<(), Failure> {
    let config = &context.config;
    let program = std::env::current_exe()
        .map_err(|cause| Failure::io("ERR_PACQUET_SERVICE", "This program has no path", cause))?;
    let text = unit_text(
        &program,
        &config.lockfile_directory,
        &config.store_directory,
    )?;
    let failed = |path: &Path| {
        let sentence = format!("{} cannot be written", path.display());
        move |cause: io::Error| Failure::io("ERR_PACQUET_SERVICE", &sentence, cause)
    };
    for path in [unit, link] {
        let directory = path.parent().unwrap_or(path);
        sys::directory::make(directory).map_err(failed(directory))?;
    }
    // Whoever reads it sees all of it or nothing.
    let temporary = unit.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, unit))
        .map_err(failed(unit))?;
    let target = Path::new("..").join(unit.file_name().unwrap_or_default());
    match symlink(target, link) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(link)(cause));
        }
        _ => {}
    }
    let text = format!("{} mounts at login and unmounts at logout", unit.display());
    context.reporter.report(&Event::Info(&text));
    reload(context);
    Ok(())
}

fn remove(context: &Context, unit: &Path, link: &Path) -> Result<(), Failure> {
    let mut was_there = false;
    for path in [link, unit] {
        match fs::remove_file(path) {
            Ok(()) => was_there = true,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => {
                let sentence = format!("{} cannot be removed", path.display());
                return Err(Failure::io("ERR_PACQUET_SERVICE", &sentence, cause));
            }
        }
    }
    if !was_there {
        return Err(Failure::new(
            "ERR_PACQUET_NO_SERVICE",
            format!("There is no unit {}", unit.display()),
            Some("it belongs to the project in which `pacquet service install` ran"),
        ));
    }
    let text = format!("Removed {}; what is mounted stays", unit.display());
    context.reporter.report(&Event::Info(&text));
    reload(context);
    Ok(())
}

/// Lets the user manager know. Where there is none now, the next one reads the units anyway.
fn reload(context: &Context) {
    let reloaded = Command::new("systemctl")
        .args(["--user", "daemon-reload"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !reloaded.is_ok_and(|status| status.success()) {
        context.reporter.report(&Event::Info(
            "The user manager was not told; it reads units when it starts",
        ));
    }
}

fn units_directory(context: &Context) -> Result<PathBuf, Failure> {
    let environment = &context.environment;
    let configured = environment.variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = environment.home().map(|home| home.join(".config"));
    let base = configured.filter(|path| path.is_absolute()).or(home);
    base.map(|base| base.join(UNITS)).ok_or_else(|| {
        Failure::new(
            "ERR_PACQUET_SERVICE",
            "There is no directory for units of this user",
            Some("set HOME or XDG_CONFIG_HOME"),
        )
    })
}

/// The unit of a project: its directory's name to be recognized by, and a digest of its path.
fn unit_name(project: &Path) -> String {
    let name = project.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '_' })
        .take(64)
        .collect();
    let digest = Sha256::digest(project.as_os_str().as_encoded_bytes());
    let digest = hexadecimal(&digest[..DIGEST_BYTES]);
    format!("pacquet-{name}-{digest}.service")
}

/// The unit. Its processes are the supervisor and the server, which `mount` leaves behind; where
/// something is mounted already, it stays as it is.
fn unit_text(program: &Path, project: &Path, store: &Path) -> Result<String, Failure> {
    let (program, directory, store) = (quoted(program)?, quoted(project)?, quoted(store)?);
    let modules = quoted(&project.join(LOCKFILE_NAME))?;
    // Conditions take the rest of the line as it is, but for the specifiers in it.
    let condition = modules.trim_matches('"').replace("$$", "$");
    Ok(format!(
        "# Written by `pacquet service install`.\n\
         [Unit]\n\
         Description=node_modules of {description}\n\
         ConditionPathExists={condition}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} mount -C {directory} --store-dir {store}\n\
         ExecStop={program} unmount --lazy -C {directory}\n\
         SuccessExitStatus=0 SIGTERM\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        description = condition,
    ))
}

/// A path as one word of a command line in a unit (systemd.service(5), "Command lines").
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    let text = text.ok_or_else(|| {
        Failure::new(
            "ERR_PACQUET_SERVICE",
            format!("{} cannot be written in a unit", path.display()),
            Some("its name has bytes in it that are no text"),
        )
    })?;
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_of_one_name_have_units_of_their_own() {
        let one = unit_name(Path::new("/a/my app"));
        assert!(
            one.starts_with("pacquet-my_app-") && one.ends_with(".service"),
            "{one}"
        );
        assert_ne!(one, unit_name(Path::new("/b/my app")));
        assert!(unit_name(Path::new(&format!("/{}", "x".repeat(255)))).len() < 255);
    }

    #[test]
    fn paths_are_words_of_a_command_line() {
        let quoted = |path: &str| quoted(Path::new(path)).unwrap();
        assert_eq!(quoted("/a b/c"), "\"/a b/c\"");
        assert_eq!(quoted("/100%/$x/\"\\"), "\"/100%%/$$x/\\\"\\\\\"");
        assert!(super::quoted(Path::new("/a\nExecStart=/bin/sh")).is_err());
        assert!(super::quoted(Path::new("/a\u{85}b")).is_err());
    }
}
