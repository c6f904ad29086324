//! How a command fails: a code, a sentence, its causes, and a hint.

use std::fmt::Write as _;
use std::io::ErrorKind;

use crate::diagnostic::Diagnostic;
use crate::name::escaped;

/// The code of an install that left builds undone, since nobody has decided on them.
pub(super) const IGNORED_BUILDS: &str = "ERR_PNPM_IGNORED_BUILDS";

/// The code where no project is the one that was asked for, and that is a failure.
const NOTHING_CHOSEN: &str = "ERR_PNPM_NO_MATCHING_PROJECTS";

/// The code of arguments that do not go together.
const USAGE: &str = "ERR_PACQUET_USAGE";

/// A failure that is ready to be shown.
#[derive(Debug)]
pub(super) struct Failure {
    code: &'static str,
    sentence: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure of this room itself, with the error of the system behind it.
    pub(super) fn io(code: &'static str, sentence: &str, cause: std::io::Error) -> Self {
        Self {
            code,
            sentence: sentence.to_owned(),
            hint: hint_of(cause.kind()).map(str::to_owned),
            causes: vec![cause.to_string()],
        }
    }

    /// Arguments that do not go together.
    pub(super) fn usage(sentence: &str) -> Self {
        Self {
            code: USAGE,
            sentence: sentence.to_owned(),
            causes: Vec::new(),
            hint: Some("run the command with --help".to_owned()),
        }
    }

    /// A failure with a code and a hint of this room.
    pub(super) fn new(code: &'static str, sentence: impl Into<String>, hint: Option<&str>) -> Self {
        let hint = hint.map(str::to_owned);
        Self {
            code,
            sentence: sentence.into(),
            causes: Vec::new(),
            hint,
        }
    }

    /// Nothing was chosen, as was said on standard output: pnpm says it there.
    pub(super) fn told(sentence: String) -> Self {
        Self::new(NOTHING_CHOSEN, sentence, None)
    }

    /// Whether it has been said already.
    pub(super) fn is_told(&self) -> bool {
        self.code == NOTHING_CHOSEN
    }

    /// Whether the arguments are wrong.
    pub(super) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// Whether it is about this machine's ability to mount, and not about the project.
    pub(super) fn is_inability_to_mount(&self) -> bool {
        const CODES: [&str; 8] = [
            "ERR_PACQUET_NO_FUSE",
            "ERR_PACQUET_FUSE_DEVICE",
            "ERR_PACQUET_NO_FUSERMOUNT",
            "ERR_PACQUET_MOUNT_HELPER",
            "ERR_PACQUET_FUSERMOUNT",
            "ERR_PACQUET_MOUNT",
            "ERR_PACQUET_SERVER",
            "ERR_PACQUET_SERVER_TIMEOUT",
        ];
        CODES.contains(&self.code)
    }

    /// Whether a mount could not be taken away because somebody uses it.
    pub(super) fn is_busy_mount(&self) -> bool {
        self.code == "ERR_PACQUET_MOUNT_BUSY"
    }

    /// Whether all is in place but for builds that nobody has decided on.
    pub(super) fn is_about_ignored_builds(&self) -> bool {
        self.code == IGNORED_BUILDS
    }

    /// Whether there is no project.
    pub(super) fn is_missing_manifest(&self) -> bool {
        self.code == "ERR_PNPM_NO_PKG_MANIFEST"
    }

    /// The same with another code.
    pub(super) fn coded(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The same with a hint.
    pub(super) fn hinted(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// Its code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What went wrong, in one line.
    pub(super) fn sentence(&self) -> String {
        std::iter::once(&self.sentence)
            .chain(&self.causes)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// The same, with one more cause where there is one.
    pub(super) fn because(mut self, cause: Option<String>) -> Self {
        self.causes.extend(cause);
        self
    }

    /// As people read it, over several lines.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}  {}", self.code, self.sentence);
        for cause in &self.causes {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  because: {cause}");
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\n\nhint: {hint}");
        }
        text
    }

    /// As programs read it: the form of pnpm's own error event.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "level": "error",
            "name": "pnpm",
            "code": self.code,
            "message": self.sentence,
            "causes": self.causes,
            "hint": self.hint,
        })
    }
}

impl<E: Diagnostic> From<E> for Failure {
    fn from(error: E) -> Self {
        let sentence = error.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let text = multiline_safe(&inner.to_string());
            if causes.last().is_none_or(|last| *last != text) && !sentence.contains(&text) {
                causes.push(text);
            }
            cause = inner.source();
        }
        Self {
            code: error.code(),
            sentence,
            causes,
            hint: error.hint(),
        }
    }
}

/// Causes come from libraries too, which quote foreign text as it is.
fn multiline_safe(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n  ")
}

/// What helps against a failure of the system, where that is known.
fn hint_of(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "check who owns it, and whether its directory can be written"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there",
        ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::IsADirectory => {
            "a text file is expected there: move away what stands in its place"
        }
        ErrorKind::NotFound => "check that it is there",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer fails")]
    struct Outer(#[source] std::io::Error);

    impl Diagnostic for Outer {
        fn code(&self) -> &'static str {
            "ERR_PACQUET_OUTER"
        }

        fn hint(&self) -> Option<String> {
            Some("try again".to_owned())
        }
    }

    #[test]
    fn code_sentence_causes_and_hint_are_shown_in_this_order() {
        let failure = Failure::from(Outer(std::io::Error::other("disk\u{1b}[2J gone")));
        assert_eq!(
            failure.text(),
            "ERR_PACQUET_OUTER  outer fails\n  because: disk\\u{1b}[2J gone\n\nhint: try again"
        );
        assert_eq!(failure.json()["hint"], "try again");
    }
}
