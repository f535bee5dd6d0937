//! The model that answers a call that names none, and why it is that one.

use super::{Check, Status};
use crate::config::llm::LlmConfig;
use crate::llm::ClientModels;
use crate::llm::resolve::{Models, system_calendar};

const NAME: &str = "model";

pub(super) async fn check(config: &LlmConfig) -> Check {
    let models = match Models::new(config, system_calendar()) {
        Ok(models) => models,
        Err(error) => {
            let fix = "correct the file that `llm.models_file` names, or remove the key";
            return Check::finding(NAME, Status::Failed, error.to_string(), fix);
        }
    };
    // As an MCP client without sampling sees it, which is most of them.
    let client = ClientModels { host_completion: true, ..ClientModels::default() };
    if let Err(error) = models.choose(None, &client).await {
        let fix = error.hint.unwrap_or_else(|| "correct the section `[llm]`".to_owned());
        return Check::finding(NAME, Status::Failed, error.message, fix);
    }
    let steps = models.explain(&client).await;
    let answer = steps.iter().find(|step| step.wins).map(|step| match &step.model {
        Some(model) => format!("{model}: {}", step.reason),
        None => step.reason.clone(),
    });
    let mut check = Check::ok(NAME, answer.unwrap_or_default());
    check.reasons = steps
        .iter()
        .map(|step| {
            let mark = if step.wins { "answers" } else { "does not" };
            format!("step {} {mark}: {}", step.number, step.reason)
        })
        .collect();
    check
}
