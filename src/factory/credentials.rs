//! What credentials add to an expected request, with the placeholder values of the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ir::{ExpectedRequest, Http, Location, Package, Scheme};

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds what the first way in brings along.
///
/// # Errors
/// The environment variable without which the operation cannot be called in a test.
pub(super) fn add(
    package: &Package,
    operation: &Http,
    request: &mut ExpectedRequest,
) -> Result<(), String> {
    let mut missing = None;
    let mut optional = operation.security.is_empty();
    for requirement in &operation.security {
        if requirement.schemes.is_empty() {
            optional = true;
            continue;
        }
        let schemes = || requirement.schemes.keys().filter_map(|name| package.schemes.get(name));
        // A certificate is a file, which a test has none of.
        let certificate = schemes().find_map(|scheme| match scheme {
            Scheme::MutualTls { certificate, .. } => Some(certificate.clone()),
            Scheme::ApiKey { .. }
            | Scheme::Basic { .. }
            | Scheme::Bearer { .. }
            | Scheme::Oauth2(_)
            | Scheme::OpenIdConnect { .. } => None,
        });
        if certificate.is_some() {
            missing = missing.or(certificate);
            continue;
        }
        for scheme in schemes() {
            add_one(scheme, request);
        }
        return Ok(());
    }
    if optional { Ok(()) } else { missing.map_or(Ok(()), Err) }
}

fn add_one(scheme: &Scheme, request: &mut ExpectedRequest) {
    let authorization = match scheme {
        Scheme::ApiKey { location, wire_name, .. } => {
            let pair = format!("{}=test-variable", utf8_percent_encode(wire_name, VALUE));
            match location {
                Location::Query | Location::Path => {
                    if !request.query.is_empty() {
                        request.query.push('&');
                    }
                    request.query.push_str(&pair);
                }
                Location::Cookie => {
                    request
                        .headers
                        .entry("cookie".to_owned())
                        .and_modify(|cookies| {
                            cookies.push_str("; ");
                            cookies.push_str(&pair);
                        })
                        .or_insert(pair);
                }
                Location::Header => {
                    request
                        .headers
                        .insert(wire_name.to_ascii_lowercase(), "test-variable".to_owned());
                }
            }
            return;
        }
        Scheme::Basic { .. } => format!("Basic {}", STANDARD.encode("test-username:test-password")),
        Scheme::Bearer { prefix, .. } => format!("{prefix} test-variable"),
        Scheme::Oauth2(_) | Scheme::OpenIdConnect { .. } => "Bearer test-token".to_owned(),
        Scheme::MutualTls { .. } => return,
    };
    request.headers.insert("authorization".to_owned(), authorization);
}
