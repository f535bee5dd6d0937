//! Who calls over HTTP: bearer tokens, and headers that narrow what a call may use.
//!
//! Without tokens every caller is the principal `local`, and only loopback addresses may be
//! listened on. Tokens are known by their SHA-256 alone and compared in constant time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::ServeError;
use super::pages::BearerCheck;
use crate::config::auth::AuthConfig;
use crate::registry::Rights;
use crate::storage::PrincipalId;

/// Principal of the machine's own user: stdio, and HTTP without tokens.
pub const LOCAL_PRINCIPAL: &str = "local";

/// Header that narrows a request to some toolsets, separated by commas.
const TOOLSETS_HEADER: &str = "x-mcp-toolsets";
/// Header that narrows a request to tools that change nothing.
const READONLY_HEADER: &str = "x-mcp-readonly";

/// Who calls and what it may use. Stands in the extensions of every authenticated request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who is authenticated.
    pub(super) principal: PrincipalId,
    /// What it may use.
    pub(super) rights: Rights,
}

impl Caller {
    /// The machine's own user, with everything that is offered.
    pub(super) fn local() -> Self {
        Self { principal: LOCAL_PRINCIPAL.into(), rights: Rights::of(LOCAL_PRINCIPAL.into()) }
    }
}

/// Refuses an address that other machines reach when nobody has to authenticate.
///
/// # Errors
/// [`ServeError::OpenToOthers`].
pub fn check_listen_address(address: SocketAddr, auth: &AuthConfig) -> Result<(), ServeError> {
    if auth.tokens.is_empty() && !address.ip().to_canonical().is_loopback() {
        return Err(ServeError::OpenToOthers(address));
    }
    Ok(())
}

/// A configured token.
#[derive(Debug)]
struct Token {
    sha256: [u8; 32],
    principal: PrincipalId,
    toolsets: Option<BTreeSet<String>>,
}

/// Decides who calls.
#[derive(Debug)]
pub(super) struct Authenticator {
    tokens: Vec<Token>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It carries no bearer token.
    Missing,
    /// Its token is not one of ours.
    Unknown,
}

impl Authenticator {
    /// Reads the configured tokens.
    ///
    /// # Errors
    /// When a hash is not 64 hex digits or a principal is empty.
    pub(super) fn new(config: &AuthConfig) -> Result<Self, ServeError> {
        let mut tokens = Vec::new();
        for (index, token) in config.tokens.iter().enumerate() {
            let sha256 = parse_sha256(&token.sha256).ok_or_else(|| {
                ServeError::Configuration(format!(
                    "`auth.tokens[{index}].sha256` must be 64 hex digits\n\
                     hint: `printf %s TOKEN | sha256sum`"
                ))
            })?;
            if token.principal.trim().is_empty() {
                return Err(ServeError::Configuration(format!(
                    "`auth.tokens[{index}].principal` must not be empty"
                )));
            }
            tokens.push(Token {
                sha256,
                principal: token.principal.as_str().into(),
                toolsets: (!token.toolsets.is_empty())
                    .then(|| token.toolsets.iter().cloned().collect()),
            });
        }
        Ok(Self { tokens })
    }

    /// Whether callers have to authenticate.
    pub(super) fn is_required(&self) -> bool {
        !self.tokens.is_empty()
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let mut caller = if self.is_required() {
            self.holder(bearer_token(headers).ok_or(Refusal::Missing)?).ok_or(Refusal::Unknown)?
        } else {
            Caller::local()
        };
        narrow(&mut caller.rights, headers);
        Ok(caller)
    }

    /// Compares with every token, so that the time tells nothing about which one was near.
    fn holder(&self, token: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.sha256.ct_eq(&digest)) {
                found = Some(known);
            }
        }
        found.map(|known| Caller {
            principal: known.principal.clone(),
            rights: Rights {
                toolsets: known.toolsets.clone(),
                ..Rights::of(known.principal.clone())
            },
        })
    }
}

/// Tells the pages whose bearer token a request carries; `None` where no tokens are configured.
///
/// # Errors
/// When a hash is not 64 hex digits or a principal is empty.
pub fn bearer_check(config: &AuthConfig) -> Result<Option<BearerCheck>, ServeError> {
    let authenticator = Authenticator::new(config)?;
    Ok(authenticator.is_required().then(|| -> BearerCheck {
        Arc::new(move |headers| authenticator.caller(headers).ok().map(|caller| caller.principal))
    }))
}

/// Lets a request in with its [`Caller`], or answers 401.
pub(super) async fn authenticate(
    State(authenticator): State<Arc<Authenticator>>,
    mut request: Request,
    next: Next,
) -> Response {
    match authenticator.caller(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => unauthorized(refusal),
    }
}

fn unauthorized(refusal: Refusal) -> Response {
    let (challenge, message) = match refusal {
        Refusal::Missing => ("Bearer realm=\"atelier\"", "this server asks for a bearer token"),
        Refusal::Unknown => (
            "Bearer realm=\"atelier\", error=\"invalid_token\"",
            "the bearer token is not one of this server's",
        ),
    };
    let body = Json(json!({
        "status": "error",
        "code": "unauthorized",
        "message": message,
        "hint": "send `Authorization: Bearer TOKEN` with a token of `auth.tokens`",
    }));
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))],
        body,
    )
        .into_response()
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Narrows rights by the headers of a request. Nothing in a header can widen them.
fn narrow(rights: &mut Rights, headers: &HeaderMap) {
    let named: Vec<&str> = headers
        .get_all(TOOLSETS_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if !named.is_empty() {
        let asked: BTreeSet<String> = named.into_iter().map(str::to_owned).collect();
        rights.toolsets = Some(match rights.toolsets.take() {
            Some(allowed) => allowed.intersection(&asked).cloned().collect(),
            None => asked,
        });
    }
    let read_only = headers.get(READONLY_HEADER).and_then(|value| value.to_str().ok());
    if read_only.is_some_and(|value| ["true", "1", "yes"].contains(&value.trim())) {
        rights.read_only = true;
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(index * 2..index * 2 + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::TokenConfig;
    use crate::storage::blobs::sha256_hex;

    fn authenticator(toolsets: &[&str]) -> Authenticator {
        let tokens = vec![
            TokenConfig {
                principal: "ada".into(),
                sha256: sha256_hex(b"secret-a").0,
                toolsets: toolsets.iter().map(|name| (*name).to_owned()).collect(),
            },
            TokenConfig {
                principal: "bob".into(),
                sha256: sha256_hex(b"secret-b").0.to_uppercase(),
                toolsets: Vec::new(),
            },
        ];
        Authenticator::new(&AuthConfig { tokens }).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn tokens_decide_the_principal() {
        let authenticator = authenticator(&[]);
        let principal = |value: &str| {
            authenticator
                .caller(&headers(&[("authorization", value)]))
                .map(|caller| caller.principal.0)
        };
        assert_eq!(principal("Bearer secret-a"), Ok("ada".to_owned()));
        assert_eq!(principal("bearer  secret-b"), Ok("bob".to_owned()));
        assert_eq!(principal("Bearer secret-c"), Err(Refusal::Unknown));
        assert_eq!(principal("Bearer "), Err(Refusal::Missing));
        assert_eq!(principal("Basic c2VjcmV0LWE="), Err(Refusal::Missing));
        let nothing = authenticator.caller(&HeaderMap::new()).map(|caller| caller.principal.0);
        assert_eq!(nothing, Err(Refusal::Missing));
    }

    #[test]
    fn headers_narrow_and_never_widen() {
        let authenticator = authenticator(&["documents", "python"]);
        let rights = |pairs: &[(&'static str, &str)]| {
            let mut all = vec![("authorization", "Bearer secret-a")];
            all.extend_from_slice(pairs);
            authenticator.caller(&headers(&all)).unwrap().rights
        };
        let toolsets = |rights: Rights| {
            rights.toolsets.map(|names| names.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(toolsets(rights(&[])).as_deref(), Some("documents python"));
        assert_eq!(
            toolsets(rights(&[("x-mcp-toolsets", "documents, factory")])).as_deref(),
            Some("documents")
        );
        assert_eq!(toolsets(rights(&[("x-mcp-toolsets", "factory")])).as_deref(), Some(""));
        assert_eq!(
            toolsets(rights(&[("x-mcp-toolsets", " ,")])).as_deref(),
            Some("documents python")
        );
        assert!(rights(&[("x-mcp-readonly", "true")]).read_only);
        assert!(!rights(&[("x-mcp-readonly", "false")]).read_only);
    }

    #[test]
    fn open_addresses_need_tokens() {
        let none = AuthConfig::default();
        let some = AuthConfig {
            tokens: vec![TokenConfig {
                principal: "ada".into(),
                sha256: sha256_hex(b"x").0,
                toolsets: Vec::new(),
            }],
        };
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(check_listen_address(address.parse().unwrap(), &none).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:1", "192.168.1.2:1", "[::]:1", "[2001:db8::1]:1"] {
            let address = address.parse().unwrap();
            assert!(check_listen_address(address, &none).is_err(), "{address}");
            assert!(check_listen_address(address, &some).is_ok(), "{address}");
        }
    }

    #[test]
    fn hashes_must_be_hashes() {
        for sha256 in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            let tokens = vec![TokenConfig {
                principal: "ada".into(),
                sha256: sha256.to_owned(),
                toolsets: Vec::new(),
            }];
            let error = Authenticator::new(&AuthConfig { tokens }).unwrap_err();
            assert!(error.to_string().contains("auth.tokens[0].sha256"), "{error}");
        }
    }
}
