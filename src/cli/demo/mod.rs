//! `atelier demo`: the main job end to end, over real MCP against itself.
//!
//! The demo starts the real server, connects a client to it, works through [`STEPS`], prints what
//! each of them made, and keeps serving.

mod client;
mod costs_api;
mod edit;
mod made;
mod pdf;
mod phoenix;
mod python;
mod web_app;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::costs_api::CostsApi;
use super::serve::{Beside, CONTENT_FLAG, LISTEN_FLAG, content_address, server};
use super::{CommandError, output};
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::server::ports::{PortError, PortWish, bind_exclusive};

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(
    about = "Make something with every tool, over MCP, and keep it open in the browser",
    long_about = "Starts the server, calls its tools over MCP and prints what they made. Uses the \
                  configured model; with none, plays the host's model from examples/ and says so. \
                  Serves until Ctrl-C.",
    after_help = "Example:\n  atelier demo --once"
)]
pub(super) struct DemoArguments {
    /// End when everything is made
    #[arg(long)]
    once: bool,
    /// Keep a picture of each page that is made in this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// What a step made.
struct Made {
    /// What there is to say about it.
    lines: Vec<String>,
    /// Name of its picture, and where that is, when it can be seen.
    picture: Option<(&'static str, String)>,
}

/// One thing that the demo makes.
#[derive(Debug, Clone, Copy)]
enum Step {
    WebApp,
    Edit,
    Pdf,
    Python,
    ApiServer,
    DatabaseServer,
    Phoenix,
}

/// Everything that the demo makes, in order.
const STEPS: [Step; 7] = [
    Step::WebApp,
    Step::Edit,
    Step::Pdf,
    Step::Python,
    Step::ApiServer,
    Step::DatabaseServer,
    Step::Phoenix,
];

impl Step {
    const fn title(self) -> &'static str {
        match self {
            Self::WebApp => "A web app, from a request in words",
            Self::Edit => "The same app changed, in blocks that are applied all or not at all",
            Self::Pdf => "A PDF document, from a request in words",
            Self::Python => "Python in the sandbox, which reads a file and calls two tools at once",
            Self::ApiServer => "An MCP server from an OpenAPI document, started and called",
            Self::DatabaseServer => "An MCP server from a SQLite database, started and called",
            Self::Phoenix => {
                "A resource for a Phoenix project: schema, migration, context and tests"
            }
        }
    }

    /// Does it; the lines say what was made.
    async fn run(self, client: &Client, place: &Place) -> Result<Made, CommandError> {
        match self {
            Self::WebApp => web_app::make(client).await,
            Self::Edit => edit::make(client).await,
            Self::Pdf => pdf::make(client).await,
            Self::Python => python::make(client).await,
            Self::ApiServer => made::of_api(client, &place.api).await,
            Self::DatabaseServer => made::of_database(client, &place.data_dir).await,
            Self::Phoenix => phoenix::make(client, &place.data_dir).await,
        }
    }
}

/// What the steps work with.
struct Place {
    data_dir: PathBuf,
    api: CostsApi,
}

/// Runs the demo.
pub(super) async fn run(
    arguments: DemoArguments,
    mut config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    keep_to_this_machine(&mut config);
    let listener = main_listener(config.server.listen).await?;
    let address = listener.local_addr()?;
    let content = content_address(&config);
    let data_dir = config.storage.data_dir.clone();
    config.elixir.allowed_roots.push(data_dir.join(phoenix::FOLDER));
    config.factory.allowed_roots.push(data_dir.join(made::FOLDER));
    let place = Place { data_dir, api: CostsApi::start().await? };
    // The demo's own API is on this machine.
    config.factory.private_hosts.push(place.api.host());
    let app = App::open(config, LinkLife::Lasting).await?;
    let beside = content_listener(&app, content).await?;
    let served = tokio::spawn(server(&app, address)?.serve(listener, shutdown.clone()));

    let made = tokio::select! {
        made = make_everything(address, &place, arguments.pictures.as_deref()) => made,
        () = shutdown.cancelled() => Ok(()),
    };
    if made.is_ok() && !shutdown.is_cancelled() {
        closing_words(address, &arguments)?;
        if !arguments.once {
            shutdown.cancelled().await;
        }
    }
    made::leave(&app).await;
    shutdown.cancel();
    let served = served.await;
    beside.stop(&app).await;
    made?;
    served.map_err(CommandError::failed)?.map_err(CommandError::failed)?;
    Ok(ExitCode::SUCCESS)
}

async fn make_everything(
    address: SocketAddr,
    place: &Place,
    pictures: Option<&Path>,
) -> Result<(), CommandError> {
    output::result(&format!("Atelier serves MCP at http://{address}/mcp\n"))?;
    let client = Client::connect(address).await?;
    for (index, step) in STEPS.into_iter().enumerate() {
        output::result(&format!("{}. {}", index + 1, step.title()))?;
        let Made { lines, picture } = step.run(&client, place).await?;
        for line in lines {
            output::result(&format!("   {line}"))?;
        }
        if let (Some(folder), Some((name, url))) = (pictures, picture) {
            let picture = client.fetch(&url).await?;
            let path = folder.join(format!("{name}.webp"));
            tokio::fs::create_dir_all(folder).await?;
            tokio::fs::write(&path, picture).await?;
            output::result(&format!("   picture: {}", path.display()))?;
        }
        output::result("")?;
    }
    client.close().await;
    Ok(())
}

fn closing_words(address: SocketAddr, arguments: &DemoArguments) -> Result<(), CommandError> {
    let program = std::env::current_exe()?;
    output::result(&format!(
        "To give these tools to your own agent, paste what this prints (or for claude-code, vscode, cursor):\n   \
         {} client-config claude-desktop",
        program.display()
    ))?;
    if !arguments.once {
        output::result(&format!("\nServing at http://{address} until Ctrl-C."))?;
    }
    Ok(())
}

/// The demo is for the person at this machine: loopback, no tokens, links that open here.
fn keep_to_this_machine(config: &mut Config) {
    config.auth.tokens.clear();
    config.server.public_base_url = None;
    config.server.toolsets.clear();
    config.server.tools.clear();
    config.server.exclude_tools.clear();
    config.server.read_only = false;
    for address in [Some(&mut config.server.listen), config.server.content_listen.as_mut()] {
        if let Some(address) = address
            && !address.ip().is_loopback()
        {
            *address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        }
    }
}

/// The usual address, or a free one while it is taken.
async fn main_listener(address: SocketAddr) -> Result<TcpListener, PortError> {
    match bind_exclusive(address, LISTEN_FLAG).await {
        Err(PortError::InUse { .. }) => {
            bind_exclusive(SocketAddr::new(address.ip(), 0), LISTEN_FLAG).await
        }
        outcome => outcome,
    }
}

/// The usual address of hosted apps, or the installation's own while it is taken.
async fn content_listener(app: &Arc<App>, address: SocketAddr) -> Result<Beside, PortError> {
    match Beside::start(app, PortWish::Fixed { address, flag: CONTENT_FLAG }).await {
        Err(PortError::InUse { .. }) => Beside::start(app, PortWish::Kept).await,
        outcome => outcome,
    }
}
