//! The person in front of an MCP client, asked by elicitation.
//!
//! Up to protocol 2025-11-25 we ask over the live connection ([`ClientPerson`]). From 2026-07-28 on
//! a question travels in place of a result, and the client repeats its call with the answer: the
//! job waits meanwhile, with a [`Mailbox`] between it and whichever request comes next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use rmcp::model::{
    ClientCapabilities, ClientResult, ElicitRequest, ElicitRequestParams, RequestId, ServerRequest,
};
use rmcp::service::{OriginatingRequestId, Peer, RoleServer};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::registry::{CallerPerson, PersonAnswer, PersonQuestion};
use crate::storage::{JobId, PrincipalId};

/// Whether a client can show forms to its user.
pub(super) fn shows_forms(capabilities: &ClientCapabilities) -> bool {
    // One that names neither kind means forms, as all did before there were two.
    capabilities
        .elicitation
        .as_ref()
        .is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

/// The question of the protocol; `None` for a schema that it has no form for.
pub(super) fn params(question: &PersonQuestion) -> Option<ElicitRequestParams> {
    let params = json!({
        "mode": "form",
        "message": question.message,
        "requestedSchema": question.schema,
    });
    serde_json::from_value(params).ok()
}

/// The answer in a result of `elicitation/create`.
pub(super) fn read(result: &Value) -> PersonAnswer {
    match result.get("action").and_then(Value::as_str) {
        Some("accept") => {
            PersonAnswer::Accepted(result.get("content").cloned().unwrap_or(Value::Null))
        }
        Some("decline") => PersonAnswer::Declined,
        Some("cancel") => PersonAnswer::Dismissed,
        Some(_) | None => PersonAnswer::Unreachable,
    }
}

/// The person in front of a connected client.
pub(super) struct ClientPerson {
    peer: Peer<RoleServer>,
    /// The client's request that is being answered. Over HTTP it decides on which stream the
    /// question travels.
    origin: RequestId,
}

impl ClientPerson {
    /// The person of this client, when it declared that it can ask one.
    pub(super) fn of(peer: &Peer<RoleServer>, origin: &RequestId) -> Option<Arc<dyn CallerPerson>> {
        shows_forms(&peer.peer_info()?.capabilities)
            .then(|| Arc::new(Self { peer: peer.clone(), origin: origin.clone() }) as _)
    }
}

impl std::fmt::Debug for ClientPerson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClientPerson").finish_non_exhaustive()
    }
}

#[async_trait]
impl CallerPerson for ClientPerson {
    async fn ask(&self, question: &PersonQuestion) -> PersonAnswer {
        let Some(params) = params(question) else { return PersonAnswer::Unreachable };
        let mut request = ElicitRequest::new(params);
        request.extensions.insert(OriginatingRequestId(self.origin.clone()));
        let answer = self.peer.send_request(ServerRequest::ElicitRequest(request)).await;
        if let Ok(ClientResult::ElicitResult(result)) = answer {
            read(&json!(result))
        } else {
            tracing::debug!("the client declared elicitation and did not ask its user");
            PersonAnswer::Unreachable
        }
    }

    fn inside(self: Arc<Self>) -> Option<Arc<dyn CallerPerson>> {
        Some(self)
    }
}

/// A question that waits for a request to travel with, or for its answer.
struct Pending {
    id: String,
    question: PersonQuestion,
    answer: Option<oneshot::Sender<PersonAnswer>>,
}

/// The questions of one call, between its job and the client's requests.
pub(super) struct Mailbox {
    principal: PrincipalId,
    pending: Mutex<VecDeque<Pending>>,
    changed: Notify,
}

impl Mailbox {
    fn pending(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question, as soon as there is one, with its id and job.
    pub(super) async fn question(&self) -> (String, JobId, PersonQuestion) {
        loop {
            let changed = self.changed.notified();
            let open = self.pending().front().and_then(|pending| {
                let job = pending.question.job.clone()?;
                Some((pending.id.clone(), job, pending.question.clone()))
            });
            if let Some(open) = open {
                return open;
            }
            changed.await;
        }
    }

    /// Hands an answer in. One for a question that is not open any more counts for nothing.
    pub(super) fn answer(&self, id: &str, answer: PersonAnswer) {
        let mut pending = self.pending();
        let Some(at) = pending.iter().position(|pending| pending.id == id) else { return };
        if let Some(sender) = pending.remove(at).and_then(|mut pending| pending.answer.take()) {
            // The job may have been stopped meanwhile.
            let _ = sender.send(answer);
        }
    }
}

/// Finds mailboxes by their jobs. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Mailboxes(Arc<Mutex<HashMap<JobId, Weak<Mailbox>>>>);

impl Mailboxes {
    /// A mailbox for a call of this principal.
    pub(super) fn open(principal: &PrincipalId) -> Arc<Mailbox> {
        Arc::new(Mailbox {
            principal: principal.clone(),
            pending: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The mailbox of a job of this principal.
    pub(super) fn find(&self, principal: &PrincipalId, job: &JobId) -> Option<Arc<Mailbox>> {
        let found = self.boxes().get(job)?.upgrade()?;
        (found.principal == *principal).then_some(found)
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Mailbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, job: &JobId, mailbox: &Arc<Mailbox>) {
        let mut boxes = self.boxes();
        boxes.retain(|_, mailbox| mailbox.strong_count() > 0);
        boxes.insert(job.clone(), Arc::downgrade(mailbox));
    }
}

/// The person in front of a client that takes questions in place of results.
pub(super) struct RetryPerson {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) mailboxes: Mailboxes,
}

impl std::fmt::Debug for RetryPerson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RetryPerson").finish_non_exhaustive()
    }
}

/// Takes a question back when nobody waits for its answer any more.
struct Withdrawn<'a> {
    mailbox: &'a Mailbox,
    id: String,
}

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        self.mailbox.pending().retain(|pending| pending.id != self.id);
        self.mailbox.changed.notify_waiters();
    }
}

#[async_trait]
impl CallerPerson for RetryPerson {
    async fn ask(&self, question: &PersonQuestion) -> PersonAnswer {
        let Some(job) = &question.job else { return PersonAnswer::Unreachable };
        if params(question).is_none() {
            return PersonAnswer::Unreachable;
        }
        self.mailboxes.keep(job, &self.mailbox);
        let (sender, receiver) = oneshot::channel();
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.mailbox.pending().push_back(Pending {
            id: id.clone(),
            question: question.clone(),
            answer: Some(sender),
        });
        let _withdrawn = Withdrawn { mailbox: &self.mailbox, id };
        self.mailbox.changed.notify_waiters();
        receiver.await.unwrap_or(PersonAnswer::Unreachable)
    }

    /// The repeated call goes on with the job that asked, so only the outermost one may ask.
    fn inside(self: Arc<Self>) -> Option<Arc<dyn CallerPerson>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(job: Option<&str>) -> PersonQuestion {
        let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}});
        PersonQuestion { message: "May I?".into(), schema, job: job.map(|id| JobId(id.into())) }
    }

    #[test]
    fn answers_are_read_in_every_form() {
        assert_eq!(
            read(&json!({"action": "accept", "content": {"ok": true}})),
            PersonAnswer::Accepted(json!({"ok": true}))
        );
        assert_eq!(read(&json!({"action": "accept"})), PersonAnswer::Accepted(Value::Null));
        assert_eq!(read(&json!({"action": "decline"})), PersonAnswer::Declined);
        assert_eq!(read(&json!({"action": "cancel"})), PersonAnswer::Dismissed);
        assert_eq!(read(&json!({"action": "later"})), PersonAnswer::Unreachable);
        assert_eq!(read(&json!([])), PersonAnswer::Unreachable);
    }

    #[tokio::test]
    async fn a_question_waits_in_the_mailbox_of_its_job_and_of_its_principal() {
        let mailboxes = Mailboxes::default();
        let ada = PrincipalId::from("ada");
        let mailbox = Mailboxes::open(&ada);
        let person =
            Arc::new(RetryPerson { mailbox: Arc::clone(&mailbox), mailboxes: mailboxes.clone() });
        assert_eq!(person.ask(&question(None)).await, PersonAnswer::Unreachable);
        let asking = tokio::spawn({
            let person = Arc::clone(&person);
            async move { person.ask(&question(Some("j1"))).await }
        });
        let (id, job, asked) = mailbox.question().await;
        assert_eq!((job.as_str(), asked.message.as_str()), ("j1", "May I?"));
        assert!(mailboxes.find(&"bob".into(), &job).is_none());
        let found = mailboxes.find(&ada, &job).unwrap();
        found.answer("another", PersonAnswer::Declined);
        found.answer(&id, PersonAnswer::Accepted(json!({"ok": true})));
        assert_eq!(asking.await.unwrap(), PersonAnswer::Accepted(json!({"ok": true})));
        // What was answered is not asked again.
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), mailbox.question());
        assert!(again.await.is_err());
        // A job that is stopped takes its question back.
        let asking = tokio::spawn({
            let person = Arc::clone(&person);
            async move { person.ask(&question(Some("j1"))).await }
        });
        mailbox.question().await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert!(mailbox.pending().is_empty());
        drop((person, mailbox, found));
        assert!(mailboxes.find(&ada, &job).is_none(), "it ends with its call");
    }
}
