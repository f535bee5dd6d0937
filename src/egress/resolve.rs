//! Finding the addresses of names.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of the host.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}
