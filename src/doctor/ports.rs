//! The listeners' addresses: free, held by an Atelier, or held by something else.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Check, Status};
use crate::config::server::ServerConfig;

pub(super) async fn checks(config: &ServerConfig) -> Vec<Check> {
    let mut checks = vec![check("listen", config.listen, "--listen").await];
    if let Some(address) = config.content_listen {
        checks.push(check("content listen", address, "--content-listen").await);
    }
    checks
}

async fn check(name: &'static str, address: SocketAddr, flag: &str) -> Check {
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Check::finding(
            name,
            Status::Warning,
            format!("{address} is in use"),
            format!("`atelier serve` needs another address while it is: `{flag} ADDR`"),
        ),
        Err(error) => Check::finding(
            name,
            Status::Failed,
            format!("{address} cannot be listened on: {error}"),
            format!("name an address of this machine: `{flag} 127.0.0.1:PORT`"),
        ),
    }
}
