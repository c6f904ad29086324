//! Every limit that untrusted input meets, with its unit in its name.
//!
//! A limit is here, and not beside its use, so that one page answers "how large may it be?".

/// Longest file name in bytes (`NAME_MAX` of Linux file systems; the kernel's FUSE directory
/// cache relies on it too).
pub const NAME_BYTES_MAX: usize = 255;

/// Longest relative path in bytes (`PATH_MAX` less the terminator).
pub const PATH_BYTES_MAX: usize = 4095;

/// Deepest nesting of directories in one package.
pub const PATH_DEPTH_MAX: usize = 255;

/// Most entries in one package's archive.
pub const PACKAGE_ENTRIES_MAX: usize = 500_000;

/// Unpacked bytes that any package may have, whatever its archive's size.
pub const UNPACKED_BYTES_FLOOR: u64 = 512 << 20;

/// An archive may unpack to this many times its own size where that is more than
/// [`UNPACKED_BYTES_FLOOR`].
pub const UNPACKED_RATIO_MAX: u64 = 20;

/// Largest `package.json` that is read.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Largest lockfile that is read.
pub const LOCKFILE_BYTES_MAX: u64 = 256 << 20;

/// Largest configuration file that is read (`.npmrc`, `pnpm-workspace.yaml`).
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Deepest nesting of collections in a lockfile. pnpm's own are 7 deep.
pub const LOCKFILE_DEPTH_MAX: usize = 64;

/// Largest archive of a package that is downloaded.
pub const TARBALL_BYTES_MAX: u64 = 2 << 30;

/// Most bytes of downloaded archives that are in memory at once.
pub const DOWNLOAD_BUDGET_BYTES: u64 = 128 << 20;

/// A larger archive is downloaded to a file instead of to memory.
pub const DOWNLOAD_SPOOL_BYTES: u64 = 8 << 20;

/// A longer line of a script's output is told in parts.
pub const SCRIPT_LINE_BYTES_MAX: usize = 64 << 10;

/// Most bytes of output that are kept of a script whose output is told at its end.
pub const SCRIPT_OUTPUT_BYTES_KEPT: usize = 1 << 20;

/// Largest packument, unpacked, that is read. The largest of the public registry has 100 MB.
pub const PACKUMENT_BYTES_MAX: u64 = 256 << 20;

/// Most versions of one package. The public registry has none with 100,000.
pub const PACKUMENT_VERSIONS_MAX: usize = 1_000_000;
