use crate::install::lockfile::{DepPath, PackageId};
use sha2::{Digest, Sha256};
impl PackageId {
    #[allow(missing_docs)]
    pub fn interim(s: &str) -> Self {
        Self(s.into())
    }
}
#[allow(missing_docs)]
impl DepPath {
    pub fn interim(s: &str) -> Self {
        Self(s.into())
    }
    pub fn package_id(&self) -> PackageId {
        let s = self.as_str();
        PackageId(s[..s.find('(').unwrap_or(s.len())].into())
    }
    pub fn virtual_store_directory_name(&self, max: usize) -> String {
        let mut n: String = match self.as_str().strip_prefix("file:") {
            Some(r) => format!("file+{r}"),
            None => self.as_str().to_owned(),
        };
        n = n
            .chars()
            .map(|c| if "\\/:*?\"<>|#".contains(c) { '+' } else { c })
            .collect();
        if n.contains('(') {
            if n.ends_with(')') {
                n.pop();
            }
            n = n.replace(")(", "_").replace(['(', ')'], "_");
        }
        if n.len() > max || (n.bytes().any(|b| b.is_ascii_uppercase()) && !n.starts_with("file+")) {
            let h = Sha256::digest(n.as_bytes());
            let h: String = h.iter().map(|b| format!("{b:02x}")).collect();
            let cut = n.len().min(max.saturating_sub(33));
            n = format!("{}_{}", &n[..cut], &h[..32]);
        }
        n
    }
}
