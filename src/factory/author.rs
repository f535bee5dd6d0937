//! The author of a server's tools. One answer designs the tools and writes their bodies; of larger
//! servers it designs them alone, and each body is a question of its own, several at a time.
//!
//! Questions in parts are for models that answer at once. Whoever writes by hand, the host or a client
//! that is asked question by question, gets one question for everything.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use minijinja::value::Value as PromptValue;
use serde_json::{Map, Value, json};

use super::execution_log::ExecutionLog;
use super::write::{Conversation, Opening, json_of};
use crate::jobs::{Failure, Run};
use crate::llm::{Outcome, Route};
use crate::prompts::Prompts;

/// Tools whose bodies fit into one answer with their design.
const WHOLE: u32 = 5;
/// Bodies that are asked for at a time.
const AT_A_TIME: usize = 4;

/// Writes tools, over several rounds.
pub(super) struct Author<'a> {
    run: &'a Run,
    prompts: &'a Prompts,
    model: &'a str,
    words: (&'a str, &'a str),
    talk: Conversation<'a>,
    /// The last answer for the whole server, as it was given.
    answer: String,
    /// The server in parts, when it is written so.
    parts: Option<Parts<'a>>,
    model_used: Option<String>,
    problems: Vec<String>,
}

/// A design, and a conversation about the body of each tool.
struct Parts<'a> {
    design: Map<String, Value>,
    bodies: Vec<Body<'a>>,
}

/// The body of one tool.
struct Body<'a> {
    talk: Conversation<'a>,
    name: String,
    /// The last answer, as it was given.
    answer: String,
    /// The code, unless it has to be written (again).
    code: Result<String, Vec<String>>,
    is_open: bool,
}

impl<'a> Author<'a> {
    /// Who writes a server of these words, with what the web says about them.
    pub(super) async fn new(
        run: &'a Run,
        prompts: &'a Prompts,
        model: &'a str,
        words: (&'a str, &'a str),
    ) -> Result<Self, Failure> {
        // Decided once: an attempt that goes on must ask what the first one asked.
        let in_parts: bool = run
            .step("in_parts", || async {
                let named = Some(model).filter(|model| !model.trim().is_empty());
                let at_hand = run.model_at_hand(named).await?;
                Ok::<_, Failure>(matches!(at_hand.route, Route::Api | Route::Local))
            })
            .await?;
        let opening = Opening {
            prompt: "factory/tools",
            inputs: BTreeMap::from([
                ("description", PromptValue::from(words.0)),
                ("found", PromptValue::from(words.1)),
                ("whole", PromptValue::from(if in_parts { WHOLE } else { 0 })),
            ]),
            name: "tools".to_owned(),
        };
        let talk = Conversation::new(run, prompts, model, opening)?;
        Ok(Self {
            run,
            prompts,
            model,
            words,
            talk,
            answer: String::new(),
            parts: None,
            model_used: None,
            problems: Vec::new(),
        })
    }

    /// The model that answered last; none: the host.
    pub(super) fn model_used(&self) -> Option<String> {
        self.model_used.clone()
    }

    /// What was wrong with the last answer.
    pub(super) fn problems(self) -> Vec<String> {
        self.problems
    }

    /// The tools with their bodies, or what is wrong with what was answered.
    pub(super) async fn write(
        &mut self,
        attempt: u32,
        log: &mut ExecutionLog,
    ) -> Result<Result<Value, Vec<String>>, Failure> {
        if self.parts.is_none() {
            let outcome = self.talk.ask(attempt).await?;
            let (system, user) = self.talk.asked();
            log.model_call(&outcome, ("tools", attempt), system, &user);
            self.answer.clone_from(&outcome.text);
            self.model_used = outcome.model_used;
            let value = match json_of(&outcome.text) {
                Ok(value) => value,
                Err(problems) => return Ok(Err(problems)),
            };
            let Some(design) = without_bodies(&value) else { return Ok(Ok(value)) };
            self.parts = Some(self.parts_of(design)?);
        }
        let Some(parts) = &mut self.parts else { return Ok(Err(Vec::new())) };
        self.run.progress(8.0, Some(100.0), "asking for the bodies of the tools");
        let written = parts.write(attempt, log).await?;
        self.model_used = written.or(self.model_used.take());
        let whole = parts.whole();
        if let Ok(value) = &whole {
            self.answer = value.to_string();
        }
        Ok(whole)
    }

    /// Sends an answer back. What is wrong with single bodies goes to their authors alone.
    pub(super) fn refuse(&mut self, problems: Vec<String>) -> Result<(), Failure> {
        self.problems.clone_from(&problems);
        if let Some(parts) = &mut self.parts
            && parts.refuse(&problems)?
        {
            return Ok(());
        }
        self.parts = None;
        self.talk.refuse(std::mem::take(&mut self.answer), problems)
    }

    fn parts_of(&self, design: Map<String, Value>) -> Result<Parts<'a>, Failure> {
        let (description, found) = self.words;
        let tools = design.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
        let name =
            |tool: &Value| tool.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let names: Vec<String> = tools.iter().map(name).collect();
        let server = json!({
            "title": design.get("title"),
            "description": design.get("description"),
            "tools": names,
        });
        let bodies = tools.iter().zip(names).zip(1..).map(|((tool, name), number)| {
            let opening = Opening {
                prompt: "factory/body",
                inputs: BTreeMap::from([
                    ("description", PromptValue::from(description)),
                    ("found", PromptValue::from(found)),
                    ("server", PromptValue::from(format!("{server:#}"))),
                    ("tool", PromptValue::from(format!("{tool:#}"))),
                ]),
                name: format!("body {number}"),
            };
            let talk = Conversation::new(self.run, self.prompts, self.model, opening)?;
            let code = Err(Vec::new());
            Ok(Body { talk, name, answer: String::new(), code, is_open: true })
        });
        Ok(Parts { design, bodies: bodies.collect::<Result<_, Failure>>()? })
    }
}

/// The design of a server that is written in parts: no tool of it has a body.
fn without_bodies(value: &Value) -> Option<Map<String, Value>> {
    let design = value.as_object()?;
    let tools = design.get("tools")?.as_array().filter(|tools| !tools.is_empty())?;
    let is_bare = |tool: &Value| {
        tool.is_object()
            && tool.get("implementation").is_none_or(|body| body.is_null() || body == "")
    };
    tools.iter().all(is_bare).then(|| design.clone())
}

impl Parts<'_> {
    /// Has the open bodies written, several at a time; tells the model that did.
    async fn write(
        &mut self,
        attempt: u32,
        log: &mut ExecutionLog,
    ) -> Result<Option<String>, Failure> {
        let open: Vec<usize> = (0..)
            .zip(&self.bodies)
            .filter(|(_, body)| body.is_open)
            .map(|(place, _)| place)
            .collect();
        let questions: Vec<BoxFuture<'_, Result<Outcome, Failure>>> = self
            .bodies
            .iter()
            .filter(|body| body.is_open)
            .map(|body| body.talk.ask(attempt).boxed())
            .collect();
        // All are waited for, whatever becomes of one: what was answered is paid, and stored.
        let answers: Vec<Result<Outcome, Failure>> =
            futures::stream::iter(questions).buffered(AT_A_TIME).collect().await;
        let mut model_used = None;
        for (place, answer) in open.into_iter().zip(answers) {
            let outcome = answer?;
            let Some(body) = self.bodies.get_mut(place) else { continue };
            let (system, user) = body.talk.asked();
            log.model_call(&outcome, (&format!("body of {}", body.name), attempt), system, &user);
            model_used = outcome.model_used.or(model_used);
            body.code = code_of(&outcome.text);
            body.answer = outcome.text;
            body.is_open = false;
        }
        Ok(model_used)
    }

    /// The design with its bodies, in the design's order.
    fn whole(&self) -> Result<Value, Vec<String>> {
        let problems: Vec<String> = self
            .bodies
            .iter()
            .filter_map(|body| body.code.as_ref().err().map(|problems| (body, problems)))
            .flat_map(|(body, problems)| {
                problems.iter().map(|problem| format!("`{}`: {problem}", body.name))
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut whole = self.design.clone();
        let tools = whole.get_mut("tools").and_then(Value::as_array_mut);
        for (tool, body) in tools.into_iter().flatten().zip(&self.bodies) {
            if let (Some(tool), Ok(code)) = (tool.as_object_mut(), &body.code) {
                tool.insert("implementation".to_owned(), Value::from(code.clone()));
            }
        }
        Ok(Value::Object(whole))
    }

    /// Sends bodies back to their authors; `false` when a problem is of no single body, or of the
    /// design.
    fn refuse(&mut self, problems: &[String]) -> Result<bool, Failure> {
        let mut told: Vec<Vec<String>> = vec![Vec::new(); self.bodies.len()];
        for problem in problems {
            let words = words(problem);
            let mut is_anybodys = false;
            for (body, told) in self.bodies.iter().zip(&mut told) {
                if is_about(&words, &body.name) {
                    told.push(problem.clone());
                    is_anybodys = true;
                }
            }
            // A body cannot put its schema right.
            if !is_anybodys || OF_DESIGNS.iter().any(|word| problem.contains(word)) {
                return Ok(false);
            }
        }
        for (body, told) in self.bodies.iter_mut().zip(told) {
            if !told.is_empty() {
                body.talk.refuse(std::mem::take(&mut body.answer), told)?;
                body.is_open = true;
            }
        }
        Ok(true)
    }
}

/// What problems of a tool's design are told with.
const OF_DESIGNS: [&str; 5] = [
    "`input_schema`",
    "is not available; there are",
    "no name of an environment variable",
    "it has no name",
    "the arguments of example",
];

/// The code of an answer about one body.
fn code_of(answer: &str) -> Result<String, Vec<String>> {
    let value = json_of(answer)?;
    match value.get("implementation").and_then(Value::as_str) {
        Some(code) if !code.trim().is_empty() => Ok(code.to_owned()),
        Some(_) | None => Err(vec!["the answer holds no text `implementation`".to_owned()]),
    }
}

/// The names in a text.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-'))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether a tool is named: by itself, by its module, or by one of its examples.
fn is_about(words: &BTreeSet<&str>, tool: &str) -> bool {
    let module = tool.replace('-', "_");
    words.iter().any(|word| {
        let of_example = word.strip_prefix("test_").unwrap_or(word).strip_prefix(tool);
        *word == tool
            || *word == module
            || of_example.and_then(|rest| rest.strip_prefix("_example_")).is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_find_their_tools() {
        for (problem, tool, expected) in [
            ("`add`: `implementation` is no Python", "add", true),
            ("tools/add.py:3: `os.system` starts a shell", "add", true),
            ("tools/add_all.py:3: `os.system` starts a shell", "add", false),
            ("add_example_2: answered {}", "add", true),
            ("test_cases[add_example_2] failed", "add", true),
            ("add_all_example_2: answered {}", "add", false),
            ("add_example_x", "add", false),
            ("in tools/get_one.py", "get-one", true),
            ("`tools/list` has 200000 bytes", "add", false),
        ] {
            assert_eq!(is_about(&words(problem), tool), expected, "{problem}");
        }
    }

    #[test]
    fn a_design_has_no_bodies_at_all() {
        let tools = |tools: Value| json!({"title": "x", "tools": tools});
        assert!(
            without_bodies(&tools(json!([{"name": "a"}, {"name": "b", "implementation": null}])))
                .is_some()
        );
        assert!(
            without_bodies(&tools(json!([{"name": "a"}, {"name": "b", "implementation": "x"}])))
                .is_none()
        );
        assert!(without_bodies(&tools(json!([]))).is_none());
        assert!(without_bodies(&json!([{"name": "a"}])).is_none());
    }
}
