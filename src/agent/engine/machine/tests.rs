use serde_json::json;

use super::super::plan::{Approval, FrozenOrigin, FrozenTool, RunLimits, RunRequest, ToolChoice};
use super::*;
use crate::agent::runs::RunId;
use crate::jobs::ModelAtHand;
use crate::llm::{Route, Usage};

fn tool(name: &str, reads_only: bool) -> FrozenTool {
    FrozenTool {
        name: name.into(),
        alias: name.into(),
        description: "Does it.".into(),
        schema: json!({
            "type": "object",
            "properties": {"n": {"type": "integer"}, "o": {"type": "object"}},
            "additionalProperties": false,
        }),
        server: None,
        reads_only,
        idempotent: reads_only,
        resumes: false,
        destructive: Some(name == "destroy"),
        consented: false,
    }
}

fn plan(change: impl FnOnce(&mut RunRequest)) -> FrozenPlan {
    let mut request = RunRequest {
        run: RunId::new().unwrap(),
        title: "test".into(),
        system: String::new(),
        messages: vec![Message::user("the task")],
        model: None,
        tools: ToolChoice::default(),
        approval: Approval::Default,
        approval_by: super::super::plan::ApprovalBy::Nobody,
        limits: RunLimits::default(),
        response_schema: None,
        on_interrupted: super::super::plan::OnInterrupted::Report,
        retry: super::super::plan::Retry::default(),
    };
    change(&mut request);
    FrozenPlan {
        format: FORMAT,
        request,
        tools: vec![tool("read", true), tool("write", false), tool("destroy", false)],
        model: ModelAtHand {
            id: None,
            route: Route::Api,
            context_tokens: Some(10_000),
            sees_pictures: false,
        },
        origin: FrozenOrigin::Person,
        person_at_hand: false,
    }
}

fn says(text: &str) -> ModelAnswer {
    let usage = Usage { input_tokens: Some(20), output_tokens: Some(10), ..Usage::default() };
    ModelAnswer { text: text.into(), usage, ..ModelAnswer::default() }
}

fn calls(names: &[(&str, Value)]) -> ModelAnswer {
    let calls = names.iter().enumerate().map(|(index, (name, arguments))| ToolCall {
        id: format!("c{index}"),
        name: (*name).into(),
        arguments: arguments.clone(),
    });
    ModelAnswer { calls: calls.collect(), ..says("") }
}

/// Answers all calls of a turn; those that are made get this text.
fn answer_calls(machine: &mut Machine, rules: &Rules<'_>, text: &str) -> Vec<CallStatus> {
    let Action::CallTools(planned) = machine.next() else { panic!("{:?}", machine.next()) };
    let answers: Vec<CallAnswer> = planned
        .iter()
        .map(|call| call.answer.clone().unwrap_or_else(|| CallAnswer::own(CallStatus::Ok, text)))
        .collect();
    let statuses = answers.iter().map(|answer| answer.status).collect();
    machine.called(rules, answers, 5);
    statuses
}

fn kind(machine: &Machine) -> Option<AskKind> {
    match machine.next() {
        Action::CallModel { kind, .. } => Some(kind),
        _ => None,
    }
}

fn ending(machine: &Machine) -> Ending {
    match machine.next() {
        Action::Done(ending) => *ending,
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_are_answered_in_order_and_the_answer_ends_the_run() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    let calls_of_turn: Vec<_> = (0..12).map(|n| ("read", json!({"n": n}))).collect();
    machine.answered(&rules, calls(&calls_of_turn));
    // It can be stored in the middle and goes on the same way.
    let stored = serde_json::to_string(&machine).unwrap();
    let mut machine: Machine = serde_json::from_str(&stored).unwrap();
    assert_eq!(answer_calls(&mut machine, &rules, "r"), vec![CallStatus::Ok; 12]);
    let results = machine.messages().last().unwrap();
    let ids: Vec<_> = results
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolResult { call_id, .. } => call_id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, (0..12).map(|n| format!("c{n}")).collect::<Vec<_>>());
    machine.answered(&rules, says("done"));
    let ending = ending(&machine);
    assert_eq!((ending.stop, ending.answer.as_str()), (StopReason::Answered, "done"));
    assert_eq!(machine.totals().turns, 2);
}

#[test]
fn a_model_that_never_stops_gets_a_closing_turn() {
    let plan = plan(|request| request.limits.turns = 3);
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    for n in 0..3 {
        assert_eq!(kind(&machine), Some(AskKind::Turn));
        machine.answered(&rules, calls(&[("read", json!({"n": n}))]));
        answer_calls(&mut machine, &rules, &n.to_string());
    }
    assert_eq!(kind(&machine), Some(AskKind::Closing));
    // Calls of the closing turn are left out.
    machine
        .answered(&rules, ModelAnswer { text: "so far".into(), ..calls(&[("read", json!({}))]) });
    let ending = ending(&machine);
    assert_eq!((ending.stop, ending.answer.as_str()), (StopReason::MaxTurns, "so far"));
    assert_eq!(machine.calls().len(), 3);
}

#[test]
fn calls_beyond_the_limits_are_answered_and_not_made() {
    let plan = plan(|request| {
        request.limits.tool_calls = 3;
        request.limits.calls_per_turn = 2;
    });
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    let three: Vec<_> = (0..3).map(|n| ("read", json!({"n": n}))).collect();
    machine.answered(&rules, calls(&three));
    assert_eq!(
        answer_calls(&mut machine, &rules, "r"),
        [CallStatus::Ok, CallStatus::Ok, CallStatus::Skipped]
    );
    machine.answered(&rules, calls(&[("read", json!({"n": 9}))]));
    assert_eq!(answer_calls(&mut machine, &rules, "r"), [CallStatus::Skipped]);
    assert_eq!(kind(&machine), Some(AskKind::Closing));
    machine.answered(&rules, says("end"));
    assert_eq!(ending(&machine).stop, StopReason::MaxToolCalls);
}

#[test]
fn tokens_time_and_money_end_the_run() {
    for (limits, stop) in [
        (RunLimits { tokens: 1000, ..RunLimits::default() }, StopReason::TokenLimit),
        (RunLimits { run_s: 1.0, ..RunLimits::default() }, StopReason::TimeLimit),
        (RunLimits { cost_usd: Some(0.5), ..RunLimits::default() }, StopReason::CostLimit),
    ] {
        let plan = plan(|request| request.limits = limits);
        let rules = Rules::new(&plan);
        let mut machine = Machine::new(&plan);
        let usage = Usage { input_tokens: Some(400), output_tokens: Some(400), ..Usage::default() };
        let answer = calls(&[("read", json!({}))]);
        machine.answered(&rules, ModelAnswer { usage, ms: 1500, cost_usd: Some(0.6), ..answer });
        answer_calls(&mut machine, &rules, "r");
        assert_eq!(kind(&machine), Some(AskKind::Closing), "{stop:?}");
        // A closing turn that fails costs the answer alone.
        machine.failed(&rules, ModelFailure::Truncated("x".into())).unwrap();
        assert_eq!(ending(&machine).stop, stop);
    }
}

#[test]
fn bad_arguments_and_unknown_tools_go_back_to_the_model() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    machine.answered(
        &rules,
        calls(&[
            ("read", json!("{\"n\": 1}")),
            ("read", json!("{\"n\": ")),
            ("read", json!([1])),
            ("read", json!({"n": "many"})),
            ("raed", json!({})),
            ("read", json!({"n": "2"})),
            ("read", json!({"o": "{\"a\": 1}"})),
            ("read", json!({"n": "@@ref_0a1b2c3d__x"})),
        ]),
    );
    let Action::CallTools(planned) = machine.next() else { panic!() };
    let shown = |index: usize| planned[index].answer.clone().map(|answer| answer.shown);
    assert_eq!(planned[0].arguments, json!({"n": 1}));
    assert!(shown(1).unwrap().contains("no JSON"));
    assert!(shown(2).unwrap().contains("a list"));
    assert!(shown(3).unwrap().contains("`n`"), "{:?}", shown(3));
    assert!(shown(4).unwrap().contains("did you mean `read`"), "{:?}", shown(4));
    assert_eq!(planned[5].arguments, json!({"n": 2}));
    assert_eq!(planned[6].arguments, json!({"o": {"a": 1}}));
    assert_eq!(shown(7), None);
}

#[test]
fn arguments_that_stay_wrong_end_the_use_of_the_tool() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    for _ in 0..3 {
        machine.answered(&rules, calls(&[("read", json!([]))]));
        answer_calls(&mut machine, &rules, "");
    }
    let Part::ToolResult { content, .. } = &machine.messages().last().unwrap().parts[0] else {
        panic!()
    };
    assert!(content.contains("go on without this tool"), "{content}");
    // Three answers with failing calls alone.
    assert_eq!(kind(&machine), Some(AskKind::Closing));
}

#[test]
fn the_same_call_is_made_twice_at_most() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    let mut made = 0;
    while kind(&machine) == Some(AskKind::Turn) {
        machine.answered(&rules, calls(&[("read", json!({"n": 1}))]));
        let statuses = answer_calls(&mut machine, &rules, "same");
        made += statuses.iter().filter(|status| status.is_ok()).count();
    }
    assert_eq!(made, 2);
    machine.answered(&rules, says("enough"));
    assert_eq!(ending(&machine).stop, StopReason::LoopGuard);
}

#[test]
fn destructive_calls_wait_for_a_person() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    let two = [("destroy", json!({"n": 1})), ("write", json!({})), ("destroy", json!({"n": 2}))];
    machine.answered(&rules, calls(&two));
    let Action::Approve(asked) = machine.next() else { panic!("{:?}", machine.next()) };
    assert_eq!(asked.iter().map(|call| call.position).collect::<Vec<_>>(), [1, 3]);
    let decisions = BTreeMap::from([
        (1, Decision::Deny { reason: "not this one".into() }),
        (3, Decision::AllowForRun),
    ]);
    machine.decided(&decisions);
    assert_eq!(
        answer_calls(&mut machine, &rules, "gone"),
        [CallStatus::Denied, CallStatus::Ok, CallStatus::Ok]
    );
    // Allowed for the run: it is not asked again.
    machine.answered(&rules, calls(&[("destroy", json!({"n": 3}))]));
    assert!(matches!(machine.next(), Action::CallTools(_)));
}

#[test]
fn approval_follows_the_rules_of_the_workflow() {
    for (approval, expected) in [
        (json!("never"), [false, false, false]),
        (json!("always"), [true, true, true]),
        (json!("destructive"), [false, false, true]),
        (json!({"write": "always", "des*": "never"}), [false, true, false]),
    ] {
        let plan = plan(|request| {
            request.approval = serde_json::from_value(approval.clone()).unwrap();
        });
        let rules = Rules::new(&plan);
        let asks: Vec<bool> = plan.tools.iter().map(|tool| rules.asks(tool)).collect();
        assert_eq!(asks, expected, "{approval}");
    }
    // Tools of other servers that say nothing: named servers are trusted, others ask.
    let plan = plan(|request| request.tools.servers = vec!["named".into()]);
    let rules = Rules::new(&plan);
    for (server, destructive, expected) in [
        ("named", None, false),
        ("named", Some(true), true),
        ("other", None, true),
        ("other", Some(false), false),
    ] {
        let of_server = FrozenTool { server: Some(server.into()), destructive, ..tool("x", false) };
        assert_eq!(rules.asks(&of_server), expected, "{server} {destructive:?}");
    }
}

#[test]
fn answers_have_the_form_that_is_asked_for_or_are_repaired() {
    let schema = json!({"type": "object", "required": ["a"]});
    let plan = plan(|request| request.response_schema = Some(schema.clone()));
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    machine.answered(&rules, says("Well."));
    machine.answered(&rules, says("{\"b\": 1}"));
    let words = format!("{:?}", machine.messages().last().unwrap());
    assert!(words.contains("required property"), "{words}");
    machine.answered(&rules, says("```json\n{\"a\": 1}\n```"));
    assert_eq!(ending(&machine).output, Some(json!({"a": 1})));

    let mut machine = Machine::new(&plan);
    for _ in 0..3 {
        machine.answered(&rules, says("never"));
    }
    let ending = ending(&machine);
    assert_eq!((ending.stop, ending.answer.as_str()), (StopReason::InvalidOutput, "never"));
}

#[test]
fn what_has_to_succeed_is_demanded() {
    let plan = plan(|request| {
        request.retry.checks = vec!["write".into()];
        request.retry.max_retries = 1;
    });
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    machine.answered(&rules, says("all done"));
    assert_eq!(kind(&machine), Some(AskKind::Turn));
    machine.answered(&rules, says("really"));
    assert_eq!(ending(&machine).stop, StopReason::ToolFailed);

    let mut machine = Machine::new(&plan);
    machine.answered(&rules, says("all done"));
    machine.answered(&rules, calls(&[("write", json!({}))]));
    answer_calls(&mut machine, &rules, "written");
    machine.answered(&rules, says("now"));
    assert_eq!(ending(&machine).stop, StopReason::Answered);
}

#[test]
fn a_full_window_shortens_results_first_and_then_summarises() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    let mut kinds = Vec::new();
    for n in 0..12 {
        if kind(&machine) == Some(AskKind::Summary) {
            kinds.push(n);
            assert!(machine.old_turns().unwrap().contains("[call of read]"));
            machine.answered(&rules, says("what happened so far"));
        }
        // Figures that grow with the conversation, as a provider counts them.
        let input = machine.conversation.tokens_from(0);
        let usage =
            Usage { input_tokens: Some(input), output_tokens: Some(10), ..Usage::default() };
        let words = format!("{n} {}", "thinking aloud ".repeat(150));
        let answer = ModelAnswer { text: words, usage, ..calls(&[("read", json!({"n": n}))]) };
        machine.answered(&rules, answer);
        answer_calls(&mut machine, &rules, &format!("{n} {}", "x".repeat(3000)));
    }
    assert!(!kinds.is_empty(), "no summary was asked for");
    assert!(machine.conversation.tokens_from(0) < 10_000);
    assert_eq!(machine.messages()[0], Message::user("the task"));
    let mut calls = 0;
    for message in machine.messages() {
        for part in &message.parts {
            match part {
                Part::ToolCall(_) => calls += 1,
                Part::ToolResult { .. } => calls -= 1,
                _ => {}
            }
        }
    }
    assert_eq!(calls, 0, "a call stands without its result");
}

#[test]
fn refusals_end_and_texts_that_cannot_be_read_are_asked_for_again() {
    let plan = plan(|_| {});
    let rules = Rules::new(&plan);
    let mut machine = Machine::new(&plan);
    machine.failed(&rules, ModelFailure::Refused("no".into())).unwrap();
    assert_eq!(ending(&machine).stop, StopReason::Refused);

    let mut machine = Machine::new(&plan);
    let unreadable = || ModelAnswer { unreadable: Some("no JSON".into()), ..says("hm") };
    for _ in 0..3 {
        machine.answered(&rules, unreadable());
        assert_eq!(kind(&machine), Some(AskKind::Turn));
    }
    machine.answered(&rules, unreadable());
    assert_eq!(ending(&machine).stop, StopReason::InvalidOutput);
    // Too long, and nothing to shorten: the failure is given back.
    let mut machine = Machine::new(&plan);
    assert!(machine.failed(&rules, ModelFailure::TooLong("x".into())).is_err());
}
