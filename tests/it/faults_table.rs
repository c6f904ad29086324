//! The table of faults names tests that exist.

use std::fs;
use std::path::Path;

/// Every row that the table must have, but for those whose numbers it leaves out.
const ROWS: [(&str, u32); 7] = [
    ("T", 14),
    ("R", 8),
    ("L", 8),
    ("M", 6),
    ("C", 4),
    ("S", 5),
    ("H", 4),
];

#[test]
fn every_row_of_the_table_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/FAULTS.md")).unwrap();
    let mut sources = String::new();
    for directory in ["tests/it", "src"] {
        for entry in walkdir::WalkDir::new(root.join(directory)) {
            let path = entry.unwrap().into_path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let row = cells[0].trim();
        if row == "Row" {
            continue;
        }
        let tests = cells.last().unwrap();
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row} has no test");
        for test in tests {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "{row} names {test}"
            );
        }
        rows.push(row.to_owned());
    }
    for (letter, last) in ROWS {
        for number in 1..=last {
            let row = format!("{letter}{number}");
            assert!(rows.contains(&row), "{row} is not there");
        }
    }
    for row in ["H11", "W6", "K2"] {
        assert!(rows.iter().any(|known| known == row), "{row} is not there");
    }
}
