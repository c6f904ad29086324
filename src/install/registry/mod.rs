//! The registry client: addresses of archives, and downloading them; and documents of metadata.
//!
//! It downloads many archives at once within a budget of memory, tries again where that makes
//! sense, and hands over the bytes that the server sent, those of large archives as they come. It
//! does not check integrity (the store does, on the bytes that it stores) and never interprets an
//! archive.
//!
//! **Architecture Invariant:** a credential is looked up anew for each address, so no redirect can
//! take it to another host; an address is printed without user, password and query.
//!
//! **Architecture Invariant:** no length that a server announces reaches an allocator unless it is
//! within the budget.

mod address;
mod arrival;
mod body;
mod budget;
mod client;
mod document;
mod encoding;
mod error;
mod head;
mod post;
mod receive;
mod retry;
mod tls;
mod transport;

pub use address::{canonical_tarball_url, printable, printable_text, remote_url};
pub use body::{Body, Content, Delivery};
pub use budget::BodyPermit;
pub use client::{Client, ClientLimits, TarballRequest};
pub use document::{Document, DocumentAnswer, DocumentRequest};
pub(crate) use error::CHECK_REGISTRY;
pub use error::FetchError;
pub use post::Answer;
pub use reqwest::Url;
