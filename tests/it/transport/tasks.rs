//! MCP tasks over our jobs.

use serde_json::{Value, json};

use super::bench::Bench;
use super::stdio_client::StdioClient;

fn with_tasks() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

#[tokio::test]
async fn a_long_call_is_a_task_for_those_who_know_tasks() {
    let bench = Bench::new().await;
    let mut client = StdioClient::modern(&bench, &with_tasks());
    // What is quick needs no task.
    let answer = client.call("echo", json!({"text": "quick"})).await;
    assert_eq!(answer["result"]["resultType"], "complete");

    let answer = client.call("slow", json!({"text": "x"})).await;
    let task = &answer["result"];
    assert_eq!(task["resultType"], "task", "{answer}");
    assert_eq!(task["status"], "working");
    assert!(task["createdAt"].as_str().unwrap().ends_with('Z'));
    assert!(task["ttlMs"].is_u64() && task["pollIntervalMs"].is_u64());
    let id = task["taskId"].clone();
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "working", "{answer}");

    bench.gate.open();
    // The same job by its other name.
    client.call("get_job", json!({"job_id": id})).await;
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "completed", "{answer}");
    assert_eq!(answer["result"]["result"]["structuredContent"]["text"], "x");
    // It ended; cancelling changes nothing.
    client.request("tasks/cancel", json!({"taskId": id})).await;
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "completed");

    // Another connection, another process: the job store knows it.
    let other = bench.beside(|_| {}).await;
    let mut client = StdioClient::modern(&other, &with_tasks());
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "completed");
}

#[tokio::test]
async fn a_task_can_be_cancelled() {
    let bench = Bench::new().await;
    let mut client = StdioClient::modern(&bench, &with_tasks());
    let answer = client.call("slow", json!({})).await;
    let id = answer["result"]["taskId"].clone();
    let answer = client.request("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    bench.gate.stopped(1).await;
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "cancelled", "{answer}");
}

#[tokio::test]
async fn a_task_asks_the_client_model_and_goes_on() {
    let bench = Bench::new().await;
    let capabilities = json!({
        "sampling": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    });
    let mut client = StdioClient::modern(&bench, &capabilities);
    // Asked at once, it is a question in place of the result.
    let answer = client.call("ask", json!({"text": "Why?"})).await;
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");

    // Asked when it is a task already, it is the task's question.
    let answer = client.call("ask", json!({"text": "late: why?"})).await;
    assert_eq!(answer["result"]["resultType"], "task", "{answer}");
    let id = answer["result"]["taskId"].clone();
    bench.gate.open();
    let asked = loop {
        let answer = client.request("tasks/get", json!({"taskId": id})).await;
        if answer["result"]["status"] != "working" {
            break answer["result"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(asked["status"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["completion"]["params"];
    assert_eq!(question["messages"][0]["content"]["text"], "late: why?", "{asked}");
    let response = json!({
        "role": "assistant", "model": "m", "content": {"type": "text", "text": "Because."},
    });
    let params = json!({"taskId": id, "inputResponses": {"completion": response}});
    let answer = client.request("tasks/update", params).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    client.call("get_job", json!({"job_id": id})).await;
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["status"], "completed", "{answer}");
    let result = &answer["result"]["result"]["structuredContent"];
    assert_eq!(result["answer"], "Because.");
}

#[tokio::test]
async fn tasks_are_not_for_everybody() {
    let bench = Bench::with(|config| config.limits.answer_budget_s = 0.05).await;
    let mut client = StdioClient::modern(&bench, &json!({}));
    let answer = client.call("slow", json!({})).await;
    assert_eq!(answer["result"]["structuredContent"]["status"], "running", "{answer}");
    let id = answer["result"]["structuredContent"]["job_id"].clone();
    let answer = client.request("tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["error"]["code"], -32021, "{answer}");

    let mut client = StdioClient::modern(&bench, &with_tasks());
    for method in ["tasks/get", "tasks/cancel"] {
        let answer = client.request(method, json!({"taskId": "no-such-task"})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    let params = json!({"taskId": "no-such-task", "inputResponses": {}});
    let answer = client.request("tasks/update", params).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}
