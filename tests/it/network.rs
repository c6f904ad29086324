//! The registry client against a server that misbehaves on purpose.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pacquet::diagnostic::Diagnostic;
use pacquet::install::config::{CliOverrides, Config, Environment};
use pacquet::install::registry::{
    Body, Client, ClientLimits, Content, FetchError, TarballRequest, remote_url,
};
use pacquet::report::{Event, Reporter};

/// A request as it arrived: path and header lines.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    authorization: Option<String>,
}

type Handler = dyn Fn(&Seen, usize, &mut TcpStream) + Send + Sync;

/// A server that hands each connection's requests to a handler, with the number of requests that
/// the path has had.
struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Server {
    fn start(handler: impl Fn(&Seen, usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped, handler) = (
            Arc::clone(&seen),
            Arc::clone(&stop),
            Arc::new(handler) as Arc<Handler>,
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                std::thread::spawn(move || serve(&stream, &log, &*handler));
            }
        });
        Self {
            address,
            seen,
            stop,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a log").clone()
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Seen>>, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut authorization = None;
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("authorization: ") {
                authorization = Some(value.trim().to_owned());
            }
        }
        let seen = Seen {
            path,
            authorization,
        };
        let count = {
            let mut log = log.lock().expect("a log");
            log.push(seen.clone());
            log.iter().filter(|other| other.path == seen.path).count()
        };
        handler(&seen, count, &mut stream.try_clone().expect("a handle"));
    }
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}

#[derive(Default)]
struct Recorder {
    retries: AtomicUsize,
    bytes: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Reporter for Recorder {
    fn report(&self, event: &Event<'_>) {
        match event {
            Event::DownloadRetried { .. } => {
                self.retries.fetch_add(1, Ordering::SeqCst);
            }
            Event::DownloadProgress { bytes, .. } => {
                self.bytes
                    .fetch_add(usize::try_from(*bytes).expect("small"), Ordering::SeqCst);
            }
            Event::Warning { message, .. } => {
                self.warnings
                    .lock()
                    .expect("warnings")
                    .push((*message).to_owned());
            }
            _ => {}
        }
    }
}

struct Setup {
    client: Client,
    recorder: Arc<Recorder>,
    home: tempfile::TempDir,
}

/// A client with quick retries, the lines `npmrc` in the user's file and small limits.
fn setup(npmrc: &str, settings: &[(&str, &str)]) -> Setup {
    setup_project(npmrc, "", settings)
}

/// As [`setup`], with a file of the project's too.
fn setup_project(npmrc: &str, project_npmrc: &str, settings: &[(&str, &str)]) -> Setup {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join(".npmrc"), npmrc).expect("written");
    let mut variables: HashMap<String, String> = [
        ("HOME", home.path().to_str().expect("UTF-8")),
        ("PACQUET_FETCH_RETRY_MINTIMEOUT", "1"),
        ("PACQUET_FETCH_RETRY_MAXTIMEOUT", "5"),
        ("PACQUET_FETCH_TIMEOUT", "10000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    variables.extend(
        settings
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into())),
    );
    let variables = variables
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    let project = home.path().join("project");
    std::fs::create_dir(&project).expect("created");
    std::fs::write(project.join(".npmrc"), project_npmrc).expect("written");
    let environment = Environment::new(variables, project.clone());
    let config = Config::load(&environment, &CliOverrides::default(), &project).expect("loaded");
    let limits = ClientLimits {
        tarball_bytes_max: 1 << 20,
        document_bytes_max: 1 << 20,
        budget_bytes: 256 << 10,
        spool_bytes: 64 << 10,
        spool_directory: home.path().to_path_buf(),
        spool_prefix: String::new(),
    };
    let recorder = Arc::new(Recorder::default());
    let client = Client::new(&config, limits, Arc::clone(&recorder) as Arc<dyn Reporter>);
    Setup {
        client,
        recorder,
        home,
    }
}

fn request(url: &str) -> TarballRequest {
    TarballRequest {
        package: "p@1.0.0".to_owned(),
        url: remote_url("p", url).expect("a URL"),
    }
}

fn fetch(client: &Client, url: &str) -> Result<Body, FetchError> {
    let mut results = Vec::new();
    client
        .fetch_tarballs([((), request(url))], |(), result| {
            results.push(result);
            true
        })
        .expect("a runtime");
    results.pop().expect("one result")
}

fn bytes_of(body: &Body) -> Vec<u8> {
    match body.content() {
        Content::Memory(bytes) => bytes.clone(),
        Content::File { path, .. } => std::fs::read(path).expect("read"),
    }
}

#[test]
fn only_passing_failures_are_tried_again() {
    for (status, headers, requests, code) in [
        ("400 Bad", "", 1, "ERR_PNPM_FETCH_400"),
        ("401 No", "", 1, "ERR_PNPM_FETCH_401"),
        ("403 No", "", 1, "ERR_PNPM_FETCH_403"),
        ("404 None", "", 1, "ERR_PNPM_FETCH_404"),
        ("410 Gone", "", 1, "ERR_PNPM_FETCH_410"),
        ("304 Same", "", 1, "ERR_PNPM_FETCH_ERROR"),
        ("408 Late", "", 3, "ERR_PNPM_FETCH_408"),
        ("429 Many", "retry-after: 0\r\n", 3, "ERR_PNPM_FETCH_429"),
        (
            "429 Many",
            "retry-after: 86400\r\n",
            3,
            "ERR_PNPM_FETCH_429",
        ),
        ("500 Broken", "", 3, "ERR_PNPM_FETCH_500"),
        ("503 Busy", "", 3, "ERR_PNPM_FETCH_503"),
        (
            "200 OK",
            "content-type: text/html; charset=utf-8\r\n",
            1,
            "ERR_PACQUET_NOT_AN_ARCHIVE",
        ),
    ] {
        let server = Server::start(move |_, _, stream| respond(stream, status, headers, b""));
        let Setup {
            client,
            recorder,
            home: _home,
        } = setup("", &[]);
        let error = fetch(&client, &server.url("x.tgz?signature=hunter2")).expect_err(status);
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(server.seen().len(), requests, "{status}");
        assert_eq!(
            recorder.retries.load(Ordering::SeqCst),
            requests - 1,
            "{status}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let hint = error.hint().unwrap_or_default();
        assert_eq!(
            hint.contains("credentials"),
            matches!(
                code,
                "ERR_PNPM_FETCH_401" | "ERR_PNPM_FETCH_403" | "ERR_PNPM_FETCH_404"
            ),
            "{status}: {hint}"
        );
    }
}

#[test]
fn a_later_try_can_succeed() {
    let server = Server::start(|_, count, stream| match count {
        1 => respond(stream, "503 Busy", "retry-after: 0\r\n", b""),
        2 => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort");
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        _ => respond(stream, "200 OK", "", b"whole"),
    });
    let Setup {
        client,
        recorder,
        home: _home,
    } = setup("", &[]);
    let body = fetch(&client, &server.url("x.tgz")).expect("a body");
    assert_eq!(body.in_memory(), Some(&b"whole"[..]));
    assert_eq!(recorder.retries.load(Ordering::SeqCst), 2);
}

#[test]
fn a_connection_that_breaks_is_an_error_of_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}/x", listener.local_addr().expect("an address"));
    drop(listener);
    let reset = Server::start(|_, _, stream| {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let garbage = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    for url in [closed, reset.url("x"), garbage.url("x")] {
        let Setup {
            client,
            recorder,
            home: _home,
        } = setup("", &[]);
        let error = fetch(&client, &url).expect_err("no body");
        assert_eq!(error.code(), "ERR_PNPM_FETCH_ERROR", "{error}");
        assert_eq!(recorder.retries.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn lengths_that_lie_are_found_out() {
    for (head, body, code) in [
        ("content-length: 10", "short", "ERR_PNPM_BAD_TARBALL_SIZE"),
        (
            "content-length: 18446744073709551615",
            "",
            "ERR_PNPM_FETCH_ERROR",
        ),
        (
            "content-length: 9223372036854775807",
            "x",
            "ERR_PNPM_BAD_TARBALL_SIZE",
        ),
        ("content-length: 1048577", "", "ERR_PNPM_BAD_TARBALL_SIZE"),
        ("content-length: -1", "x", "ERR_PNPM_FETCH_ERROR"),
        (
            "content-length: 5\r\ncontent-length: 6",
            "short",
            "ERR_PNPM_FETCH_ERROR",
        ),
        (
            "transfer-encoding: chunked",
            "5\r\nshort\r\n",
            "ERR_PNPM_FETCH_ERROR",
        ),
        (
            "transfer-encoding: chunked",
            "zz\r\n",
            "ERR_PNPM_FETCH_ERROR",
        ),
    ] {
        let server = Server::start(move |_, _, stream| {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Both);
        });
        let Setup {
            client,
            home: _home,
            ..
        } = setup("", &[]);
        let error = fetch(&client, &server.url("x.tgz")).expect_err(head);
        assert_eq!(error.code(), code, "{head}: {error}");
    }
}

#[test]
fn bytes_beyond_the_announced_length_are_not_taken() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nexactand more");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let Setup {
        client,
        home: _home,
        ..
    } = setup("", &[]);
    let body = fetch(&client, &server.url("x.tgz")).expect("a body");
    assert_eq!(body.in_memory(), Some(&b"exact"[..]));
}

#[test]
fn an_endless_body_ends_at_the_limit() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    let Setup {
        client,
        recorder,
        home: _home,
    } = setup("", &[]);
    let error = fetch(&client, &server.url("x.tgz")).expect_err("too large");
    assert!(
        matches!(
            error,
            FetchError::TooLarge {
                limit: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
    assert!(recorder.bytes.load(Ordering::SeqCst) <= 1 << 20);
    assert_eq!(recorder.retries.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_that_drips_or_hangs_is_given_up() {
    let drips = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
        // Fast enough that no two bytes are further apart than the time-out.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let hangs = Server::start(|_, _, stream| {
        let _ = stream.read(&mut [0; 1]);
    });
    for url in [drips.url("x"), hangs.url("x")] {
        let settings = [
            ("PACQUET_FETCH_TIMEOUT", "100"),
            ("PACQUET_FETCH_RETRIES", "1"),
        ];
        let Setup {
            client,
            recorder,
            home: _home,
        } = setup("", &settings);
        let error = fetch(&client, &url).expect_err("no progress");
        assert_eq!(error.code(), "ERR_PACQUET_FETCH_STALLED", "{error}");
        assert_eq!(recorder.retries.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn redirects_are_followed_and_credentials_stay_at_home() {
    let other = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"there"));
    let elsewhere = other.url("x.tgz");
    let home = Server::start(move |seen, _, stream| {
        let to = |target: &str| format!("location: {target}\r\n");
        match seen.path.as_str() {
            "/a/there" => respond(stream, "302 Found", &to(&elsewhere), b""),
            "/a/here" => respond(stream, "307 Moved", &to("../b/x"), b""),
            _ => respond(stream, "200 OK", "", b"here"),
        }
    });
    let host = home.address.to_string();
    let npmrc = format!("//{host}/a/:_authToken=hunter2\n//{host}/:_auth=dTpw\n");
    let Setup {
        client,
        home: _home,
        ..
    } = setup(&npmrc, &[]);
    assert!(fetch(&client, &home.url("a/there")).is_ok());
    assert!(fetch(&client, &home.url("a/here")).is_ok());
    let sent: Vec<_> = home
        .seen()
        .into_iter()
        .map(|seen| (seen.path, seen.authorization))
        .collect();
    let bearer = Some("Bearer hunter2".to_owned());
    assert_eq!(
        sent,
        [
            ("/a/there".to_owned(), bearer.clone()),
            ("/a/here".to_owned(), bearer),
            ("/b/x".to_owned(), Some("Basic dTpw".to_owned())),
        ]
    );
    assert_eq!(other.seen().len(), 1);
    assert_eq!(other.seen()[0].authorization, None);
}

#[test]
fn redirects_that_lead_astray_are_refused() {
    for location in [
        "file:///etc/passwd",
        "ftp://h.test/x",
        "data:,x",
        "http://u:p@127.0.0.1:1/x",
        "http://[",
        "/x.tgz",
        "",
    ] {
        let server = Server::start(move |_, _, stream| {
            respond(
                stream,
                "302 Found",
                &format!("location: {location}\r\n"),
                b"",
            );
        });
        let Setup {
            client,
            home: _home,
            ..
        } = setup("", &[]);
        let error = fetch(&client, &server.url("x.tgz")).expect_err(location);
        assert_eq!(error.code(), "ERR_PACQUET_REDIRECT", "{location}: {error}");
        assert!(server.seen().len() <= 11, "{location}");
    }
    let server = Server::start(|_, _, stream| respond(stream, "302 Found", "", b""));
    let error = fetch(&setup("", &[]).client, &server.url("x.tgz")).expect_err("no target");
    assert_eq!(error.code(), "ERR_PACQUET_REDIRECT");
}

#[test]
fn credentials_in_an_address_are_sent_and_never_shown() {
    let server = Server::start(|_, _, stream| respond(stream, "401 No", "", b""));
    let url = format!("http://user:hunter2@{}/x.tgz", server.address);
    let error = fetch(&setup("", &[]).client, &url).expect_err("refused");
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    assert_eq!(
        server.seen()[0].authorization.as_deref(),
        Some("Basic dXNlcjpodW50ZXIy")
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("refused")));
}

#[test]
fn a_failing_token_helper_stops_the_request() {
    let server = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"x"));
    let npmrc = format!("//{}/:tokenHelper=/does/not/exist", server.address);
    let error = fetch(&setup(&npmrc, &[]).client, &server.url("x")).expect_err("no token");
    assert_eq!(error.code(), "ERR_PNPM_TOKEN_HELPER_ERROR_STATUS");
    assert!(server.seen().is_empty());
}

#[test]
fn offline_makes_no_request() {
    let server = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"x"));
    let Setup {
        client,
        home: _home,
        ..
    } = setup("", &[("PNPM_CONFIG_OFFLINE", "true")]);
    let error = fetch(&client, &server.url("x")).expect_err("offline");
    assert_eq!(error.code(), "ERR_PNPM_NO_OFFLINE_TARBALL");
    assert!(error.to_string().contains("p@1.0.0"));
    assert!(server.seen().is_empty());
}

#[test]
fn large_bodies_go_to_a_file_that_is_removed_with_them() {
    let large = vec![7; 100 << 10];
    let expected = large.clone();
    let server = Server::start(move |seen, _, stream| match seen.path.as_str() {
        "/large" => respond(stream, "200 OK", "", &large),
        "/chunked" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for chunk in large.chunks(0x1000) {
                let head = format!("{:x}\r\n", chunk.len());
                let _ = stream.write_all(&[head.as_bytes(), chunk, b"\r\n"].concat());
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        }
        _ => respond(stream, "200 OK", "", b"small"),
    });
    let Setup {
        client,
        home: _home,
        ..
    } = setup("", &[]);
    for (path, in_memory, bytes) in [
        ("large", false, expected.as_slice()),
        ("chunked", false, expected.as_slice()),
        ("small", true, b"small".as_slice()),
    ] {
        let body = fetch(&client, &server.url(path)).expect(path);
        assert_eq!(body.in_memory().is_some(), in_memory, "{path}");
        assert_eq!(body.size(), bytes.len() as u64, "{path}");
        assert_eq!(bytes_of(&body), bytes, "{path}");
        if let Content::File { path, .. } = body.content() {
            let path: &Path = path;
            let path = path.to_path_buf();
            drop(body);
            assert!(!path.exists());
        }
    }
}

#[test]
fn bodies_hold_the_budget_until_they_are_dropped() {
    let archive = vec![1; 60 << 10];
    let server = Server::start(move |_, _, stream| respond(stream, "200 OK", "", &archive));
    let Setup {
        client,
        home: _home,
        ..
    } = setup("", &[("PACQUET_NETWORK_CONCURRENCY", "8")]);
    let requests: Vec<_> = (0..40)
        .map(|n| (n, request(&server.url(&n.to_string()))))
        .collect();
    let mut held: Vec<Body> = Vec::new();
    let mut most = 0;
    let mut tags = Vec::new();
    client
        .fetch_tarballs(requests, |tag, result| {
            held.push(result.expect("a body"));
            tags.push(tag);
            most = most.max(held.iter().map(Body::size).sum());
            // The budget has room for four; without a drop here nothing would come any more.
            if held.len() == 4 {
                held.clear();
            }
            true
        })
        .expect("a runtime");
    tags.sort_unstable();
    assert_eq!(tags, (0..40).collect::<Vec<_>>());
    assert!(most <= 256 << 10, "{most}");
}

#[test]
fn the_rest_is_dropped_when_the_caller_has_enough() {
    let server = Server::start(|_, _, stream| respond(stream, "404 None", "", b""));
    let Setup {
        client,
        home: _home,
        ..
    } = setup("", &[("PACQUET_NETWORK_CONCURRENCY", "2")]);
    let requests = (0..100).map(|n| (n, request(&server.url(&n.to_string()))));
    let mut taken = 0;
    client
        .fetch_tarballs(requests, |_, _| {
            taken += 1;
            taken < 3
        })
        .expect("a runtime");
    assert_eq!(taken, 3);
    assert!(server.seen().len() <= 5);
}

#[test]
fn a_credential_without_a_host_goes_to_the_registry_of_its_own_file_only() {
    for (user_registry, project, expected) in [
        ("http://user.test/", "registry=http://HERE/", None),
        (
            "http://HERE/",
            "registry=http://project.test/",
            Some("Bearer hunter2"),
        ),
        ("http://HERE/", "", Some("Bearer hunter2")),
        ("http://HERE/npm/", "", None),
        (
            "http://user.test/",
            "registry=http://HERE/\n_authToken=own",
            Some("Bearer own"),
        ),
        ("", "registry=http://HERE/", None),
    ] {
        let server = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"x"));
        let here = server.address.to_string();
        let npmrc = match user_registry {
            "" => "_authToken=hunter2".to_owned(),
            url => format!(
                "_authToken=hunter2\nregistry={}",
                url.replace("HERE", &here)
            ),
        };
        let Setup {
            client,
            home: _home,
            ..
        } = setup_project(&npmrc, &project.replace("HERE", &here), &[]);
        fetch(&client, &server.url("x.tgz")).expect("a body");
        let sent = server.seen()[0].authorization.clone();
        assert_eq!(sent.as_deref(), expected, "{user_registry} {project}");
    }
}

#[test]
fn tokens_come_from_every_place_and_those_of_a_scope_go_first() {
    let auth = r#"{"http://HERE":{"@":{"authToken":"all"},"@s":{"authToken":"of-s"}}}"#;
    let basic = "//HERE/:@s:username=u\n//HERE/:@s:_password=cA";
    let of_s = "//HERE/:_authToken=file\n//HERE/:@s:_authToken=file-s";
    let host = "npm_config_//HERE/:_authToken";
    for (user, project, variable, value, package, expected) in [
        (of_s, "", "", "", "p@1.0.0", "Bearer file"),
        (of_s, "", "", "", "@s/p@1.0.0", "Bearer file-s"),
        (of_s, "", "", "", "@t/p", "Bearer file"),
        (basic, "", "", "", "@s/p", "Basic dTpw"),
        ("//HERE/:_auth=dTpwcQ", "", "", "", "p", "Basic dTpwcQ=="),
        ("", "//HERE/:_authToken=own", host, "env", "p", "Bearer env"),
        (
            "",
            "",
            "PNPM_CONFIG_//HERE/:@s:_authToken",
            "env",
            "@s/p",
            "Bearer env",
        ),
        (of_s, "", "pnpm_config__auth", auth, "p", "Bearer all"),
        (of_s, of_s, "PNPM_CONFIG__AUTH", auth, "@s/p", "Bearer of-s"),
        ("registry=http://u:p@HERE", "", "", "", "p", "Basic dTpw"),
    ] {
        let server = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"x"));
        let here = |text: &str| text.replace("HERE", &server.address.to_string());
        let setup = setup_project(
            &here(user),
            &here(project),
            &[(&here(variable), &here(value))],
        );
        let mut request = request(&server.url("x.tgz"));
        request.package = package.to_owned();
        let done = setup
            .client
            .fetch_tarballs([((), request)], |(), result| result.is_ok());
        done.expect("a runtime");
        let sent = server.seen()[0].authorization.clone();
        assert_eq!(
            sent.as_deref(),
            Some(expected),
            "{user} {variable} {package}"
        );
    }
}

#[test]
fn a_token_helper_is_not_run_for_a_variable() {
    let server = Server::start(|_, _, stream| respond(stream, "200 OK", "", b"x"));
    let name = format!("npm_config_//{}/:tokenHelper", server.address);
    let setup = setup("", &[(&name, "/bin/echo evil")]);
    fetch(&setup.client, &server.url("x.tgz")).expect("a body");
    assert_eq!(server.seen()[0].authorization, None);
}
