//! Checksums that the lockfile records of settings and files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::name::hexadecimal;

/// `packageExtensionsChecksum` of the setting `packageExtensions`, in the order-blind form of the
/// npm package `object-hash`. `None` where there are no extensions.
pub fn package_extensions_checksum(extensions: &Json) -> Option<String> {
    if extensions.as_object().is_none_or(serde_json::Map::is_empty) {
        return None;
    }
    let mut stream = String::new();
    hash_stream(extensions, &mut stream);
    Some(base64_sha256(stream.as_bytes()))
}

/// Hash of a patch file as `patchedDependencies` and directory names have it. Line endings do not
/// count.
pub fn patch_file_hash(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(with_line_feeds(content)))
}

/// `pnpmfileChecksum` of one pnpmfile. Line endings do not count.
pub fn pnpmfile_checksum(content: &[u8]) -> String {
    base64_sha256(&with_line_feeds(content))
}

/// `pnpmfileChecksum` of pnpmfiles, out of what [`pnpmfile_checksum`] gives of each: that of one is
/// its own. `None` where there are none.
pub fn pnpmfiles_checksum(checksums: &[String]) -> Option<String> {
    match checksums {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(base64_sha256(several.join(",").as_bytes())),
    }
}

fn base64_sha256(bytes: &[u8]) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(bytes)))
}

fn with_line_feeds(content: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(content.len());
    for (index, byte) in content.iter().enumerate() {
        if *byte != b'\r' || content.get(index + 1) != Some(&b'\n') {
            result.push(*byte);
        }
    }
    result
}

/// What `object-hash` feeds to the digest, with objects and arrays sorted. Recursion is as deep as
/// the value, which its parser has limited.
fn hash_stream(value: &Json, stream: &mut String) {
    match value {
        Json::Null => stream.push_str("Null"),
        Json::Bool(value) => stream.push_str(&format!("bool:{value}")),
        Json::Number(number) => stream.push_str(&format!("number:{number}")),
        Json::String(text) => hash_text(text, stream),
        Json::Array(items) => {
            stream.push_str(&format!("array:{}:", items.len()));
            let [item] = &items[..] else {
                let mut streams: Vec<String> = items.iter().map(item_stream).collect();
                streams.sort_by(|left, right| left.encode_utf16().cmp(right.encode_utf16()));
                if !streams.is_empty() {
                    stream.push_str(&format!("array:{}:", streams.len()));
                }
                streams.iter().for_each(|item| hash_text(item, stream));
                return;
            };
            hash_stream(item, stream);
        }
        Json::Object(fields) => {
            stream.push_str(&format!("object:{}:", fields.len()));
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|left, right| left.0.encode_utf16().cmp(right.0.encode_utf16()));
            for (key, value) in fields {
                hash_text(key, stream);
                stream.push(':');
                hash_stream(value, stream);
                stream.push(',');
            }
        }
    }
}

fn item_stream(item: &Json) -> String {
    let mut stream = String::new();
    hash_stream(item, &mut stream);
    stream
}

fn hash_text(text: &str, stream: &mut String) {
    stream.push_str(&format!("string:{}:{text}", text.encode_utf16().count()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn extensions_hash_as_in_pnpm() {
        let extensions = json!({"is-odd": {"dependencies": {"is-even": "1.0.0"}}});
        assert_eq!(
            package_extensions_checksum(&extensions).as_deref(),
            Some("sha256-W+4EFDHVdmfTIaN9SvtuzzeDTdkH0UzJLy/G+6jfyMY=")
        );
        assert_eq!(package_extensions_checksum(&json!({})), None);
        assert_eq!(package_extensions_checksum(&json!(null)), None);
    }

    #[test]
    fn the_order_of_keys_and_items_does_not_count() {
        let left = json!({"a": {"x": [1, "2", null], "y": true}, "b": []});
        let right = json!({"b": [], "a": {"y": true, "x": ["2", null, 1]}});
        assert_eq!(
            package_extensions_checksum(&left),
            package_extensions_checksum(&right)
        );
        let other = json!({"b": [], "a": {"y": false, "x": ["2", null, 1]}});
        assert_ne!(
            package_extensions_checksum(&left),
            package_extensions_checksum(&other)
        );
    }

    #[test]
    fn line_endings_do_not_count() {
        let patch = "diff --git a/index.js b/index.js\nindex 1..2 100644\n--- a/index.js\n\
                     +++ b/index.js\n@@ -1,1 +1,1 @@\n-x\n+y\n";
        let hash = "1c5e9204307ad684ee91254c3cf47a0318bc4ebd7a51ecf70f2948f10c4e6894";
        assert_eq!(patch_file_hash(patch.as_bytes()), hash);
        assert_eq!(
            patch_file_hash(patch.replace('\n', "\r\n").as_bytes()),
            hash
        );
        assert_ne!(patch_file_hash(patch.replace('\n', "\r").as_bytes()), hash);
        assert_eq!(pnpmfile_checksum(b"a\r\n"), pnpmfile_checksum(b"a\n"));
    }
}
