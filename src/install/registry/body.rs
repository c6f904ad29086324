//! A downloaded archive.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, LAST_MODIFIED};
use tempfile::{NamedTempFile, TempPath};

use super::budget::BodyPermit;
use super::error::FetchError;
use crate::store::Unpacking;

/// Where the bytes of a body are.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Memory(Vec<u8>),
    /// In a temporary file, which is removed with this.
    File {
        /// The file.
        path: TempPath,
        /// Its size in bytes.
        bytes: u64,
    },
}

/// A downloaded archive, whole: exactly the bytes that the server sent. While it lives it holds its
/// part of the download budget.
#[derive(Debug)]
pub struct Body {
    content: Content,
    permit: BodyPermit,
    last_modified: Option<Timestamp>,
}

/// A package's archive that was downloaded for the store.
#[derive(Debug)]
pub enum Delivery {
    /// As it is.
    Whole(Body),
    /// Unpacked while it arrived.
    Unpacked(Unpacking),
}

impl Body {
    pub(super) fn new(content: Content, permit: BodyPermit) -> Self {
        Self {
            content,
            permit,
            last_modified: None,
        }
    }

    /// With the time of `Last-Modified`, where `headers` have it.
    pub(super) fn modified_as(mut self, headers: &HeaderMap) -> Self {
        self.last_modified = last_modified(headers);
        self
    }

    /// When the server says that it was last changed.
    pub fn last_modified(&self) -> Option<Timestamp> {
        self.last_modified
    }

    /// The bytes, where they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File { .. } => None,
        }
    }

    /// The bytes, wherever they are.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// How many bytes.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File { bytes, .. } => *bytes,
        }
    }

    /// The bytes and the permit, which must live as long as they do.
    pub fn into_parts(self) -> (Content, BodyPermit) {
        (self.content, self.permit)
    }
}

/// The time of `Last-Modified`.
pub(super) fn last_modified(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(LAST_MODIFIED)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// A body on its way: in memory until it is larger than `spool_bytes`, then in a file.
pub(super) struct Collector {
    memory: Vec<u8>,
    file: Option<NamedTempFile>,
    bytes: u64,
    spool_bytes: u64,
    directory: PathBuf,
    prefix: String,
}

impl Collector {
    /// For a body of `announced` bytes.
    pub(super) fn new(
        announced: Option<u64>,
        spool_bytes: u64,
        directory: &Path,
        prefix: &str,
    ) -> Result<Self, FetchError> {
        let mut collector = Self {
            memory: Vec::new(),
            file: None,
            bytes: 0,
            spool_bytes,
            directory: directory.to_path_buf(),
            prefix: prefix.to_owned(),
        };
        match announced {
            Some(bytes) if bytes > spool_bytes => collector.open_file()?,
            Some(bytes) => {
                let bytes = usize::try_from(bytes).unwrap_or(0);
                // Without the memory now, growing will fail or succeed later all the same.
                let _ = collector.memory.try_reserve_exact(bytes);
            }
            None => {}
        }
        Ok(collector)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.bytes += chunk.len() as u64;
        if self.file.is_none() && self.bytes > self.spool_bytes {
            self.open_file()?;
        }
        match &mut self.file {
            None => self.memory.extend_from_slice(chunk),
            Some(file) => {
                let written = file.write_all(chunk);
                written.map_err(|error| spool_error(&self.directory, &error))?;
            }
        }
        Ok(())
    }

    fn open_file(&mut self) -> Result<(), FetchError> {
        let failed = |error| spool_error(&self.directory, &error);
        let mut file = tempfile::Builder::new()
            .prefix(&self.prefix)
            .tempfile_in(&self.directory)
            .map_err(failed)?;
        file.write_all(&self.memory).map_err(failed)?;
        self.memory = Vec::new();
        self.file = Some(file);
        Ok(())
    }

    pub(super) fn finish(self) -> Content {
        match self.file {
            None => Content::Memory(self.memory),
            Some(file) => Content::File {
                path: file.into_temp_path(),
                bytes: self.bytes,
            },
        }
    }
}

fn spool_error(directory: &Path, error: &std::io::Error) -> FetchError {
    FetchError::Spool {
        directory: directory.to_path_buf(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_moves_to_a_file_when_it_grows() {
        let directory = tempfile::tempdir().expect("a directory");
        for (announced, pushes, in_file) in [
            (Some(3), 1, false),
            (None, 1, false),
            (None, 2, true),
            (Some(6), 2, true),
            (Some(u64::MAX), 1, true),
        ] {
            let mut collector =
                Collector::new(announced, 4, directory.path(), "own-").expect("a collector");
            for _ in 0..pushes {
                collector.push(b"abc").expect("pushed");
            }
            assert_eq!(collector.bytes(), 3 * pushes);
            let expected = "abc".repeat(usize::try_from(pushes).expect("small"));
            match collector.finish() {
                Content::Memory(bytes) => {
                    assert!(!in_file);
                    assert_eq!(bytes, expected.as_bytes());
                }
                Content::File { path, bytes } => {
                    assert!(in_file);
                    assert_eq!(bytes, expected.len() as u64);
                    assert_eq!(std::fs::read(&path).expect("read"), expected.as_bytes());
                }
            }
        }
        let left = std::fs::read_dir(directory.path()).expect("listed").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let error = Collector::new(Some(9), 4, Path::new("/does/not/exist"), "own-");
        assert!(matches!(error, Err(FetchError::Spool { .. })));
    }
}
