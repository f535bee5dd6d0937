//! Which requests an HTTP listener hears at all: the Host and Origin rules.
//!
//! A page of another site can make a browser send requests to this machine, by name tricks (DNS
//! rebinding: the `Host` gives it away) or directly (the `Origin` does). Both are checked before
//! anything else, on every route; the health routes alone are open to any `Host`, since probes
//! name addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use url::{Host, Url};

use super::error::ServeError;
use crate::config::server::ServerConfig;

/// Host names that always mean this machine.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A name or address with an optional port: an entry of `server.allowed_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedHost {
    name: String,
    /// `None`: any port.
    port: Option<u16>,
}

/// An entry of `server.allowed_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedOrigin {
    scheme: String,
    name: String,
    /// `None`: any port.
    port: Option<u16>,
}

/// The Host and Origin rules of a listener.
#[derive(Debug)]
pub(super) struct Edge {
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
}

/// What a request may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Host,
    Origin,
}

impl Edge {
    /// The rules for a listener at this address.
    ///
    /// # Errors
    /// When an entry of the configuration is not a host or an origin.
    pub(super) fn new(config: &ServerConfig, listen: SocketAddr) -> Result<Self, ServeError> {
        let mut hosts: Vec<AllowedHost> = LOOPBACK_HOSTS
            .iter()
            .map(|name| AllowedHost { name: (*name).to_owned(), port: None })
            .collect();
        if !listen.ip().is_unspecified() {
            hosts.push(AllowedHost { name: ip_host(listen.ip()), port: None });
        }
        for entry in &config.allowed_hosts {
            hosts.push(parse_authority(entry).ok_or_else(|| {
                ServeError::Configuration(format!(
                    "`server.allowed_hosts`: `{entry}` is not a host name with an optional port"
                ))
            })?);
        }
        let mut origins = Vec::new();
        for entry in &config.allowed_origins {
            origins.push(parse_origin(entry).ok_or_else(|| {
                ServeError::Configuration(format!(
                    "`server.allowed_origins`: `{entry}` is not an origin such as `https://example.com` or `http://example.com:*`"
                ))
            })?);
        }
        Ok(Self { hosts, origins })
    }

    /// The hosts in the form that rmcp's own check wants.
    pub(super) fn rmcp_hosts(&self) -> Vec<String> {
        self.hosts
            .iter()
            .map(|host| {
                let name = host.name.trim_start_matches('[').trim_end_matches(']');
                match host.port {
                    Some(port) => format!("{}:{port}", host.name),
                    None => name.to_owned(),
                }
            })
            .collect()
    }

    /// The origins in the form that rmcp's own check wants.
    pub(super) fn rmcp_origins(&self) -> Vec<String> {
        let loopback = ["http", "https"]
            .into_iter()
            .flat_map(|scheme| LOOPBACK_HOSTS.map(|host| format!("{scheme}://{host}:*")));
        let configured = self.origins.iter().map(|origin| match origin.port {
            Some(port) => format!("{}://{}:{port}", origin.scheme, origin.name),
            None => format!("{}://{}:*", origin.scheme, origin.name),
        });
        loopback.chain(configured).collect()
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        if !request.uri().path().starts_with("/health/") && !self.host_is_allowed(request) {
            return Err(Refusal::Host);
        }
        match request.headers().get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if self.origin_is_allowed(origin) => Ok(()),
            Some(_) => Err(Refusal::Origin),
        }
    }

    fn host_is_allowed(&self, request: &Request) -> bool {
        let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
        let named = named.or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
        let Some(host) = named.and_then(parse_authority) else { return false };
        self.hosts.iter().any(|allowed| {
            allowed.name == host.name && allowed.port.is_none_or(|port| Some(port) == host.port)
        })
    }

    fn origin_is_allowed(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(parse_origin) else { return false };
        let web = ["http", "https"].contains(&origin.scheme.as_str());
        (web && LOOPBACK_HOSTS.contains(&origin.name.as_str())) || self.is_configured(&origin)
    }

    fn is_configured(&self, origin: &AllowedOrigin) -> bool {
        self.origins.iter().any(|allowed| {
            allowed.scheme == origin.scheme
                && allowed.name == origin.name
                && (allowed.port.is_none() || allowed.port == origin.port)
        })
    }

    /// The origin to name in CORS headers: one that the operator configured. Loopback origins are
    /// let through but get no CORS headers: a page of a development server on this machine is no
    /// reason to let it read answers.
    fn shared_with(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let value = headers.get(header::ORIGIN)?;
        let origin = value.to_str().ok().and_then(parse_origin)?;
        self.is_configured(&origin).then(|| value.clone())
    }
}

/// Refuses requests by the rules, and answers preflights of configured origins.
pub(super) async fn guard(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    if let Err(refusal) = edge.check(&request) {
        return forbidden(refusal);
    }
    let Some(origin) = edge.shared_with(request.headers()) else { return next.run(request).await };
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate"),
    );
    if preflight {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, DELETE"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Mcp-Method, \
                 Mcp-Name, MCP-Protocol-Version, Mcp-Session-Id, X-MCP-Readonly, X-MCP-Toolsets",
            ),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

fn forbidden(refusal: Refusal) -> Response {
    let (code, message, hint) = match refusal {
        Refusal::Host => (
            "host_not_allowed",
            "this server does not answer to the host name of this request",
            "use localhost, or add the name to `server.allowed_hosts`",
        ),
        Refusal::Origin => (
            "origin_not_allowed",
            "this server does not answer to pages of this origin",
            "add the origin to `server.allowed_origins` if its pages may call this server",
        ),
    };
    let body = json!({"status": "error", "code": code, "message": message, "hint": hint});
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

/// Reads `name`, `name:port`, `[v6]` or `[v6]:port`.
fn parse_authority(text: &str) -> Option<AllowedHost> {
    let text = text.trim();
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    let clean = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && !text.contains(['/', '\\', '@']);
    if !clean {
        return None;
    }
    let name = host_name(&url)?;
    // The parser drops port 80, the default of the scheme that it was given.
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    Some(AllowedHost { name, port: url.port().or(port.filter(|_| !text.ends_with(']'))) })
}

/// Reads `scheme://name`, with the default port, `scheme://name:port` or `scheme://name:*`.
fn parse_origin(text: &str) -> Option<AllowedOrigin> {
    let text = text.trim().trim_end_matches('/');
    let (text, any_port) = match text.strip_suffix(":*") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (scheme, authority) = text.split_once("://")?;
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let name = host_name(&url).or_else(|| Some(authority.to_lowercase()))?;
    let port = if any_port { None } else { Some(url.port_or_known_default()?) };
    Some(AllowedOrigin { scheme: scheme.to_lowercase(), name, port })
}

fn host_name(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.trim_end_matches('.').to_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => ip_host(IpAddr::V6(address)),
    })
}

fn ip_host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Edge {
        let config = ServerConfig {
            allowed_hosts: vec!["atelier.example".into(), "fixed.example:8443".into()],
            allowed_origins: vec!["https://app.example".into(), "http://dev.example:*".into()],
            public_base_url: Some("https://apps.example:9443/x".parse().unwrap()),
            ..ServerConfig::default()
        };
        Edge::new(&config, "192.168.7.7:7410".parse().unwrap()).unwrap()
    }

    fn verdict(path: &str, host: Option<&str>, origin: Option<&str>) -> Result<(), Refusal> {
        let mut request = Request::builder().uri(path);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        edge().check(&request.body(axum::body::Body::empty()).unwrap())
    }

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:7410",
            "[::1]:7410",
            "192.168.7.7:80",
            "atelier.example",
            "atelier.example:80",
            "atelier.example.",
            "fixed.example:8443",
        ] {
            assert_eq!(verdict("/mcp", Some(host), None), Ok(()), "{host}");
        }
        for host in [
            // Where hosted apps are shown is not where MCP is answered.
            "apps.example",
            "evil.example",
            "localhost.evil.example",
            "fixed.example",
            "fixed.example:80",
            "127.0.0.1.evil.example",
            "evil.example#localhost",
            "localhost@evil.example",
            "",
            " ",
            "192.168.7.8",
            "a b",
        ] {
            assert_eq!(verdict("/mcp", Some(host), None), Err(Refusal::Host), "{host}");
        }
        assert_eq!(verdict("/mcp", None, None), Err(Refusal::Host));
        assert_eq!(verdict("/health/live", Some("10.0.0.9:7410"), None), Ok(()));
    }

    #[test]
    fn origins() {
        for origin in [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1",
            "http://[::1]:9",
            "https://app.example",
            "https://app.example:443",
            "http://dev.example:1234",
        ] {
            assert_eq!(verdict("/mcp", Some("localhost"), Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://app.example",
            "https://app.example:444",
            "https://apps.example",
            "ftp://localhost",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "",
            "localhost",
            "file://",
        ] {
            let verdict = verdict("/health/live", Some("localhost"), Some(origin));
            assert_eq!(verdict, Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn wrong_entries_are_named() {
        let listen = "127.0.0.1:1".parse().unwrap();
        let hosts = ServerConfig { allowed_hosts: vec!["http://x".into()], ..Default::default() };
        assert!(Edge::new(&hosts, listen).unwrap_err().to_string().contains("allowed_hosts"));
        let origins = ServerConfig { allowed_origins: vec!["x".into()], ..Default::default() };
        assert!(Edge::new(&origins, listen).unwrap_err().to_string().contains("allowed_origins"));
    }
}
