//! What the web says about an API, for the model that designs the tools: Tavily's search, or a
//! service that speaks like it. Answers are kept on disk by query, and are data wherever they go.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{FactoryError, Refusal};
use super::names::prose;
use crate::config::Secret;
use crate::config::factory::FactoryConfig;
use crate::storage::blobs::sha256_hex;

/// The service, when nothing else is configured.
const SERVICE: &str = "https://api.tavily.com/";
/// Longest query that the service takes.
const QUERY: usize = 380;
/// Pages of one answer.
const PAGES: usize = 5;
/// Letters of one page.
const PAGE: usize = 4_000;
/// Bytes of one answer.
const ANSWER: usize = 1024 * 1024;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer is good.
const FRESH: Duration = Duration::from_hours(24 * 7);

/// A page that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    /// Its title.
    #[serde(default)]
    pub(super) title: String,
    /// Its address.
    pub(super) url: String,
    /// What of it fits the query.
    #[serde(default)]
    pub(super) content: String,
}

/// What a search brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Searched {
    /// What was looked for.
    pub(super) query: String,
    /// What was found, best first.
    pub(super) pages: Vec<Page>,
    /// Whether it was kept from an earlier search.
    #[serde(default)]
    pub(super) is_kept: bool,
}

impl Searched {
    /// The pages as a text for a prompt.
    pub(super) fn as_text(&self) -> String {
        let pages: Vec<String> = self
            .pages
            .iter()
            .map(|page| format!("{}\n{}\n{}", page.title, page.url, page.content))
            .collect();
        pages.join("\n\n---\n\n")
    }
}

/// Searches, with answers kept in a folder.
pub(super) struct WebSearch<'a> {
    key: &'a Secret,
    address: url::Url,
    folder: PathBuf,
}

impl<'a> WebSearch<'a> {
    /// The configured service.
    ///
    /// # Errors
    /// When there is no key for it.
    pub(super) fn new(config: &'a FactoryConfig, folder: PathBuf) -> Result<Self, FactoryError> {
        let Some(key) = &config.tavily_api_key else {
            return Err(FactoryError::new(
                Refusal::Arguments,
                "`options.web_search` cannot be used: there is no key for a search service",
                "the operator sets TAVILY_API_KEY (`factory.tavily_api_key`); or leave `web_search` out",
            ));
        };
        let root = config.tavily_base_url.as_ref().map_or(SERVICE, url::Url::as_str);
        let address = url::Url::parse(&format!("{}/search", root.trim_end_matches('/')));
        let address = address.map_err(|error| {
            FactoryError::new(
                Refusal::Arguments,
                format!("`factory.tavily_base_url` cannot be used: {error}"),
                "write it like https://api.tavily.com",
            )
        })?;
        Ok(Self { key, address, folder })
    }

    /// Looks for the documentation of what a description is about.
    ///
    /// # Errors
    /// When the service does not answer as it should.
    pub(super) async fn documentation(&self, words: &str) -> Result<Searched, FactoryError> {
        let about = prose(words, 2_000).replace(['\n', '\r'], " ");
        let about: String = about.chars().take(QUERY - 40).collect();
        let query = format!("API documentation: {about}");
        let file = self.folder.join(format!("{}.json", sha256_hex(query.as_bytes()).0));
        if let Some(kept) = kept(&file).await {
            return Ok(kept);
        }
        let pages = self.ask(&query).await.map_err(|reason| {
            FactoryError::new(
                Refusal::NotAccessible,
                format!("the web search failed: {reason}"),
                "repeat the call, or leave `options.web_search` out",
            )
        })?;
        let searched = Searched { query, pages, is_kept: false };
        self.keep(&file, &searched).await;
        Ok(searched)
    }

    async fn ask(&self, query: &str) -> Result<Vec<Page>, String> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Page>,
        }
        #[expect(clippy::disallowed_methods, reason = "the adapter of the search service")]
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // The key must not follow a redirect.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let body = json!({
            "query": query,
            "max_results": PAGES,
            "search_depth": "basic",
            "include_answer": false,
        });
        let request = client.post(self.address.clone()).bearer_auth(self.key.expose()).json(&body);
        // What went wrong, without the address: it may be a private one.
        let told = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.send().await.map_err(told)?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("the service answered with status {status}"));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if bytes.len() + chunk.len() > ANSWER {
                return Err(format!("the answer has more than {ANSWER} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|error| format!("the answer is not as expected: {error}"))?;
        let pages = answer.results.into_iter().take(PAGES).map(|page| Page {
            title: prose(&page.title, 200),
            url: prose(&page.url, 500),
            content: prose(&page.content, PAGE),
        });
        Ok(pages.collect())
    }

    /// What is not kept is asked again: no reason to fail.
    async fn keep(&self, file: &std::path::Path, searched: &Searched) {
        let kept = async {
            tokio::fs::create_dir_all(&self.folder).await?;
            let part = file.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
            tokio::fs::write(&part, serde_json::to_vec(searched)?).await?;
            tokio::fs::rename(&part, file).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(error.cause = %error, "the answer of a web search could not be kept");
        }
    }
}

async fn kept(file: &std::path::Path) -> Option<Searched> {
    let written = tokio::fs::metadata(file).await.ok()?.modified().ok()?;
    if SystemTime::now().duration_since(written).is_ok_and(|age| age > FRESH) {
        return None;
    }
    let text = tokio::fs::read(file).await.ok()?;
    let searched: Searched = serde_json::from_slice(&text).ok()?;
    Some(Searched { is_kept: true, ..searched })
}
