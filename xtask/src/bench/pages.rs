//! Hosted pages against nginx serving the same bytes as a file, measured by `wrk`.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::json;

use super::Effort;
use super::process::{self, Child};
use super::report::Section;

/// Requests per second over several short rounds, one side after the other.
pub(super) async fn against_nginx(binary: &Path, effort: Effort) -> anyhow::Result<Section> {
    let nginx = process::installed("nginx", "nginx-light")?;
    let wrk = process::installed("wrk", "wrk")?;
    let folder = tempfile::tempdir()?;
    let page = page_of(30_000);
    let ports = (process::free_port()?, process::free_port()?, process::free_port()?);
    let (mcp_port, content_port, nginx_port) = ports;
    let _ours = Child::start(
        Command::new(binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{mcp_port}")])
            .args(["--content-listen", &format!("127.0.0.1:{content_port}")])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("ATELIER_LOG", "error"),
    )?;
    let configuration = nginx_configuration(folder.path(), nginx_port, &page)?;
    let _theirs = Child::start(
        Command::new(nginx).arg("-c").arg(&configuration).args(["-g", "daemon off;"]),
    )?;
    process::until_listening(mcp_port).await?;
    process::until_listening(nginx_port).await?;
    let ours = publish(mcp_port, &page).await?;
    let theirs = format!("http://127.0.0.1:{nginx_port}/page.html");
    let (mut our_samples, mut their_samples) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        our_samples.push(requests_per_second(&wrk, &ours, effort.seconds_per_round)?);
        their_samples.push(requests_per_second(&wrk, &theirs, effort.seconds_per_round)?);
    }
    Ok(Section {
        title: "Hosted page".to_owned(),
        note: "A page of 30 kB, 16 kept connections, one load generator thread on the same 2 cores. Ours looks up the newest version in the catalog for every request and sends the security headers; nginx sends a file with one worker process per core.".to_owned(),
        unit: "requests/s",
        sides: vec![
            ("Atelier".to_owned(), our_samples),
            ("nginx".to_owned(), their_samples),
        ],
        larger_is_better: true,
    })
}

fn page_of(bytes: usize) -> String {
    let mut body = String::new();
    let mut line = 0;
    while body.len() < bytes {
        line += 1;
        body.push_str("<p>Line ");
        body.push_str(&line.to_string());
        body.push_str(" of a page that is neither random nor all the same.</p>\n");
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Page</title></head><body>{body}</body></html>"
    )
}

async fn publish(port: u16, page: &str) -> anyhow::Result<String> {
    let transport = StreamableHttpClientTransport::from_uri(format!("http://127.0.0.1:{port}/mcp"));
    let client = ().serve(transport).await.context("cannot connect")?;
    let arguments = json!({"app_name": "bench", "html": page});
    let mut call = CallToolRequestParams::new("create_web_app");
    call.arguments = arguments.as_object().cloned();
    let result = client.call_tool(call).await?;
    let structured = result.structured_content.context("no structured content")?;
    let url = structured.get("url").and_then(|url| url.as_str()).context("no url")?;
    Ok(url.to_owned())
}

fn nginx_configuration(folder: &Path, port: u16, page: &str) -> anyhow::Result<std::path::PathBuf> {
    let root = folder.join("www");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("page.html"), page)?;
    let path = folder.join("nginx.conf");
    let shown = folder.display();
    let user = if is_root() { "user root;" } else { "" };
    std::fs::write(
        &path,
        format!(
            "{user} worker_processes auto; pid {shown}/nginx.pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             types {{ text/html html; }}\n\
             client_body_temp_path {shown}/b; proxy_temp_path {shown}/p; fastcgi_temp_path {shown}/f;\n\
             uwsgi_temp_path {shown}/u; scgi_temp_path {shown}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {shown}/www; }} }}\n"
        ),
    )?;
    Ok(path)
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

fn requests_per_second(wrk: &Path, url: &str, seconds: usize) -> anyhow::Result<f64> {
    let output = Command::new(wrk)
        .args(["-t1", "-c16", &format!("-d{seconds}s"), url])
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(!text.contains("Non-2xx"), "not all answers were good: {text}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .with_context(|| format!("wrk printed no figure: {text}"))?;
    Ok(line.trim().parse()?)
}
