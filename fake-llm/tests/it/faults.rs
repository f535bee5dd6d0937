//! Every fault, observed byte by byte.

use std::time::{Duration, Instant};

use fake_llm::{
    ErrorForm, FakeLlm, Fault, HttpEnd, LineEnding, Outcome, Reply, Rule, Script, Vendor,
};
use serde_json::json;

use crate::raw_client::{self, Ended, RawAnswer};

async fn spoiled(vendor: Vendor, reply: Reply, fault: Fault) -> RawAnswer {
    let server = FakeLlm::start(Script::new().rule(Rule::reply(reply).fault(fault))).await.unwrap();
    let answer = raw_client::ask(&server, vendor, true).await;
    server.assert_all_matched();
    answer
}

fn three() -> Reply {
    Reply::chunks(["one ", "zwölf ", "three"])
}

async fn clean(vendor: Vendor) -> RawAnswer {
    let server = FakeLlm::start(Script::new().reply(three())).await.unwrap();
    raw_client::ask(&server, vendor, true).await
}

#[tokio::test]
async fn a_status_has_the_vendors_error_body_and_the_headers() {
    for vendor in Vendor::ALL {
        let fault = Fault::Status {
            status: 429,
            retry_after: Some("7".into()),
            retry_after_ms: Some(6500),
            message: Some("slow down".into()),
            code: None,
            body: None,
        };
        let answer = spoiled(vendor, three(), fault).await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("retry-after-ms"), Some("6500"));
        let body = answer.json();
        let (kind, message) = match vendor {
            Vendor::Gemini => (&body["error"]["status"], &body["error"]["message"]),
            Vendor::Anthropic => (&body["error"]["type"], &body["error"]["message"]),
            Vendor::Ollama => (&body["missing"], &body["error"]),
            Vendor::GeminiInteractions | Vendor::OpenaiChat | Vendor::OpenaiResponses => {
                (&body["error"]["code"], &body["error"]["message"])
            }
        };
        let expected = match vendor {
            Vendor::Gemini => json!("RESOURCE_EXHAUSTED"),
            Vendor::Anthropic => json!("rate_limit_error"),
            Vendor::Ollama => json!(null),
            Vendor::GeminiInteractions | Vendor::OpenaiChat | Vendor::OpenaiResponses => {
                json!("rate_limit_exceeded")
            }
        };
        assert_eq!(*kind, expected, "{vendor:?}");
        assert_eq!(*message, "slow down", "{vendor:?}");
    }
}

#[tokio::test]
async fn a_status_without_retry_after_has_no_such_header() {
    for status in [400, 401, 402, 403, 404, 413, 422, 500, 502, 503, 504, 529] {
        let answer = spoiled(Vendor::Anthropic, three(), Fault::status(status)).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.json()["type"], "error");
    }
}

#[tokio::test]
async fn a_captive_page_and_a_wrong_content_type_have_status_200() {
    let answer = spoiled(Vendor::Gemini, three(), Fault::HtmlPage).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().starts_with("<!DOCTYPE html>"));

    let fault = Fault::ContentType { content_type: "text/plain".into() };
    let answer = spoiled(Vendor::OpenaiChat, three(), fault).await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.text(), clean(Vendor::OpenaiChat).await.text());
}

#[tokio::test]
async fn a_redirect_names_its_target() {
    for status in [302, 307] {
        let fault = Fault::Redirect { status, location: "http://127.0.0.1:9/x".into() };
        let answer = spoiled(Vendor::OpenaiResponses, three(), fault).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("location"), Some("http://127.0.0.1:9/x"));
    }
}

#[tokio::test]
async fn an_empty_body_keeps_the_content_type() {
    let answer = spoiled(Vendor::Anthropic, three(), Fault::EmptyBody).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.bytes(), b"");
    assert_eq!(answer.ended, Ended::Complete);
}

#[tokio::test]
async fn each_event_is_one_chunk() {
    for vendor in Vendor::ALL {
        let answer = clean(vendor).await;
        assert!(answer.chunks.len() >= 3, "{vendor:?}");
        assert!(answer.chunks.iter().all(|chunk| chunk.ends_with(b"\n")), "{vendor:?}");
    }
}

#[tokio::test]
async fn a_cut_between_events_leaves_whole_events() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        for (http_end, ended) in
            [(HttpEnd::Complete, Ended::Complete), (HttpEnd::Torn, Ended::Torn)]
        {
            let fault = Fault::CutAfterEvents { events: 2, http_end };
            let answer = spoiled(vendor, three(), fault).await;
            assert_eq!(answer.chunks, whole.chunks[..2], "{vendor:?}");
            assert_eq!(answer.ended, ended, "{vendor:?}");
        }
    }
}

#[tokio::test]
async fn a_cut_before_the_end_leaves_all_but_the_end() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let fault = Fault::CutBeforeEnd { http_end: HttpEnd::Complete };
        let answer = spoiled(vendor, three(), fault).await;
        let ends = match vendor {
            Vendor::Gemini | Vendor::OpenaiChat | Vendor::OpenaiResponses | Vendor::Ollama => 1,
            Vendor::Anthropic | Vendor::GeminiInteractions => 2,
        };
        assert_eq!(answer.chunks, whole.chunks[..whole.chunks.len() - ends], "{vendor:?}");
    }
}

#[tokio::test]
async fn a_cut_in_json_leaves_half_an_object() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let fault = Fault::CutInJson { after_events: 1, http_end: HttpEnd::Complete };
        let answer = spoiled(vendor, three(), fault).await;
        assert_eq!(answer.chunks[0], whole.chunks[0], "{vendor:?}");
        let half = &answer.chunks[1];
        assert!(whole.chunks[1].starts_with(half), "{vendor:?}");
        let text = std::str::from_utf8(half).unwrap();
        let json = &text[text.find('{').unwrap()..];
        let error = serde_json::from_str::<serde_json::Value>(json).unwrap_err();
        assert!(error.is_eof(), "{vendor:?}: {json}");
    }
}

#[tokio::test]
async fn a_cut_in_utf8_ends_with_a_lead_byte() {
    for vendor in Vendor::ALL {
        let fault = Fault::CutInUtf8 { http_end: HttpEnd::Complete };
        let answer = spoiled(vendor, three(), fault).await;
        let bytes = answer.bytes();
        assert!(bytes.ends_with(b"zw\xc3"), "{vendor:?}");
        let error = std::str::from_utf8(&bytes).unwrap_err();
        assert_eq!(error.error_len(), None, "{vendor:?}: it is only unfinished");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let answer = spoiled(vendor, three(), Fault::ResetAfterEvents { events: 2 }).await;
        assert_eq!(answer.ended, Ended::Reset, "{vendor:?}");
        assert_eq!(answer.chunks, whole.chunks[..2], "{vendor:?}");
    }
    let answer = spoiled(Vendor::Gemini, three(), Fault::ResetBeforeHeaders).await;
    assert_eq!((answer.ended, answer.head.as_str()), (Ended::Reset, ""));
}

#[tokio::test]
async fn a_close_delimited_body_has_no_framing() {
    let answer = spoiled(Vendor::OpenaiChat, three(), Fault::CloseDelimited).await;
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.text(), clean(Vendor::OpenaiChat).await.text());
}

#[tokio::test]
async fn line_ends_change_and_nothing_else() {
    for (vendor, ending, end) in [
        (Vendor::Anthropic, LineEnding::CrLf, "\r\n"),
        (Vendor::OpenaiChat, LineEnding::Cr, "\r"),
        (Vendor::Gemini, LineEnding::Lf, "\n"),
        (Vendor::Ollama, LineEnding::CrLf, "\r\n"),
    ] {
        let answer = spoiled(vendor, three(), Fault::LineEnds { ending }).await;
        let normal = clean(vendor).await.text().replace("\r\n", "\n");
        assert_eq!(answer.text(), normal.replace('\n', end), "{vendor:?}");
    }
    assert!(clean(Vendor::Gemini).await.text().contains("\r\n\r\n"));
    assert!(!clean(Vendor::Anthropic).await.text().contains('\r'));
}

#[tokio::test]
async fn comments_stand_between_events() {
    let answer = spoiled(Vendor::OpenaiChat, three(), Fault::Comments).await;
    let text = answer.text();
    assert!(text.starts_with(": keep-alive\n\ndata: "));
    let without = text.replace(": keep-alive\n\n", "");
    assert_eq!(without, clean(Vendor::OpenaiChat).await.text());
}

#[tokio::test]
async fn chunks_can_be_split_and_merged() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let split = spoiled(vendor, three(), Fault::SplitEvery { bytes: 3 }).await;
        let last = split.chunks.len() - 1;
        assert!(split.chunks[..last].iter().all(|chunk| chunk.len() == 3), "{vendor:?}");
        assert_eq!(split.bytes(), whole.bytes(), "{vendor:?}");
        let merged = spoiled(vendor, three(), Fault::Merge).await;
        assert_eq!(merged.chunks, [whole.bytes()], "{vendor:?}");
    }
}

#[tokio::test]
async fn a_drip_pauses_before_each_event() {
    let answer = spoiled(Vendor::Ollama, three(), Fault::Drip { millis: 20 }).await;
    assert_eq!(answer.chunks.len(), 4);
    assert!(answer.elapsed >= Duration::from_millis(80), "{:?}", answer.elapsed);
}

#[tokio::test]
async fn stalls_hold_back_the_head_or_the_rest() {
    let stall = Fault::StallHeaders { millis: Some(60) };
    let answer = spoiled(Vendor::Gemini, three(), stall).await;
    assert!(answer.elapsed >= Duration::from_millis(60));
    assert_eq!(answer.ended, Ended::Complete);
    let stall = Fault::StallBody { after_events: 1, millis: Some(60) };
    let answer = spoiled(Vendor::Gemini, three(), stall).await;
    assert!(answer.elapsed >= Duration::from_millis(60));
    assert_eq!(answer.bytes(), clean(Vendor::Gemini).await.bytes());
}

#[tokio::test]
async fn a_stall_without_end_lasts_until_the_client_leaves() {
    for (fault, has_head) in [
        (Fault::StallHeaders { millis: None }, false),
        (Fault::StallBody { after_events: 1, millis: None }, true),
    ] {
        let rule = Rule::reply(three()).fault(fault);
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        let vendor = Vendor::OpenaiChat;
        let body = raw_client::body(vendor, true);
        let stream = raw_client::send(&server, raw_client::path(vendor, true), &body).await;
        let started = Instant::now();
        let waited = Duration::from_millis(100);
        let mut seen = vec![0; 4096];
        let mut length = 0;
        while let Ok(read) = tokio::time::timeout(waited, stream.readable()).await {
            read.unwrap();
            length += stream.try_read(&mut seen[length..]).unwrap_or(0);
        }
        assert_eq!(length > 0, has_head);
        drop(stream);
        let requests = server
            .wait_for(Duration::from_secs(5), |requests| {
                requests.iter().all(|request| request.outcome != Outcome::InFlight)
            })
            .await
            .unwrap();
        let Outcome::ClosedEarly { after_ms } = requests[0].outcome else {
            panic!("{:?}", requests[0].outcome);
        };
        assert!(after_ms >= 90, "{after_ms}");
        assert!(u128::from(after_ms) <= started.elapsed().as_millis() + 10);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_served_is_noticed() {
    let rule = Rule::reply(three()).fault(Fault::HugeAnswer { bytes: 64 << 20 });
    let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
    let vendor = Vendor::Ollama;
    let body = raw_client::body(vendor, true);
    let stream = raw_client::send(&server, raw_client::path(vendor, true), &body).await;
    stream.readable().await.unwrap();
    drop(stream);
    server
        .wait_for(Duration::from_secs(10), |requests| {
            matches!(requests[0].outcome, Outcome::ClosedEarly { .. })
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn huge_events_and_answers_have_their_size() {
    let size = 2 << 20;
    for vendor in Vendor::ALL {
        let answer = spoiled(vendor, Reply::empty(), Fault::HugeEvent { bytes: size }).await;
        assert!(answer.chunks.iter().any(|chunk| chunk.len() >= size), "{vendor:?}");
        let answer = spoiled(vendor, Reply::empty(), Fault::HugeAnswer { bytes: size }).await;
        assert!(answer.bytes().len() >= size, "{vendor:?}");
        let pieces = answer.chunks.iter().filter(|chunk| chunk.len() >= 16 << 10).count();
        assert!(pieces >= size / (16 << 10), "{vendor:?}");
    }
}

#[tokio::test]
async fn the_end_can_come_twice_and_text_after_it() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let twice = spoiled(vendor, three(), Fault::DuplicateEnd).await;
        let count = twice.chunks.len() - whole.chunks.len();
        assert!(count >= 1, "{vendor:?}");
        let ends = &whole.chunks[whole.chunks.len() - count..];
        assert_eq!(&twice.chunks[whole.chunks.len()..], ends, "{vendor:?}");

        let late = spoiled(vendor, three(), Fault::LateText { text: "late!".into() }).await;
        assert_eq!(late.chunks[..whole.chunks.len()], whole.chunks, "{vendor:?}");
        let text = String::from_utf8(late.chunks.last().unwrap().clone()).unwrap();
        assert!(text.contains("late!"), "{vendor:?}");
    }
}

#[tokio::test]
async fn a_tool_index_can_be_huge() {
    let reply = Reply::tool_call("call_1", "add", json!({ "a": 1 }));
    let fault = Fault::ToolIndex { index: 50_000_000 };
    let events = spoiled(Vendor::OpenaiChat, reply, fault).await.events();
    for event in &events[1..3] {
        assert_eq!(event["choices"][0]["delta"]["tool_calls"][0]["index"], 50_000_000);
    }
}

#[tokio::test]
async fn an_error_event_has_the_vendors_form_and_nothing_follows() {
    for vendor in Vendor::ALL {
        let whole = clean(vendor).await;
        let answer = spoiled(vendor, three(), Fault::error_event(2)).await;
        assert_eq!(answer.chunks[..2], whole.chunks[..2], "{vendor:?}");
        assert_eq!(answer.chunks.len(), 3, "{vendor:?}");
        assert_eq!(answer.ended, Ended::Complete, "{vendor:?}");
        let event = answer.events().pop().unwrap();
        match vendor {
            Vendor::Gemini => assert_eq!(event["error"]["status"], "UNAVAILABLE"),
            Vendor::GeminiInteractions => {
                assert_eq!(event["event_type"], "error");
                assert_eq!(event["error"]["code"], "service_unavailable");
            }
            Vendor::Anthropic => assert_eq!(event["error"]["type"], "overloaded_error"),
            Vendor::OpenaiChat => assert_eq!(event["error"]["type"], "server_error"),
            Vendor::OpenaiResponses => {
                assert_eq!(event["type"], "response.failed");
                assert_eq!(event["response"]["error"]["code"], "server_error");
                assert_eq!(event["sequence_number"], 2);
            }
            Vendor::Ollama => assert!(event["error"].is_string()),
        }
    }
    let fault =
        Fault::ErrorEvent { after_events: 0, form: ErrorForm::Error, message: Some("no".into()) };
    let event = spoiled(Vendor::OpenaiResponses, three(), fault).await.events().pop().unwrap();
    assert_eq!(event["type"], "error");
    assert_eq!(event["message"], "no");
}

#[tokio::test]
async fn faults_combine() {
    let rule = Rule::reply(three())
        .fault(Fault::Comments)
        .fault(Fault::LineEnds { ending: LineEnding::CrLf })
        .fault(Fault::SplitEvery { bytes: 5 })
        .fault(Fault::CutAfterEvents { events: 3, http_end: HttpEnd::Torn });
    let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
    let answer = raw_client::ask(&server, Vendor::Anthropic, true).await;
    assert_eq!(answer.ended, Ended::Torn);
    assert_eq!(answer.events().len(), 3);
    assert_eq!(answer.text().matches(": keep-alive\r\n\r\n").count(), 3);
    assert!(answer.chunks[..5].iter().all(|chunk| chunk.len() == 5));
}

#[tokio::test]
async fn whole_answers_can_be_cut_too() {
    for (http_end, ended) in [(HttpEnd::Complete, Ended::Complete), (HttpEnd::Torn, Ended::Torn)] {
        let fault = Fault::CutInJson { after_events: 0, http_end };
        let rule = Rule::reply(three()).fault(fault);
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        let answer = raw_client::ask(&server, Vendor::Gemini, false).await;
        assert_eq!(answer.ended, ended);
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.bytes()).is_err());
    }
}

#[tokio::test]
async fn what_a_wire_cannot_express_is_reported_and_not_invented() {
    use fake_llm::Stop;
    let filtered = Rule::reply(Reply::text("a").stop(Stop::ContentFilter));
    let ascii = Rule::reply(Reply::text("a")).fault(Fault::CutInUtf8 { http_end: HttpEnd::Torn });
    let short = Rule::reply(Reply::text("a")).fault(Fault::cut_after(99));
    let index = Rule::reply(Reply::text("a")).fault(Fault::ToolIndex { index: 7 });
    let comments = Rule::reply(Reply::text("a")).fault(Fault::Comments);
    for rule in [filtered, ascii, short, index, comments] {
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        let answer = raw_client::ask(&server, Vendor::Ollama, true).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(server.problems().len(), 1);
        assert!(server.check().is_err());
    }
}
