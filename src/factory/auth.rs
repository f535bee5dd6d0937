//! Ways to authenticate that the caller names, for sources that say nothing about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::error::{FactoryError, Refusal};
use super::ir::{Grant, Location, Oauth2, Package, Scheme, ServerUrl};
use super::names::{prose, variable};
use super::source::openapi::{self, security};

/// What a caller writes.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Given {
    ApiKey {
        /// Header, parameter or cookie.
        #[serde(default = "default_header")]
        name: String,
        #[serde(default, rename = "in")]
        location: Option<Location>,
    },
    Bearer {},
    Basic {},
    Oauth2 {
        token_url: String,
        #[serde(default)]
        authorization_url: Option<String>,
        #[serde(default)]
        scopes: Vec<String>,
    },
    Github {
        #[serde(default)]
        scopes: Vec<String>,
    },
    Google {
        #[serde(default)]
        scopes: Vec<String>,
    },
    Azure {
        #[serde(default = "default_tenant")]
        tenant: String,
        #[serde(default)]
        scopes: Vec<String>,
    },
}

fn default_header() -> String {
    "X-API-Key".to_owned()
}

fn default_tenant() -> String {
    "common".to_owned()
}

/// Lets the functions of a package authenticate: their HTTP client adds the credentials to requests
/// to the API, and to no other host, whatever their bodies say.
pub fn of_functions(package: &mut Package, (name, scheme): (String, Scheme), base_url: &str) {
    package.environment.extend(security::variables(&name, &scheme));
    package.schemes.insert(name, scheme);
    let url = base_url.trim_end_matches('/').to_owned();
    package.servers = vec![ServerUrl { url, variables: BTreeMap::new() }];
    for host in openapi::hosts(package) {
        if !package.hosts.contains(&host) {
            package.hosts.push(host);
        }
    }
    let mut seen = BTreeSet::new();
    package.environment.retain(|variable| seen.insert(variable.name.clone()));
}

/// Reads `auth`: the name of a preset, or an object with `type`.
///
/// # Errors
/// When it is neither.
pub fn read(value: &Value) -> Result<(String, Scheme), FactoryError> {
    let object = match value {
        Value::String(name) => serde_json::json!({ "type": name }),
        other => other.clone(),
    };
    let given = Given::deserialize(&object).map_err(|error| {
        refused(format!("`auth` cannot be used: {}", prose(&error.to_string(), 200)))
    })?;
    Ok(match given {
        Given::ApiKey { name, location } => {
            let location = location.unwrap_or(Location::Header);
            if location == Location::Path || name.trim().is_empty() {
                return Err(refused(
                    "`auth`: a key stands in a header, the query or a cookie".to_owned(),
                ));
            }
            (
                "api_key".to_owned(),
                Scheme::ApiKey { location, wire_name: name, variable: "API_KEY".to_owned() },
            )
        }
        Given::Bearer {} => (
            "bearer".to_owned(),
            Scheme::Bearer { prefix: "Bearer".to_owned(), variable: "API_TOKEN".to_owned() },
        ),
        Given::Basic {} => (
            "basic".to_owned(),
            Scheme::Basic {
                username: "API_USERNAME".to_owned(),
                password: "API_PASSWORD".to_owned(),
            },
        ),
        Given::Oauth2 { token_url, authorization_url, scopes } => {
            for url in [Some(&token_url), authorization_url.as_ref()].into_iter().flatten() {
                check(url)?;
            }
            oauth2("oauth2", token_url, authorization_url, scopes)
        }
        Given::Github { scopes } => oauth2(
            "github",
            "https://github.com/login/oauth/access_token".to_owned(),
            Some("https://github.com/login/oauth/authorize".to_owned()),
            scopes,
        ),
        Given::Google { scopes } => oauth2(
            "google",
            "https://oauth2.googleapis.com/token".to_owned(),
            Some("https://accounts.google.com/o/oauth2/v2/auth".to_owned()),
            scopes,
        ),
        Given::Azure { tenant, scopes } => {
            if !tenant.chars().all(|letter| letter.is_ascii_alphanumeric() || "-.".contains(letter))
            {
                return Err(refused("`auth.tenant` is no name of a tenant".to_owned()));
            }
            let base = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0");
            oauth2("azure", format!("{base}/token"), Some(format!("{base}/authorize")), scopes)
        }
    })
}

fn check(url: &str) -> Result<(), FactoryError> {
    let fine = url::Url::parse(url).is_ok_and(|url| {
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
        (url.scheme() == "https" || (url.scheme() == "http" && loopback))
            && url.password().is_none()
    });
    if fine {
        Ok(())
    } else {
        Err(refused(format!("`auth`: `{}` is no https URL", prose(url, 200))))
    }
}

fn oauth2(
    name: &str,
    token_url: String,
    authorization_url: Option<String>,
    scopes: Vec<String>,
) -> (String, Scheme) {
    let prefix = variable(name);
    let grant = if authorization_url.is_some() {
        Grant::AuthorizationCode
    } else {
        Grant::ClientCredentials
    };
    let scheme = Oauth2 {
        grant,
        token_url,
        authorization_url,
        refresh_url: None,
        scopes,
        client_id: format!("{prefix}_CLIENT_ID"),
        client_secret: format!("{prefix}_CLIENT_SECRET"),
        access_token: format!("{prefix}_ACCESS_TOKEN"),
        token_file: format!("{prefix}_TOKEN_FILE"),
        username: None,
        password: None,
    };
    (name.to_owned(), Scheme::Oauth2(Box::new(scheme)))
}

fn refused(message: String) -> FactoryError {
    FactoryError::new(
        Refusal::Arguments,
        message,
        "write `github`, `google` or `azure`, or an object with `type`: api_key (name, in), bearer, basic, oauth2 (token_url, authorization_url, scopes), and no secret: those come from the environment",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn presets_and_objects_are_read_and_secrets_are_not() {
        assert_eq!(read(&json!("github")).unwrap().0, "github");
        let (_, scheme) = read(&json!({"type": "api_key", "name": "key", "in": "query"})).unwrap();
        assert!(matches!(scheme, Scheme::ApiKey { location: Location::Query, .. }));
        for wrong in [
            json!("gitlab"),
            json!({"type": "bearer", "token": "x"}),
            json!({"type": "oauth2", "token_url": "http://a.example/t"}),
        ] {
            assert_eq!(read(&wrong).unwrap_err().code, Refusal::Arguments, "{wrong}");
        }
    }
}
