//! HTTP servers on the loopback that tests talk to instead of AWS. Shared with `hooks/tests`.
//!
//! Written by hand: a server library among the tests' dependencies would turn on features of the crates that it shares with
//! the functions, and each of those would be compiled a second time for the tests.

use std::future::Future;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path with query, and the operation where a header names one: `POST / DynamoDB_20120810.Query`.
    pub(crate) line: String,
    /// The body as JSON, or as text where it is none; null when there is no body.
    pub(crate) body: Value,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Response {
    /// A text with a status.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As it is sent. The reason phrase may be empty (RFC 9112, section 4).
    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} \r\ncontent-length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{text}\r\n{}", self.body).into_bytes()
    }
}

/// Starts a server on a free port; it ends with the test's runtime.
pub(crate) async fn start<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    address
}

/// Answers the requests of one connection, one after the other, until the client has none any more.
async fn serve<F, A>(stream: TcpStream, answer: F)
where
    F: Fn(Seen) -> A,
    A: Future<Output = Response>,
{
    let mut stream = BufReader::new(stream);
    while let Some(seen) = request(&mut stream).await {
        let bytes = answer(seen).await.bytes();
        // A client that gave up in the meantime does not read it.
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Reads a request; `None` where the connection ended before it was whole.
async fn request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Seen> {
    let first = row(stream).await?;
    let mut words = first.split(' ');
    let mut line = format!("{} {}", words.next()?, words.next()?);
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = row(stream).await?;
        let Some((name, value)) = header.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "x-amz-target" => line = format!("{line} {value}"),
            _ => {}
        }
    }
    let body = if chunked { chunks(stream).await? } else { part(stream, length).await? };
    let text = || match String::from_utf8_lossy(&body) {
        text if text.is_empty() => Value::Null,
        text => Value::String(text.into_owned()),
    };
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
    Some(Seen { line, body })
}

async fn chunks(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = row(stream).await?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).unwrap();
        body.extend(part(stream, size).await?);
        row(stream).await?;
        if size == 0 {
            return Some(body);
        }
    }
}

async fn part(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// A row without its end; `None` at the end of the connection.
async fn row(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut row = String::new();
    match stream.read_line(&mut row).await {
        Ok(1..) => Some(row.trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}

/// A JSON answer.
pub(crate) fn json(status: u16, headers: &[(&str, &str)], body: &Value) -> Response {
    let answer = Response::text(status, body.to_string());
    headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
}
