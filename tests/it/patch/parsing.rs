//! Which answers are read as which blocks.

use atelier::documents::patch::{Block, Malformed, Reply, Unusable, parse};

fn blocks(reply: &str) -> Vec<Block> {
    match parse(reply) {
        Reply::Blocks(blocks) => blocks,
        other => panic!("no blocks but {other:?} in {reply:?}"),
    }
}

fn malformed(reply: &str) -> Malformed {
    match parse(reply) {
        Reply::Unusable(Unusable::Malformed(problem)) => problem,
        other => panic!("not malformed but {other:?}: {reply:?}"),
    }
}

#[test]
fn every_accepted_frame_gives_the_same_block() {
    let expected = vec![Block::new("old\n  line", "new")];
    for reply in [
        "```html\nindex.html\n<<<<<<< SEARCH\nold\n  line\n=======\nnew\n>>>>>>> REPLACE\n```\n",
        "index.html\n```\n<<<<<<< SEARCH\nold\n  line\n=======\nnew\n>>>>>>> REPLACE\n```",
        // No fence, prose around.
        "Here it is:\n<<<<<<< SEARCH\nold\n  line\n=======\nnew\n>>>>>>> REPLACE\nDone.",
        // 5 to 9 marker characters, in any mixture.
        "<<<<< SEARCH\nold\n  line\n=====\nnew\n>>>>> REPLACE",
        "<<<<<<<<< SEARCH\nold\n  line\n========\nnew\n>>>>>> REPLACE",
        // Trailing blanks and no blank before the word.
        "<<<<<<< SEARCH  \nold\n  line\n=======\t\nnew\n>>>>>>>REPLACE ",
        "<<<<<<< SEARCH>\nold\n  line\n=======\nnew\n>>>>>>> REPLACE>",
        "------- SEARCH\nold\n  line\n=======\nnew\n+++++++ REPLACE",
        "------- SEARCH>\nold\n  line\n=======\nnew\n>>>>>>> REPLACE",
        // A second divider as terminator.
        "```\n<<<<<<< SEARCH\nold\n  line\n=======\nnew\n=======\n```\n",
        "<<<<<<< SEARCH\nold\n  line\n=======\nnew\n=======",
        // The other line ending, and a byte-order mark.
        "```\r\n<<<<<<< SEARCH\r\nold\r\n  line\r\n=======\r\nnew\r\n>>>>>>> REPLACE\r\n```\r\n",
        "\u{feff}<<<<<<< SEARCH\nold\n  line\n=======\nnew\n>>>>>>> REPLACE",
        // A fence that is never closed.
        "```html\n<<<<<<< SEARCH\nold\n  line\n=======\nnew\n>>>>>>> REPLACE",
    ] {
        assert_eq!(blocks(reply), expected, "{reply}");
    }
}

#[test]
fn an_empty_replace_is_a_deletion_and_does_not_swallow_the_next_block() {
    let reply = "<<<<<<< SEARCH\n<p>one</p>\n=======\n>>>>>>> REPLACE\n\
                 <<<<<<< SEARCH\n<p>two</p>\n=======\n<p>2</p>\n>>>>>>> REPLACE\n";
    assert_eq!(blocks(reply), [Block::new("<p>one</p>", ""), Block::new("<p>two</p>", "<p>2</p>")]);
}

#[test]
fn several_fences_with_prose_between_are_all_read() {
    let reply = "First:\n```html\na.html\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n```\n\
                 A heading\n=======\nSecond:\n~~~\n<<<<<<< SEARCH\nc\n=======\nd\n=======\n\n~~~\n\
                 Third:\n------- SEARCH\ne\n=======\n+++++++ REPLACE\n";
    assert_eq!(blocks(reply), [Block::new("a", "b"), Block::new("c", "d"), Block::new("e", "")]);
}

#[test]
fn a_backslash_makes_a_marker_line_content() {
    let reply = "<<<<<<< SEARCH\n\\=======\n\\<<<<<<< SEARCH\n\\\\=======\n=======\n\
                 \\>>>>>>> REPLACE\n  \\<<<<<<< SEARCH\n\\n and \\\\ stay\n>>>>>>> REPLACE\n";
    let expected = Block {
        search: vec!["=======".into(), "<<<<<<< SEARCH".into(), "\\=======".into()],
        replace: vec![
            ">>>>>>> REPLACE".into(),
            "  <<<<<<< SEARCH".into(),
            "\\n and \\\\ stay".into(),
        ],
    };
    assert_eq!(blocks(reply), std::slice::from_ref(&expected));
    assert_eq!(blocks(&expected.to_string()), [expected]);
}

#[test]
fn fences_and_ordinary_rules_within_a_block_are_content() {
    let block = Block::new("```js\n-------\n====\n==========", "<pre>\n```\n+++\n>>> x\n</pre>");
    assert_eq!(blocks(&block.to_string()), [block]);
}

#[test]
fn whatever_may_be_a_block_but_is_none_makes_the_answer_unusable() {
    let good = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n";
    for (tail, expected) in [
        ("<<<<<<< SEARCH\nc\n=======\nd", Malformed::Unterminated { line: 6 }),
        ("<<<<<<< SEARCH\nc\n", Malformed::Unterminated { line: 6 }),
        ("<<<<<<< SEARCH\nc\n=======\nd\n```\n", Malformed::Unterminated { line: 6 }),
        (
            "<<<<<<< SEARCH\nc\n=======\nd\n<<<<<<< SEARCH\ne\n=======\nf\n>>>>>>> REPLACE",
            Malformed::Unterminated { line: 6 },
        ),
        ("<<<<<<< SEARCH\nc\n>>>>>>> REPLACE", Malformed::NoDivider { line: 6 }),
        ("<<<<<<< SEARCH\nc\n<<<<<<< SEARCH\n", Malformed::NoDivider { line: 6 }),
        (">>>>>>> REPLACE", Malformed::Stray { line: 6 }),
        // The text behind a divider in content would be lost.
        (
            "<<<<<<< SEARCH\nc\n=======\nd\n=======\ne\n>>>>>>> REPLACE",
            Malformed::SecondDivider { line: 6 },
        ),
        (
            "<<<<<<< SEARCH\nc\n=======\nd\n=======\n>>>>>>> REPLACE",
            Malformed::SecondDivider { line: 6 },
        ),
        (
            "  <<<<<<< SEARCH\n  c\n  =======\n  d\n  >>>>>>> REPLACE",
            Malformed::Unclear { line: 6 },
        ),
        ("<<<<<<< search\nc\n=======\nd\n>>>>>>> replace", Malformed::Unclear { line: 6 }),
        ("<<<<<<< SEARCH a.html\nc\n=======\nd\n>>>>>>> REPLACE", Malformed::Unclear { line: 6 }),
        ("<<<<<<<<<<<< SEARCH\nc\n=======\nd\n>>>>>>> REPLACE", Malformed::Unclear { line: 6 }),
        ("<<< SEARCH\nc\n=======\nd\n>>> REPLACE", Malformed::Unclear { line: 6 }),
        ("<<<<<<< HEAD\nc\n=======\nd\n>>>>>>> theirs", Malformed::Unclear { line: 6 }),
        ("<<<<<<< SEARCH\nc\n=======\nd\n>>>>>>> Replace", Malformed::Unclear { line: 10 }),
    ] {
        assert_eq!(malformed(&format!("{good}{tail}")), expected, "{tail}");
    }
}

#[test]
fn an_answer_without_blocks_is_a_document_or_no_change_or_unusable() {
    let page = "<!DOCTYPE html>\n<html>\n<body>x</body>\n</html>";
    for reply in [
        page.to_owned(),
        format!("```html\n{page}\n```"),
        format!("The page:\n\n```html\n{page}\n```\nEnjoy."),
        format!("<<<<<<< SEARCH\n=======\n{page}\n>>>>>>> REPLACE\n"),
    ] {
        assert_eq!(parse(&reply), Reply::Document(page.to_owned()), "{reply}");
    }
    let bare = "<html><body>x</body></HTML>";
    assert_eq!(parse(bare), Reply::Document(bare.to_owned()));
    for reply in [
        "",
        " \n\t",
        "```\n```",
        "```html\n\n```",
        "No changes needed.",
        "NO_CHANGE",
        "**No change**",
    ] {
        assert_eq!(parse(reply), Reply::NoChange, "{reply}");
    }
    for (reply, expected) in [
        ("I would change the colour.".to_owned(), Unusable::Prose),
        ("<p>a fragment</p>".to_owned(), Unusable::Prose),
        ("No changes needed, except that the title is wrong.".to_owned(), Unusable::Prose),
        ("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y".to_owned(), Unusable::Prose),
        ("<!doctype html>\n<html><body>cut".to_owned(), Unusable::IncompleteDocument),
        (format!("{page}\n{page}"), Unusable::SeveralDocuments),
        (format!("{page}\n\n<html></html>"), Unusable::SeveralDocuments),
        ("x".repeat(5 << 20), Unusable::TooLong { bytes: 5 << 20 }),
        (Block::new("a", "b").to_string().repeat(201), Unusable::TooManyBlocks { count: 201 }),
    ] {
        assert_eq!(parse(&reply), Reply::Unusable(expected));
    }
}

#[test]
fn a_document_about_markers_is_a_document() {
    let page = "<!doctype html>\n<html><body><pre>\n<<<<<<< SEARCH\n=======\n</pre></body></html>";
    assert_eq!(parse(page), Reply::Document(page.to_owned()));
}

#[test]
fn blocks_beside_a_document_stay_blocks() {
    let reply = "<!doctype html>\n<html></html>\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE";
    assert_eq!(blocks(reply), [Block::new("a", "b")]);
}
