//! Ranges compared with each other: as intervals in the order of precedence, without npm's rule
//! about pre-releases, which concerns versions.

use std::fmt;

use super::{Comparator, Operator, Range, Version};

/// The versions between two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bounds {
    low: Option<End>,
    high: Option<End>,
}

/// An end of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    version: Version,
    is_in: bool,
}

impl Bounds {
    const ALL: Self = Self {
        low: None,
        high: None,
    };

    /// What all comparators allow; `None`: nothing.
    fn of(comparators: &[Comparator]) -> Option<Self> {
        let mut bounds = Self::ALL;
        for comparator in comparators {
            let end = |is_in| {
                Some(End {
                    version: comparator.version.clone(),
                    is_in,
                })
            };
            let (low, high) = match comparator.operator {
                Operator::Less => (None, end(false)),
                Operator::LessOrEqual => (None, end(true)),
                Operator::Equal => (end(true), end(true)),
                Operator::GreaterOrEqual => (end(true), None),
                Operator::Greater => (end(false), None),
            };
            bounds = bounds.and(&Self { low, high })?;
        }
        Some(bounds)
    }

    /// What both have; `None`: nothing.
    fn and(&self, other: &Self) -> Option<Self> {
        let low = match (&self.low, &other.low) {
            (Some(left), Some(right)) if left.begins_after(right) => Some(left),
            (left, right) => right.as_ref().or(left.as_ref()),
        };
        let high = match (&self.high, &other.high) {
            (Some(left), Some(right)) if right.ends_after(left) => Some(left),
            (left, right) => right.as_ref().or(left.as_ref()),
        };
        let is_empty = match (low, high) {
            (Some(low), Some(high)) => {
                low.version > high.version
                    || (low.version == high.version && !(low.is_in && high.is_in))
            }
            // There is nothing before the first version.
            (None, Some(high)) => !high.is_in && high.version == Version::before([0; 3]),
            _ => false,
        };
        (!is_empty).then(|| Self {
            low: low.cloned(),
            high: high.cloned(),
        })
    }

    fn is_within(&self, other: &Self) -> bool {
        self.and(other).is_some_and(|both| both == *self)
    }

    fn comparators(self) -> Vec<Comparator> {
        let exact = match (&self.low, &self.high) {
            (Some(low), Some(high)) if low.version == high.version => Some(low.version.clone()),
            _ => None,
        };
        if let Some(version) = exact {
            return vec![Comparator::new(Operator::Equal, version)];
        }
        let low = self.low.map(|low| {
            let operator = match low.is_in {
                true => Operator::GreaterOrEqual,
                false => Operator::Greater,
            };
            Comparator::new(operator, low.version)
        });
        let high = self.high.map(|high| {
            let operator = match high.is_in {
                true => Operator::LessOrEqual,
                false => Operator::Less,
            };
            Comparator::new(operator, high.version)
        });
        low.into_iter().chain(high).collect()
    }
}

impl End {
    fn begins_after(&self, other: &Self) -> bool {
        self.version > other.version
            || (self.version == other.version && !self.is_in && other.is_in)
    }

    fn ends_after(&self, other: &Self) -> bool {
        self.version > other.version
            || (self.version == other.version && self.is_in && !other.is_in)
    }
}

impl Range {
    fn bounds(&self) -> impl Iterator<Item = Bounds> {
        self.alternatives
            .iter()
            .filter_map(|comparators| Bounds::of(comparators))
    }

    /// Whether some version could be in both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }

    /// The range of what is in both; `None`: nothing is.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let pairs = self.bounds().flat_map(|left| {
            let both = other.bounds().filter_map(move |right| left.and(&right));
            both.collect::<Vec<_>>()
        });
        let mut alternatives: Vec<Vec<Comparator>> = Vec::new();
        for comparators in pairs.map(Bounds::comparators) {
            if !alternatives.contains(&comparators) {
                alternatives.push(comparators);
            }
        }
        (!alternatives.is_empty()).then_some(Self { alternatives })
    }

    /// Whether everything in this is in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.bounds()
            .all(|own| other.bounds().any(|wider| own.is_within(&wider)))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, comparators) in self.alternatives.iter().enumerate() {
            if position > 0 {
                formatter.write_str("||")?;
            }
            if comparators.is_empty() {
                formatter.write_str("*")?;
            }
            for (position, comparator) in comparators.iter().enumerate() {
                let separator = if position > 0 { " " } else { "" };
                let operator = match comparator.operator {
                    Operator::Less => "<",
                    Operator::LessOrEqual => "<=",
                    Operator::Equal => "",
                    Operator::GreaterOrEqual => ">=",
                    Operator::Greater => ">",
                };
                write!(formatter, "{separator}{operator}{}", comparator.version)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::parse(text).expect(text)
    }

    #[test]
    fn intersections_are_what_both_ranges_allow() {
        for (left, right, expected) in [
            ("^1.0.0", "^1.2.0", Some(">=1.2.0 <2.0.0-0")),
            ("^1.0.0", "~1.2.3", Some(">=1.2.3 <1.3.0-0")),
            ("^1.0.0", "^2.0.0", None),
            (">=1", "<1", None),
            (">=1.0.0", "<=1.0.0", Some("1.0.0")),
            (">1.0.0", "<=1.0.0", None),
            ("*", "^1.0.0", Some(">=1.0.0 <2.0.0-0")),
            ("*", "", Some("*")),
            ("1.0.0", "^1", Some("1.0.0")),
            ("^1 || ^3", "^3.1.0 || ^4", Some(">=3.1.0 <4.0.0-0")),
            (
                "^1 || ^2",
                ">=1.5.0",
                Some(">=1.5.0 <2.0.0-0||>=2.0.0 <3.0.0-0"),
            ),
            (">2 <1", "*", None),
            ("<x", "*", None),
        ] {
            let both = range(left).intersection(&range(right));
            let text = both.as_ref().map(Range::to_string);
            assert_eq!(text.as_deref(), expected, "{left} and {right}");
            assert_eq!(range(right).intersects(&range(left)), expected.is_some());
        }
    }

    #[test]
    fn subsets_lie_within_one_alternative() {
        for (inner, outer, expected) in [
            ("^1.2.0", "^1.0.0", true),
            ("^1.0.0", "^1.2.0", false),
            ("1.0.0", "*", true),
            ("*", "*", true),
            ("*", ">=1", false),
            ("~1.2.0", "1.x || 2.x", true),
            ("^1 || ^2", ">=1", true),
            ("^1 || ^2", "^1", false),
            (">=1.0.0 <1.0.0", "^9", true),
            (">=1.0.0", ">1.0.0", false),
            (">1.0.0", ">=1.0.0", true),
        ] {
            assert_eq!(
                range(inner).is_subset_of(&range(outer)),
                expected,
                "{inner} in {outer}"
            );
        }
    }
}
