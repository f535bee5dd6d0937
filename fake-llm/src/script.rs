//! The neutral script: what to match and what to answer, with no vendor's wire in it.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::capture::CapturedRequest;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::vendor::Vendor;

/// An ordered list of rules; the first one that matches a request answers it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Tried from first to last.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Models named by the listing endpoints; a typical one when empty.
    #[serde(default)]
    pub models: Vec<ListedModel>,
}

/// A model shown by `/v1/models`, `/v1beta/models` and `/api/tags`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedModel {
    /// The id a client sends back.
    pub id: String,
    /// OpenAI's listing names the day a model ends; left out when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_date: Option<String>,
}

impl Script {
    /// A script without rules: every model request is unmatched.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule after the ones already there.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a rule that answers any model request with `reply`.
    #[must_use]
    pub fn reply(self, reply: Reply) -> Self {
        self.rule(Rule::reply(reply))
    }

    /// Adds a model to the listing endpoints.
    #[must_use]
    pub fn model(mut self, id: impl Into<String>) -> Self {
        self.models.push(ListedModel { id: id.into(), shutdown_date: None });
        self
    }

    /// Reads a script from its JSON form.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("the script is not valid")
    }
}

/// Computes an answer from the request, for tests that run in the same process.
type Responder = Arc<dyn Fn(&CapturedRequest) -> Answer + Send + Sync>;

/// What a rule or a closure decides: the reply and how its bytes are spoiled.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The neutral reply.
    pub reply: Reply,
    /// Faults applied to the encoded reply.
    pub faults: Vec<Fault>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, faults: Vec::new() }
    }
}

/// One line of a script.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Conditions; all of them must hold.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// The answer in neutral form.
    #[serde(default)]
    pub reply: Reply,
    /// Faults on top of the answer.
    #[serde(default, alias = "fault", deserialize_with = "one_or_many")]
    pub faults: Vec<Fault>,
    /// How often the rule may answer; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,
    #[serde(skip)]
    pub(crate) responder: Option<Responder>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rule")
            .field("matches", &self.matches)
            .field("reply", &self.reply)
            .field("faults", &self.faults)
            .field("times", &self.times)
            .field("computed", &self.responder.is_some())
            .finish()
    }
}

impl Rule {
    /// A rule that answers any model request with `reply`.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self { reply, ..Self::default() }
    }

    /// A rule whose answer is computed from each request.
    pub fn compute<Compute, Computed>(compute: Compute) -> Self
    where
        Compute: Fn(&CapturedRequest) -> Computed + Send + Sync + 'static,
        Computed: Into<Answer>,
    {
        Self {
            responder: Some(Arc::new(move |request| compute(request).into())),
            ..Self::default()
        }
    }

    /// Answers only the `nth` model request of the server, counted from 1.
    #[must_use]
    pub fn on_nth(mut self, nth: usize) -> Self {
        self.matches.nth = Some(nth);
        self
    }

    /// Answers only this vendor's wire.
    #[must_use]
    pub fn on_vendor(mut self, vendor: Vendor) -> Self {
        self.matches.vendor = Some(vendor);
        self
    }

    /// Answers only when the last user text matches this regular expression.
    #[must_use]
    pub fn on_user_text(mut self, pattern: impl Into<String>) -> Self {
        self.matches.user_text = Some(pattern.into());
        self
    }

    /// Answers only when the system prompt matches this regular expression.
    #[must_use]
    pub fn on_system(mut self, pattern: impl Into<String>) -> Self {
        self.matches.system = Some(pattern.into());
        self
    }

    /// Answers only when the request ends with tool results that match.
    #[must_use]
    pub fn on_tool_result(mut self, pattern: impl Into<String>) -> Self {
        self.matches.tool_result = Some(pattern.into());
        self
    }

    /// Answers only when all these tools are declared.
    #[must_use]
    pub fn on_tools<Name: Into<String>>(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.matches.tool_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Answers only when the model id matches this regular expression.
    #[must_use]
    pub fn on_model(mut self, pattern: impl Into<String>) -> Self {
        self.matches.model = Some(pattern.into());
        self
    }

    /// Answers only when the path matches this regular expression.
    #[must_use]
    pub fn on_path(mut self, pattern: impl Into<String>) -> Self {
        self.matches.path = Some(pattern.into());
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Exhausts the rule after `times` answers.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }
}

/// Conditions of a rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Number of the model request, from 1, over the life of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<usize>,
    /// The wire the request came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Regular expression over the last text the user wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_text: Option<String>,
    /// Regular expression over the system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Regular expression over the tool results at the end of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_result: Option<String>,
    /// Tools that must be declared; others may be as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_names: Option<Vec<String>>,
    /// Regular expression over the model id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Regular expression over the path; the only condition that also reaches listings and probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A [`Match`] with its patterns compiled, so that a bad one fails at start and not mid-test.
#[derive(Debug)]
pub(crate) struct CompiledMatch {
    nth: Option<usize>,
    vendor: Option<Vendor>,
    tool_names: Option<Vec<String>>,
    user_text: Option<Regex>,
    system: Option<Regex>,
    tool_result: Option<Regex>,
    model: Option<Regex>,
    path: Option<Regex>,
}

impl Match {
    pub(crate) fn compile(&self) -> anyhow::Result<CompiledMatch> {
        Ok(CompiledMatch {
            nth: self.nth,
            vendor: self.vendor,
            tool_names: self.tool_names.clone(),
            user_text: compile_pattern("user_text", self.user_text.as_deref())?,
            system: compile_pattern("system", self.system.as_deref())?,
            tool_result: compile_pattern("tool_result", self.tool_result.as_deref())?,
            model: compile_pattern("model", self.model.as_deref())?,
            path: compile_pattern("path", self.path.as_deref())?,
        })
    }
}

fn compile_pattern(field: &str, pattern: Option<&str>) -> anyhow::Result<Option<Regex>> {
    pattern
        .map(|pattern| Regex::new(pattern).with_context(|| format!("`{field}`: bad pattern")))
        .transpose()
}

impl CompiledMatch {
    pub(crate) fn accepts(&self, request: &CapturedRequest, nth: usize) -> bool {
        let text_matches = |pattern: &Option<Regex>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.is_match(text)))
        };
        self.nth.is_none_or(|wanted| wanted == nth)
            && self.vendor.is_none_or(|wanted| request.vendor == Some(wanted))
            && text_matches(&self.user_text, request.user_text.as_deref())
            && text_matches(&self.system, request.system.as_deref())
            && text_matches(&self.tool_result, request.tool_result.as_deref())
            && text_matches(&self.model, request.model.as_deref())
            && text_matches(&self.path, Some(&request.path))
            && self
                .tool_names
                .as_ref()
                .is_none_or(|wanted| wanted.iter().all(|name| request.tool_names.contains(name)))
    }

    /// Listings and probes are answered without a rule, so a catch-all rule must not be used up by them.
    pub(crate) fn accepts_probe(&self, request: &CapturedRequest) -> bool {
        self.path.as_ref().is_some_and(|pattern| pattern.is_match(&request.path))
    }
}

/// Scripts with one fault are common enough to be spared the brackets.
fn one_or_many<'de, Source>(source: Source) -> Result<Vec<Fault>, Source::Error>
where
    Source: serde::Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Many(Vec<Fault>),
        One(Fault),
    }
    Ok(match OneOrMany::deserialize(source)? {
        OneOrMany::Many(faults) => faults,
        OneOrMany::One(fault) => vec![fault],
    })
}
