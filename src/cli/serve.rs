//! `atelier stdio` and `atelier serve`: the doors, and what runs beside them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{CommandError, ToolArguments, output};
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::server::content::{
    self, AllowedHosts, CallParts, ContentParts, ContentState, StreamLimits,
};
use crate::server::pages::{
    BearerCheck, PagesParts, PagesState, Rename, chat_router, pages_listener_router, pages_router,
};
use crate::server::ports::{
    ListenerKind, PortError, PortKeeper, PortPlan, PortWish, bind_exclusive,
};
use crate::server::{
    HttpServer, LOCAL_PRINCIPAL, Principals, bearer_check, check_listen_address, serve_stdio,
};

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
    let mut beside = Beside::start(&app, wish).await?;
    beside.add_pages(&app).await?;
    let served = Box::pin(serve_stdio(Arc::clone(&app), shutdown)).await;
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
    if app.config.auth.tokens.is_empty() {
        let link = chat_link(&app, address).await?;
        output::note(&format!("chat, for one browser: {link}"));
    }
    let server = with_fixtures(server(&app, address)?, &arguments);
    let served = server.serve(listener, shutdown).await;
    beside.stop(&app).await;
    served.map_err(CommandError::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// A link that opens the chat once, for the machine's own user.
pub(super) async fn chat_link(app: &Arc<App>, address: SocketAddr) -> Result<String, CommandError> {
    let key = app.chat.new_link(&LOCAL_PRINCIPAL.into()).await.map_err(CommandError::failed)?;
    Ok(format!("http://{address}/chat?key={key}"))
}

/// The HTTP server with the pages beside MCP, to be served at this address.
pub(super) fn server(app: &Arc<App>, address: SocketAddr) -> Result<HttpServer, CommandError> {
    app.urls.set_pages_address(address);
    let bearer = bearer_check(&app.config.auth).map_err(CommandError::failed)?;
    let state = pages_state(app, Some(address), bearer);
    let chat = chat_router(state.clone(), Arc::clone(&app.chat));
    Ok(HttpServer::new(Arc::clone(app)).with_pages(pages_router(state)).with_pages(chat))
}

#[cfg(not(feature = "conformance-fixtures"))]
fn with_fixtures(server: HttpServer, _arguments: &ServeArguments) -> HttpServer {
    server
}

#[cfg(feature = "conformance-fixtures")]
fn with_fixtures(server: HttpServer, arguments: &ServeArguments) -> HttpServer {
    if arguments.conformance_fixtures { server.with_fixtures() } else { server }
}

/// Where `serve` hosts apps.
pub(super) fn content_address(config: &Config) -> SocketAddr {
    let default = || SocketAddr::from((Ipv4Addr::LOCALHOST, CONTENT_PORT));
    config.server.content_listen.unwrap_or_else(default)
}

/// What runs beside a door: the listeners of hosted apps and pages, and the care for jobs.
pub(super) struct Beside {
    listeners: Vec<PortKeeper>,
}

impl Beside {
    /// Starts the content listener and the care for jobs.
    pub(super) async fn start(app: &Arc<App>, wish: PortWish) -> Result<Self, PortError> {
        let state = ContentState::new(ContentParts {
            catalog: Arc::clone(&app.catalog),
            blobs: app.blobs.clone(),
            urls: app.urls.clone(),
            key: app.key.clone(),
            hosts: AllowedHosts::new(&app.config.server, app.config.server.content_listen),
            frame_ancestors: app.config.server.frame_ancestors.clone(),
            streams: StreamLimits::default(),
            runs: app.agent.engine().runs().clone(),
            calls: CallParts {
                caller: app.caller.clone(),
                principals: Principals::new(&app.config.auth),
                limits: app.config.limits.clone(),
                metrics: Arc::clone(&app.metrics),
            },
        });
        let urls = app.urls.clone();
        let content = PortKeeper::start(PortPlan {
            catalog: Arc::clone(&app.catalog),
            key: app.key.clone(),
            kind: ListenerKind::Content,
            wish,
            router: content::router(state),
            announce: Arc::new(move |address| urls.set_content_address(address)),
        })
        .await?;
        app.runner.start_background();
        app.warm_up();
        Ok(Self { listeners: vec![content] })
    }

    /// Starts a listener for the pages, where no HTTP server carries them.
    pub(super) async fn add_pages(&mut self, app: &Arc<App>) -> Result<SocketAddr, PortError> {
        let urls = app.urls.clone();
        let state = pages_state(app, None, None);
        let chat = chat_router(state.clone(), Arc::clone(&app.chat));
        let pages = PortKeeper::start(PortPlan {
            catalog: Arc::clone(&app.catalog),
            key: app.key.clone(),
            kind: ListenerKind::Pages,
            wish: PortWish::Kept,
            router: pages_listener_router(state).merge(chat),
            announce: Arc::new(move |address| urls.set_pages_address(address)),
        })
        .await?;
        let address = pages.status().borrow().address;
        self.listeners.push(pages);
        Ok(address)
    }

    /// Ends everything in order: jobs first, then what they work with; pages may be looked at until
    /// the end.
    pub(super) async fn stop(self, app: &Arc<App>) {
        app.shut_down().await;
        for listener in self.listeners {
            listener.stop().await;
        }
    }
}

fn pages_state(
    app: &Arc<App>,
    listen: Option<SocketAddr>,
    bearer: Option<BearerCheck>,
) -> PagesState {
    let renames = Arc::clone(app);
    let rename: Rename = Arc::new(move |wish| {
        let app = Arc::clone(&renames);
        Box::pin(async move {
            app.rename_document(&wish.owner, wish.kind, &wish.name, &wish.new_name).await
        })
    });
    PagesState::new(PagesParts {
        catalog: Arc::clone(&app.catalog),
        urls: app.urls.clone(),
        hosts: AllowedHosts::new(&app.config.server, listen),
        key: app.key.clone(),
        principals: Principals::new(&app.config.auth),
        bearer,
        caller: app.caller.clone(),
        rename,
    })
}
