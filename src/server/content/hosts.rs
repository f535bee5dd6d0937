//! Which host names a request may name.
//!
//! A page of a foreign site can make a browser talk to a loopback listener by letting its own name
//! point there. The `Host` header then carries that name, so names outside the list are refused.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::HOST;
use http::uri::{Authority, Uri};
use url::Url;

use crate::config::server::ServerConfig;

/// The names that are let in besides loopback.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    names: Vec<String>,
}

impl AllowedHosts {
    /// The configured names, the public base's host, and the listener's own address.
    pub fn new(config: &ServerConfig, listen: Option<SocketAddr>) -> Self {
        let configured = config.allowed_hosts.iter().map(|name| normal(name));
        let public = config.public_base_url.as_ref().and_then(Url::host_str).map(normal);
        let own = listen
            .map(|address| address.ip())
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string());
        Self { names: configured.chain(public).chain(own).collect() }
    }

    /// Whether the request names an allowed host, in its target too when that is absolute.
    pub fn allows(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = Authority::try_from(host.as_bytes()) else { return false };
        self.allows_name(host.host()) && uri.host().is_none_or(|name| self.allows_name(name))
    }

    fn allows_name(&self, name: &str) -> bool {
        let name = normal(name);
        is_loopback(&name) || self.names.contains(&name)
    }
}

/// Whether the request names a loopback host.
pub fn names_loopback(headers: &HeaderMap) -> bool {
    headers
        .get(HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .is_some_and(|host| is_loopback(&normal(host.host())))
}

/// Lower case, without the brackets of an IPv6 address and the dot of a fully qualified name.
fn normal(name: &str) -> String {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &AllowedHosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        hosts.allows(&Uri::from_static("/"), &headers)
    }

    #[test]
    fn loopback_and_configured_names_are_let_in() {
        let config = ServerConfig {
            allowed_hosts: vec!["Workshop.local".to_owned()],
            public_base_url: Some(Url::parse("https://apps.example.org/x").unwrap()),
            ..ServerConfig::default()
        };
        let hosts = AllowedHosts::new(&config, Some(SocketAddr::from(([10, 0, 0, 7], 80))));
        let good = [
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "app-1.localhost:7411",
            "127.0.0.1:7411",
            "127.8.8.8",
            "[::1]:7411",
            "workshop.local:1",
            "apps.example.org",
            "10.0.0.7:80",
        ];
        for host in good {
            assert!(allows(&hosts, host), "{host}");
        }
        let bad = [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.8",
            "0.0.0.0",
            "",
            "a b",
        ];
        for host in bad {
            assert!(!allows(&hosts, host), "{host}");
        }
    }

    #[test]
    fn a_missing_or_doubled_header_is_refused() {
        let hosts = AllowedHosts::default();
        let mut headers = HeaderMap::new();
        assert!(!hosts.allows(&Uri::from_static("/"), &headers));
        headers.append(HOST, "localhost".parse().unwrap());
        assert!(hosts.allows(&Uri::from_static("/"), &headers));
        assert!(!hosts.allows(&Uri::from_static("http://evil.example/"), &headers));
        headers.append(HOST, "localhost".parse().unwrap());
        assert!(!hosts.allows(&Uri::from_static("/"), &headers));
    }
}
