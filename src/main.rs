//! The `pacquet` program.

/// A warm install is mostly small allocations, of which this allocator makes a third less work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pacquet::cli::main()
}
