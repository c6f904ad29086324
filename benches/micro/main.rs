//! Micro-benchmarks of the parts that an install is made of.
//!
//! ```text
//! cargo bench --bench micro                        times
//! cargo bench --bench micro -- instructions        instruction counts against the commit before
//! ```
//!
//! Times need a quiet machine. Instruction counts do not: they are the same on every run but for
//! what hash maps and addresses decide.

#![allow(
    missing_docs,
    reason = "a program; its items are documented where that helps"
)]

mod instructions;
mod workloads;

use std::io::Write as _;
use std::process::ExitCode;

use workloads::{WORKLOADS, Workload};

#[divan::bench(args = &WORKLOADS)]
fn work(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    let mut run = workload.prepare();
    bencher.bench_local(&mut run);
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--bench")
        .collect();
    let outcome = match words.as_slice() {
        ["instructions"] => instructions::compare("HEAD~1"),
        ["instructions", revision] => instructions::compare(revision),
        ["once", name] => instructions::once(name),
        _ => {
            divan::main();
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "micro: {error}");
            ExitCode::FAILURE
        }
    }
}
