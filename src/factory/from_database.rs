//! Which database a call means, and its password, which is written down nowhere.
//!
//! The arguments of a job are stored. So a password is taken out of them before that and kept in
//! the memory of this process alone, under a name that takes its place.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{FactoryError, Refusal};
use super::ir::Sourced;
use super::load::Loader;
use super::names;
use super::render::listing;
use super::selftest::Variables;
use super::service::CreateServer;
use super::source::database::{self, DatabaseRequest};
use crate::config::Environment;
use crate::config::factory::FactoryConfig;

/// Argument that names the database.
const ARGUMENT: &str = "database_url";
/// In front of the name of a variable.
const FROM_VARIABLE: &str = "env:";
/// Variable of the package where the call names none.
const VARIABLE: &str = "DATABASE_URL";
/// In front of the name under which an address is kept.
const KEPT: &str = "kept:";
/// How long an address is kept: as long as a call may wait for somebody.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Most addresses that are kept.
const MOST_KEPT: usize = 1000;

static ADDRESSES: LazyLock<Mutex<BTreeMap<String, (Instant, String)>>> =
    LazyLock::new(Mutex::default);
/// Makes names that tell nothing of the address, not even to who tries passwords.
static SALT: LazyLock<[u8; 16]> = LazyLock::new(|| *uuid::Uuid::new_v4().as_bytes());

/// Takes a password out of the arguments of a call.
pub(super) fn hide_password(arguments: &mut Value) {
    let Some(given) = arguments.get_mut(ARGUMENT) else { return };
    let Some(address) = given.as_str().filter(|address| holds_password(address)) else { return };
    let mut hash = Sha256::new();
    hash.update(*SALT);
    hash.update(address.as_bytes());
    let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let now = Instant::now();
    let mut kept = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, (since, _)| now.duration_since(*since) < KEPT_FOR);
    while kept.len() >= MOST_KEPT {
        let Some(oldest) =
            kept.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone())
        else {
            break;
        };
        kept.remove(&oldest);
    }
    kept.insert(name.clone(), (now, address.to_owned()));
    *given = Value::String(format!("{KEPT}{name}"));
}

/// Whether an address may hold a password: everything but plain paths and names of variables.
fn holds_password(address: &str) -> bool {
    let address = address.trim_start();
    !address.starts_with(FROM_VARIABLE)
        && !address.starts_with(KEPT)
        && (address.contains("://")
            || address.contains('@')
            || address.to_ascii_lowercase().contains("password"))
}

/// What the database of a call becomes, and the variables with which its package is tested: the
/// address of a server, on which tests change nothing. A file is never tested itself.
pub(super) async fn sourced(
    call: &CreateServer,
    given: &str,
    config: &FactoryConfig,
    loader: &Loader<'_>,
) -> Result<(Sourced, Variables), FactoryError> {
    let (url, variable) = resolve(given.trim(), config)?;
    let url = if is_server(&url) { url } else { file(&url, loader, variable.is_some())? };
    let name = match &call.name {
        Some(name) => names::server(name),
        None => names::server(&own_name(&url)),
    };
    let request = DatabaseRequest {
        url,
        variable: variable.unwrap_or_else(|| VARIABLE.to_owned()),
        name,
        tables: call.options.tables.clone(),
        include: call.include.clone(),
        exclude: call.exclude.clone(),
        access: call.options.access,
        features: call.options.features.clone(),
        mode: call.options.mode,
    };
    let mut sourced = database::introspect(&request).await?;
    listing::fit(&mut sourced.package);
    let mut variables = Variables::default();
    if sourced.trial.is_some() {
        variables.insert(request.variable, request.url);
    }
    Ok((sourced, variables))
}

/// The file of a database that the call names by its path: no secret, so that a server made from it
/// is started with it.
pub(super) fn named_file(given: &str, loader: &Loader<'_>) -> Option<(String, String)> {
    let given = given.trim();
    if given.starts_with(KEPT) || given.starts_with(FROM_VARIABLE) || is_server(given) {
        return None;
    }
    let path = file(given, loader, false).ok()?;
    Some((VARIABLE.to_owned(), path))
}

/// The address itself, and the variable that it comes from.
fn resolve(given: &str, config: &FactoryConfig) -> Result<(String, Option<String>), FactoryError> {
    if let Some(name) = given.strip_prefix(KEPT) {
        let kept = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
        return match kept.get(name) {
            Some((_, address)) => Ok((address.clone(), None)),
            None => Err(FactoryError::new(
                Refusal::NotAccessible,
                "the password of `database_url` was not kept beyond the end of the program",
                "repeat the call, or put the URL into a variable and write `env:NAME`",
            )),
        };
    }
    let Some(name) = given.strip_prefix(FROM_VARIABLE) else { return Ok((given.to_owned(), None)) };
    let plain = !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit());
    if !plain {
        return Err(FactoryError::new(
            Refusal::Arguments,
            format!("`database_url`: `{}` is no name of a variable", names::prose(name, 80)),
            "write `env:` and a name of letters, digits and `_`",
        ));
    }
    let configured = config
        .variables
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.clone());
    let value = configured.or_else(|| Environment::capture().get(name).map(str::to_owned));
    // What a variable holds is told to nobody: it may be something else's key.
    match value {
        Some(value)
            if is_server(&value) || value.starts_with("sqlite:") || value.starts_with('/') =>
        {
            Ok((value, Some(name.to_owned())))
        }
        Some(_) => Err(FactoryError::new(
            Refusal::Arguments,
            format!("the variable `{name}` holds no address of a database"),
            "it must hold an absolute path of a SQLite file or a postgresql:// URL",
        )),
        None => Err(FactoryError::new(
            Refusal::Arguments,
            format!("there is no variable `{name}`"),
            format!(
                "the operator sets it, or `factory.variables` (ATELIER_FACTORY__VARIABLES__{name})"
            ),
        )),
    }
}

fn is_server(address: &str) -> bool {
    ["postgresql://", "postgres://"].iter().any(|scheme| address.starts_with(scheme))
}

/// A file in an allowed folder.
fn file(address: &str, loader: &Loader<'_>, secret: bool) -> Result<String, FactoryError> {
    if let Some((scheme, _)) = address.split_once("://")
        && scheme != "sqlite"
    {
        let scheme: String = scheme.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        return Err(FactoryError::new(
            Refusal::Arguments,
            format!("`database_url`: databases of kind `{scheme}` are not supported"),
            "give the path of a SQLite file or a postgresql:// URL",
        ));
    }
    let path = database::path_of(address);
    if !secret && !path.starts_with('/') {
        return Err(FactoryError::new(
            Refusal::Arguments,
            "`database_url` is neither an absolute path nor a URL of a database",
            "give the absolute path of a SQLite file, a postgresql:// URL, or `env:NAME`",
        ));
    }
    let found = loader.allowed(std::path::Path::new(&path)).map_err(|error| {
        if secret {
            FactoryError::new(
                error.code,
                "the database file that the variable names is not there, or not in an allowed folder",
                "the operator names folders in `factory.allowed_roots` (ATELIER_FACTORY__ALLOWED_ROOTS)",
            )
        } else {
            error
        }
    })?;
    Ok(found.to_string_lossy().into_owned())
}

/// What a database is called: its file without the ending, or the last part of its URL.
fn own_name(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    let last = plain.rsplit('/').next().unwrap_or_default();
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    // A URL without a name ends with its user and password.
    if stem.contains(['@', ':']) || stem.is_empty() {
        "database".to_owned()
    } else {
        stem.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn passwords_do_not_stay_in_arguments() {
        let address = "postgresql://me:hunter2@db.example.com/shop";
        let mut arguments = json!({ "database_url": address, "name": "shop" });
        hide_password(&mut arguments);
        let text = arguments.to_string();
        assert!(!text.contains("hunter2") && !text.contains("example"), "{text}");
        // The same address gets the same name: a repeated call is recognised.
        let mut again = json!({ "database_url": address, "name": "shop" });
        hide_password(&mut again);
        assert_eq!(arguments, again);
        let kept = arguments["database_url"].as_str().unwrap();
        let config = FactoryConfig::default();
        assert_eq!(resolve(kept, &config).unwrap(), (address.to_owned(), None));
        let error = resolve("kept:0000", &config).unwrap_err();
        assert!(error.message.contains("not kept"), "{}", error.message);
    }

    #[test]
    fn what_holds_no_password_stays_as_it_is() {
        for address in ["/srv/shop.db", "env:SHOP", "sqlite:/srv/shop.db"] {
            let mut arguments = json!({ "database_url": address });
            hide_password(&mut arguments);
            assert_eq!(arguments["database_url"], address);
        }
        let mut none = json!({ "openapi": "x://y:z@w" });
        hide_password(&mut none);
        assert_eq!(none, json!({ "openapi": "x://y:z@w" }));
    }

    #[test]
    fn variables_are_never_shown() {
        let mut config = FactoryConfig::default();
        config.variables.insert("shop_db".to_owned(), "postgresql://me:hunter2@h/shop".to_owned());
        config.variables.insert("API_KEY".to_owned(), "sk-hunter2".to_owned());
        let (url, variable) = resolve("env:SHOP_DB", &config).unwrap();
        assert!(url.ends_with("@h/shop") && variable.as_deref() == Some("SHOP_DB"));
        for given in ["env:API_KEY", "env:NOT_SET_ANYWHERE", "env:", "env:a b", "env:9"] {
            let error = resolve(given, &config).unwrap_err();
            assert!(
                !error.message.contains("hunter2") && error.code == Refusal::Arguments,
                "{error:?}"
            );
        }
    }

    #[test]
    fn servers_are_called_like_their_database() {
        for (url, name) in [
            ("/srv/My Shop.sqlite3", "My Shop"),
            ("postgresql://me:pw@h:5432/shop?sslmode=require", "shop"),
            ("postgresql://me:pw@h", "database"),
            ("postgresql://me:pw@h/", "database"),
        ] {
            assert_eq!(own_name(url), name);
        }
    }
}
