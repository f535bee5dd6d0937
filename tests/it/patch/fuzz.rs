//! No patch corrupts a document: whatever is given, the result is the intended text or a failure.

use atelier::documents::patch::{Audience, Block, Level, Reply, apply, parse};
use proptest::prelude::*;
use proptest::sample::Index;

/// A line of a document: few different ones, so that sections repeat.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab]",
        2 => " {0,3}[ab]",
        2 => "<p>[a-c]</p>[ \t]?",
        1 => Just(String::new()),
        1 => Just("  ".to_owned()),
        1 => Just("\t“a” –\u{a0}b".to_owned()),
        1 => Just("...".to_owned()),
        1 => Just("=======".to_owned()),
        1 => Just("\\=======".to_owned()),
        1 => Just("<<<<<<< SEARCH".to_owned()),
        1 => Just("  >>>>>>> REPLACE".to_owned()),
        1 => Just("```".to_owned()),
        1 => "\\PC{0,12}",
    ]
}

fn lines(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(line(), count)
}

/// One edit: the lines `start..end` become others.
#[derive(Debug, Clone)]
struct Change {
    start: usize,
    end: usize,
    lines: Vec<String>,
}

/// Changes that do not overlap, from arbitrary numbers.
fn changes(raw: Vec<(Index, Index, Vec<String>)>, length: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (one, other, lines) in raw {
        let (one, other) = (one.index(length), other.index(length));
        let (start, end) = (one.min(other), (one.max(other) + 1).min(one.min(other) + 4));
        if changes.iter().all(|change| end <= change.start || change.end <= start) {
            changes.push(Change { start, end, lines });
        }
    }
    changes
}

fn expected(document: &[String], changes: &[Change]) -> Vec<String> {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| std::cmp::Reverse(change.start));
    let mut result = document.to_vec();
    for change in sorted {
        result.splice(change.start..change.end, change.lines.iter().cloned());
    }
    result
}

fn block(document: &[String], change: &Change) -> Block {
    Block { search: document[change.start..change.end].to_vec(), replace: change.lines.clone() }
}

fn text(lines: &[String], ending: &str) -> String {
    lines.iter().flat_map(|line| [line.as_str(), ending]).collect()
}

fn raw_changes(
    replacement: impl Strategy<Value = Vec<String>>,
) -> impl Strategy<Value = Vec<(Index, Index, Vec<String>)>> {
    prop::collection::vec((any::<Index>(), any::<Index>(), replacement), 1..5)
}

/// Lines without indentation, typography or blanks, as the most lenient level compares them.
fn squeeze(lines: &[String]) -> Vec<String> {
    let plain = |line: &String| {
        let mut plain = String::new();
        for letter in line.chars() {
            match letter {
                '‘' | '’' | '‚' | '‛' | '′' => plain.push('\''),
                '“' | '”' | '„' | '‟' | '″' => plain.push('"'),
                '‐'..='―' | '−' => plain.push('-'),
                '…' => plain.push_str("..."),
                other if other.is_whitespace() => plain.push(' '),
                other => plain.push(other),
            }
        }
        plain.trim().to_owned()
    };
    lines.iter().map(plain).filter(|line| !line.is_empty()).collect()
}

fn split(text: &str) -> Vec<String> {
    text.split_inclusive('\n').map(|line| line.trim_end_matches('\n').to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// An edit written as blocks with unique lines always arrives, through the written form.
    #[test]
    fn a_unique_edit_round_trips(
        suffixes in prop::collection::vec(line(), 1..30),
        raw in raw_changes(prop::collection::vec("[xyz<>= ]{1,8}", 0..4)),
        crlf in any::<bool>(),
        final_newline in any::<bool>(),
    ) {
        // One line without an ending shows no style.
        prop_assume!(!crlf || final_newline || suffixes.len() > 1);
        let document: Vec<String> =
            suffixes.iter().enumerate().map(|(n, line)| format!("{n:03}{line}")).collect();
        let changes = changes(raw, document.len());
        let blocks: Vec<Block> = changes.iter().map(|change| block(&document, change)).collect();
        let written: String = blocks.iter().map(|block| format!("Prose.\n```html\n{block}```\n")).collect();
        prop_assert_eq!(parse(&written), Reply::Blocks(blocks.clone()));
        prop_assert_eq!(parse(&written.replace('\n', "\r\n")), Reply::Blocks(blocks.clone()));
        let ending = if crlf { "\r\n" } else { "\n" };
        let finish = |mut text: String| {
            if !final_newline && text.ends_with(ending) {
                text.truncate(text.len() - ending.len());
            }
            text
        };
        let before = finish(text(&document, ending));
        let after = finish(text(&expected(&document, &changes), ending));
        let applied = apply(&before, &blocks);
        prop_assert_eq!(applied.map(|applied| applied.text), Ok(after));
    }

    /// On documents that repeat themselves an edit arrives exactly or not at all.
    #[test]
    fn an_edit_of_repeated_lines_is_exact_or_refused(
        document in lines(1..25),
        raw in raw_changes(lines(0..4)),
    ) {
        let changes: Vec<Change> = changes(raw, document.len())
            .into_iter()
            .filter(|change| document[change.start..change.end].iter().any(|line| !line.trim().is_empty()))
            .collect();
        prop_assume!(!changes.is_empty());
        let blocks: Vec<Block> = changes.iter().map(|change| block(&document, change)).collect();
        let written: String = blocks.iter().map(Block::to_string).collect();
        prop_assert_eq!(parse(&written), Reply::Blocks(blocks.clone()));
        match apply(&text(&document, "\n"), &blocks) {
            Ok(applied) => prop_assert_eq!(applied.text, text(&expected(&document, &changes), "\n")),
            Err(failures) => {
                prop_assert!(!failures.failed.is_empty());
                prop_assert_eq!(failures.failed.len() + failures.applied.len(), blocks.len());
                prop_assert!(failures.feedback(Audience::Caller).len() > 40);
                // What is kept applies again.
                if !failures.kept.is_empty() {
                    prop_assert!(apply(&text(&document, "\n"), &failures.kept).is_ok());
                }
            }
        }
    }

    /// A damaged block changes nothing but lines that are its SEARCH but for blanks and typography.
    #[test]
    fn a_damaged_block_never_touches_other_lines(
        document in lines(1..16),
        at in any::<Index>(),
        length in 1_usize..4,
        replace in lines(0..4),
        damage in 0_usize..8,
        where_damaged in any::<Index>(),
    ) {
        let start = at.index(document.len());
        let mut search = document[start..(start + length).min(document.len())].to_vec();
        let victim = where_damaged.index(search.len());
        match damage {
            0 => search[victim].push_str("  "),
            1 => search.iter_mut().for_each(|line| line.insert(0, ' ')),
            2 => search.insert(0, String::new()),
            3 => { search.remove(victim); }
            4 => { search[victim].pop(); }
            5 => search[victim] = search[victim].trim_start().to_owned(),
            6 => search[victim] = "q".to_owned(),
            _ => search[victim] = search[victim].replace('“', "\"").replace('–', "-"),
        }
        prop_assume!(search.iter().any(|line| !line.trim().is_empty()));
        prop_assume!(search.iter().all(|line| !matches!(line.trim(), "..." | "…")));
        let block = Block { search, replace };
        let before = text(&document, "\n");
        let Ok(applied) = apply(&before, std::slice::from_ref(&block)) else { return Ok(()) };
        match applied.blocks[0].level {
            Level::AlreadyApplied | Level::NothingToDo => prop_assert_eq!(applied.text, before),
            Level::Exact | Level::TrailingWhitespace | Level::Indentation | Level::BlankEdges
            | Level::Punctuation => {
                let after = split(&applied.text);
                let (wanted, given) = (squeeze(&block.search), squeeze(&block.replace));
                let explained = (0..=document.len()).any(|from| (from..=document.len()).any(|to| {
                    let tail = &document[to..];
                    after.len() >= from + tail.len()
                        && after[..from] == document[..from]
                        && after[after.len() - tail.len()..] == *tail
                        && squeeze(&document[from..to]) == wanted
                        && squeeze(&after[from..after.len() - tail.len()]) == given
                }));
                prop_assert!(explained, "{:?} became {:?} by {:?}", before, applied.text, block);
            }
            Level::Elision | Level::Fragment | Level::WholeDocument => {
                prop_assert!(false, "unexpected level {:?}", applied.blocks[0].level);
            }
        }
    }

    /// The line-ending style of a document makes no difference to what is placed.
    #[test]
    fn crlf_documents_are_edited_alike(document in lines(1..16), search in lines(1..4), replace in lines(0..4)) {
        let block = [Block { search, replace }];
        let lf = apply(&text(&document, "\n"), &block);
        let crlf = apply(&text(&document, "\r\n"), &block);
        match (lf, crlf) {
            (Ok(lf), Ok(crlf)) => {
                prop_assert_eq!(lf.text.replace('\n', "\r\n"), crlf.text);
                prop_assert_eq!(lf.blocks, crlf.blocks);
            }
            (Err(lf), Err(crlf)) => prop_assert_eq!(lf.failed, crlf.failed),
            (lf, crlf) => prop_assert!(false, "{:?} but {:?}", lf, crlf),
        }
    }

    /// Whatever a document holds, every byte outside of an edit stays.
    #[test]
    fn bytes_outside_of_an_edit_stay(
        before in "[\\PC\r\n\t\u{feff}]{0,60}",
        behind in "[\\PC\r\n\t\u{feff}]{0,60}",
        ending in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let document = |line: &str| format!("{before}\n{line}{ending}{behind}");
        let block = Block::new("only here @@@", "now there");
        let applied = apply(&document("only here @@@"), &[block]).expect("the line is unique");
        prop_assert_eq!(applied.text, document("now there"));
    }

    /// Any answer is read and applied, or refused with words.
    #[test]
    fn arbitrary_answers_end_in_a_result(
        document in lines(0..16),
        pieces in prop::collection::vec(prop_oneof![
            4 => line(),
            2 => Just("<<<<<<< SEARCH".to_owned()),
            2 => Just("=======".to_owned()),
            2 => Just(">>>>>>> REPLACE".to_owned()),
            1 => Just("------- SEARCH>".to_owned()),
            1 => Just("+++++ REPLACE".to_owned()),
            1 => Just("<!doctype html>".to_owned()),
            1 => Just("</html>".to_owned()),
            1 => "[<>=+-]{1,11} ?(SEARCH|REPLACE)?>?",
        ], 0..30),
        noise in "\\PC{0,40}",
        ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
    ) {
        let document = text(&document, "\n");
        let reply = format!("{}{noise}", pieces.iter().flat_map(|piece| [piece.as_str(), ending]).collect::<String>());
        match parse(&reply) {
            Reply::Blocks(blocks) => {
                prop_assert!(!blocks.is_empty());
                let written: String = blocks.iter().map(Block::to_string).collect();
                let again = parse(&written);
                let rewrites = matches!(again, Reply::Document(_));
                prop_assert!(rewrites || again == Reply::Blocks(blocks.clone()));
                match apply(&document, &blocks) {
                    Ok(applied) => {
                        prop_assert_eq!(applied.blocks.len(), blocks.len());
                        prop_assert_eq!(applied.diff.is_empty(), applied.text == document);
                    }
                    Err(failures) => prop_assert!(!failures.failed.is_empty()),
                }
            }
            Reply::Document(text) => prop_assert!(reply.contains(&text.replace('\n', ending)) || reply.contains(&text)),
            Reply::NoChange => {}
            Reply::Unusable(problem) => prop_assert!(problem.feedback().contains("SEARCH")),
        }
    }
}
