//! Ways to authenticate, and which an operation wants.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bundle::{Bundle, Place};
use super::document::Edition;
use crate::factory::ir::{Grant, Location, Oauth2, Requirement, Scheme, Variable};
use crate::factory::names::{prose, variable};

/// The schemes of a document by name, and why some could not be read.
pub(super) fn schemes(
    bundle: &Bundle,
    edition: Edition,
) -> (BTreeMap<String, Scheme>, Vec<(String, String)>) {
    let root = bundle.root();
    let place = match edition {
        Edition::Two => root.get("securityDefinitions"),
        Edition::ThreeZero | Edition::ThreeOne => {
            root.get("components").and_then(|components| components.get("securitySchemes"))
        }
    };
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    let Some(place) = place else { return (found, wrong) };
    let Some(entries) = place.value.as_object() else { return (found, wrong) };
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (name, value) in entries {
        let place = Place { document: place.document, value };
        let prefix = variable(name);
        // Two schemes never share a variable, and none takes one that means something else.
        let prefixes = [prefix.clone(), format!("API_{prefix}")]
            .into_iter()
            .chain((2..=entries.len() + 2).map(|number| format!("{prefix}_{number}")));
        let read = bundle.resolve(place).and_then(|place| {
            let mut last = Err("its variables have no free name".to_owned());
            for prefix in prefixes {
                let scheme = scheme(&prefix, place.value, edition, bundle)?;
                let names: Vec<String> =
                    variables(name, &scheme).into_iter().map(|entry| entry.name).collect();
                if !names.iter().any(|name| taken.contains(name) || is_reserved(name)) {
                    taken.extend(names);
                    last = Ok(scheme);
                    break;
                }
            }
            last
        });
        match read {
            Ok(scheme) => {
                found.insert(name.clone(), scheme);
            }
            Err(reason) => wrong.push((name.clone(), reason)),
        }
    }
    (found, wrong)
}

/// Variables that the runtime, its libraries or the system read for another purpose.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "ALLOWED_HOSTS",
        "API_BASE_URL",
        "API_TIMEOUT_SECONDS",
        "HOME",
        "LANG",
        "OAUTH2_AUTHORIZATION_URL",
        "OAUTH2_TOKEN_URL",
        "PATH",
        "PWD",
        "SHELL",
        "TMPDIR",
        "TZ",
        "USER",
    ];
    NAMES.contains(&name)
        || ["LD_", "PYTHON", "SSL_"].iter().any(|start| name.starts_with(start))
        || name.ends_with("_PROXY")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn scheme(
    prefix: &str,
    value: &Value,
    edition: Edition,
    bundle: &Bundle,
) -> Result<Scheme, String> {
    match text(value, "type") {
        "apiKey" => {
            let location = match text(value, "in") {
                "header" => Location::Header,
                "query" => Location::Query,
                "cookie" => Location::Cookie,
                other => return Err(format!("a key cannot stand in `{}`", prose(other, 30))),
            };
            let wire_name = text(value, "name");
            if wire_name.is_empty() {
                return Err("it does not name its header or parameter".to_owned());
            }
            Ok(Scheme::ApiKey {
                location,
                wire_name: wire_name.to_owned(),
                variable: prefix.to_owned(),
            })
        }
        "basic" => Ok(basic(prefix)),
        "http" => match text(value, "scheme").to_ascii_lowercase().as_str() {
            "basic" => Ok(basic(prefix)),
            "bearer" => Ok(Scheme::Bearer {
                prefix: "Bearer".to_owned(),
                variable: format!("{prefix}_TOKEN"),
            }),
            "" => Err("it does not name its scheme".to_owned()),
            other
                if other.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') =>
            {
                let word = text(value, "scheme").to_owned();
                Ok(Scheme::Bearer { prefix: word, variable: format!("{prefix}_CREDENTIALS") })
            }
            other => Err(format!("`{}` is no scheme of HTTP", prose(other, 30))),
        },
        "oauth2" => Ok(Scheme::Oauth2(Box::new(oauth2(prefix, value, edition, bundle)))),
        "openIdConnect" => {
            let url = text(value, "openIdConnectUrl");
            let mut oauth2 = blank(prefix);
            oauth2.grant = Grant::AuthorizationCode;
            oauth2.scopes = vec!["openid".to_owned()];
            Ok(Scheme::OpenIdConnect { url: absolute(url, bundle), oauth2: Box::new(oauth2) })
        }
        "mutualTLS" => Ok(Scheme::MutualTls {
            certificate: format!("{prefix}_CERTIFICATE_FILE"),
            key: format!("{prefix}_KEY_FILE"),
        }),
        other => Err(format!("`{}` is no known type", prose(other, 30))),
    }
}

fn basic(prefix: &str) -> Scheme {
    Scheme::Basic { username: format!("{prefix}_USERNAME"), password: format!("{prefix}_PASSWORD") }
}

fn blank(prefix: &str) -> Oauth2 {
    Oauth2 {
        client_id: format!("{prefix}_CLIENT_ID"),
        client_secret: format!("{prefix}_CLIENT_SECRET"),
        access_token: format!("{prefix}_ACCESS_TOKEN"),
        token_file: format!("{prefix}_TOKEN_FILE"),
        ..Oauth2::default()
    }
}

/// Relative addresses count from the document's.
fn absolute(address: &str, bundle: &Bundle) -> String {
    match bundle.address() {
        Some(base) if base.scheme().starts_with("http") => {
            base.join(address).map_or_else(|_| address.to_owned(), |url| url.to_string())
        }
        _ => address.to_owned(),
    }
}

fn oauth2(prefix: &str, value: &Value, edition: Edition, bundle: &Bundle) -> Oauth2 {
    let mut result = blank(prefix);
    let (flow, grant) = if edition == Edition::Two {
        let grant = match text(value, "flow") {
            "application" => Grant::ClientCredentials,
            "accessCode" => Grant::AuthorizationCode,
            "password" => Grant::Password,
            _ => Grant::Given,
        };
        (Some(value), grant)
    } else {
        let flows = value.get("flows");
        let flow = |key: &str| flows.and_then(|flows| flows.get(key));
        // Without a user first: such a server usually has none at hand.
        [
            ("clientCredentials", Grant::ClientCredentials),
            ("authorizationCode", Grant::AuthorizationCode),
            ("password", Grant::Password),
            ("implicit", Grant::Given),
        ]
        .into_iter()
        .find_map(|(key, grant)| flow(key).map(|flow| (Some(flow), grant)))
        .unwrap_or((None, Grant::Given))
    };
    result.grant = grant;
    let Some(flow) = flow else { return result };
    let address = |key: &str| {
        Some(text(flow, key)).filter(|url| !url.is_empty()).map(|url| absolute(url, bundle))
    };
    result.token_url = address("tokenUrl").unwrap_or_default();
    result.authorization_url = address("authorizationUrl");
    result.refresh_url = address("refreshUrl");
    result.scopes = flow
        .get("scopes")
        .and_then(Value::as_object)
        .map(|scopes| scopes.keys().cloned().collect())
        .unwrap_or_default();
    if result.token_url.is_empty() {
        result.grant = Grant::Given;
    }
    if result.grant == Grant::Password {
        result.username = Some(format!("{prefix}_USERNAME"));
        result.password = Some(format!("{prefix}_PASSWORD"));
    }
    result
}

/// What an operation wants: its own word, else the document's.
pub(super) fn requirements(
    own: Option<&Value>,
    global: Option<&Value>,
    schemes: &BTreeMap<String, Scheme>,
    notes: &mut Vec<String>,
) -> Vec<Requirement> {
    let Some(Value::Array(list)) = own.or(global) else { return Vec::new() };
    let mut requirements = Vec::new();
    for entry in list {
        let Some(entry) = entry.as_object() else { continue };
        let unknown: Vec<&String> =
            entry.keys().filter(|name| !schemes.contains_key(*name)).collect();
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(|name| prose(name, 60)).collect();
            notes.push(format!("the way in through `{}` cannot be used", names.join("`, `")));
            continue;
        }
        let scopes = |value: &Value| {
            value
                .as_array()
                .map(|scopes| scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        requirements.push(Requirement {
            schemes: entry.iter().map(|(name, value)| (name.clone(), scopes(value))).collect(),
        });
    }
    requirements
}

/// The environment variables of a scheme.
pub fn variables(name: &str, scheme: &Scheme) -> Vec<Variable> {
    let name = prose(name, 60);
    let entry = |variable: &str, description: String, secret: bool| Variable {
        name: variable.to_owned(),
        description,
        secret,
        required: false,
    };
    let of_oauth2 = |oauth2: &Oauth2| {
        let mut list = vec![
            entry(&oauth2.access_token, format!("Access token of `{name}`; used as it is"), true),
            entry(&oauth2.client_id, format!("Client id of `{name}`"), false),
            entry(&oauth2.client_secret, format!("Client secret of `{name}`"), true),
            entry(&oauth2.token_file, format!("File that keeps the tokens of `{name}`"), false),
        ];
        if let (Some(username), Some(password)) = (&oauth2.username, &oauth2.password) {
            list.push(entry(username, format!("User name for `{name}`"), false));
            list.push(entry(password, format!("Password for `{name}`"), true));
        }
        list
    };
    match scheme {
        Scheme::ApiKey { variable, wire_name, .. } => {
            vec![entry(
                variable,
                format!("Key of `{name}` (sent as `{}`)", prose(wire_name, 60)),
                true,
            )]
        }
        Scheme::Basic { username, password } => vec![
            entry(username, format!("User name for `{name}`"), false),
            entry(password, format!("Password for `{name}`"), true),
        ],
        Scheme::Bearer { variable, .. } => {
            vec![entry(variable, format!("Token of `{name}`"), true)]
        }
        Scheme::Oauth2(oauth2) | Scheme::OpenIdConnect { oauth2, .. } => of_oauth2(oauth2),
        Scheme::MutualTls { certificate, key } => vec![
            entry(certificate, format!("File of the client certificate of `{name}`"), false),
            entry(key, format!("File of the key of `{name}`"), false),
        ],
    }
}
