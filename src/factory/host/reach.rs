//! What a package's server may reach: the hosts of its description, of its operator's variables, and
//! its database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::postgres_url;
use crate::egress::HostRule;
use crate::factory::ir::{Dialect, Kind, Oauth2, Package, Scheme, ServerUrl};
use crate::sandbox::{ShareAccess, SharedFolder};

/// Variables with addresses that the runtime reads in place of those of the description.
const ADDRESSES: [&str; 2] = ["API_BASE_URL", "OAUTH2_TOKEN_URL"];
/// Largest file that a server gets a copy of.
const COPY_BYTES: u64 = 256 << 10;
/// Where the header of a SQLite file says how it is written to, and what it says for a log beside it.
const WRITE_VERSION: usize = 18;
const WITH_LOG: u8 = 2;

/// What a program may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts of the web.
    pub network: Network,
    /// Hosts and ports of databases, in the order of its URL.
    pub databases: Vec<(String, u16)>,
    /// Folders of the host.
    pub shares: Vec<SharedFolder>,
    /// Small files of the host that it gets copies of.
    pub copies: Vec<PathBuf>,
}

/// Hosts of the web.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// It has no business there.
    #[default]
    None,
    /// These, by the proxy; where there are none, the proxy says so.
    Declared(Vec<HostRule>),
}

/// Values of a server's variables, and which of them the operator has set.
#[derive(Debug, Default)]
pub struct Given {
    /// All values.
    pub values: BTreeMap<String, String>,
    /// Names of those that the operator has set.
    pub by_operator: BTreeSet<String>,
}

impl Given {
    fn of(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Works out what a server may reach. Values that mean something else inside are replaced.
///
/// # Errors
/// What of the variables cannot be used, in words.
pub fn of(package: &Package, given: &mut Given) -> Result<Reach, String> {
    let mut reach = Reach::default();
    let is_web = package.tools.iter().any(|tool| !matches!(tool.kind, Kind::Sql(_)));
    if is_web {
        reach.network = Network::Declared(hosts(package, given).into_iter().collect());
    }
    for scheme in package.schemes.values() {
        match scheme {
            Scheme::MutualTls { certificate, key } => {
                for name in [certificate, key] {
                    let Some(file) = given.of(name) else { continue };
                    let copied = small_file(Path::new(file))
                        .map_err(|reason| format!("`{name}` names {file}, which {reason}"))?;
                    reach.copies.push(copied);
                }
            }
            Scheme::Oauth2(oauth2) | Scheme::OpenIdConnect { oauth2, .. } => {
                let name = &oauth2.token_file;
                if let Some(file) = given.of(name) {
                    let shared = token_file(Path::new(file))
                        .map_err(|reason| format!("`{name}` names {file}, which {reason}"))?;
                    reach.shares.push(shared);
                }
            }
            Scheme::ApiKey { .. } | Scheme::Basic { .. } | Scheme::Bearer { .. } => {}
        }
    }
    let Some(database) = &package.database else { return Ok(reach) };
    let Some(address) = given.of(&database.variable).map(str::to_owned) else { return Ok(reach) };
    match database.dialect {
        Dialect::Sqlite => {
            let (file, share) = sqlite(&address, database.read_only)
                .map_err(|reason| format!("`{}`: {reason}", database.variable))?;
            given.values.insert(database.variable.clone(), file);
            reach.shares.push(share);
        }
        Dialect::Postgresql => {
            let place = postgres_url::read(&address)
                .map_err(|reason| format!("`{}`: {reason}", database.variable))?;
            reach.databases = place.hosts;
            reach.copies.extend(place.files);
            reach.shares.extend(place.sockets.into_iter().map(|(folder, files)| SharedFolder {
                folder,
                files,
                access: ShareAccess::Connect,
            }));
        }
    }
    Ok(reach)
}

/// The hosts of the web that a server declares.
fn hosts(package: &Package, given: &Given) -> BTreeSet<HostRule> {
    // A caller may send what is the caller's own anywhere, and nothing of the operator's.
    let holds_secrets = package
        .environment
        .iter()
        .any(|variable| variable.secret && given.by_operator.contains(&variable.name));
    let trusted =
        |name: &str| given.of(name).filter(|_| !holds_secrets || given.by_operator.contains(name));
    let of_operations = package.tools.iter().filter_map(|tool| match &tool.kind {
        Kind::Http(http) => http.servers.first(),
        Kind::Sql(_) | Kind::Function(_) => None,
    });
    let mut urls: Vec<String> = package
        .servers
        .iter()
        .take(1)
        .chain(of_operations)
        .map(|server| filled(server, &trusted, given))
        .collect();
    urls.extend(ADDRESSES.into_iter().filter_map(trusted).map(str::to_owned));
    let mut of_oauth2 = |oauth2: &Oauth2| {
        urls.push(oauth2.token_url.clone());
        urls.extend(oauth2.refresh_url.clone());
    };
    let mut documents = Vec::new();
    for scheme in package.schemes.values() {
        match scheme {
            Scheme::Oauth2(oauth2) => of_oauth2(oauth2),
            Scheme::OpenIdConnect { oauth2, url } => {
                of_oauth2(oauth2);
                documents.push(url.clone());
            }
            Scheme::ApiKey { .. }
            | Scheme::Basic { .. }
            | Scheme::Bearer { .. }
            | Scheme::MutualTls { .. } => {}
        }
    }
    urls.extend(documents);
    let mut hosts: BTreeSet<HostRule> =
        urls.iter().filter_map(|url| HostRule::of_url(url)).collect();
    // Functions say which hosts they call; an API's hosts stand in its servers, with their ports.
    if package.tools.iter().any(|tool| matches!(tool.kind, Kind::Function(_))) {
        hosts.extend(package.hosts.iter().filter_map(|host| host.parse().ok()));
    }
    hosts
}

/// A base URL with the values of its variables.
fn filled<'a>(
    server: &ServerUrl,
    trusted: &impl Fn(&str) -> Option<&'a str>,
    given: &'a Given,
) -> String {
    let mut url = server.url.clone();
    for (name, variable) in &server.variables {
        // The description itself offers those of its list.
        let listed = given
            .of(&variable.environment)
            .filter(|value| variable.values.iter().any(|it| it == value));
        let value = listed.or_else(|| trusted(&variable.environment)).unwrap_or(&variable.default);
        url = url.replace(&format!("{{{name}}}"), value);
    }
    url
}

/// Variables of a package that name files of the host, but for its database.
pub fn file_variables(package: &Package) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for scheme in package.schemes.values() {
        match scheme {
            Scheme::MutualTls { certificate, key } => {
                names.extend([certificate.as_str(), key.as_str()]);
            }
            Scheme::Oauth2(oauth2) | Scheme::OpenIdConnect { oauth2, .. } => {
                names.insert(oauth2.token_file.as_str());
            }
            Scheme::ApiKey { .. } | Scheme::Basic { .. } | Scheme::Bearer { .. } => {}
        }
    }
    names
}

/// A file that a server gets a copy of.
fn small_file(file: &Path) -> Result<PathBuf, String> {
    if !file.is_absolute() {
        return Err("is no absolute path".to_owned());
    }
    let unread = |error: std::io::Error| format!("cannot be read: {error}");
    // A pipe would be waited for when it is opened.
    if !file.metadata().map_err(unread)?.is_file() {
        return Err("is no file".to_owned());
    }
    #[expect(clippy::disallowed_methods, reason = "whether the operator's file can be read")]
    let opened = std::fs::File::open(file).map_err(unread)?;
    let bytes = opened.metadata().map_err(unread)?.len();
    if bytes > COPY_BYTES {
        return Err(format!("has {bytes} bytes, at most {COPY_BYTES} are copied"));
    }
    Ok(file.to_owned())
}

/// The file that keeps tokens, which is written anew beside itself.
fn token_file(file: &Path) -> Result<SharedFolder, String> {
    let (Some(folder), Some(name)) =
        (file.parent().filter(|folder| folder.is_absolute()), file.file_name())
    else {
        return Err("is no absolute path".to_owned());
    };
    if !folder.is_dir() {
        return Err("lies in a folder that is not there".to_owned());
    }
    Ok(SharedFolder {
        folder: folder.to_owned(),
        files: vec![name.to_string_lossy().into_owned()],
        access: ShareAccess::Write,
    })
}

/// The real path of a SQLite file.
///
/// # Errors
/// When there is none.
pub fn sqlite_file(address: &str) -> Result<PathBuf, String> {
    let given =
        ["sqlite://", "sqlite:"].into_iter().find_map(|prefix| address.strip_prefix(prefix));
    let given = match given.map(|rest| rest.split('?').next().unwrap_or(rest)) {
        Some(rest) => percent_encoding::percent_decode_str(rest).decode_utf8_lossy(),
        None => address.into(),
    };
    std::fs::canonicalize(given.as_ref())
        .map_err(|error| format!("the SQLite file {given} cannot be opened: {error}"))
}

/// A SQLite file by its real path, and its folder: what is written goes to a journal beside it first.
fn sqlite(address: &str, read_only: bool) -> Result<(String, SharedFolder), String> {
    let file = sqlite_file(address)?;
    let given = file.display();
    let (Some(folder), Some(name), Some(path)) =
        (file.parent(), file.file_name().and_then(|name| name.to_str()), file.to_str())
    else {
        return Err(format!("{given} is no file with a plain name"));
    };
    if folder == Path::new("/") {
        return Err(format!("{given} lies in the root folder; put it into a folder of its own"));
    }
    // With a log beside it, even readers write into the folder.
    let access = if read_only && !has_log(&file) { ShareAccess::Read } else { ShareAccess::Write };
    let files = ["", "-journal", "-wal", "-shm"].map(|ending| format!("{name}{ending}")).to_vec();
    Ok((path.to_owned(), SharedFolder { folder: folder.to_owned(), files, access }))
}

/// Whether a SQLite file is written to by way of a log.
fn has_log(file: &Path) -> bool {
    use std::io::Read as _;
    let mut header = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "one byte of the operator's database")]
    let read = std::fs::File::open(file).and_then(|file| file.take(32).read_to_end(&mut header));
    read.is_ok() && header.get(WRITE_VERSION) == Some(&WITH_LOG)
}
