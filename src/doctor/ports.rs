//! The listeners' addresses: free, held by an Atelier, or held by something else.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use super::{Check, Status};
use crate::config::server::ServerConfig;

/// Where `serve` hosts apps when nothing says otherwise.
const CONTENT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 7411);
/// Where a content listener tells its name to whoever sends a nonce.
const WHOSE: &str = ".well-known/atelier?atelier-doctor-asks-00";
/// A listener of this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn checks(config: &ServerConfig) -> Vec<Check> {
    let content = config.content_listen.unwrap_or_else(|| CONTENT.into());
    // What each listener of ours tells everybody about itself.
    vec![
        check("listen", config.listen, "--listen", "health/live").await,
        check("content listen", content, "--content-listen", WHOSE).await,
    ]
}

async fn check(name: &'static str, address: SocketAddr, flag: &str, path: &str) -> Check {
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if is_atelier(address, path).await {
                return Check::ok(name, format!("{address} is held by a running Atelier"));
            }
            Check::finding(
                name,
                Status::Warning,
                format!("{address} is in use by another program"),
                format!("stop that program, or start `atelier serve` with `{flag} 127.0.0.1:PORT`"),
            )
        }
        Err(error) => Check::finding(
            name,
            Status::Warning,
            format!("{address} cannot be listened on: {error}"),
            format!("start `atelier serve` with `{flag} 127.0.0.1:PORT`"),
        ),
    }
}

/// Whether the answer of this listener carries our name.
#[expect(clippy::disallowed_methods, reason = "one question to a port of this machine")]
async fn is_atelier(address: SocketAddr, path: &str) -> bool {
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build() else {
        return false;
    };
    let ask = async { client.get(format!("http://{address}/{path}")).send().await?.text().await };
    ask.await.is_ok_and(|body| body.starts_with("atelier ") || body.contains("\"atelier\""))
}
