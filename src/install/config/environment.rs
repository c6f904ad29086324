//! What a process knows of its surroundings, passed in so that nothing here reads it by itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables that continuous-integration services set, besides `CI` itself.
const CI_VARIABLES: [&str; 4] = [
    "CONTINUOUS_INTEGRATION",
    "BUILD_NUMBER",
    "BUILD_ID",
    "RUN_ID",
];

/// Environment variables, home directory and current directory.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
    current_directory: PathBuf,
    is_ci: bool,
}

impl std::fmt::Debug for Environment {
    /// Names only: values of variables may be secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("home", &self.home)
            .field("current_directory", &self.current_directory)
            .field("is_ci", &self.is_ci)
            .finish()
    }
}

impl Environment {
    /// That of this process. Where `HOME` is not set, as in some containers and services, the
    /// user's home directory is the one that the system's table of users has.
    pub fn of_process(current_directory: PathBuf) -> Self {
        let mut environment = Self::new(std::env::vars_os(), current_directory);
        if std::env::var_os("HOME").is_none() {
            environment.home = std::env::home_dir().filter(|home| home.is_absolute());
        }
        environment
    }

    /// An environment of `variables` (those that are not UTF-8 are left out) seen from
    /// `current_directory`, which must be absolute.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        current_directory: PathBuf,
    ) -> Self {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let is_ci = detect_ci(&variables);
        let home = variables
            .get("HOME")
            .filter(|home| Path::new(home).is_absolute())
            .map(PathBuf::from);
        Self {
            variables,
            home,
            current_directory,
            is_ci,
        }
    }

    /// The value of `name`; empty values count as absent.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of `name`, also where it is empty.
    pub(super) fn set_variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value of the first of `names` that has one.
    pub(crate) fn first_variable(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variable(name))
    }

    /// All variables, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The user's home directory: `HOME`, where it is an absolute path.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Where the process is.
    pub fn current_directory(&self) -> &Path {
        &self.current_directory
    }

    /// Whether a continuous-integration service runs this.
    pub fn is_ci(&self) -> bool {
        self.is_ci
    }

    /// The directory that the XDG variable `name` names, or `fallback` below the home directory.
    pub(crate) fn xdg_directory(&self, name: &str, fallback: &str) -> Option<PathBuf> {
        match self.variable(name).map(Path::new) {
            Some(path) if path.is_absolute() => Some(path.to_path_buf()),
            _ => self.home().map(|home| home.join(fallback)),
        }
    }
}

fn detect_ci(variables: &BTreeMap<String, String>) -> bool {
    match variables.get("CI").map(String::as_str) {
        Some("false" | "0") => false,
        Some(value) if !value.is_empty() => true,
        _ => CI_VARIABLES
            .iter()
            .any(|name| variables.get(*name).is_some_and(|v| !v.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
            "/".into(),
        )
    }

    #[test]
    fn ci_is_what_the_services_say() {
        for (variables, expected) in [
            (&[][..], false),
            (&[("CI", "true")], true),
            (&[("CI", "1")], true),
            (&[("CI", "false")], false),
            (&[("CI", "")], false),
            (&[("CI", "false"), ("BUILD_NUMBER", "3")], false),
            (&[("BUILD_NUMBER", "3")], true),
        ] {
            assert_eq!(environment(variables).is_ci(), expected, "{variables:?}");
        }
    }

    #[test]
    fn home_must_be_absolute_and_debug_shows_no_values() {
        assert_eq!(environment(&[("HOME", "relative")]).home(), None);
        let with_secret = environment(&[("NPM_TOKEN", "hunter2"), ("HOME", "/h")]);
        assert!(!format!("{with_secret:?}").contains("hunter2"));
        assert_eq!(with_secret.home(), Some(Path::new("/h")));
    }
}
