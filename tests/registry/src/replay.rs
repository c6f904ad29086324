//! Serves a recording on loopback, cheaply enough to leave the machine to the client.
//!
//! One thread. Tarballs go from the page cache to the socket by `sendfile`; packuments are
//! compressed once for each port and kept as files. The link can be emulated: a round trip before
//! every answer, and a limit on each connection.
//!
//! `GET /-/replay/statistics` tells what it has cost so far, and which paths were asked for in
//! vain, so that they can be recorded too.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::SendFlags;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use crate::http::percent_decode;
use crate::integrity;
use crate::packument::Form;
use crate::recording::{self, Index, PLACEHOLDER, packument_file_name, packument_path};
use crate::tarball::gzip;

/// What the public registry says of its packuments.
const CACHE_CONTROL: &str = "public, max-age=300";

/// The most bytes of a request's head.
const HEAD_LIMIT_BYTES: usize = 64 << 10;

/// The most bytes sent at a time where a connection's rate is limited.
const PACED_BYTES: usize = 16 << 10;

/// The most paths that are remembered because they were asked for in vain.
const MISSING_LIMIT: usize = 10_000;

/// How the network between client and registry behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Delay of every answer, and of a connection's first answer once more; 0 for none.
    pub round_trip_ms: u64,
    /// Limit of each connection, in megabits a second.
    pub bandwidth_mbit: Option<u64>,
}

/// When packuments are made ready for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// When they are first asked for.
    OnDemand,
    /// All of them, before the port is opened.
    All,
}

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The recording's folder.
    pub from: PathBuf,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The link's behaviour.
    pub link: Link,
    /// When packuments are made ready.
    pub preparation: Preparation,
}

/// Why a replay ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("port {port}: {source}")]
    Port {
        /// Which port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in the folder.
    #[error("{0} holds no recording; make one with `pacquet-registry record`")]
    Empty(PathBuf),
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ReplayError + '_ {
    move |source| ReplayError::File {
        path: path.to_owned(),
        source,
    }
}

/// A packument in one form, ready to send.
struct Packument {
    plain: File,
    plain_bytes: u64,
    compressed: File,
    compressed_bytes: u64,
    entity_tag: String,
    form: Form,
}

struct Server {
    options: Options,
    url: String,
    served: PathBuf,
    tarballs: HashMap<String, (PathBuf, u64)>,
    index: Index,
    open_tarballs: RefCell<HashMap<String, Rc<File>>>,
    packuments: RefCell<HashMap<(String, Form), Rc<Packument>>>,
    requests: Cell<u64>,
    sent_bytes: Cell<u64>,
    missing: RefCell<BTreeSet<String>>,
}

/// Serves until the process ends. `ready` is called with the address (no slash at its end) once
/// the port accepts connections.
pub fn serve(options: &Options, ready: &dyn Fn(&str)) -> Result<(), ReplayError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(file_error(Path::new("runtime")))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, run(options, ready))
}

async fn run(options: &Options, ready: &dyn Fn(&str)) -> Result<(), ReplayError> {
    let path = options.from.join("recording.json");
    let index = Index::read(&options.from).map_err(file_error(&path))?;
    if index == Index::default() {
        return Err(ReplayError::Empty(options.from.clone()));
    }
    let port_error = |source| ReplayError::Port {
        port: options.port,
        source,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
        .await
        .map_err(port_error)?;
    let address = listener.local_addr().map_err(port_error)?;
    let server = Rc::new(Server::new(options, address, index)?);
    if options.preparation == Preparation::All {
        server.prepare_all()?;
    }
    ready(&server.url);
    loop {
        let (stream, _) = listener.accept().await.map_err(port_error)?;
        let _ = stream.set_nodelay(true);
        let server = Rc::clone(&server);
        // A connection that fails is the client's affair.
        tokio::task::spawn_local(async move {
            let _ = Connection::new(stream, server).converse().await;
        });
    }
}

impl Server {
    fn new(options: &Options, address: SocketAddr, index: Index) -> Result<Self, ReplayError> {
        let served = options.from.join("served").join(address.port().to_string());
        fs::create_dir_all(&served).map_err(file_error(&served))?;
        let tarballs = index.tarballs.values().map(|tarball| {
            let file = recording::tarball_file(&options.from, tarball);
            (tarball.path.clone(), (file, tarball.bytes))
        });
        Ok(Self {
            options: options.clone(),
            url: format!("http://{address}"),
            served,
            tarballs: tarballs.collect(),
            index,
            open_tarballs: RefCell::default(),
            packuments: RefCell::default(),
            requests: Cell::new(0),
            sent_bytes: Cell::new(0),
            missing: RefCell::default(),
        })
    }

    fn prepare_all(&self) -> Result<(), ReplayError> {
        for name in self.index.packuments.keys() {
            for form in [Form::Full, Form::Abbreviated] {
                self.make_packument(name, form)
                    .map_err(file_error(&self.served))?;
            }
        }
        Ok(())
    }

    /// The packument's files for this port; made if they are missing or older than the recording.
    fn make_packument(&self, name: &str, form: Form) -> io::Result<Packument> {
        let source = packument_path(&self.options.from, name, form);
        let plain = self.served.join(packument_file_name(name, form));
        let compressed = plain.with_extension("json.gz");
        let newer = |path: &Path| -> io::Result<bool> {
            let recorded = fs::metadata(&source)?.modified()?;
            Ok(fs::metadata(path).is_ok_and(|made| made.modified().is_ok_and(|t| t >= recorded)))
        };
        if !newer(&plain)? || !newer(&compressed)? {
            let text = fs::read_to_string(&source)?.replace(PLACEHOLDER, &self.url);
            write_whole(&plain, text.as_bytes())?;
            write_whole(&compressed, &gzip(text.as_bytes(), 6))?;
        }
        let tag = integrity::sha256_hexadecimal(&fs::read(&plain)?);
        let (plain, compressed) = (File::open(plain)?, File::open(compressed)?);
        Ok(Packument {
            plain_bytes: plain.metadata()?.len(),
            compressed_bytes: compressed.metadata()?.len(),
            plain,
            compressed,
            entity_tag: format!("\"{}\"", &tag[..32]),
            form,
        })
    }

    fn packument(&self, name: &str, form: Form) -> io::Result<Rc<Packument>> {
        let key = (name.to_owned(), form);
        if let Some(known) = self.packuments.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let made = Rc::new(self.make_packument(name, form)?);
        self.packuments.borrow_mut().insert(key, Rc::clone(&made));
        Ok(made)
    }

    fn tarball(&self, path: &str) -> io::Result<Option<(Rc<File>, u64)>> {
        let Some((file, bytes)) = self.tarballs.get(path) else {
            return Ok(None);
        };
        if let Some(open) = self.open_tarballs.borrow().get(path) {
            return Ok(Some((Rc::clone(open), *bytes)));
        }
        let open = Rc::new(File::open(file)?);
        self.open_tarballs
            .borrow_mut()
            .insert(path.to_owned(), Rc::clone(&open));
        Ok(Some((open, *bytes)))
    }

    /// The manifest of one version or tag: `/name/1.0.0`, `/name/latest`.
    fn version_manifest(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some((name, wanted)) = path.rsplit_once('/') else {
            return Ok(None);
        };
        if !self.index.packuments.contains_key(name) {
            return Ok(None);
        }
        let source = packument_path(&self.options.from, name, Form::Full);
        let text = fs::read_to_string(source)?.replace(PLACEHOLDER, &self.url);
        let packument: Value = serde_json::from_str(&text)?;
        let version = packument["dist-tags"][wanted].as_str().unwrap_or(wanted);
        let manifest = packument["versions"].get(version);
        Ok(manifest.map(|manifest| manifest.to_string().into_bytes()))
    }

    fn statistics(&self) -> Vec<u8> {
        let statistics = serde_json::json!({
            "requests": self.requests.get(),
            "bytes": self.sent_bytes.get(),
            "cpu_ms": cpu_time().as_secs_f64() * 1e3,
            "missing": *self.missing.borrow(),
        });
        statistics.to_string().into_bytes()
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes)?;
    fs::rename(temporary, path)
}

/// The processor time of this process's threads, to the nanosecond.
fn cpu_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| {
            text.split(' ')
                .next()
                .and_then(|first| first.parse::<u64>().ok())
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// What of a request's head matters here.
struct Head {
    method: String,
    path: String,
    form: Form,
    compressed: bool,
    entity_tag: Option<String>,
    body_bytes: usize,
    close: bool,
}

fn parse_head(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let method = first.next()?.to_owned();
    let target = first.next()?.split('?').next()?;
    let mut head = Head {
        method,
        path: percent_decode(target),
        form: Form::Full,
        compressed: false,
        entity_tag: None,
        body_bytes: 0,
        close: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("accept") {
            head.form = Form::wanted(value);
        } else if name.eq_ignore_ascii_case("accept-encoding") {
            head.compressed = value.contains("gzip");
        } else if name.eq_ignore_ascii_case("if-none-match") {
            head.entity_tag = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("content-length") {
            head.body_bytes = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    Some(head)
}

/// The body of an answer.
enum Body {
    Bytes(Vec<u8>),
    File(Rc<File>, u64),
    Plain(Rc<Packument>),
    Compressed(Rc<Packument>),
}

impl Body {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
            Self::Plain(packument) => packument.plain_bytes,
            Self::Compressed(packument) => packument.compressed_bytes,
        }
    }
}

/// An answer: status line, further headers, body.
struct Answer {
    status: &'static str,
    headers: String,
    body: Body,
}

impl Answer {
    fn json(status: &'static str, body: Vec<u8>) -> Self {
        let headers = "content-type: application/json\r\n".to_owned();
        Self {
            status,
            headers,
            body: Body::Bytes(body),
        }
    }
}

struct Connection {
    stream: TcpStream,
    server: Rc<Server>,
    buffer: Vec<u8>,
    answered: u64,
    /// When the bytes sent so far would have arrived at the limited rate.
    paid_until: Instant,
}

impl Connection {
    fn new(stream: TcpStream, server: Rc<Server>) -> Self {
        let buffer = Vec::with_capacity(4096);
        Self {
            stream,
            server,
            buffer,
            answered: 0,
            paid_until: Instant::now(),
        }
    }

    async fn converse(mut self) -> io::Result<()> {
        while let Some(head) = self.read_head().await? {
            let server = Rc::clone(&self.server);
            server.requests.set(server.requests.get() + 1);
            let round_trip = Duration::from_millis(server.options.link.round_trip_ms);
            if !round_trip.is_zero() {
                // Opening the connection costs a round trip of its own.
                let trips = if self.answered == 0 { 2 } else { 1 };
                sleep(round_trip * trips).await;
            }
            let answer = route(&server, &head).unwrap_or_else(|error| {
                Answer::json("500 Internal Server Error", error.to_string().into_bytes())
            });
            self.paid_until = Instant::now();
            self.send(&head, answer).await?;
            self.answered += 1;
            if head.close {
                break;
            }
        }
        Ok(())
    }

    async fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                let Some(head) = parse_head(&text) else {
                    return Ok(None);
                };
                while self.buffer.len() < head.body_bytes {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Ok(None);
                    }
                }
                self.buffer.drain(..head.body_bytes);
                return Ok(Some(head));
            }
            if self.buffer.len() > HEAD_LIMIT_BYTES
                || self.stream.read_buf(&mut self.buffer).await? == 0
            {
                return Ok(None);
            }
        }
    }

    async fn send(&mut self, head: &Head, answer: Answer) -> io::Result<()> {
        let length = answer.body.length();
        let mut bytes = format!(
            "HTTP/1.1 {}\r\ncontent-length: {length}\r\n{}\r\n",
            answer.status, answer.headers
        )
        .into_bytes();
        let empty = head.method == "HEAD" || length == 0;
        match answer.body {
            Body::Bytes(body) => {
                if !empty {
                    bytes.extend_from_slice(&body);
                }
                self.send_bytes(&bytes, SendFlags::empty()).await
            }
            _ if empty => self.send_bytes(&bytes, SendFlags::empty()).await,
            Body::File(file, length) => self.send_with(&bytes, &file, length).await,
            Body::Plain(packument) => self.send_with(&bytes, &packument.plain, length).await,
            Body::Compressed(packument) => {
                self.send_with(&bytes, &packument.compressed, length).await
            }
        }
    }

    async fn send_with(&mut self, head: &[u8], file: &File, length: u64) -> io::Result<()> {
        self.send_bytes(head, SendFlags::MORE).await?;
        let mut offset = 0_u64;
        while offset < length {
            let count = self.allowance((length - offset) as usize).await;
            let sent = loop {
                self.stream.writable().await?;
                let attempt = self.stream.try_io(Interest::WRITABLE, || {
                    let sent = rustix::fs::sendfile(&self.stream, file, Some(&mut offset), count)?;
                    Ok(sent)
                });
                match attempt {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => break result?,
                }
            };
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.pay(sent);
        }
        Ok(())
    }

    async fn send_bytes(&mut self, bytes: &[u8], flags: SendFlags) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.allowance(rest.len()).await;
            self.stream.writable().await?;
            let attempt = self.stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::net::send(
                    &self.stream,
                    &rest[..count],
                    flags | SendFlags::NOSIGNAL,
                )?)
            });
            match attempt {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    let sent = result?;
                    self.pay(sent);
                    rest = &rest[sent..];
                }
            }
        }
        Ok(())
    }

    /// Waits until the link is free again; how many of the wanted bytes may be sent at once.
    async fn allowance(&self, wanted: usize) -> usize {
        if self.server.options.link.bandwidth_mbit.is_none() {
            return wanted;
        }
        sleep_until(self.paid_until).await;
        wanted.min(PACED_BYTES)
    }

    fn pay(&mut self, sent: usize) {
        let server = &self.server;
        server.sent_bytes.set(server.sent_bytes.get() + sent as u64);
        if let Some(rate) = server.options.link.bandwidth_mbit {
            let microseconds = sent as u64 * 8 / rate.max(1);
            self.paid_until += Duration::from_micros(microseconds);
        }
    }
}

fn route(server: &Server, head: &Head) -> io::Result<Answer> {
    let path = head.path.as_str();
    if let Some((file, bytes)) = server.tarball(path)? {
        let headers = "content-type: application/octet-stream\r\n".to_owned();
        return Ok(Answer {
            status: "200 OK",
            headers,
            body: Body::File(file, bytes),
        });
    }
    let name = path.trim_start_matches('/');
    if server.index.packuments.contains_key(name) {
        return Ok(packument_answer(server.packument(name, head.form)?, head));
    }
    if name == "-/replay/statistics" {
        return Ok(Answer::json("200 OK", server.statistics()));
    }
    if name == "-/ping" {
        return Ok(Answer::json("200 OK", b"{}".to_vec()));
    }
    match server.version_manifest(name)? {
        Some(manifest) => Ok(Answer::json("200 OK", manifest)),
        None => {
            let mut missing = server.missing.borrow_mut();
            if missing.len() < MISSING_LIMIT {
                missing.insert(path.to_owned());
            }
            Ok(Answer::json(
                "404 Not Found",
                b"{\"error\":\"Not found\"}".to_vec(),
            ))
        }
    }
}

fn packument_answer(packument: Rc<Packument>, head: &Head) -> Answer {
    let tag = packument.entity_tag.clone();
    let mut headers = format!(
        "etag: {tag}\r\nvary: accept, accept-encoding\r\ncache-control: {CACHE_CONTROL}\r\n"
    );
    if head
        .entity_tag
        .as_ref()
        .is_some_and(|known| known.contains(&tag))
    {
        return Answer {
            status: "304 Not Modified",
            headers,
            body: Body::Bytes(Vec::new()),
        };
    }
    headers.push_str(&format!(
        "content-type: {}\r\n",
        packument.form.content_type()
    ));
    let body = if head.compressed {
        headers.push_str("content-encoding: gzip\r\n");
        Body::Compressed(packument)
    } else {
        Body::Plain(packument)
    };
    Answer {
        status: "200 OK",
        headers,
        body,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::recording::{PackumentFiles, Tarball};

    fn recording(directory: &Path) {
        let mut index = Index::default();
        fs::create_dir_all(directory.join("tarballs")).unwrap();
        fs::create_dir_all(directory.join("packuments")).unwrap();
        fs::write(directory.join("tarballs/x.tgz"), b"tarball").unwrap();
        let tarball = Tarball {
            path: "/@s/a/-/a-1.0.0.tgz".into(),
            file: "x.tgz".into(),
            bytes: 7,
            integrity: String::new(),
        };
        index.tarballs.insert("@s/a@1.0.0".into(), tarball);
        index
            .packuments
            .insert("@s/a".into(), PackumentFiles::default());
        for form in [Form::Full, Form::Abbreviated] {
            let text = format!(
                "{{\"name\":\"@s/a\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\
                 \"1.0.0\":{{\"dist\":{{\"tarball\":\"{PLACEHOLDER}/@s/a/-/a-1.0.0.tgz\"}}}}}}}}"
            );
            fs::write(packument_path(directory, "@s/a", form), text).unwrap();
        }
        index.write(directory).unwrap();
    }

    fn start(directory: &Path, link: Link) -> String {
        recording(directory);
        let (sender, receiver) = std::sync::mpsc::channel();
        let options = Options {
            from: directory.into(),
            port: 0,
            link,
            preparation: Preparation::All,
        };
        // The server has no end of its own; it goes with the test process.
        std::thread::spawn(move || serve(&options, &|url| sender.send(url.to_owned()).unwrap()));
        receiver.recv().unwrap()
    }

    fn ask(url: &str, requests: &str) -> String {
        let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn a_recording_is_served_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = start(directory.path(), Link::default());
        let answer = ask(
            &url,
            "GET /@s%2fa HTTP/1.1\r\n\r\nGET /@s/a/-/a-1.0.0.tgz HTTP/1.1\r\n\r\n\
             HEAD /@s/a HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nconnection: close\r\n\r\n",
        );
        assert!(
            answer.contains(&format!("{url}/@s/a/-/a-1.0.0.tgz")),
            "{answer}"
        );
        assert!(answer.contains("\r\n\r\ntarball"), "{answer}");
        assert!(answer.contains("HTTP/1.1 404 Not Found"), "{answer}");
        let tag = answer
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = ask(
            &url,
            &format!("GET /@s/a HTTP/1.1\r\nif-none-match: {tag}\r\nconnection: close\r\n\r\n"),
        );
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
        let manifest = ask(
            &url,
            "GET /@s/a/latest HTTP/1.1\r\nconnection: close\r\n\r\n",
        );
        assert!(manifest.contains("\"dist\""), "{manifest}");
    }

    #[test]
    fn a_limited_link_delivers_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let link = Link {
            round_trip_ms: 1,
            bandwidth_mbit: Some(1),
        };
        let url = start(directory.path(), link);
        let request = "GET /@s/a/-/a-1.0.0.tgz HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert!(ask(&url, request).ends_with("\r\n\r\ntarball"));
    }
}
