//! pnpm's patterns of names: `*` is any run of characters, `!` in front negates.

/// A list of patterns, ready to match.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamePatterns {
    patterns: Vec<Pattern>,
    starts_matched: bool,
}

#[derive(Debug, Clone)]
struct Pattern {
    negated: bool,
    /// What stands between the asterisks.
    parts: Vec<Box<str>>,
}

impl NamePatterns {
    /// The last pattern that matches decides; a list of negations alone starts from "everything".
    pub(crate) fn new(patterns: &[Box<str>]) -> Self {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text)).collect();
        let starts_matched = !patterns.is_empty() && patterns.iter().all(|one| one.negated);
        Self {
            patterns,
            starts_matched,
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.patterns
            .iter()
            .fold(self.starts_matched, |matched, pattern| {
                if pattern.matches(name) {
                    !pattern.negated
                } else {
                    matched
                }
            })
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        let (negated, glob) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Self {
            negated,
            parts: glob.split('*').map(Into::into).collect(),
        }
    }

    fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| &**only == name);
        };
        let Some(rest) = name.strip_prefix(&**first) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&**last) else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(&**part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], name: &str) -> bool {
        let patterns: Vec<Box<str>> = patterns.iter().map(|&text| text.into()).collect();
        NamePatterns::new(&patterns).matches(name)
    }

    #[test]
    fn the_last_matching_pattern_decides() {
        for (patterns, name, expected) in [
            (&[][..], "a", false),
            (&["*"], "a", true),
            (&["a"], "a", true),
            (&["a"], "ab", false),
            (&["a*"], "ab", true),
            (&["*a"], "ab", false),
            (&["a*a"], "a", false),
            (&["a*a"], "aa", true),
            (&["a*b*c"], "a-b-c", true),
            (&["a*b*c"], "a-c-b", false),
            (&["@x/*"], "@x/a", true),
            (&["@x/*"], "x", false),
            (&["!a"], "a", false),
            (&["!a"], "b", true),
            (&["!a", "!b"], "b", false),
            (&["!a", "!b"], "c", true),
            (&["*", "!a"], "a", false),
            (&["*", "!a*", "ab"], "ab", true),
            (&["!a", "*"], "a", true),
            (&["!a", "b"], "c", false),
        ] {
            assert_eq!(matches(patterns, name), expected, "{patterns:?} {name}");
        }
    }
}
