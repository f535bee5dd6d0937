//! From what a browser reports to findings.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::excerpt::Lines;
use super::finding::{Finding, Kind, Severity, cut};
use crate::browser::check::{Accessibility, Look, Violation};
use crate::browser::{
    ConsoleLevel, FailedRequest, Load, LoadOutcome, PageException, Phase, RequestFailure,
    ViewportReport,
};

/// Dialogs from which on they are no mere greeting.
const STORM: usize = 5;

/// Requests that a script makes and can do without.
const BY_SCRIPT: [&str; 6] = ["fetch", "xhr", "event_source", "web_socket", "ping", "preflight"];

/// Requests that show nothing when they fail.
const UNSEEN: [&str; 5] = ["manifest", "prefetch", "text_track", "other", "cspviolation_report"];

/// What browsers say about a request that failed, in the words of their errors.
const FAILED_FETCH: [&str; 3] = ["Failed to fetch", "NetworkError", "Load failed"];

/// What was found in one window. `scripts` are the results of [`crate::browser::check`] in the
/// order in which they were asked for: the look, then the accessibility rules where they ran.
pub(super) fn findings(report: &ViewportReport, lines: &Lines<'_>) -> Vec<Finding> {
    let load = &report.load;
    let mut found = during(load, lines);
    if load.outcome != LoadOutcome::Loaded {
        return found;
    }
    if report.is_stuck && load.departures.is_empty() {
        found.push(Finding::new(
            Kind::NeverLoads,
            "the page keeps the browser busy without an end soon after it has loaded",
        ));
    }
    let width = report.viewport.width;
    match report.scripts.first() {
        Some(Ok(value)) => {
            if let Some(look) = read::<Look>(value) {
                shown(&look, width, &mut found);
            }
        }
        Some(Err(problem)) if load.departures.is_empty() && !report.is_stuck => {
            found.push(Finding::new(
                Kind::NeverLoads,
                format!(
                    "the page keeps the browser busy: looking at it failed, {}",
                    cut(problem, 100)
                ),
            ));
        }
        Some(Err(_)) | None => {}
    }
    if let Some(Ok(value)) = report.scripts.get(1)
        && let Some(accessibility) = read::<Accessibility>(value)
    {
        found.extend(accessibility.violations.iter().map(violation));
    }
    found
}

/// What happened while a page loaded.
pub(super) fn during(load: &Load, lines: &Lines<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    outcome(load, &mut found);
    dialogs(load, &mut found);
    for departure in load.departures.iter().take(1) {
        found.push(
            Finding::new(
                Kind::NavigatesAway,
                "the page leaves or reloads itself as soon as it is opened, so nobody can use it",
            )
            .at(address(departure))
            .times(load.departures.len() as u64),
        );
    }
    for exception in &load.exceptions {
        found.push(thrown(exception, lines));
    }
    requests(load, &mut found);
    console(load, lines, &mut found);
    found
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn outcome(load: &Load, found: &mut Vec<Finding>) {
    match &load.outcome {
        LoadOutcome::Loaded => {}
        // What keeps it from resting is a finding of its own.
        LoadOutcome::TimedOut { .. } if load.dialogs.len() >= STORM => {}
        LoadOutcome::TimedOut { reason } => found.push(Finding::new(
            Kind::NeverLoads,
            format!(
                "the page did not come to rest within {} s: {reason}",
                load.duration.as_secs_f64().ceil()
            ),
        )),
        LoadOutcome::Crashed => {
            found.push(Finding::new(Kind::Crash, "the page made the browser's process for it end"));
        }
    }
}

fn dialogs(load: &Load, found: &mut Vec<Finding>) {
    let Some(first) = load.dialogs.first() else { return };
    let count = load.dialogs.len();
    let kind = if count >= STORM { Kind::DialogStorm } else { Kind::Dialog };
    let what = if count >= STORM {
        format!("the page opens one `{}` after another when it is opened", cut(&first.kind, 20))
    } else {
        format!("the page opens a `{}` as soon as it is opened", cut(&first.kind, 20))
    };
    let said = cut(&first.message, 80);
    found.push(Finding::new(kind, format!("{what}: “{said}”")).times(count as u64));
}

fn thrown(exception: &PageException, lines: &Lines<'_>) -> Finding {
    let kind = match (exception.is_rejection, exception.phase) {
        (true, _) => Kind::UnhandledRejection,
        (false, Phase::Loading) => Kind::ExceptionAtLoad,
        (false, Phase::Loaded) => Kind::Exception,
    };
    let what = match kind {
        Kind::UnhandledRejection => "a promise was rejected and nobody caught it",
        Kind::ExceptionAtLoad => "code threw while the page loaded",
        _ => "code threw after the page had loaded",
    };
    let finding = Finding::new(kind, format!("{what}: {}", exception.message));
    let own_line = exception.line.filter(|_| exception.script.is_none());
    if let Some(line) = own_line.and_then(|line| lines.written_line(line)) {
        return finding
            .at(format!("line {line}"))
            .with_excerpt(Some(lines.excerpt(line, exception.column)));
    }
    match (&exception.script, exception.line) {
        (Some(script), Some(line)) => finding.at(format!("{}, line {line}", address(script))),
        (Some(script), None) => finding.at(address(script)),
        (None, _) => finding,
    }
}

fn requests(load: &Load, found: &mut Vec<Finding>) {
    for request in &load.requests {
        let url = address(&request.url);
        let what = cut(&request.kind.replace('_', " "), 30);
        let finding = match (request.failure, is_by_script(request)) {
            (RequestFailure::Missing, false) => Finding::new(
                Kind::MissingAsset,
                format!(
                    "the {what} `{url}` does not exist: the page is one file, with its attached files"
                ),
            ),
            (RequestFailure::Missing, true) => Finding::new(
                Kind::MissingData,
                format!(
                    "a script asks for `{url}`, but there is no server and no such file behind the page"
                ),
            ),
            (RequestFailure::Foreign, false) => Finding::new(
                Kind::ForeignRequest,
                format!(
                    "the {what} `{url}` comes from another server, which cannot be reached where the page is shown"
                ),
            ),
            (RequestFailure::Foreign, true) => Finding::new(
                Kind::ForeignData,
                format!(
                    "a script asks another server, `{url}`, which may not be reached where the page is shown"
                ),
            ),
        };
        let severity = finding.severity;
        let is_unseen = UNSEEN.contains(&request.kind.as_str()) || is_icon(&request.url);
        found.push(finding.at(&url).only(if is_unseen { Severity::Note } else { severity }));
    }
}

fn is_by_script(request: &FailedRequest) -> bool {
    BY_SCRIPT.contains(&request.kind.as_str())
}

fn is_icon(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    let file = path.rsplit('/').next().unwrap_or(&path);
    file.contains("favicon")
        || file.starts_with("apple-touch-icon")
        || file.rsplit_once('.').is_some_and(|(_, ending)| ending == "ico")
}

fn console(load: &Load, lines: &Lines<'_>, found: &mut Vec<Finding>) {
    // A request that failed is a finding of its own; what is said about it adds nothing.
    let is_about_request = |text: &str| {
        load.requests.iter().any(|request| {
            text.contains(&request.url)
                || (is_by_script(request) && FAILED_FETCH.iter().any(|words| text.contains(words)))
        })
    };
    for message in &load.console {
        if message.level != ConsoleLevel::Error || is_about_request(&message.text) {
            continue;
        }
        let finding =
            Finding::new(Kind::ConsoleError, format!("an error on the console: {}", message.text));
        let line = message.line.and_then(|line| lines.written_line(line));
        found.push(match line {
            Some(line) => {
                finding.at(format!("line {line}")).with_excerpt(Some(lines.excerpt(line, None)))
            }
            None => finding,
        });
    }
}

fn shown(look: &Look, width: u32, found: &mut Vec<Finding>) {
    if look.text == 0 && look.painted == 0 && !look.cut {
        let elements = match look.elements {
            0 => "no element is visible".to_owned(),
            1 => "one element is there and paints nothing".to_owned(),
            count => format!("{count} elements are there and paint nothing"),
        };
        found.push(Finding::new(
            Kind::BlankPage,
            format!("the page shows nothing when it is opened: no text, and {elements}"),
        ));
    }
    if let Some(overflow) = &look.overflow {
        let how = if overflow.clipped {
            "is cut off at the right edge, where nobody can scroll to it"
        } else {
            "makes the page scroll sideways"
        };
        let what = match (&overflow.culprit, overflow.culprit_width) {
            (Some(culprit), Some(wide)) => {
                format!("`{}`, {wide} px wide,", cut(culprit, 120))
            }
            (Some(culprit), None) => format!("`{}`", cut(culprit, 120)),
            (None, _) => "something".to_owned(),
        };
        let finding = Finding::new(
            Kind::HorizontalOverflow,
            format!("at {width} px, {what} {how}: {} px too much", overflow.pixels),
        );
        found.push(finding.at(overflow.culprit.as_deref().unwrap_or_default()));
    }
    if look.title.is_none() {
        found.push(Finding::new(Kind::MissingTitle, "the page has no `<title>`"));
    }
    if !look.viewport.as_ref().is_some_and(|content| content.contains("width")) {
        found.push(Finding::new(
            Kind::MissingViewport,
            "the page has no `<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">`, so phones show it tiny",
        ));
    }
}

fn violation(violation: &Violation) -> Finding {
    let kind = match violation.impact.as_deref() {
        Some("critical" | "serious") => Kind::Accessibility,
        Some(_) | None => Kind::AccessibilityHint,
    };
    let detail =
        violation.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let finding = Finding::new(kind, format!("{} ({}){detail}", violation.help, violation.rule));
    let excerpt = violation.html.as_deref().map(|html| cut(html, 200));
    finding
        .at(violation.target.as_deref().unwrap_or_default())
        .with_excerpt(excerpt)
        .times(violation.count)
}

/// An address without its query, which may carry secrets.
fn address(url: &str) -> String {
    cut(url.split(['?', '#']).next().unwrap_or(url), 120)
}

/// Puts the findings of several windows together, the gravest first.
pub(super) fn merged(windows: Vec<Vec<Finding>>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for window in windows {
        // Within one window repetitions count; over windows they are the same thing again.
        let mut own: Vec<Finding> = Vec::new();
        for finding in window {
            match own.iter_mut().find(|known| known.is_same_fault(&finding)) {
                Some(known) => {
                    let count = known.count.unwrap_or(1) + finding.count.unwrap_or(1);
                    known.count = Some(count);
                }
                None => own.push(finding),
            }
        }
        for finding in own {
            match merged.iter_mut().find(|known| known.is_same_fault(&finding)) {
                Some(known) => known.count = known.count.max(finding.count),
                None => merged.push(finding),
            }
        }
    }
    // Stable: within one severity they stay in the order in which they happened.
    merged.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.kind));
    merged
}
