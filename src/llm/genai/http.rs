//! The HTTP client that all calls to models share, and the addresses it calls.

use std::sync::Once;
use std::time::Duration;

use url::Url;

use crate::config::llm::LlmConfig;
use crate::llm::models::{Provider, Wire};
use crate::llm::{LlmError, LlmErrorCode};

/// Installs the cryptography that every TLS connection of this process uses. Later calls do
/// nothing.
pub fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error says that a provider is already there, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}

/// Builds the client. It follows no redirects, since a redirect to another host would carry the
/// key and the prompt along, takes no proxy from the environment, and asks for no compression,
/// so that the sizes the guard sees are those of the wire.
///
/// # Errors
/// When the proxy of the configuration is unusable.
pub fn client(config: &LlmConfig) -> Result<reqwest::Client, LlmError> {
    install_crypto();
    let unusable = |what: &str| LlmError::new(LlmErrorCode::Unavailable, what.to_owned());
    let builder = || -> Result<reqwest::ClientBuilder, LlmError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the client of models: no redirects, own limits"
        )]
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(
                Duration::try_from_secs_f64(config.timeouts.connect_s)
                    .unwrap_or(Duration::from_secs(10)),
            )
            .user_agent(concat!("atelier/", env!("CARGO_PKG_VERSION")))
            .no_gzip()
            .no_brotli()
            .no_proxy();
        if let Some(url) = &config.https_proxy {
            let proxy = reqwest::Proxy::https(url.clone())
                .map_err(|_| unusable("the address in `llm.https_proxy` is not a proxy"))?;
            let except = config.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder = builder.proxy(proxy.no_proxy(except));
        }
        Ok(builder)
    };
    builder()?
        .build()
        // A machine without root certificates can still reach model servers by plain HTTP.
        .or_else(|_| {
            builder()?
                .tls_certs_only([])
                .build()
                .map_err(|_| unusable("the HTTP client for model calls could not be set up"))
        })
}

/// Address of a provider's API, ending in `/`. `base` is the vendor's root, with or without a
/// trailing slash or version path.
pub fn endpoint(base: Option<&Url>, provider: Provider, wire: Wire) -> String {
    let (root, version) = match wire {
        Wire::Gemini | Wire::GeminiIx => ("https://generativelanguage.googleapis.com", "v1beta"),
        Wire::Anthropic => ("https://api.anthropic.com", "v1"),
        Wire::OpenAiChat | Wire::OpenAiResponses => match provider {
            Provider::OpenRouter => ("https://openrouter.ai/api", "v1"),
            Provider::LlamaCpp => ("http://127.0.0.1:8080", "v1"),
            Provider::Gemini | Provider::Anthropic | Provider::OpenAi | Provider::Ollama => {
                ("https://api.openai.com", "v1")
            }
        },
        Wire::Ollama => ("http://127.0.0.1:11434", ""),
    };
    let mut address = base.map_or_else(
        || root.to_owned(),
        |base| {
            let mut base = base.clone();
            base.set_query(None);
            base.set_fragment(None);
            base.as_str().trim_end_matches('/').to_owned()
        },
    );
    if wire == Wire::Ollama {
        // People paste the address of Ollama's OpenAI-compatible API as well.
        for tail in ["/v1", "/api"] {
            if let Some(shorter) = address.strip_suffix(tail) {
                address.truncate(shorter.len());
            }
        }
    } else if !ends_in_version(&address) {
        address = format!("{address}/{version}");
    }
    address.push('/');
    address
}

/// Whether the last segment of a path names a version, such as `v1` or `v1beta`.
fn ends_in_version(address: &str) -> bool {
    let last = address.rsplit('/').next().unwrap_or_default();
    last.strip_prefix('v')
        .is_some_and(|rest| rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit()))
        && last.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_with_and_without_slash_and_version() {
        let of =
            |base: &str, wire| endpoint(Some(&Url::parse(base).unwrap()), Provider::OpenAi, wire);
        for base in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            assert_eq!(of(base, Wire::OpenAiChat), "http://h:1/v1/", "{base}");
            assert_eq!(of(base, Wire::OpenAiResponses), "http://h:1/v1/", "{base}");
            assert_eq!(of(base, Wire::Anthropic), "http://h:1/v1/", "{base}");
            assert_eq!(of(base, Wire::Ollama), "http://h:1/", "{base}");
        }
        assert_eq!(of("http://h/api/v4", Wire::OpenAiChat), "http://h/api/v4/");
        assert_eq!(of("http://h/vault", Wire::OpenAiChat), "http://h/vault/v1/");
        assert_eq!(of("http://h:1?x=1#y", Wire::Gemini), "http://h:1/v1beta/");
        assert_eq!(of("http://h/v1beta", Wire::Gemini), "http://h/v1beta/");
        assert_eq!(
            endpoint(None, Provider::OpenRouter, Wire::OpenAiChat),
            "https://openrouter.ai/api/v1/"
        );
    }
}
