//! The files that a run begins with.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::model::ExecuteCode;
use crate::error::ToolError;
use crate::sandbox::InputFile;

/// Where files behind addresses come from.
#[async_trait]
pub trait FileSource: Send + Sync {
    /// The files at these addresses, in order.
    ///
    /// # Errors
    /// When one of them cannot be had.
    async fn fetch(&self, addresses: &[String]) -> Result<Vec<FetchedFile>, ToolError>;
}

/// A file behind an address.
#[derive(Debug, Clone)]
pub struct FetchedFile {
    /// A name for it.
    pub name: String,
    /// Its content.
    pub bytes: Bytes,
}

/// The input files of a call, by name.
///
/// # Errors
/// When one cannot be had.
pub(super) async fn collect(
    source: &dyn FileSource,
    call: &ExecuteCode,
) -> Result<Vec<InputFile>, ToolError> {
    let mut inputs = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    let mut addresses: Vec<String> = Vec::new();
    for (name, content) in &call.files {
        match content {
            Value::String(text) if is_address(text) => {
                named.push(name);
                addresses.push(text.clone());
            }
            Value::String(text) => {
                inputs.push(InputFile { name: name.clone(), bytes: text.clone().into_bytes() });
            }
            // What is no text is data, and JSON is its file.
            other => {
                inputs
                    .push(InputFile { name: name.clone(), bytes: other.to_string().into_bytes() });
            }
        }
    }
    let attached = call.attachments.iter().filter(|address| !address.trim().is_empty());
    addresses.extend(attached.cloned());
    if addresses.is_empty() {
        return Ok(inputs);
    }
    let fetched = source.fetch(&addresses).await?;
    for (index, file) in fetched.into_iter().enumerate() {
        let name = match named.get(index) {
            Some(name) => (*name).to_owned(),
            None => free_name(&file.name, &inputs),
        };
        inputs.push(InputFile { name, bytes: file.bytes.to_vec() });
    }
    Ok(inputs)
}

fn is_address(text: &str) -> bool {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    has_scheme && text.len() <= 4096 && !text.contains(char::is_whitespace)
}

/// A name that no other input has: `data.csv`, `data-2.csv`.
fn free_name(name: &str, inputs: &[InputFile]) -> String {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
        Some(_) | None => (name, String::new()),
    };
    let is_free = |name: &str| inputs.iter().all(|input| input.name != name);
    let mut candidate = name.to_owned();
    let mut number = 1;
    while !is_free(&candidate) {
        number += 1;
        candidate = format!("{stem}-{number}{ending}");
    }
    candidate
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Web;

    #[async_trait]
    impl FileSource for Web {
        async fn fetch(&self, addresses: &[String]) -> Result<Vec<FetchedFile>, ToolError> {
            let file = |address: &String| FetchedFile {
                name: address.rsplit('/').next().unwrap().to_owned(),
                bytes: Bytes::from(format!("<{address}>")),
            };
            Ok(addresses.iter().map(file).collect())
        }
    }

    #[tokio::test]
    async fn contents_and_addresses_become_files() {
        let call = ExecuteCode {
            files: json!({
                "a.txt": "plain",
                "web.bin": "https://x.example/b",
                "data.json": [1, {"b": null}],
                "note.txt": "see https://x.example/b",
            })
            .as_object()
            .unwrap()
            .clone(),
            attachments: vec![
                "https://x.example/a.txt".into(),
                " ".into(),
                "https://y.example/.rc".into(),
                "https://y.example/a.txt".into(),
            ],
            ..ExecuteCode::default()
        };
        let inputs = collect(&Web, &call).await.unwrap();
        let shown: Vec<_> = inputs
            .iter()
            .map(|input| format!("{} {}", input.name, String::from_utf8_lossy(&input.bytes)))
            .collect();
        assert_eq!(
            shown,
            [
                "a.txt plain",
                "data.json [1,{\"b\":null}]",
                "note.txt see https://x.example/b",
                "web.bin <https://x.example/b>",
                "a-2.txt <https://x.example/a.txt>",
                ".rc <https://y.example/.rc>",
                "a-3.txt <https://y.example/a.txt>",
            ]
        );
    }
}
