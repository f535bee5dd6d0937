//! Dockerfiles.

use super::{Finding, Severity, SourceFile, names};

/// What is wrong with a Dockerfile.
pub(super) fn check(file: &SourceFile<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut find = |line: usize, rule: &str, severity: Severity, message: String| {
        found.push(Finding {
            rule: rule.to_owned(),
            severity,
            path: file.path.to_owned(),
            line,
            column: 1,
            message,
        });
    };
    let mut user: Option<(usize, String)> = None;
    let mut stages: Vec<String> = Vec::new();
    let mut last = 1;
    for (line, instruction, rest) in instructions(file.text) {
        last = line;
        match instruction.as_str() {
            "FROM" => {
                // Every stage begins as its image's user.
                user = None;
                let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
                let image = words.next().unwrap_or_default().to_owned();
                if let (Some(word), Some(name)) = (words.next(), words.next())
                    && word.eq_ignore_ascii_case("as")
                {
                    stages.push(name.to_lowercase());
                }
                let name = image.rsplit('/').next().unwrap_or_default();
                let pinned = image.contains('@')
                    || image == "scratch"
                    || image.contains('$')
                    || stages.contains(&image.to_lowercase())
                    || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
                if !pinned {
                    let message =
                        format!("`{image}` is whatever is newest that day; name a version");
                    find(line, "dockerfile-unpinned", Severity::Low, message);
                }
            }
            "USER" => user = Some((line, rest.trim().to_owned())),
            "ENV" | "ARG" => {
                for (name, value) in settings(&rest) {
                    if names::is_secret(&name) && !value.is_empty() && !value.starts_with('$') {
                        let message = format!(
                            "the value of `{name}` stays readable in the image; give it when the container starts"
                        );
                        find(line, "dockerfile-secret", Severity::High, message);
                    }
                }
            }
            "RUN" => {
                let fetches = rest.contains("curl ") || rest.contains("wget ");
                let shell =
                    ["| sh", "| bash", "|sh", "|bash", "| sudo sh", "| sudo bash", "| python"];
                if fetches && shell.iter().any(|pipe| rest.contains(pipe)) {
                    let message = "what a server sends is run unseen; fetch a fixed version and check its sum";
                    find(line, "dockerfile-remote-script", Severity::High, message.to_owned());
                }
                if rest.contains("chmod 777") || rest.contains("chmod -R 777") {
                    let message = "everybody in the container may write here";
                    find(line, "loose-permissions", Severity::Medium, message.to_owned());
                }
            }
            "ADD" if rest.contains("://") && !rest.contains("--checksum=") => {
                let message = "what a server sends is added unseen; pass `--checksum=`";
                find(line, "dockerfile-remote-script", Severity::Medium, message.to_owned());
            }
            _ => {}
        }
    }
    let name = user.as_ref().map(|(_, user)| user.split(':').next().unwrap_or_default());
    if matches!(name, None | Some("root" | "0" | "")) {
        let line = user.as_ref().map_or(last, |(line, _)| *line);
        let message =
            "the server runs as root; end with `USER` and the name or number of another user";
        find(line, "dockerfile-root", Severity::High, message.to_owned());
    }
    found
}

/// Instructions with the line where each begins; continued lines are joined, comments left out.
fn instructions(text: &str) -> Vec<(usize, String, String)> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let (start, mut whole) = open.take().unwrap_or((number + 1, String::new()));
        if let Some(begun) = trimmed.strip_suffix('\\') {
            whole.push_str(begun);
            whole.push(' ');
            open = Some((start, whole));
            continue;
        }
        whole.push_str(trimmed);
        all.push((start, whole));
    }
    all.extend(open);
    all.into_iter()
        .map(|(line, text)| {
            let (instruction, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
            (line, instruction.to_uppercase(), rest.to_owned())
        })
        .collect()
}

/// The names and values of `ENV a=b c=d`, `ENV a b` and `ARG a=b`.
fn settings(rest: &str) -> Vec<(String, String)> {
    let rest = rest.trim();
    if !rest.split_whitespace().next().unwrap_or_default().contains('=') {
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        return vec![(name.to_owned(), value.trim().to_owned())];
    }
    rest.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}
