//! The house rules that a machine can check.

use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const LINE_COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for room in ["src", "tests", "benches", "mount-helper"] {
        collect(&root.join(room), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "target" && name != "node_modules")
            {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source is readable");
            found.push((path, text));
        }
    }
}

#[test]
fn files_and_lines_stay_short() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX {
                complaints.push(format!("{}:{}: a long line", path.display(), number + 1));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn functions_fit_a_screen() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        let mut number = 0;
        while number < lines.len() {
            let line = lines[number];
            let indent = line.len() - line.trim_start().len();
            if is_function_head(line) {
                let closing = format!("{}}}", " ".repeat(indent));
                let length = lines[number..]
                    .iter()
                    .take_while(|line| **line != closing)
                    .count();
                if length > FUNCTION_LINES_MAX && number + length < lines.len() {
                    complaints.push(format!("{}:{}: {length} lines", path.display(), number + 1));
                }
            }
            number += 1;
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn is_function_head(line: &str) -> bool {
    let code = line.trim_start();
    let head = code.split('(').next().unwrap_or("");
    (head.starts_with("fn ") || head.contains(" fn "))
        && !code.starts_with("//")
        && !code.ends_with(';')
        && !code.ends_with('}')
}

#[test]
fn nothing_is_left_open() {
    let words = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "FIX\u{4d}E",
        "TO\u{44}O",
        "#[ign\u{6f}re",
    ];
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        if path.ends_with("tests/it/tidy.rs") {
            continue;
        }
        for word in words {
            if text.contains(word) {
                complaints.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn each_boundary_has_one_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix(&root) else {
            continue;
        };
        let inside = inside.to_string_lossy().into_owned();
        let rules: [(&str, &str); 6] = [
            ("use clap", "cli/"),
            ("fuser::", "fs/adapter"),
            ("rusqlite", "store/index"),
            ("unsafe {", "sys"),
            ("libc::", "sys"),
            ("println!(", "cli/"),
        ];
        for (word, home) in rules {
            let named = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if named && !inside.starts_with(home) {
                complaints.push(format!("src/{inside}: {word} belongs in src/{home}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden = [
        (
            "store/",
            ["crate::install", "crate::fs", "crate::cli"].as_slice(),
        ),
        ("install/", ["crate::fs", "crate::cli"].as_slice()),
        ("fs/", ["crate::cli"].as_slice()),
    ];
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix(&root) else {
            continue;
        };
        let inside = inside.to_string_lossy().into_owned();
        for (room, others) in forbidden {
            for other in others {
                let named = text
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(other));
                if inside.starts_with(room) && named {
                    complaints.push(format!("src/{inside}: names {other}"));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
