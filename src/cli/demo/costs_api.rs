//! The small API that the demo serves itself, so that a server made from its description has
//! something to call: `examples/demo/servers/costs_api.yaml`, on loopback, in memory.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Expenses = Arc<Mutex<Vec<Value>>>;

/// The API while it is served.
pub(super) struct CostsApi {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl CostsApi {
    /// Serves it on a free port.
    pub(super) async fn start() -> std::io::Result<Self> {
        let expenses: Expenses = Arc::new(Mutex::new(first()));
        let app = Router::new()
            .route("/v1/expenses", get(list).post(add))
            .route("/v1/expenses/{number}", get(one))
            .with_state(expenses);
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::warn!(error.cause = %error, "the demo's own API ended");
            }
        });
        Ok(Self { address, serving })
    }

    /// Its host and port.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where it is.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for CostsApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn first() -> Vec<Value> {
    [
        ("Flat in Alfama", "Ana", 680.0, "flat"),
        ("Car for a day", "Ben", 92.0, "car"),
        ("Grilled sardines", "Cleo", 76.0, "food"),
        ("Tram and ferry", "Dan", 31.5, "other"),
    ]
    .into_iter()
    .zip(1..)
    .map(|((what, paid_by, amount, kind), number)| {
        json!({"number": number, "what": what, "paid_by": paid_by, "amount": amount, "kind": kind})
    })
    .collect()
}

async fn list(State(expenses): State<Expenses>, RawQuery(query): RawQuery) -> Json<Value> {
    let query = query.unwrap_or_default();
    let wanted: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    // Every name that is asked for must fit one of its values.
    let fits = |expense: &Value| {
        wanted.iter().all(|(name, _)| {
            let value = expense.get(name).and_then(Value::as_str);
            wanted.iter().any(|(other, wanted)| other == name && value == Some(wanted))
        })
    };
    let expenses = expenses.lock().unwrap_or_else(PoisonError::into_inner);
    Json(expenses.iter().filter(|expense| fits(expense)).cloned().collect())
}

async fn add(
    State(expenses): State<Expenses>,
    Json(mut expense): Json<Map<String, Value>>,
) -> (StatusCode, Json<Value>) {
    let mut expenses = expenses.lock().unwrap_or_else(PoisonError::into_inner);
    expense.insert("number".to_owned(), Value::from(expenses.len() + 1));
    let expense = Value::Object(expense);
    expenses.push(expense.clone());
    (StatusCode::CREATED, Json(expense))
}

async fn one(
    State(expenses): State<Expenses>,
    Path(number): Path<usize>,
) -> Result<Json<Value>, StatusCode> {
    let expenses = expenses.lock().unwrap_or_else(PoisonError::into_inner);
    let found = number.checked_sub(1).and_then(|index| expenses.get(index));
    found.cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}
