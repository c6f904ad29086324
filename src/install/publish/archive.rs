//! Archives as registries have them. The same files give the same bytes, whenever and wherever.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::{Content, PublishError};
use crate::name::RelativePath;

/// How much archives are compressed where nobody says it.
pub const LEVEL_DEFAULT: u32 = 6;

/// The time that npm gives to all files: 26 October 1985, 08:15 UTC.
const TIME: u64 = 499_162_500;

/// The archive of these files, with `manifest` for `package.json`.
///
/// # Errors
/// A file cannot be read.
pub fn archive(
    contents: &BTreeMap<RelativePath, Content>,
    manifest: &str,
    level: u32,
) -> Result<Vec<u8>, PublishError> {
    let encoder = GzEncoder::new(Vec::new(), Compression::new(level.min(9)));
    let mut builder = Builder::new(encoder);
    for (path, content) in in_order(contents) {
        let failed = |source| PublishError::Read {
            path: content.source.clone(),
            source,
        };
        let bytes = match path.as_str() {
            "package.json" => manifest.as_bytes().to_vec(),
            _ => std::fs::read(&content.source).map_err(failed)?,
        };
        append(&mut builder, path, content, &bytes).map_err(failed)?;
    }
    let finished = builder.into_inner().and_then(|mut encoder| {
        encoder.flush()?;
        encoder.finish()
    });
    finished.map_err(|source| PublishError::Read {
        path: "package".into(),
        source,
    })
}

/// The order of npm, in which what resembles each other is together: by ending, then by name.
fn in_order(contents: &BTreeMap<RelativePath, Content>) -> Vec<(&RelativePath, &Content)> {
    let mut all: Vec<_> = contents.iter().collect();
    all.sort_by_cached_key(|(path, _)| {
        let text = path.as_str().to_lowercase();
        let name = text.rsplit('/').next().unwrap_or_default();
        let ending = match name.rfind('.') {
            Some(at) if at > 0 => &name[at..],
            _ => "",
        };
        (ending.to_owned(), name.to_owned(), text.clone())
    });
    all
}

fn append(
    builder: &mut Builder<GzEncoder<Vec<u8>>>,
    path: &RelativePath,
    content: &Content,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if content.is_executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, format!("package/{}", path.as_str()), bytes)
}
