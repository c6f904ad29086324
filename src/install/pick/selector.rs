//! Which version of a package is wanted.

use crate::install::semver::{Range, Version};

/// Which version of a package is wanted: what stands after the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Exactly this version, in its canonical form.
    Version(Box<str>),
    /// The version that a dist-tag names.
    Tag(Box<str>),
    /// One of a range.
    Range {
        /// As written; `*` for every spelling of "any version".
        text: Box<str>,
        /// The range.
        range: Range,
    },
}

impl Selector {
    /// Reads `text` as npm does: a version, else a range, else a tag. `None`: it is none of them,
    /// for a tag has only characters that an address may have unescaped.
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        if trimmed.split("||").any(|part| part.trim().is_empty()) {
            return Some(Self::any());
        }
        if let Some(version) = Version::parse_loose(trimmed) {
            return Some(Self::Version(version.to_string().into()));
        }
        if let Some(range) = Range::parse_loose(trimmed) {
            let text = text.into();
            return Some(Self::Range { text, range });
        }
        is_tag(text).then(|| Self::Tag(text.into()))
    }

    /// `*`.
    pub fn any() -> Self {
        Self::Range {
            text: "*".into(),
            range: Range::any(),
        }
    }

    /// The text: the version, the tag or the range.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Version(text) | Self::Tag(text) | Self::Range { text, .. } => text,
        }
    }
}

/// What `encodeURIComponent` leaves alone.
fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte))
}
