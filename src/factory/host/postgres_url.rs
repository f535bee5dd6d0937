//! Where a PostgreSQL URL leads: hosts and ports, sockets, and the files that it names.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The port when none is named.
const PORT: u16 = 5432;
/// Parameters that name files.
const FILES: [&str; 4] = ["sslrootcert", "sslcert", "sslkey", "sslcrl"];

/// Where a URL leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Hosts and ports, in the order in which they are tried.
    pub(super) hosts: Vec<(String, u16)>,
    /// Folders with sockets, and the files that are meant.
    pub(super) sockets: Vec<(PathBuf, Vec<String>)>,
    /// Certificates and keys.
    pub(super) files: Vec<PathBuf>,
}

/// Reads a URL. Its text holds a password and stands in no error.
pub(super) fn read(url: &str) -> Result<Place, String> {
    let rest = ["postgresql://", "postgres://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or("it is no postgresql:// URL")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let places = authority.rsplit_once('@').map_or(authority, |(_, places)| places);
    let mut hosts: Vec<(String, Option<u16>)> = Vec::new();
    for place in places.split(',') {
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, number(port)?),
            Some(_) | None => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        hosts.push((decoded(host), port));
    }
    let mut files = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        match key {
            "host" => {
                let ports: Vec<Option<u16>> = hosts.iter().map(|(_, port)| *port).collect();
                hosts = value
                    .split(',')
                    .enumerate()
                    .map(|(at, host)| (host.to_owned(), ports.get(at).copied().flatten()))
                    .collect();
            }
            "port" => {
                let ports = value.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
                let last = ports.last().copied().flatten();
                for (at, (_, port)) in hosts.iter_mut().enumerate() {
                    *port = ports.get(at).copied().unwrap_or(last);
                }
            }
            "hostaddr" => return Err("`hostaddr` cannot be used here; name the host".to_owned()),
            "service" | "servicefile" => {
                return Err("a service file cannot be used here".to_owned());
            }
            key if FILES.contains(&key) && value.starts_with('/') => {
                files.push(PathBuf::from(value));
            }
            _ => {}
        }
    }
    let mut place = Place { files, ..Place::default() };
    for (host, port) in hosts {
        let port = port.unwrap_or(PORT);
        if host.is_empty() {
            return Err(
                "it names no host; write one, or `?host=` and the folder of the socket".to_owned()
            );
        }
        if host.starts_with('/') {
            let names = vec![format!(".s.PGSQL.{port}"), format!(".s.PGSQL.{port}.lock")];
            place.sockets.push((PathBuf::from(host), names));
        } else {
            place.hosts.push((host, port));
        }
    }
    if !place.hosts.is_empty() && !place.sockets.is_empty() {
        return Err("hosts and sockets cannot be mixed here".to_owned());
    }
    if place.hosts.len() > 4 {
        return Err("it names more than 4 hosts".to_owned());
    }
    Ok(place)
}

fn number(port: &str) -> Result<Option<u16>, String> {
    if port.is_empty() {
        return Ok(None);
    }
    match port.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err("its port is no number from 1 to 65535".to_owned()),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        read(url).unwrap().hosts
    }

    #[test]
    fn hosts_and_ports_are_found_as_libpq_finds_them() {
        let one = |host: &str, port| vec![(host.to_owned(), port)];
        assert_eq!(hosts("postgresql://u:p%40@db.example/x"), one("db.example", 5432));
        assert_eq!(hosts("postgres://u:p@x@db:6000/x?sslmode=require"), one("db", 6000));
        assert_eq!(hosts("postgresql://[::1]:6000/x"), one("::1", 6000));
        assert_eq!(hosts("postgresql:///x?host=db&port=6000"), one("db", 6000));
        assert_eq!(hosts("postgresql://other/x?host=db"), one("db", 5432));
        assert_eq!(
            hosts("postgresql://a:1,b,c:3/x"),
            [("a".to_owned(), 1), ("b".to_owned(), 5432), ("c".to_owned(), 3)]
        );
    }

    #[test]
    fn sockets_and_files_are_found() {
        let place = read("postgresql:///x?host=/run/pg&port=6000&sslrootcert=/a/b.crt").unwrap();
        assert!(place.hosts.is_empty());
        assert_eq!(place.files, [PathBuf::from("/a/b.crt")]);
        let (folder, names) = &place.sockets[0];
        assert_eq!(folder, &PathBuf::from("/run/pg"));
        assert_eq!(names[0], ".s.PGSQL.6000");
        let place = read("postgresql://%2Frun%2Fpg/x").unwrap();
        assert_eq!(place.sockets[0].0, PathBuf::from("/run/pg"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, words) in [
            ("mysql://secret", "no postgresql"),
            ("postgresql://u:secret@/x", "no host"),
            ("postgresql://u:secret@a:x/x", "port"),
            ("postgresql://u:secret@a/x?hostaddr=1.2.3.4", "hostaddr"),
            ("postgresql://a,%2Frun/x", "mixed"),
            ("postgresql://a,b,c,d,e/x", "more than 4"),
        ] {
            let refused = read(url).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("secret"), "{url}: {refused}");
        }
    }
}
