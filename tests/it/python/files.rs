//! Files into a run and out of it.

use atelier::content_urls::HostedFile;
use atelier::storage::Sha256Hex;
use serde_json::{Value, json};

use super::support::Lab;
use crate::support::studio::Reply;

/// What a file of a result holds, by its address.
async fn content(lab: &Lab, reply: &Reply, index: usize) -> (HostedFile, Vec<u8>) {
    let url = reply.field("files")[index]["url"].as_str().unwrap_or_else(|| panic!("{reply:?}"));
    let file = lab.app.urls.hosted_file_of(url).unwrap_or_else(|| panic!("{url}"));
    let bytes = lab.app.blobs.get(&Sha256Hex(file.sha.clone())).await.unwrap();
    (file, bytes.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_come_out() {
    let lab = Lab::new().await;
    let code = "
import csv, json, os
rows = list(csv.DictReader(open('in/sales.csv', encoding='utf-8')))
extra = json.load(open('extra.json'))
total = sum(float(row['euro']) for row in rows) + extra['more']
os.makedirs('out')
with open('out/total.txt', 'w') as file: file.write(f'{total}')
with open('raw.bin', 'wb') as file: file.write(bytes(range(256)))
total";
    let arguments = json!({
        "code": code,
        "files": {"in/sales.csv": "what,euro\nTee,2.5\nKäse,4\n", "extra.json": {"more": 1.5}},
    });
    let made = lab.call("execute_python_code", arguments).await;
    assert_eq!(made.field("result"), 8.0, "{made:?}");
    let mut files: Vec<(&str, &str, u64)> = made
        .field("files")
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            (
                file["name"].as_str().unwrap(),
                file["type"].as_str().unwrap(),
                file["bytes"].as_u64().unwrap(),
            )
        })
        .collect();
    files.sort_unstable();
    // What was put in and left alone does not come out again.
    assert_eq!(
        files,
        [("out/total.txt", "text/plain", 3), ("raw.bin", "application/octet-stream", 256)]
    );
    let index = usize::from(made.field("files")[0]["name"] != "out/total.txt");
    let (file, bytes) = content(&lab, &made, index).await;
    assert_eq!((file.name.as_str(), bytes.as_slice()), ("total.txt", &b"8.0"[..]));

    // By reference into the next run, by address into another, and as an app's attachment.
    let reference = format!("@@ref_{}__files__{index}__url", made.text("call_id"));
    let code = "open('earlier.txt').read()";
    let again = lab
        .call("execute_python_code", json!({"code": code, "files": {"earlier.txt": reference}}))
        .await;
    assert_eq!(again.field("result"), "8.0", "{again:?}");
    let url = &made.field("files")[index]["url"];
    let again = lab
        .call(
            "execute_python_code",
            json!({"code": "open('total.txt').read()", "attachments": [url]}),
        )
        .await;
    assert_eq!(again.field("result"), "8.0", "{again:?}");
    let asked =
        lab.call("create_web_app", json!({"user_request": "show it", "attachments": [url]})).await;
    assert!(asked.prompt().contains("total.txt"), "{asked:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_nowhere_and_sizes_are_capped() {
    let lab = Lab::with(Vec::new(), |config| config.python.file_bytes = 100_000).await;
    let code = "
import os
os.symlink('/etc/passwd', 'passwd.txt')
os.symlink('/proc/self/environ', 'environ')
os.symlink('.', 'loop')
os.mkfifo('pipe')
open('good.txt', 'w').write('good')
open('big.bin', 'wb').write(b'x' * 200_000)
open('line\\nbreak.txt', 'w').write('odd name')";
    let reply = lab.run(code).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    let names: Vec<&str> = reply
        .field("files")
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"good.txt"), "{names:?}");
    assert!(names.iter().all(|name| !name.chars().any(char::is_control)), "{names:?}");
    for left_out in ["passwd.txt", "environ", "loop", "pipe", "big.bin"] {
        assert!(!names.contains(&left_out), "{names:?}");
        let told = reply
            .field("notes")
            .as_array()
            .unwrap()
            .iter()
            .any(|note| note.as_str().unwrap().contains(&format!("`{left_out}`")));
        assert!(told, "{left_out}: {reply:?}");
    }
    let whole = reply.0.structured.to_string();
    assert!(!whole.contains("root:"), "{whole}");
    // Each run begins with an empty folder.
    assert_eq!(lab.value("import glob\nglob.glob('**', recursive=True)").await, json!([]));
    // Files of a run that fails are kept too.
    let failed = lab.run("open('partial.txt', 'w').write('part'); 1 / 0").await;
    assert_eq!(failed.code(), "python_error");
    assert_eq!(failed.field("files")[0]["name"], "partial.txt", "{failed:?}");
    let (_, bytes) = content(&lab, &failed, 0).await;
    assert_eq!(bytes, b"part");
    assert_ne!(failed.field("files")[0]["url"], Value::Null);
    lab.close().await;
}
