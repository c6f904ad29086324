//! HTTP/1.1 by hand, so that an answer can be wrong in every way.
//!
//! Blocking, one thread a connection. Nothing here knows of packages.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::fault::Fault;
use crate::tarball::gzip;

/// The most bytes of a request's head.
const HEAD_LIMIT_BYTES: u64 = 64 << 10;

/// A request that the registry received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, `PUT`, …
    pub method: String,
    /// The path as the client sent it, with its query.
    pub target: String,
    /// The path with percent-encoding undone and without the query: `/@s/name`.
    pub path: String,
    /// Header names in lower case, and values, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How many requests for this path came before, plus one.
    pub attempt: u32,
}

impl Request {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An answer before any fault is applied to it.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn json(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"error": message}).to_string();
        Self::new(status, "application/json", body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Whether the connection may carry another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// Reads one request; `None` when the client has closed the connection.
pub(crate) fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = String::new();
    let mut limited = reader.by_ref().take(HEAD_LIMIT_BYTES);
    loop {
        let before = head.len();
        if limited.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        let line = &head[before..];
        if line == "\r\n" || line == "\n" {
            break;
        }
    }
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(key, _)| key == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0_u64);
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    let path = percent_decode(target.split(['?', '#']).next().unwrap_or_default());
    Ok(Some(Request {
        method,
        target,
        path,
        headers,
        body,
        attempt: 0,
    }))
}

/// Undoes percent-encoding; what is malformed stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let value = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match value {
            Some(value) if bytes[at] == b'%' => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How the body's length is announced.
enum Framing {
    Length(u64),
    UntilClose,
    Chunked,
}

fn write_head(stream: &mut TcpStream, response: &Response, framing: &Framing) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        response.status,
        reason(response.status)
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match framing {
        Framing::Length(length) => head.push_str(&format!("content-length: {length}\r\n")),
        Framing::UntilClose => head.push_str("connection: close\r\n"),
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        304 => "Not Modified",
        300..=399 => "Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        400..=499 => "Client Error",
        _ => "Server Error",
    }
}

/// Writes an answer without any fault.
pub(crate) fn write_response(
    stream: &mut TcpStream,
    request: &Request,
    response: &Response,
) -> io::Result<After> {
    write_head(
        stream,
        response,
        &Framing::Length(response.body.len() as u64),
    )?;
    if request.method != "HEAD" && response.status != 304 {
        stream.write_all(&response.body)?;
    }
    match request.header("connection") {
        Some(value) if value.eq_ignore_ascii_case("close") => Ok(After::Close),
        _ => Ok(After::KeepAlive),
    }
}

/// Writes an answer with a fault in it.
pub(crate) fn write_faulty(
    stream: &mut TcpStream,
    request: &Request,
    mut response: Response,
    fault: &Fault,
) -> io::Result<After> {
    let length = response.body.len() as u64;
    match fault {
        Fault::Status(status) => response = Response::json(*status, "injected"),
        Fault::RetryAfter { status, seconds } => {
            response =
                Response::json(*status, "injected").header("retry-after", seconds.to_string());
        }
        Fault::Redirect { status, location } => {
            response = Response::json(*status, "elsewhere").header("location", location);
        }
        Fault::Html => {
            response = Response::new(200, "text/html", "<!DOCTYPE html><title>Log in</title>");
        }
        Fault::Body {
            content_type,
            bytes,
        } => {
            response = Response::new(200, content_type, bytes.clone());
        }
        Fault::Delay(time) => thread::sleep(*time),
        Fault::FlipByte => {
            let middle = response.body.len() / 2;
            if let Some(byte) = response.body.get_mut(middle) {
                *byte ^= 0xff;
            }
        }
        Fault::CompressedTwice => response.body = gzip(&response.body, 1),
        Fault::CompressedForTheWay => {
            response.body = gzip(&response.body, 1);
            response = response.header("content-encoding", "gzip");
        }
        Fault::FalseContentEncoding => response = response.header("content-encoding", "gzip"),
        Fault::ContentLengthTooLong(more) => {
            return write_length(stream, &response, length.saturating_add(*more));
        }
        Fault::ContentLengthTooShort(less) => {
            return write_length(stream, &response, length.saturating_sub(*less));
        }
        Fault::ContentLength(claimed) => return write_length(stream, &response, *claimed),
        Fault::Chunked(size) => return write_chunks(stream, &response, *size),
        Fault::NoContentLength
        | Fault::EndlessChunks
        | Fault::UnfinishedChunks
        | Fault::ResetAfter(_)
        | Fault::CloseAfter(_)
        | Fault::Reset
        | Fault::SlowLoris(_)
        | Fault::StallHalfWay
        | Fault::Hang => return write_broken(stream, &response, fault),
    }
    write_response(stream, request, &response)
}

fn write_length(stream: &mut TcpStream, response: &Response, claimed: u64) -> io::Result<After> {
    write_head(stream, response, &Framing::Length(claimed))?;
    stream.write_all(&response.body)?;
    Ok(After::Close)
}

fn write_chunk(stream: &mut TcpStream, chunk: &[u8]) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
    stream.write_all(chunk)?;
    stream.write_all(b"\r\n")
}

fn write_chunks(stream: &mut TcpStream, response: &Response, size: usize) -> io::Result<After> {
    write_head(stream, response, &Framing::Chunked)?;
    for chunk in response.body.chunks(size.max(1)) {
        write_chunk(stream, chunk)?;
    }
    write_chunk(stream, b"")?;
    Ok(After::KeepAlive)
}

/// The answers after which the connection cannot be used again.
fn write_broken(stream: &mut TcpStream, response: &Response, fault: &Fault) -> io::Result<After> {
    let body = &response.body;
    let framing = Framing::Length(body.len() as u64);
    match fault {
        Fault::NoContentLength => {
            write_head(stream, response, &Framing::UntilClose)?;
            stream.write_all(body)?;
        }
        Fault::UnfinishedChunks => {
            write_head(stream, response, &Framing::Chunked)?;
            write_chunk(stream, body)?;
        }
        Fault::EndlessChunks => {
            write_head(stream, response, &Framing::Chunked)?;
            write_chunk(stream, body)?;
            loop {
                write_chunk(stream, &[0; 64 << 10])?;
            }
        }
        Fault::ResetAfter(bytes) => {
            write_head(stream, response, &framing)?;
            stream.write_all(&body[..body.len().min(*bytes)])?;
            reset(stream)?;
        }
        Fault::CloseAfter(bytes) => {
            write_head(stream, response, &framing)?;
            stream.write_all(&body[..body.len().min(*bytes)])?;
        }
        Fault::Reset => reset(stream)?,
        Fault::SlowLoris(pause) => {
            write_head(stream, response, &framing)?;
            write_slowly(stream, body, *pause)?;
        }
        Fault::StallHalfWay => {
            write_head(stream, response, &framing)?;
            stream.write_all(&body[..body.len() / 2])?;
            wait_for_close(stream)?;
        }
        _ => wait_for_close(stream)?,
    }
    Ok(After::Close)
}

fn write_slowly(stream: &mut TcpStream, body: &[u8], pause: Duration) -> io::Result<()> {
    for byte in body {
        stream.write_all(&[*byte])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Makes the close of this connection a reset instead of an orderly end.
fn reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}

fn wait_for_close(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_where_it_is_well_formed() {
        let table = [
            ("/@s%2fname", "/@s/name"),
            ("/@s%2Fname", "/@s/name"),
            ("/a%2", "/a%2"),
            ("/a%zz", "/a%zz"),
            ("/a%", "/a%"),
            ("%41", "A"),
        ];
        for (text, wanted) in table {
            assert_eq!(percent_decode(text), wanted);
        }
    }
}
