//! `options` of `create_mcp_server`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::factory::ir::{Features, Mode};
use crate::factory::source::database::Access;
use crate::factory::{Options, WebSearching};

/// Features of the made server, and how it is made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OptionsParams {
    /// One JSON line per call on standard error.
    enable_logging: bool,
    /// Counters in the text format of Prometheus.
    enable_metrics: bool,
    /// A limit on calls.
    enable_rate_limiting: bool,
    /// Calls of one window.
    #[schemars(range(min = 1))]
    rate_limit_requests: u32,
    /// Length of the window.
    #[schemars(range(min = 1))]
    rate_limit_window_seconds: u32,
    /// Retries of what is safe to repeat.
    enable_retries: bool,
    /// Most retries.
    #[schemars(range(max = 10))]
    max_retries: u32,
    /// First pause; each further one is twice as long.
    #[schemars(range(min = 0.0, max = 60.0))]
    retry_delay_seconds: f64,
    /// Absolute path of a folder whose templates replace single built-in ones (README.md.j2,
    /// skill.md.j2, Dockerfile.j2, pyproject.toml.j2, ci.yml.j2, COVERAGE.md.j2).
    template_dir: Option<String>,
    /// Base URL of the API instead of the document's.
    base_url: Option<String>,
    /// Tables of the database; all when left out.
    tables: Option<Vec<String>>,
    /// Open the database so that nothing can be written.
    read_only: bool,
    /// Look for documentation on the web before a model designs the tools of a `description`.
    web_search: bool,
    /// `direct`: each operation is a tool. `search`: three tools that search, describe and call.
    /// Left out: direct up to 40 operations.
    mode: Option<ModeParam>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ModeParam {
    Direct,
    Search,
}

impl Default for OptionsParams {
    fn default() -> Self {
        let features = Features::default();
        Self {
            enable_logging: features.enable_logging,
            enable_metrics: features.enable_metrics,
            enable_rate_limiting: features.enable_rate_limiting,
            rate_limit_requests: features.rate_limit_requests,
            rate_limit_window_seconds: features.rate_limit_window_seconds,
            enable_retries: features.enable_retries,
            max_retries: features.max_retries,
            retry_delay_seconds: features.retry_delay_seconds,
            template_dir: None,
            base_url: None,
            tables: None,
            read_only: false,
            web_search: false,
            mode: None,
        }
    }
}

impl From<OptionsParams> for Options {
    fn from(params: OptionsParams) -> Self {
        Self {
            features: Features {
                enable_logging: params.enable_logging,
                enable_metrics: params.enable_metrics,
                enable_rate_limiting: params.enable_rate_limiting,
                rate_limit_requests: params.rate_limit_requests,
                rate_limit_window_seconds: params.rate_limit_window_seconds,
                enable_retries: params.enable_retries,
                max_retries: params.max_retries,
                retry_delay_seconds: params.retry_delay_seconds,
            },
            web_search: if params.web_search { WebSearching::On } else { WebSearching::Off },
            template_dir: params.template_dir,
            base_url: params.base_url,
            mode: params.mode.map(|mode| match mode {
                ModeParam::Direct => Mode::Direct,
                ModeParam::Search => Mode::Search,
            }),
            tables: params.tables.unwrap_or_default(),
            access: if params.read_only { Access::ReadOnly } else { Access::ReadWrite },
        }
    }
}
