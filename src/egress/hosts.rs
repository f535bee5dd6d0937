//! Which hosts are meant.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::Host;

/// Ports of the web.
const WEB: [u16; 2] = [443, 80];

/// One host or the hosts below a domain, on one port or those of the web.
///
/// Written as `host`, `host:port`, `*.domain` or `*.domain:port`; an IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostRule {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Exact(String),
    /// With a dot in front.
    Below(String),
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host: write a name or an address, with `:port` behind it where it is not 443 or 80"
)]
pub struct BadHost(pub String);

impl HostRule {
    /// A host on one port.
    ///
    /// # Errors
    /// When it is no host.
    pub fn exact(host: &str, port: u16) -> Result<Self, BadHost> {
        let name = canonical(host).ok_or_else(|| BadHost(shown(host)))?;
        Ok(Self { name: Name::Exact(name), port: Some(port) })
    }

    /// The host and port of an `http` or `https` address.
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url::Url::parse(url).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Self::exact(url.host_str()?, url.port_or_known_default()?).ok()
    }

    /// Whether a host, as [`canonical`] writes it, and a port are meant.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        self.names(host) && self.port.map_or(WEB.contains(&port), |wanted| wanted == port)
    }

    /// The same where no port means every port.
    pub(super) fn excepts(&self, host: &str, port: u16) -> bool {
        self.names(host) && self.port.is_none_or(|wanted| wanted == port)
    }

    fn names(&self, host: &str) -> bool {
        match &self.name {
            Name::Exact(name) => name == host,
            Name::Below(domain) => host.ends_with(domain.as_str()) && !is_address(host),
        }
    }

    /// Whether exactly this address is meant, by number.
    pub(super) fn names_address(&self) -> bool {
        matches!(&self.name, Name::Exact(name) if is_address(name))
    }
}

impl FromStr for HostRule {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = || BadHost(shown(text));
        let text = text.trim();
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of an address in brackets belongs to it.
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
                (host, Some(port))
            }
            Some(_) | None => (text, None),
        };
        let name = match host.strip_prefix("*.") {
            Some(domain) => {
                let domain = canonical(domain).filter(|it| !is_address(it)).ok_or_else(bad)?;
                // A whole top-level domain is everybody.
                if !domain.contains('.') {
                    return Err(bad());
                }
                Name::Below(format!(".{domain}"))
            }
            None => Name::Exact(canonical(host).ok_or_else(bad)?),
        };
        Ok(Self { name, port })
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Exact(name) => formatter.write_str(name)?,
            Name::Below(domain) => write!(formatter, "*{domain}")?,
        }
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

/// A host as it is compared: lower case, without a dot at its end, addresses in one form, IPv6 without
/// brackets. None: it is no host.
pub(super) fn canonical(host: &str) -> Option<String> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = inner.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    // The forms of the web: `127.1` and `0x7f.1` are addresses too.
    match Host::parse(host.trim_end_matches('.')).ok()? {
        Host::Domain(name) => Some(name.to_ascii_lowercase()).filter(|name| {
            name.len() <= 253
                && name.split('.').all(|label| !label.is_empty() && label.len() <= 63)
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

pub(super) fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Safe to show, whatever it holds.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> HostRule {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (given, host, port, covered) in [
            ("api.example.com", "api.example.com", 443, true),
            ("api.example.com", "api.example.com", 80, true),
            ("api.example.com", "api.example.com", 8443, false),
            ("API.Example.com.", "api.example.com", 443, true),
            ("api.example.com:8443", "api.example.com", 8443, true),
            ("api.example.com:8443", "api.example.com", 443, false),
            ("*.example.com", "api.example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "badexample.com", 443, false),
            ("example.com", "api.example.com", 443, false),
            ("127.0.0.1:9000", "127.0.0.1", 9000, true),
            ("127.1:9000", "127.0.0.1", 9000, true),
            ("[::1]:9000", "::1", 9000, true),
            ("[::1]", "::1", 443, true),
        ] {
            let host = canonical(host).unwrap();
            assert_eq!(rule(given).covers(&host, port), covered, "{given} {host}:{port}");
        }
        assert!(rule("10.0.0.1").excepts("10.0.0.1", 8443));
        assert!(!rule("10.0.0.1:1").excepts("10.0.0.1", 8443));
        assert_eq!(rule("API.example.com:1").to_string(), "api.example.com:1");
        assert_eq!(rule("*.Example.com").to_string(), "*.example.com");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.com",
            "*.10.0.0.1",
            "a b",
            "a:0",
            "a:70000",
            "a:b",
            "a/b",
            "a..b",
            "http://a",
        ] {
            assert_eq!(text.parse::<HostRule>(), Err(BadHost(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn addresses_of_the_web_name_host_and_port() {
        let of = |url: &str| HostRule::of_url(url).map(|rule| rule.to_string());
        assert_eq!(of("https://a.example/v1"), Some("a.example:443".to_owned()));
        assert_eq!(of("http://a.example:81"), Some("a.example:81".to_owned()));
        assert_eq!(of("http://[::1]:81/"), Some("::1:81".to_owned()));
        assert_eq!(of("ftp://a.example/"), None);
        assert_eq!(of("/v1"), None);
    }
}
