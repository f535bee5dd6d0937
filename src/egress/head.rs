//! The head of a request to the proxy: read strictly, and written anew for the host behind it.

use super::hosts::canonical;

/// Headers between two neighbours, which end here.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "host",
];

/// What is wanted of the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Bytes to and fro.
    Tunnel { host: String, port: u16 },
    /// One request.
    Request(Forward),
}

/// One request to a host, and how long its body is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) host: String,
    pub(super) port: u16,
    /// The head as the host gets it.
    pub(super) head: Vec<u8>,
    pub(super) body: Body,
}

/// The length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Bytes(u64),
    Chunks,
}

/// Reads a head, from its first byte to the empty line.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(bytes: &[u8]) -> Result<Wanted, String> {
    let text = bytes.strip_suffix(b"\r\n\r\n").unwrap_or(bytes);
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err("the head of the request holds stray control characters".to_owned());
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the first line is no request".to_owned());
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !is_token(method.as_bytes()) {
        return Err("the first line is no request of HTTP/1.1".to_owned());
    }
    if method == "CONNECT" {
        let (host, port) = authority(target).ok_or("CONNECT takes `host:port`")?;
        return Ok(Wanted::Tunnel { host, port });
    }
    let rest = target
        .strip_prefix("http://")
        .ok_or("requests name the whole address (`GET http://host/path`); https goes by CONNECT")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    if place.contains('@') {
        return Err("the address carries a login".to_owned());
    }
    let with_port = if place.ends_with(']') || !place.contains(':') {
        format!("{place}:80")
    } else {
        place.to_owned()
    };
    let (host, port) = authority(&with_port).ok_or("the address names no host")?;
    let mut head =
        format!("{method} {}{path} HTTP/1.1\r\n", if path.starts_with('/') { "" } else { "/" })
            .into_bytes();
    head.extend(format!("Host: {place}\r\n").into_bytes());
    let body = headers(lines, &mut head)?;
    head.extend(b"Connection: close\r\n\r\n");
    Ok(Wanted::Request(Forward { host, port, head, body }))
}

/// Copies the headers that go through, and finds the length of the body.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>, head: &mut Vec<u8>) -> Result<Body, String> {
    let mut named = Vec::new();
    let mut kept: Vec<(String, &[u8])> = Vec::new();
    let mut length = None;
    let mut chunked = false;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let Some((name, rest)) = colon.map(|at| line.split_at(at)) else {
            return Err("a header has no colon".to_owned());
        };
        // A space in front is a continued line, which was read in two ways once too often.
        if !is_token(name) {
            return Err("a header has an odd name".to_owned());
        }
        let value = rest.get(1..).unwrap_or_default().trim_ascii();
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        match lower.as_str() {
            "connection" => {
                let listed = String::from_utf8_lossy(value).to_ascii_lowercase();
                named.extend(listed.split(',').map(|name| name.trim().to_owned()));
            }
            "content-length" => {
                let digits = std::str::from_utf8(value)
                    .ok()
                    .filter(|value| {
                        !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit())
                    })
                    .and_then(|value| value.parse::<u64>().ok());
                if digits.is_none() || length.is_some_and(|known| Some(known) != digits) {
                    return Err("the length of the body is not told clearly".to_owned());
                }
                length = digits;
            }
            "transfer-encoding" => {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("the body is encoded in a way that is not known here".to_owned());
                }
                chunked = true;
            }
            _ => {}
        }
        kept.push((lower, line));
    }
    if chunked && length.is_some() {
        return Err("the length of the body is told twice".to_owned());
    }
    for (lower, line) in kept {
        if HOP_BY_HOP.contains(&lower.as_str()) || named.contains(&lower) {
            continue;
        }
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    Ok(if chunked { Body::Chunks } else { Body::Bytes(length.unwrap_or(0)) })
}

/// `host:port`.
fn authority(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some((canonical(host)?, port))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(head: &str) -> Forward {
        match read(head.as_bytes()).unwrap() {
            Wanted::Request(forward) => forward,
            Wanted::Tunnel { .. } => panic!("a tunnel"),
        }
    }

    #[test]
    fn a_tunnel_names_host_and_port() {
        let wanted = read(b"CONNECT API.example:8443 HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
        assert_eq!(wanted, Wanted::Tunnel { host: "api.example".to_owned(), port: 8443 });
        let wanted = read(b"CONNECT [::1]:1 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(wanted, Wanted::Tunnel { host: "::1".to_owned(), port: 1 });
    }

    #[test]
    fn a_request_is_written_anew() {
        let got = forward(
            "POST http://api.example:81/a%2Fb?c=d HTTP/1.1\r\nhost: elsewhere\r\nX-One: 1\r\n\
             Proxy-Authorization: x\r\nConnection: keep-alive, X-Two\r\nX-Two: 2\r\ncontent-length: 3\r\n\r\n",
        );
        assert_eq!((got.host.as_str(), got.port, got.body), ("api.example", 81, Body::Bytes(3)));
        assert_eq!(
            String::from_utf8(got.head).unwrap(),
            "POST /a%2Fb?c=d HTTP/1.1\r\nHost: api.example:81\r\nX-One: 1\r\ncontent-length: 3\r\n\
             Connection: close\r\n\r\n"
        );
        let got = forward("GET http://api.example HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!((got.port, got.body), (80, Body::Chunks));
        assert!(got.head.starts_with(b"GET / HTTP/1.1\r\nHost: api.example\r\n"));
        assert!(
            forward("GET http://a?b HTTP/1.1\r\n\r\n").head.starts_with(b"GET /?b HTTP/1.1\r\n")
        );
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (head, words) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "whole address"),
            ("GET https://a/ HTTP/1.1\r\n\r\n", "goes by CONNECT"),
            ("GET http://u:p@a/ HTTP/1.1\r\n\r\n", "login"),
            ("GET http:///x HTTP/1.1\r\n\r\n", "no host"),
            ("GET http://a/ HTTP/2\r\n\r\n", "HTTP/1.1"),
            ("GET http://a/ b HTTP/1.1\r\n\r\n", "no request"),
            ("CONNECT a HTTP/1.1\r\n\r\n", "host:port"),
            ("CONNECT a:0 HTTP/1.1\r\n\r\n", "host:port"),
            ("GET http://a/ HTTP/1.1\r\nX: 1\r\n Y: 2\r\n\r\n", "odd name"),
            ("GET http://a/ HTTP/1.1\r\nX : 1\r\n\r\n", "odd name"),
            ("GET http://a/ HTTP/1.1\r\nX\r\n\r\n", "no colon"),
            ("GET http://a/ HTTP/1.1\r\nX: 1\rY: 2\r\n\r\n", "control"),
            ("GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "clearly"),
            ("GET http://a/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "clearly"),
            (
                "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "twice",
            ),
            ("GET http://a/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "encoded"),
            ("", "no request"),
        ] {
            let refused = read(head.as_bytes()).unwrap_err();
            assert!(refused.contains(words), "{head:?}: {refused}");
        }
    }
}
