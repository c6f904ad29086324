//! The registry for tests: packages in memory, served on a loopback port of its own.
//!
//! It answers as the public registries do — packuments in two forms with entity tags and gzip,
//! tarballs, dist-tags, credentials — and it misbehaves on request. It stops when it is dropped.

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::fault::{Fault, When};
use crate::http::{self, After, Request, Response};
use crate::integrity;
use crate::package::{Built, Package};
use crate::packument::{Form, abbreviate};
use crate::tarball::gzip;

/// What the registry leaves out that better ones have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortcomings {
    /// Answer every packument in the full form.
    pub only_full: bool,
    /// Send no `ETag`, and never answer 304.
    pub no_entity_tags: bool,
    /// Never compress.
    pub no_compression: bool,
    /// Leave `time` out of full packuments.
    pub no_times: bool,
}

#[derive(Clone, Debug)]
struct Listed {
    versions: Vec<Built>,
    tags: BTreeMap<String, String>,
    replacement: Option<Value>,
}

#[derive(Default)]
struct State {
    packages: BTreeMap<String, Listed>,
    routes: HashMap<String, (String, Vec<u8>)>,
    tarballs: HashMap<String, Vec<u8>>,
    credentials: Vec<(String, String)>,
    max_age: Option<u32>,
    last_modified: HashMap<String, String>,
    faults: HashMap<String, Vec<(When, Fault)>>,
    attempts: HashMap<String, u32>,
    log: Vec<Request>,
    shortcomings: Shortcomings,
    connections: Vec<TcpStream>,
    connection_count: usize,
}

struct Shared {
    address: SocketAddr,
    stopping: AtomicBool,
    state: Mutex<State>,
}

/// A running registry. Dropping it closes its port and every connection.
pub struct Registry {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Registry {
    /// Starts an empty registry on a free loopback port.
    ///
    /// # Panics
    ///
    /// When the machine gives no loopback port.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("invariant: a test machine has a free loopback port");
        let address = listener
            .local_addr()
            .expect("invariant: a bound socket has an address");
        let shared = Arc::new(Shared {
            address,
            stopping: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Starts a registry with these packages.
    pub fn with<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Self {
        let registry = Self::start();
        for package in packages {
            registry.publish(package);
        }
        registry
    }

    /// The address with a slash at its end: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.shared.address)
    }

    /// The address as the key of a credential in `.npmrc`: `//127.0.0.1:PORT/`.
    pub fn nerf_dart(&self) -> String {
        format!("//{}/", self.shared.address)
    }

    /// The address and port.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Publishes a version, and makes it `latest` unless it is a prerelease of a known package.
    pub fn publish(&self, package: &Package) -> Built {
        let built = package.build();
        let mut state = self.state();
        state
            .tarballs
            .insert(built.tarball_path(), built.tarball.clone());
        let listed = state
            .packages
            .entry(built.name.clone())
            .or_insert_with(|| Listed {
                versions: Vec::new(),
                tags: BTreeMap::new(),
                replacement: None,
            });
        listed
            .versions
            .retain(|known| known.version != built.version);
        listed.versions.push(built.clone());
        if !built.version.contains('-') || !listed.tags.contains_key("latest") {
            listed
                .tags
                .insert("latest".to_owned(), built.version.clone());
        }
        built
    }

    /// Sets a dist-tag of a published package.
    pub fn set_dist_tag(&self, name: &str, tag: &str, version: &str) {
        if let Some(listed) = self.state().packages.get_mut(name) {
            listed.tags.insert(tag.to_owned(), version.to_owned());
        }
    }

    /// Removes a version from the packument, and its tarball.
    pub fn unpublish(&self, name: &str, version: &str) {
        let mut state = self.state();
        state
            .tarballs
            .remove(&crate::package::tarball_path(name, version));
        if let Some(listed) = state.packages.get_mut(name) {
            listed.versions.retain(|known| known.version != version);
            listed.tags.retain(|_, tagged| tagged != version);
        }
    }

    /// Serves these bytes as a version's tarball; the packument stays as it is.
    pub fn replace_tarball(&self, name: &str, version: &str, bytes: impl Into<Vec<u8>>) {
        let path = crate::package::tarball_path(name, version);
        self.state().tarballs.insert(path, bytes.into());
    }

    /// Serves this value as the packument of `name`, in both forms.
    pub fn replace_packument(&self, name: &str, packument: Value) {
        let mut state = self.state();
        let empty = || Listed {
            versions: vec![],
            tags: BTreeMap::new(),
            replacement: None,
        };
        state
            .packages
            .entry(name.to_owned())
            .or_insert_with(empty)
            .replacement = Some(packument);
    }

    /// The full packument as it is served now, or `null`.
    pub fn packument(&self, name: &str) -> Value {
        let state = self.state();
        state
            .packages
            .get(name)
            .map_or(Value::Null, |listed| self.shared.full(name, listed))
    }

    /// Serves these bytes at any path, for tarball dependencies and the like.
    pub fn serve(&self, path: &str, content_type: &str, bytes: impl Into<Vec<u8>>) -> String {
        let route = (content_type.to_owned(), bytes.into());
        self.state().routes.insert(path.to_owned(), route);
        format!("http://{}{path}", self.shared.address)
    }

    /// Answers 401 to requests below `path_prefix` without `Authorization: Bearer <token>`.
    pub fn require_bearer(&self, path_prefix: &str, token: &str) {
        let wanted = format!("Bearer {token}");
        self.state()
            .credentials
            .push((path_prefix.to_owned(), wanted));
    }

    /// Answers 401 to requests below `path_prefix` without these Basic credentials.
    pub fn require_basic(&self, path_prefix: &str, user: &str, password: &str) {
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        self.state()
            .credentials
            .push((path_prefix.to_owned(), wanted));
    }

    /// Injects a fault into the answers at `path` (decoded: `/@s/name`). The first plan of a path
    /// that includes an attempt is the one that acts.
    pub fn fault(&self, path: &str, when: When, fault: Fault) {
        self.state()
            .faults
            .entry(path.to_owned())
            .or_default()
            .push((when, fault));
    }

    /// Takes all faults back, and counts attempts from one again.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.attempts.clear();
    }

    /// Says of every packument from now on that it stays true for so many seconds.
    pub fn set_max_age(&self, seconds: Option<u32>) {
        self.state().max_age = seconds;
    }

    /// Says of the archive at `path` from now on that it was last changed then (as HTTP writes
    /// times).
    pub fn set_last_modified(&self, path: &str, time: &str) {
        let mut state = self.state();
        state.last_modified.insert(path.to_owned(), time.to_owned());
    }

    /// Makes the registry poorer.
    pub fn set_shortcomings(&self, shortcomings: Shortcomings) {
        self.state().shortcomings = shortcomings;
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state().log.clone()
    }

    /// Every request so far, and forgets them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().log)
    }

    /// The requests for this path (decoded, without query).
    pub fn requests_for(&self, path: &str) -> Vec<Request> {
        self.state()
            .log
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state().connection_count
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.shared.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for connection in self.state().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let mut state = shared.state();
        state.connection_count += 1;
        if let Ok(copy) = stream.try_clone() {
            state.connections.push(copy);
        }
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // An error here is the client going away, which is its right.
            let _ = converse(stream, &shared);
        });
    }
}

fn converse(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut after = After::KeepAlive;
    while after == After::KeepAlive {
        let Some(mut request) = http::read_request(&mut reader)? else {
            break;
        };
        let (response, fault) = shared.answer(&mut request);
        after = match fault {
            Some(fault) => http::write_faulty(&mut stream, &request, response, &fault)?,
            None => http::write_response(&mut stream, &request, &response)?,
        };
    }
    let peer = stream.peer_addr();
    let same =
        |known: &TcpStream| peer.is_ok() && known.peer_addr().ok() == peer.as_ref().ok().copied();
    shared.state().connections.retain(|known| !same(known));
    Ok(())
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test thread that panicked with the lock held leaves nothing half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &mut Request) -> (Response, Option<Fault>) {
        let mut state = self.state();
        let attempt = state.attempts.entry(request.path.clone()).or_insert(0);
        *attempt += 1;
        request.attempt = *attempt;
        state.log.push(request.clone());
        let plans = state.faults.get(&request.path).into_iter().flatten();
        let fault = plans
            .filter(|(when, _)| when.includes(request.attempt))
            .map(|(_, fault)| fault.clone())
            .next();
        (self.route(&state, request), fault)
    }

    fn route(&self, state: &State, request: &Request) -> Response {
        let path = request.path.as_str();
        let credentials = state
            .credentials
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix));
        // The longest prefix decides, so that one scope can have a token of its own.
        if let Some((_, wanted)) = credentials.max_by_key(|(prefix, _)| prefix.len())
            && request.header("authorization") != Some(wanted)
        {
            return Response::json(401, "authentication required")
                .header("www-authenticate", "Bearer, Basic");
        }
        if let Some((content_type, bytes)) = state.routes.get(path) {
            return Response::new(200, content_type, bytes.clone());
        }
        if let Some(tarball) = state.tarballs.get(path) {
            let response = Response::new(200, "application/octet-stream", tarball.clone());
            return match state.last_modified.get(path) {
                Some(time) => response.header("last-modified", time),
                None => response,
            };
        }
        let name = path.trim_start_matches('/');
        if let Some(listed) = state.packages.get(name) {
            return self.packument_response(state, request, name, listed);
        }
        if let Some(manifest) = self.version_manifest(state, name) {
            return Response::new(200, "application/json", manifest.to_string());
        }
        match name {
            "-/ping" => Response::new(200, "application/json", "{}"),
            _ => Response::json(404, "Not found"),
        }
    }

    fn packument_response(
        &self,
        state: &State,
        request: &Request,
        name: &str,
        listed: &Listed,
    ) -> Response {
        let shortcomings = state.shortcomings;
        let mut form = Form::wanted(request.header("accept").unwrap_or_default());
        if shortcomings.only_full {
            form = Form::Full;
        }
        let mut packument = self.full(name, listed);
        if shortcomings.no_times
            && let Some(fields) = packument.as_object_mut()
        {
            fields.remove("time");
        }
        if form == Form::Abbreviated && listed.replacement.is_none() {
            packument = abbreviate(&packument);
        }
        let text = packument.to_string();
        let tag = format!(
            "\"{}\"",
            &integrity::sha256_hexadecimal(text.as_bytes())[..32]
        );
        let fresh = |response: Response| match state.max_age {
            Some(seconds) => response.header("cache-control", format!("public, max-age={seconds}")),
            None => response,
        };
        let mut response = fresh(Response::new(200, form.content_type(), text));
        if !shortcomings.no_entity_tags {
            if request
                .header("if-none-match")
                .is_some_and(|known| known.contains(&tag))
            {
                return fresh(Response::new(304, form.content_type(), "")).header("etag", tag);
            }
            response = response.header("etag", tag);
        }
        let accepts = request.header("accept-encoding").unwrap_or_default();
        if !shortcomings.no_compression && accepts.contains("gzip") {
            response.body = gzip(&response.body, 6);
            response = response.header("content-encoding", "gzip");
        }
        response.header("vary", "accept, accept-encoding")
    }

    fn entry(&self, built: &Built) -> Value {
        let mut entry = built.packument_entry.clone();
        if let Some(dist) = entry.get_mut("dist").and_then(Value::as_object_mut) {
            let address = format!("http://{}{}", self.address, built.tarball_path());
            dist.entry("tarball").or_insert_with(|| json!(address));
        }
        entry
    }

    fn full(&self, name: &str, listed: &Listed) -> Value {
        if let Some(replacement) = &listed.replacement {
            return replacement.clone();
        }
        let mut versions = Map::new();
        let mut time = Map::new();
        let times = || listed.versions.iter().map(|built| built.time.as_str());
        time.insert("created".to_owned(), json!(times().min()));
        time.insert("modified".to_owned(), json!(times().max()));
        for built in &listed.versions {
            versions.insert(built.version.clone(), self.entry(built));
            time.insert(built.version.clone(), json!(built.time));
        }
        json!({
            "_id": name,
            "name": name,
            "dist-tags": listed.tags,
            "versions": versions,
            "time": time,
        })
    }

    fn version_manifest(&self, state: &State, path: &str) -> Option<Value> {
        let (name, wanted) = path.rsplit_once('/')?;
        let listed = state.packages.get(name)?;
        let version = listed.tags.get(wanted).map_or(wanted, String::as_str);
        listed
            .versions
            .iter()
            .find(|built| built.version == version)
            .map(|b| self.entry(b))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::packument::ABBREVIATED_TYPE;

    /// Sends a request on a connection of its own, and reads until the connection closes.
    fn ask(registry: &Registry, target: &str, headers: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(registry.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let head = format!("GET {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn text(registry: &Registry, target: &str, headers: &str) -> String {
        String::from_utf8_lossy(&ask(registry, target, headers).unwrap()).into_owned()
    }

    #[test]
    fn packuments_come_in_two_forms_and_are_not_sent_twice() {
        let registry = Registry::with(&[
            Package::new("@s/name", "1.0.0").script("test", "x"),
            Package::new("@s/name", "2.0.0-beta.1"),
        ]);
        let full = text(&registry, "/@s%2fname", "");
        assert!(full.starts_with("HTTP/1.1 200"), "{full}");
        assert!(
            full.contains("\"time\"") && full.contains("\"latest\":\"1.0.0\""),
            "{full}"
        );
        let short = text(
            &registry,
            "/@s/name",
            &format!("accept: {ABBREVIATED_TYPE}\r\n"),
        );
        assert!(
            !short.contains("\"time\"") && !short.contains("scripts"),
            "{short}"
        );
        let tag = full
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = text(
            &registry,
            "/@s%2fname",
            &format!("if-none-match: {tag}\r\n"),
        );
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
        assert_eq!(registry.requests_for("/@s/name").len(), 3);
    }

    #[test]
    fn tarballs_and_version_manifests_are_served() {
        let registry = Registry::start();
        let built = registry.publish(&Package::new("a", "1.0.0").file("x", "y"));
        let answer = ask(&registry, "/a/-/a-1.0.0.tgz", "").unwrap();
        assert!(answer.ends_with(&built.tarball));
        assert!(text(&registry, "/a/latest", "").contains("\"version\":\"1.0.0\""));
        assert!(text(&registry, "/a/9.9.9", "").starts_with("HTTP/1.1 404"));
        registry.unpublish("a", "1.0.0");
        assert!(text(&registry, "/a/-/a-1.0.0.tgz", "").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn credentials_are_asked_for_by_path() {
        let registry = Registry::with(&[Package::new("@s/a", "1.0.0"), Package::new("b", "1.0.0")]);
        registry.require_bearer("/@s/", "secret");
        assert!(text(&registry, "/b", "").starts_with("HTTP/1.1 200"));
        assert!(text(&registry, "/@s%2fa", "").starts_with("HTTP/1.1 401"));
        let right = "authorization: Bearer secret\r\n";
        assert!(text(&registry, "/@s%2fa", right).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn faults_happen_when_they_were_planned() {
        let registry = Registry::with(&[Package::new("a", "1.0.0")]);
        registry.fault(
            "/a",
            When::First(1),
            Fault::RetryAfter {
                status: 429,
                seconds: 7,
            },
        );
        registry.fault("/a", When::Attempts(vec![2]), Fault::Reset);
        registry.fault("/a", When::Attempts(vec![3]), Fault::CloseAfter(3));
        registry.fault("/a", When::Attempts(vec![4]), Fault::UnfinishedChunks);
        registry.fault(
            "/a",
            When::Attempts(vec![5]),
            Fault::ContentLength(u64::MAX),
        );
        let first = text(&registry, "/a", "");
        assert!(
            first.starts_with("HTTP/1.1 429") && first.contains("retry-after: 7"),
            "{first}"
        );
        let reset = ask(&registry, "/a", "").unwrap_err();
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        let cut = text(&registry, "/a", "");
        assert_eq!(cut.split("\r\n\r\n").nth(1).unwrap().len(), 3);
        let chunks = text(&registry, "/a", "");
        assert!(
            chunks.contains("chunked") && !chunks.ends_with("0\r\n\r\n"),
            "{chunks}"
        );
        assert!(text(&registry, "/a", "").contains("content-length: 18446744073709551615"));
        assert!(text(&registry, "/a", "").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn dropping_it_ends_what_hangs() {
        let registry = Registry::with(&[Package::new("a", "1.0.0")]);
        registry.fault("/a", When::Always, Fault::Hang);
        let address = registry.address();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /a HTTP/1.1\r\n\r\n").unwrap();
        while registry.requests().is_empty() {
            thread::yield_now();
        }
        drop(registry);
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).is_err() || answer.is_empty());
        // A process that another test is just starting may have the socket open for a moment.
        let began = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(5));
        }
    }
}
