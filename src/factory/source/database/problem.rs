//! Why a database cannot be read. Addresses hold passwords: they are never repeated.

use crate::factory::error::{FactoryError, Refusal};

/// What a database answered, for a path or host that may be told.
pub(super) fn of(error: &sqlx::Error, place: &str) -> FactoryError {
    let (code, reason, hint) = match error {
        sqlx::Error::Database(problem) => by_code(problem.as_ref()),
        sqlx::Error::Io(problem) => (
            Refusal::NotAccessible,
            match problem.kind() {
                std::io::ErrorKind::ConnectionRefused => "nothing answers there".to_owned(),
                std::io::ErrorKind::NotFound => "there is no such host or socket".to_owned(),
                std::io::ErrorKind::TimedOut => "it does not answer in time".to_owned(),
                _ => "the connection failed".to_owned(),
            },
            "check host and port, and that the database runs",
        ),
        sqlx::Error::Tls(_) => (
            Refusal::NotAccessible,
            "the encrypted connection failed".to_owned(),
            "check the server's certificate, or `sslmode` in the URL",
        ),
        sqlx::Error::Configuration(_) => (
            Refusal::Arguments,
            "the URL is malformed".to_owned(),
            "write it as postgresql://user:password@host:5432/name, with special characters percent-encoded",
        ),
        // What it says of itself is not as we know it: names of columns, no values.
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => (
            Refusal::NotAccessible,
            format!("its catalog is not as expected: {error}"),
            "use a version of the database that is still supported",
        ),
        _ => (
            Refusal::NotAccessible,
            "the database broke off the conversation".to_owned(),
            "check that it runs and is a version that is still supported",
        ),
    };
    FactoryError::new(code, format!("the database {place} cannot be read: {reason}"), hint)
}

fn by_code(problem: &dyn sqlx::error::DatabaseError) -> (Refusal, String, &'static str) {
    let code = problem.code().unwrap_or_default().into_owned();
    let known = match code.as_str() {
        "28P01" | "28000" => ("user or password is wrong", "check them in the URL"),
        "3D000" => ("there is no database of that name", "check the name at the end of the URL"),
        "42501" => ("its user has no right to", "give the user rights, or name another"),
        "53300" => ("it has too many connections", "try again later"),
        "57P03" => ("it is starting or stopping", "try again later"),
        "57014" => ("it took too long", "try again when the database has less to do"),
        // SQLite.
        "26" => ("the file is no SQLite database", "give the path of a SQLite file"),
        "11" | "267" | "779" | "523" => ("the file is damaged", "restore it from a copy"),
        "5" | "6" | "261" | "517" | "262" => {
            ("another program has locked it", "close that program or wait until it has finished")
        }
        "14" | "526" | "782" | "1038" | "1550" | "23" | "3" => {
            ("it cannot be opened", "check the rights of the file and of its folder")
        }
        "8" | "264" | "520" | "776" | "1032" | "1288" | "1544" => (
            "it may not be opened for reading beside what another program left (`-wal`)",
            "check the rights of the file and of its folder",
        ),
        _ => {
            return (
                Refusal::NotAccessible,
                format!("it answers with the error {code}: {}", problem.message()),
                "see the database's documentation of that error",
            );
        }
    };
    (Refusal::NotAccessible, known.0.to_owned(), known.1)
}
