//! `atelier stdio` and `atelier serve`: the doors, and what runs beside them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{CommandError, ToolArguments, output};
use crate::app::App;
use crate::config::Config;
use crate::content_urls::ContentUrls;
use crate::documents::LinkLife;
use crate::server::content::{self, AllowedHosts, ContentParts, ContentState};
use crate::server::ports::{
    Announce, ListenerKind, PortError, PortKeeper, PortPlan, PortWish, bind_exclusive,
};
use crate::server::{HttpServer, check_listen_address, serve_stdio};

/// Port of hosted apps beside `serve`.
const CONTENT_PORT: u16 = 7411;
pub(super) const CONTENT_FLAG: &str = "--content-listen";
pub(super) const LISTEN_FLAG: &str = "--listen";

/// Arguments of `stdio`.
#[derive(Debug, Args)]
#[command(
    about = "Serve MCP over standard input and output, as MCP hosts start it",
    long_about = "Serves MCP over standard input and output, as MCP hosts start it, and hosts the \
                  apps that it makes on a loopback port. The port is chosen once and kept, so links \
                  survive restarts; several processes share it.",
    after_help = "Example:\n  atelier stdio"
)]
pub(super) struct StdioArguments {
    /// Address of hosted apps [default: a loopback port, chosen once]
    #[arg(long, value_name = "ADDR")]
    pub(super) content_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) tools: ToolArguments,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(
    about = "Serve MCP over HTTP at /mcp, with hosted apps on a listener of their own",
    after_help = "Example:\n  atelier serve --listen 127.0.0.1:7410 --content-listen 127.0.0.1:7411"
)]
pub(super) struct ServeArguments {
    /// Address of MCP [default: 127.0.0.1:7410]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Address of hosted apps [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR")]
    pub(super) content_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) tools: ToolArguments,
    /// Add what the official conformance suite asks for
    #[cfg(feature = "conformance-fixtures")]
    #[arg(long)]
    pub(super) conformance_fixtures: bool,
}

/// Serves one client.
pub(super) async fn stdio(
    config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let wish = match config.server.content_listen {
        Some(address) => PortWish::Fixed { address, flag: CONTENT_FLAG },
        None => PortWish::Kept,
    };
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let beside = Beside::start(&app, wish).await?;
    let served = serve_stdio(Arc::clone(&app), shutdown).await;
    beside.stop(&app).await;
    served.map_err(CommandError::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves everybody who may connect.
pub(super) async fn serve(
    arguments: ServeArguments,
    config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    check_listen_address(config.server.listen, &config.auth).map_err(CommandError::failed)?;
    let listener = bind_exclusive(config.server.listen, LISTEN_FLAG).await?;
    let address = listener.local_addr()?;
    let content = content_address(&config);
    let app = App::open(config, LinkLife::Lasting).await?;
    let wish = PortWish::Fixed { address: content, flag: CONTENT_FLAG };
    let beside = Beside::start(&app, wish).await?;
    output::note(&format!(
        "MCP at http://{address}/mcp, hosted apps at {}",
        app.urls.bases().content
    ));
    let served = server(&app, &arguments).serve(listener, shutdown).await;
    beside.stop(&app).await;
    served.map_err(CommandError::failed)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "conformance-fixtures"))]
fn server(app: &Arc<App>, _arguments: &ServeArguments) -> HttpServer {
    HttpServer::new(Arc::clone(app))
}

#[cfg(feature = "conformance-fixtures")]
fn server(app: &Arc<App>, arguments: &ServeArguments) -> HttpServer {
    let server = HttpServer::new(Arc::clone(app));
    if arguments.conformance_fixtures { server.with_fixtures() } else { server }
}

/// Where `serve` hosts apps.
pub(super) fn content_address(config: &Config) -> SocketAddr {
    let default = || SocketAddr::from((Ipv4Addr::LOCALHOST, CONTENT_PORT));
    config.server.content_listen.unwrap_or_else(default)
}

/// What runs beside a door: the content listener, and the care for jobs.
pub(super) struct Beside {
    content: PortKeeper,
}

impl Beside {
    pub(super) async fn start(app: &Arc<App>, wish: PortWish) -> Result<Self, PortError> {
        let urls = app.urls.clone();
        let announce: Announce = Arc::new(move |address| urls.set_content_address(address));
        let plan = PortPlan {
            catalog: Arc::clone(&app.catalog),
            key: app.key.clone(),
            kind: ListenerKind::Content,
            wish,
            router: content::router(content_state(app, &app.urls)),
            announce,
        };
        let content = PortKeeper::start(plan).await?;
        app.runner.start_background();
        Ok(Self { content })
    }

    /// Ends everything in order: jobs first, since pages may be looked at until the end.
    pub(super) async fn stop(self, app: &Arc<App>) {
        app.runner.shut_down().await;
        self.content.stop().await;
    }
}

fn content_state(app: &Arc<App>, urls: &ContentUrls) -> ContentState {
    let server = &app.config.server;
    ContentState::new(ContentParts {
        catalog: Arc::clone(&app.catalog),
        blobs: app.blobs.clone(),
        urls: urls.clone(),
        hosts: AllowedHosts::new(server, server.content_listen),
        frame_ancestors: server.frame_ancestors.clone(),
    })
}
