//! One script after the other, of one package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::environment::{EnvironmentChange, NodeGyp, ScriptPlaces, node_path_of};
use super::error::ScriptError;
use super::manifest::ScriptManifest;
use super::output::{LineSink, OwnedName, ScriptOutput};
use super::process::{self, Children, Limits, ScriptEnd};
use super::shell::with_arguments;
use crate::install::config::{Config, Environment, ScriptConfig};
use crate::report::{Event, Reporter};
use crate::sys::process::is_root;

/// A guard that pnpm passes over: it does nothing where pnpm runs it.
const ONLY_ALLOW: &str = "npx only-allow pnpm";

/// The stages of a project that an install runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectStages {
    /// Of the root alone, before anything is resolved.
    BeforeResolution,
    /// Before `node_modules` is put in place.
    BeforeLinking,
    /// When `node_modules` is in place.
    AfterLinking,
}

impl ProjectStages {
    /// The names, in their order.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::BeforeResolution => &["pnpm:devPreinstall"],
            Self::BeforeLinking => &["preinstall"],
            Self::AfterLinking => &[
                "install",
                "postinstall",
                "preprepare",
                "prepare",
                "postprepare",
            ],
        }
    }
}

/// A script that is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// Whose.
    pub package: &'a ScriptManifest,
    /// How it is called before its lines.
    pub shown: &'a str,
    /// The depPath, or a project's directory.
    pub dep_path: &'a str,
    /// Whether the install goes on when it fails.
    pub is_optional: bool,
    /// Its name.
    pub stage: &'a str,
    /// The line of shell.
    pub text: &'a str,
    /// Words behind it.
    pub arguments: &'a [String],
}

/// Runs scripts: what all scripts of one command share.
#[derive(Clone)]
pub struct Launcher {
    /// The settings.
    pub config: ScriptConfig,
    /// What their environments are made of.
    pub places: ScriptPlaces,
    /// Where their output goes.
    pub output: ScriptOutput,
    /// What they may do.
    pub limits: Limits,
    /// Whether they have a directory for temporary files of their own.
    pub has_temporary_directory: bool,
    /// What is running.
    pub children: Children,
    /// Who hears of them.
    pub reporter: Arc<dyn Reporter>,
}

impl Launcher {
    /// For what an install runs by itself.
    pub fn of_install(
        config: &Config,
        environment: &Environment,
        output: ScriptOutput,
        bin_directories: Vec<PathBuf>,
        children: &Children,
        reporter: &Arc<dyn Reporter>,
    ) -> Self {
        let unsafe_permissions = config.build_running.unsafe_permissions;
        Self {
            config: config.scripts.clone(),
            places: ScriptPlaces {
                environment: environment.clone(),
                command: "install",
                called_in: config.lockfile_directory.clone(),
                bin_directories,
                program: std::env::current_exe().ok(),
                node_gyp: NodeGyp::of_npm(environment),
                node_path: node_path_of(config),
                is_in_mount: false,
            },
            output,
            limits: Limits::default(),
            // As pnpm: root's scripts get a directory of their own for temporary files.
            has_temporary_directory: !unsafe_permissions.unwrap_or_else(|| !is_root()),
            children: children.clone(),
            reporter: reporter.clone(),
        }
    }

    /// Runs a script to its end.
    ///
    /// # Errors
    /// It cannot be run. That it failed is no error: see [`ScriptEnd`].
    pub fn run(&self, script: &Script<'_>) -> Result<ScriptEnd, ScriptError> {
        let text = with_arguments(script.text, script.arguments);
        if text == ONLY_ALLOW {
            return Ok(ScriptEnd::Code(0));
        }
        let directory = script.package.directory();
        let temporary = self.temporary_directory(script)?;
        let environment = self.places.of_script(
            &self.config,
            script.package,
            script.stage,
            &text,
            temporary.as_ref().map(|temporary| &*temporary.path),
        );
        let shell = self.config.shell.as_deref().unwrap_or("sh");
        let mut command = Command::new(shell);
        command.arg("-c").arg(&text).current_dir(directory);
        environment.apply(&mut command);
        let name = OwnedName {
            shown: script.shown.to_owned(),
            dep_path: script.dep_path.to_owned(),
            directory: directory.to_string_lossy().into_owned(),
            stage: script.stage.to_owned(),
            is_optional: script.is_optional,
        };
        self.run_command(&mut command, &name, &text)
    }

    fn run_command(
        &self,
        command: &mut Command,
        name: &OwnedName,
        text: &str,
    ) -> Result<ScriptEnd, ScriptError> {
        let output = self.output;
        self.reporter.report(&Event::ScriptStarted {
            name: &name.borrowed(),
            script: text,
            output,
        });
        let sink = Arc::new(LineSink::new(name.clone(), self.reporter.clone(), output));
        let ended = process::run(command, output, &sink, self.limits, &self.children);
        let stage = name.stage.clone();
        let end = ended
            .map_err(|source| self.not_started(command, stage.clone(), source))?
            .ok_or(ScriptError::Stopped { stage })?;
        if output == ScriptOutput::Held || !end.is_success() {
            sink.tell_held();
        }
        self.reporter.report(&Event::ScriptEnded {
            name: &name.borrowed(),
            end,
            output,
        });
        Ok(end)
    }

    fn not_started(&self, command: &Command, stage: String, source: std::io::Error) -> ScriptError {
        let directory = command
            .get_current_dir()
            .unwrap_or(Path::new("."))
            .to_owned();
        match &self.config.shell {
            Some(shell) if directory.is_dir() => ScriptError::Shell {
                shell: PathBuf::from(shell),
                source,
            },
            _ => ScriptError::Start {
                stage,
                directory,
                source,
            },
        }
    }

    fn temporary_directory(
        &self,
        script: &Script<'_>,
    ) -> Result<Option<TemporaryDirectory>, ScriptError> {
        if !self.has_temporary_directory {
            return Ok(None);
        }
        let modules = script.package.directory().join("node_modules");
        let path = modules.join(".tmp");
        let made_modules = (!modules.exists()).then_some(modules);
        crate::sys::directory::make(&path).map_err(|source| ScriptError::Start {
            stage: script.stage.to_owned(),
            directory: path.clone(),
            source,
        })?;
        Ok(Some(TemporaryDirectory { path, made_modules }))
    }

    /// The environment of a command of `exec`.
    pub fn environment_of_command(
        &self,
        directory: &Path,
        package_name: Option<&str>,
    ) -> EnvironmentChange {
        self.places
            .of_command(&self.config, directory, package_name)
    }

    /// Runs `command`, which is no script, on the terminal. `None`: the command is being ended.
    ///
    /// # Errors
    /// It cannot be started or waited for.
    pub fn run_on_terminal(&self, command: &mut Command) -> std::io::Result<Option<ScriptEnd>> {
        let name = OwnedName {
            shown: String::new(),
            dep_path: String::new(),
            directory: String::new(),
            stage: String::new(),
            is_optional: false,
        };
        let output = ScriptOutput::Terminal;
        let sink = Arc::new(LineSink::new(name, self.reporter.clone(), output));
        process::run(command, output, &sink, self.limits, &self.children)
    }
}

/// Where a script has its temporary files. What is empty goes away with it: a `node_modules` that
/// nobody has installed is in the way of a mount.
struct TemporaryDirectory {
    path: PathBuf,
    /// `node_modules` around it, where there was none.
    made_modules: Option<PathBuf>,
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What a script left in it stays.
        let is_gone = std::fs::remove_dir(&self.path).is_ok();
        if let Some(modules) = self.made_modules.as_ref().filter(|_| is_gone) {
            let _ = std::fs::remove_dir(modules);
        }
    }
}
