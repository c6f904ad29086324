//! Questions to whoever sits at the terminal.

use std::io::{BufRead, IsTerminal};

use super::failure::Failure;
use super::print;

/// Whether somebody can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Asks for some of `labels`, by their numbers. `None`: nobody answers.
pub(super) fn choose(question: &str, labels: &[String]) -> Option<Vec<usize>> {
    if !can_ask() {
        return None;
    }
    print(&format!("{question}\n"));
    for (place, label) in labels.iter().enumerate() {
        print(&format!(
            "  {}) {}\n",
            place + 1,
            crate::name::escaped(label)
        ));
    }
    loop {
        print("Numbers, \"all\", or nothing to leave: ");
        let answer = line()?;
        match chosen(&answer, labels.len()) {
            Some(chosen) => return Some(chosen),
            None => print("That is none of them.\n"),
        }
    }
}

/// Refuses to go on where nobody can be asked.
///
/// # Errors
/// There is no terminal.
pub(super) fn require() -> Result<(), Failure> {
    match can_ask() {
        true => Ok(()),
        false => Err(Failure::new(
            "ERR_PACQUET_NO_TERMINAL",
            "--interactive needs a terminal to ask at",
            Some("run it without --interactive, with names where they are taken"),
        )),
    }
}

/// Shows a list in which some of `labels` can be marked, and returns their places.
///
/// # Errors
/// Nobody can be asked, or whoever is asked goes away.
pub(super) fn choose_some(question: &str, labels: &[String]) -> Result<Vec<usize>, Failure> {
    require()?;
    let labels: Vec<String> = labels
        .iter()
        .map(|label| crate::name::escaped(label))
        .collect();
    let chosen = dialoguer::MultiSelect::new()
        .with_prompt(format!("{question} (space to select, enter to confirm)"))
        .items(&labels)
        .interact_opt();
    match chosen {
        Ok(chosen) => Ok(chosen.unwrap_or_default()),
        Err(dialoguer::Error::IO(cause)) => Err(Failure::io(
            "ERR_PACQUET_PROMPT",
            "The terminal cannot be asked",
            cause,
        )),
    }
}

/// Asks a question that is answered with yes or no. `None`: nobody answers.
pub(super) fn confirm(question: &str) -> Option<bool> {
    if !can_ask() {
        return None;
    }
    print(&format!("{question} [y/N] "));
    Some(line()?.eq_ignore_ascii_case("y"))
}

fn line() -> Option<String> {
    let mut answer = String::new();
    let bytes = std::io::stdin().lock().read_line(&mut answer).ok()?;
    (bytes > 0).then(|| answer.trim().to_owned())
}

/// Places of what an answer names: numbers from 1, with commas or spaces between, and ranges.
fn chosen(answer: &str, count: usize) -> Option<Vec<usize>> {
    if answer.eq_ignore_ascii_case("all") {
        return Some((0..count).collect());
    }
    let mut places = Vec::new();
    let words = answer.split([',', ' ']).filter(|word| !word.is_empty());
    for word in words {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first == 0 || last > count || first > last {
            return None;
        }
        places.extend(first - 1..last);
    }
    places.sort_unstable();
    places.dedup();
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_numbers_and_ranges() {
        assert_eq!(chosen("", 3), Some(vec![]));
        assert_eq!(chosen("3, 1", 3), Some(vec![0, 2]));
        assert_eq!(chosen("1-2 2", 3), Some(vec![0, 1]));
        assert_eq!(chosen("ALL", 2), Some(vec![0, 1]));
        for wrong in ["0", "4", "2-1", "x", "1-", "-"] {
            assert_eq!(chosen(wrong, 3), None, "{wrong}");
        }
    }
}
