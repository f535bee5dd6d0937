//! Logs: structured lines on standard error, never on standard output, which belongs to MCP.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::log::{LogConfig, LogFormat};

/// Starts logging. A second call in one process changes nothing.
pub fn init(config: &LogConfig) {
    let lines = match config.format {
        LogFormat::Human => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
        }
    };
    // Fails when logging was started already, which tests do.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter(&config.level)).with_filter(own_or_plain()))
        .try_init();
}

/// A bare level is meant for this program; the libraries below it then report warnings only.
fn filter(level: &str) -> EnvFilter {
    let directives = match level.trim().parse::<LevelFilter>() {
        Ok(own) => format!("{},atelier={own}", own.min(LevelFilter::WARN)),
        Err(_) => level.to_owned(),
    };
    EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("warn,atelier=info"))
}

/// Below `info`, libraries write whole requests with headers, arguments and prompts, so no filter
/// lets those lines through.
fn own_or_plain() -> FilterFn {
    FilterFn::new(|metadata| {
        let target = metadata.target();
        target == "atelier"
            || target.starts_with("atelier::")
            || *metadata.level() <= tracing::Level::INFO
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_meant_for_this_program() {
        assert_eq!(filter("debug").to_string(), "atelier=debug,warn");
        assert_eq!(filter("error").to_string(), "atelier=error,error");
        assert_eq!(filter("info,atelier::llm=trace").to_string(), "atelier::llm=trace,info");
    }
}
