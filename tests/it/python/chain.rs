//! The real program over MCP: a file by reference, an app and a PDF in one go, and a figure.

use serde_json::{Value, json};

use crate::support::product::{Installation, get, get_bytes, structured};

const FIRST: &str = "
import csv
rows = [('north', 12), ('south', 30), ('west', 7)]
with open('sales.csv', 'w', newline='') as file:
    csv.writer(file).writerows([('region', 'sold'), *rows])
len(rows)";

const CHAIN: &str = "
import asyncio, csv
import matplotlib.pyplot as plt

rows = [(row['region'], int(row['sold'])) for row in csv.DictReader(open('sales.csv'))]
total = sum(sold for _, sold in rows)
plt.bar([region for region, _ in rows], [sold for _, sold in rows])
plt.title('Sold by region')
items = ''.join(f'<li>{region}: {sold}</li>' for region, sold in rows)
page = f'<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sales</title></head><body><h1>Sold: {total}</h1><ul>{items}</ul></body></html>'
app, document = await asyncio.gather(
    _call_mcp_tool('create_web_app', {'app_name': 'sales', 'html': page}),
    _call_mcp_tool('create_pdf_document', {'doc_name': 'sales', 'html': page}),
)
{'app': app['url'], 'document': document['url'], 'total': total}";

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_file_calls_two_tools_and_draws_a_figure() {
    // The machine is busy with other tests.
    let world = Installation::new()
        .with("ATELIER_BROWSER__LOAD_S", "60")
        .with("ATELIER_BROWSER__DEADLINE_S", "120");
    let mut client = world.stdio().await;
    let first = client.call("execute_python_code", json!({"code": FIRST})).await;
    assert_eq!(first["result"], 3, "{first}");
    let reference = format!("@@ref_{}__files__0__url", first["call_id"].as_str().unwrap());
    let arguments = json!({
        "code": CHAIN, "files": {"sales.csv": reference}, "timeout_seconds": 120,
        "caller_user_id": "+49",
    });
    let mut raw = client.call_raw("execute_python_code", arguments).await;
    let mut done = structured(&raw);
    while done["status"] == "running" {
        raw = client.call_raw("get_job", json!({"job_id": done["job_id"]})).await;
        done = structured(&raw);
    }
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(done["result"]["total"], 49);
    let (status, page) = get(done["result"]["app"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert!(page.contains("Sold: 49"), "{page}");
    let (status, pdf) = get_bytes(done["result"]["document"].as_str().unwrap()).await;
    assert!(status == 200 && pdf.starts_with(b"%PDF-"), "{status}");
    let images: Vec<&Value> = raw["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["type"] == "image")
        .collect();
    assert_eq!(images.len(), 1, "{done}");
    assert_eq!(images[0]["mimeType"], "image/png");
    let figure = &done["files"][0];
    assert_eq!(figure["type"], "image/png", "{done}");
    let (status, png) = get_bytes(figure["url"].as_str().unwrap()).await;
    assert!(status == 200 && png.starts_with(b"\x89PNG"), "{status}");
    assert_eq!(done["tool_calls"].as_array().map(Vec::len), Some(2));
    // The documents are the user's that the call named.
    for (user, count) in [("+49", 1), ("+17145986105", 0)] {
        let list = client.call("list_web_apps", json!({"user_number": user})).await;
        assert_eq!(list["web_apps"].as_array().map(Vec::len), Some(count), "{list}");
    }

    // An address leads to its file alone.
    let url = first["files"][0]["url"].as_str().unwrap();
    let (status, csv) = get(url).await;
    assert_eq!(status, 200);
    assert!(csv.starts_with("region,sold"), "{csv}");
    let (start, name) = url.rsplit_once('/').unwrap();
    let (root, token) = start.rsplit_once('/').unwrap();
    let (facts, signature) = token.split_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    for wrong in [
        format!("{start}/other%2Ecsv"),
        format!("{root}/{facts}.{turned}/{name}"),
        format!("{root}/{facts}/{name}"),
        format!("{root}/x.y/{name}"),
        format!("{start}/"),
    ] {
        assert_eq!(get_bytes(&wrong).await.0, 404, "{wrong}");
    }
    let (code, log) = client.close().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_code_and_server_stay_where_they_are() {
    const SECRET: &str = "hush-7Kq0vYx2";
    const KEY: &str = "sk-planted-9Zr4";
    let world = Installation::new()
        .with("ATELIER_LOG", "trace")
        .with("ANTHROPIC_API_KEY", KEY)
        .with("ANTHROPIC_BASE_URL", "http://127.0.0.1:1");
    let mut client = world.stdio().await;
    let code = format!(
        "
import os, sys
secret = '{SECRET}'
print(secret)
try:
    await _call_mcp_tool('list_web_apps', {{'user_number': secret + '-user', 'limit': secret}})
except McpToolError as error:
    pass
found = []
for place in ['/proc/self/environ', '/proc/1/environ']:
    try:
        found.append(open(place, 'rb').read().decode(errors='replace'))
    except OSError as error:
        found.append(str(error))
[str(os.environ), found, secret]"
    );
    let done = client.call("execute_python_code", json!({"code": code})).await;
    assert_eq!(done["result"][2], SECRET, "{done}");
    assert!(!done.to_string().contains(KEY), "{done}");
    let failed = client
        .call("execute_python_code", json!({"code": format!("raise ValueError('{SECRET}')")}))
        .await;
    assert_eq!(failed["code"], "python_error");
    let (_, log) = client.close().await;
    assert!(log.contains("execute_python_code"), "nothing was logged: {log}");
    assert!(!log.contains(SECRET), "the log holds what the code had");
    assert!(!log.contains(KEY), "the log holds a key");
}
