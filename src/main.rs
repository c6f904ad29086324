//! The `pacquet` program.

fn main() -> std::process::ExitCode {
    pacquet::cli::main()
}
