//! The name of a script, or a pattern of names.

use regex::Regex;

use crate::cli::failure::Failure;
use crate::install::config::Environment;
use crate::install::scripts::ScriptManifest;

/// Flags that a pattern has in JavaScript.
const FLAGS: &str = "dgimuvys";

/// Set for every script, so that scripts may call those that are hidden from people.
const INSIDE_A_SCRIPT: &str = "npm_lifecycle_event";

/// Which scripts are meant.
pub(super) struct Selector<'a> {
    name: &'a str,
    pattern: Option<Regex>,
}

impl<'a> Selector<'a> {
    /// Reads `/pattern/`; what is no pattern, or not one that can be read, is a name.
    pub(super) fn new(name: &'a str) -> Result<Self, Failure> {
        let pattern = match pattern_of(name) {
            Some((_, flags)) if !flags.is_empty() => {
                return Err(Failure::new(
                    "ERR_PNPM_UNSUPPORTED_SCRIPT_COMMAND_FORMAT",
                    "RegExp flags are not supported in script command selector",
                    None,
                ));
            }
            Some((pattern, _)) => Regex::new(pattern).ok(),
            None => None,
        };
        Ok(Self { name, pattern })
    }

    /// The name, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.pattern.is_none().then_some(self.name)
    }

    /// The scripts of `manifest` that are meant, in its order.
    pub(super) fn select(&self, manifest: &ScriptManifest) -> Vec<String> {
        if manifest.script(self.name).is_some() {
            return vec![self.name.to_owned()];
        }
        let Some(pattern) = &self.pattern else {
            return Vec::new();
        };
        let names = manifest.scripts().map(|(name, _)| name);
        let matching = names.filter(|name| pattern.is_match(name));
        matching.map(str::to_owned).collect()
    }
}

/// Pattern and flags of `/pattern/flags`, where only escaped slashes are in the pattern.
fn pattern_of(text: &str) -> Option<(&str, &str)> {
    let (pattern, flags) = text.strip_prefix('/')?.rsplit_once('/')?;
    if pattern.is_empty() || !flags.chars().all(|flag| FLAGS.contains(flag)) {
        return None;
    }
    let mut escaped = false;
    for character in pattern.chars() {
        match character {
            '\\' => escaped = !escaped,
            '/' if !escaped => return None,
            _ => escaped = false,
        }
    }
    Some((pattern, flags))
}

/// `scripts` without those that begin with a dot: only other scripts may call them.
pub(super) fn visible(
    scripts: Vec<String>,
    name: &str,
    environment: &Environment,
) -> Result<Vec<String>, Failure> {
    let is_hidden = |script: &String| script.starts_with('.');
    if environment.variable(INSIDE_A_SCRIPT).is_some() || !scripts.iter().any(is_hidden) {
        return Ok(scripts);
    }
    let hidden = |sentence: String| {
        let hint = "scripts that begin with \".\" can only be called from other scripts";
        Failure::new("ERR_PNPM_HIDDEN_SCRIPT", sentence, Some(hint))
    };
    if name.starts_with('.') {
        let name = crate::name::escaped(name);
        return Err(hidden(format!(
            "Script \"{name}\" is hidden and cannot be run directly"
        )));
    }
    let (hidden_ones, visible): (Vec<String>, Vec<String>) =
        scripts.into_iter().partition(is_hidden);
    if visible.is_empty() {
        let names = crate::name::escaped(&hidden_ones.join(", "));
        return Err(hidden(format!(
            "All matched scripts are hidden and cannot be run directly: {names}"
        )));
    }
    Ok(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_told_from_names() {
        for (text, expected) in [
            ("/a/", Some(("a", ""))),
            ("/a.*/i", Some(("a.*", "i"))),
            (r"/a\/b/", Some((r"a\/b", ""))),
            ("/a/b/", None),
            ("//", None),
            ("/a/x", None),
            ("a/", None),
            ("/a", None),
        ] {
            assert_eq!(pattern_of(text), expected, "{text}");
        }
    }
}
