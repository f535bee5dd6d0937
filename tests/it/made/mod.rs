//! Servers that were made, in the catalog: through the real program, with a real API behind them.

mod chain;
mod command_line;
mod life;
mod plugins;
mod principals;
mod production;
mod reuse;
mod written;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::support::factory_python::environment;
use crate::support::product::Installation;

/// An API of this test, on loopback.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    /// Keys that came with requests.
    pub(crate) keys: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        let keys = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new()
            .route("/trips", get(trips).post(add))
            .route("/trips/{id}", get(trip))
            .with_state(Arc::clone(&keys));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, keys, task }
    }

    /// Its description.
    pub(crate) fn document(&self) -> String {
        document(&format!("http://{}", self.address))
    }
}

/// The description of an API of trips.
pub(crate) fn document(address: &str) -> String {
    format!(
        r"
openapi: 3.0.3
info: {{title: Trips, description: Journeys by train, version: 1.0.0}}
servers: [{{url: '{address}'}}]
components:
  securitySchemes:
    key: {{type: apiKey, in: header, name: X-Api-Key}}
paths:
  /trips:
    get:
      operationId: listTrips
      summary: Lists all journeys by train
      security: [{{key: []}}]
      responses: {{200: {{description: all}}}}
    post:
      operationId: addTrip
      summary: Adds a journey
      requestBody: {{required: true, content: {{application/json: {{schema: {{type: object, required: [to], properties: {{to: {{type: string}}}}}}}}}}}}
      responses: {{201: {{description: made}}}}
  /trips/{{id}}:
    get:
      operationId: getTrip
      summary: One journey by its number
      parameters: [{{name: id, in: path, required: true, schema: {{type: integer}}}}]
      responses: {{200: {{description: one}}}}
"
    )
}

async fn trips(State(keys): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap) -> Json<Value> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    keys.lock().unwrap().push(key.to_owned());
    Json(json!([{"id": 1, "to": "Porto"}, {"id": 2, "to": "Faro"}]))
}

async fn add(Json(trip): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"id": 3, "to": trip["to"]})))
}

async fn trip(Path(id): Path<i64>) -> Json<Value> {
    Json(json!({"id": id, "to": "Porto"}))
}

/// An installation that runs made servers.
pub(crate) fn installation() -> Installation {
    Installation::new()
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().display().to_string())
        .with("ATELIER_FACTORY__PRIVATE_HOSTS", "127.0.0.1")
        .with("ATELIER_FACTORY__VARIABLES__KEY", "secret-key")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "60")
}
