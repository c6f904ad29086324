//! What every error of this crate can say of itself besides its sentence.

/// An error that a person or a program can act on.
///
/// `Display` is one sentence without a full stop that names what failed and where (path, package,
/// address without credentials). It may contain foreign text only through
/// [`crate::name::escaped`].
pub trait Diagnostic: std::error::Error {
    /// A stable code: pnpm's (`ERR_PNPM_…`) where pnpm has one for the same condition, else ours
    /// (`ERR_PACQUET_…`).
    fn code(&self) -> &'static str;

    /// One sentence that says what to do, where there is something to do.
    fn hint(&self) -> Option<String> {
        None
    }
}
