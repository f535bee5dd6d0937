//! Where blocks are placed, and where they are not.

use std::cell::Cell;

use atelier::documents::patch::{
    Applied, Block, Level, Reason, Refusal, Reply, apply, apply_checked, parse,
};

use super::{edit, edited, reason};

const PAGE: &str = "<!doctype html>\n<html>\n  <body>\n    <p>one</p>\n    <p>two</p>\n    <ul>\n      <li>a</li>\n      <li>b</li>\n    </ul>\n  </body>\n</html>\n";

fn levels(applied: &Applied) -> Vec<Level> {
    applied.blocks.iter().map(|placed| placed.level).collect()
}

#[test]
fn each_level_places_what_the_one_before_does_not() {
    for (document, search, replace, expected, level) in [
        ("a\nb\nc\n", "b", "B", "a\nB\nc\n", Level::Exact),
        ("a \nb\t\nc\n", "a\nb", "a\nB", "a \nB\nc\n", Level::TrailingWhitespace),
        ("a\nb\nc\n", "a  \nb ", "x", "x\nc\n", Level::TrailingWhitespace),
        (
            "<ul>\n    <li>\n      a\n    </li>\n</ul>\n",
            "<li>\n  a\n</li>",
            "<li>\n  b\n\n    c\n</li>",
            "<ul>\n    <li>\n      b\n\n        c\n    </li>\n</ul>\n",
            Level::Indentation,
        ),
        ("{\n\tx\n\t\ty\n}\n", "\t\tx\n\t\t\ty", "\t\tz", "{\n\tz\n}\n", Level::Indentation),
        ("a\nb\nc\n", "\n\nb\n", "\n\nB\n", "a\nB\nc\n", Level::BlankEdges),
        ("a\nb\nc\n", "\nb", "\n\nB", "a\n\nB\nc\n", Level::BlankEdges),
        (
            "<p>It’s “fine” – really…</p>\n<p>a\u{a0}b</p>\n",
            "<p>It's \"fine\" - really...</p>\n<p>a b</p>",
            "<p>It's \"fine\" - really...</p>\n<p>c</p>",
            "<p>It’s “fine” – really…</p>\n<p>c</p>\n",
            Level::Punctuation,
        ),
        (
            "f {\n 1\n 2\n}\ng {\n 3\n}\n",
            "f {\n...\n}\ng {",
            "h {\n...\n}\ni {",
            "h {\n 1\n 2\n}\ni {\n 3\n}\n",
            Level::Elision,
        ),
    ] {
        assert_eq!(edited(document, search, replace), (expected.to_owned(), level), "{search:?}");
    }
}

#[test]
fn the_first_level_with_one_match_wins() {
    // Exactly once, though it would match twice without indentation.
    assert_eq!(edited("a\n  a\n", "  a", "  b"), ("a\n  b\n".to_owned(), Level::Exact));
    assert_eq!(edited("a\na \n", "a", "b"), ("b\na \n".to_owned(), Level::Exact));
}

#[test]
fn several_matches_are_ambiguous_and_name_their_lines() {
    let ambiguous = |level, lines: &[usize]| Reason::Ambiguous { level, lines: lines.to_vec() };
    assert_eq!(reason("x\ny\nx\n", "x", "z"), ambiguous(Level::Exact, &[1, 3]));
    assert_eq!(reason("a\na\na\n", "a\na", "z"), ambiguous(Level::Exact, &[1, 2]));
    assert_eq!(reason("x \ny\nx  \n", "x", "z"), ambiguous(Level::TrailingWhitespace, &[1, 3]));
    assert_eq!(reason(" x\ny\n\tx\n", "x", "z"), ambiguous(Level::Indentation, &[1, 3]));
    assert_eq!(reason(" x\ny\n\tx\n", "\nx", "z"), ambiguous(Level::BlankEdges, &[1, 3]));
    assert_eq!(reason("“x”\n‟x”\n", "\"x\"", "z"), ambiguous(Level::Punctuation, &[1, 2]));
}

#[test]
fn nothing_is_placed_by_likeness() {
    assert_eq!(reason(PAGE, "    <p>One</p>", "    <p>1</p>"), Reason::NotFound);
    // The shift is not the same on every line.
    assert_eq!(reason(" a\n   b\n", "a\nb", "c"), Reason::NotFound);
    // Tabs are no spaces.
    assert_eq!(reason("a\n\tb\n\t\tc\n", "a\n    b\n        c", "d"), Reason::NotFound);
    // A line in between.
    assert_eq!(reason(PAGE, "    <p>one</p>\n    <ul>", ""), Reason::NotFound);
    assert_eq!(reason("  a\n  b\n", "    a\n    b", "    a\n c"), Reason::Reindent { line: 2 });
}

#[test]
fn deletions_and_delete_then_edit() {
    assert_eq!(edited("a\nb\nc\n", "b", ""), ("a\nc\n".to_owned(), Level::Exact));
    assert_eq!(edited("a\n", "a", "").0, "");
    let reply = "<<<<<<< SEARCH\n    <p>one</p>\n=======\n>>>>>>> REPLACE\n\n\
                 <<<<<<< SEARCH\n    <p>two</p>\n=======\n    <p>2</p>\n>>>>>>> REPLACE\n";
    let Reply::Blocks(blocks) = parse(reply) else { panic!("blocks") };
    let applied = apply(PAGE, &blocks).expect("both blocks apply");
    assert_eq!(applied.text, PAGE.replace("    <p>one</p>\n", "").replace("two", "2"));
}

#[test]
fn elision_needs_unique_pieces_in_order_and_pairs() {
    let document = "a\nx\nb\ny\nb\nc\n";
    let fails = |search, replace| reason(document, search, replace);
    assert_eq!(
        fails("a\n...\nb", "A\n...\nB"),
        Reason::ElisionPiece { piece: 2, lines: vec![3, 5] }
    );
    assert_eq!(fails("a\n...\nq", "A\n...\nB"), Reason::ElisionPiece { piece: 2, lines: vec![] });
    assert_eq!(fails("c\n...\na", "C\n...\nA"), Reason::ElisionOrder);
    assert_eq!(fails("a\n...\nc", "A"), Reason::ElisionCount { search: 1, replace: 0 });
    assert_eq!(fails("...\na", "new\n...\na"), Reason::ElisionAnchor { piece: 1 });
    assert_eq!(
        edited(document, "  ...\na\n…\nc", "  ...\n…\nC"),
        ("x\nb\ny\nb\nC\n".into(), Level::Elision)
    );
    // Dots that the document holds are content.
    assert_eq!(edited("a\n...\nb\n", "a\n...", "a"), ("a\nb\n".to_owned(), Level::Exact));
}

#[test]
fn what_only_replace_leaves_out_is_refused() {
    for line in ["...", "  …", "<!-- ... rest of the page -->", "// … unchanged", "/* ... */"] {
        assert_eq!(reason("a\nb\n", "a", &format!("x\n{line}")), Reason::Placeholder { line: 2 });
    }
    assert_eq!(edited("a\n", "a", "// Loading...").0, "// Loading...\n");
    assert_eq!(edited("// ...\na\n", "// ...\na", "// ...\nb").0, "// ...\nb\n");
}

#[test]
fn what_is_applied_already_is_left_with_a_note() {
    let applied = edit(PAGE, "    <p>uno</p>", "    <p>one</p>").expect("nothing to do");
    assert_eq!((applied.text.as_str(), applied.diff.as_str()), (PAGE, ""));
    assert_eq!(levels(&applied), [Level::AlreadyApplied]);
    assert_eq!(
        applied.notes,
        ["block 1 was left out: the document already holds its REPLACE part"]
    );
    // A deletion between lines that now stand together.
    let (search, replace) = ("    <p>two</p>\n    <hr>\n    <ul>", "    <p>two</p>\n    <ul>");
    assert_eq!(edited(PAGE, search, replace), (PAGE.to_owned(), Level::AlreadyApplied));
    // The replacement stands twice.
    assert_eq!(reason("b\nc\nb\n", "a", "b"), Reason::NotFound);
}

#[test]
fn a_replacement_that_stands_somewhere_by_chance_does_not_hide_a_miss() {
    // SEARCH has a slip; REPLACE, all that would be left, stands once anyway.
    let page = "<body>\n<script>\n  start(1);\n</script>\n</body>\n";
    let slip = "<script>\n  start(2);\n</script>\n</body>";
    assert_eq!(reason(page, slip, "</body>"), Reason::NotFound);
    // The replacement is a short line that stands elsewhere.
    let page = "<hr>\n<p>Hello, great world</p>\n";
    assert_eq!(reason(page, "<p>Hello, great wrld</p>", "<hr>"), Reason::NotFound);
    // Half of it is done.
    let page = "x\na\nz\nb\n";
    assert_eq!(reason(page, "x\na\ny\nb", "a\nz\nb"), Reason::NotFound);
    // Nothing proves a deletion.
    assert_eq!(reason("a\nc\n", "b", ""), Reason::NotFound);
}

#[test]
fn an_empty_search_is_for_an_empty_or_a_complete_document() {
    assert_eq!(edited("", "", "a\nb"), ("a\nb\n".to_owned(), Level::WholeDocument));
    assert_eq!(edited(" \n", "", "a").1, Level::WholeDocument);
    let page = "<!doctype html>\n<html><body>new</body></html>";
    assert_eq!(edited(PAGE, "", page), (format!("{page}\n"), Level::WholeDocument));
    assert_eq!(edited("x\r\n", "", page).0, format!("{page}\n").replace('\n', "\r\n"));
    for (search, replace) in
        [("", "<p>x</p>"), (" \n\t", "<p>x</p>"), ("", ""), ("", "<!doctype html>\n<p>")]
    {
        assert_eq!(reason(PAGE, search, replace), Reason::EmptySearch);
    }
    let blocks = [Block::new("    <p>one</p>", ""), Block::new("", page)];
    let failures = apply(PAGE, &blocks).expect_err("a rewrite undoes the edit before it");
    assert_eq!(failures.failed[0].reason, Reason::RewriteAfterEdits);
    let blocks =
        [Block::new("", page), Block::new("<html><body>new</body></html>", "<html></html>")];
    assert_eq!(apply(PAGE, &blocks).expect("both").text, "<!doctype html>\n<html></html>\n");
}

#[test]
fn line_endings_and_the_final_newline_stay() {
    assert_eq!(edited("a\r\nb\r\nc\r\n", "b", "x\ny").0, "a\r\nx\r\ny\r\nc\r\n");
    assert_eq!(edited("a\nb", "b", "x\ny").0, "a\nx\ny");
    assert_eq!(edited("a\nb", "b", "").0, "a");
    assert_eq!(edited("a\nb", "a", "").0, "b");
    assert_eq!(edited("a\r\nb", "b", "b\nc").0, "a\r\nb\r\nc");
    assert_eq!(edited("a\nb", "b", "c\n\n").0, "a\nc\n");
    assert_eq!(edited("a", "a", "b").0, "b");
    assert_eq!(edited("\u{feff}a\nb\n", "a", "x").0, "\u{feff}x\nb\n");
    // Lines of a mixed document that no block changes keep their own endings.
    assert_eq!(edited("a\r\nb\nc\r\nd\n", "a\nb\nc", "a\nx\nb\nc").0, "a\r\nx\r\nb\nc\r\nd\n");
}

#[test]
fn context_lines_stay_as_the_document_has_them() {
    let (text, level) = edited("  a  \n  ‘b’\n  c\n", "a\n'b'\nc", "a\n'b'\nd");
    assert_eq!((text.as_str(), level), ("  a  \n  ‘b’\n  d\n", Level::Punctuation));
}

#[test]
fn all_or_nothing_and_what_matched_is_kept_for_the_next_answer() {
    let blocks = [
        Block::new("    <p>one</p>", "    <p>1</p>"),
        Block::new("    <p>three</p>", "    <p>3</p>"),
        Block::new("      <li>a</li>", ""),
    ];
    let failures = apply(PAGE, &blocks).expect_err("block 2 fails");
    assert_eq!(failures.failed.iter().map(|failure| failure.block).collect::<Vec<_>>(), [2]);
    assert_eq!(failures.applied.iter().map(|placed| placed.block).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(failures.kept, [blocks[0].clone(), blocks[2].clone()]);
    let mut next = failures.kept;
    next.push(Block::new("    <p>two</p>", "    <p>3</p>"));
    let applied = apply(PAGE, &next).expect("all blocks apply");
    let expected = PAGE.replace("one", "1").replace("two", "3").replace("      <li>a</li>\n", "");
    assert_eq!(applied.text, expected);
}

#[test]
fn a_block_sent_again_is_not_applied_twice() {
    let insert = Block::new("    <p>one</p>", "    <p>one</p>\n    <p>and a half</p>");
    let delete = Block::new("      <li>a</li>", "");
    let blocks = [insert.clone(), delete.clone(), insert, delete];
    let applied = apply(PAGE, &blocks).expect("repeats do nothing");
    let expected = PAGE
        .replace("one</p>\n", "one</p>\n    <p>and a half</p>\n")
        .replace("      <li>a</li>\n", "");
    assert_eq!(applied.text, expected);
    assert_eq!(
        levels(&applied),
        [Level::Exact, Level::Exact, Level::NothingToDo, Level::NothingToDo]
    );
    assert_eq!(applied.notes[0], "block 3 was left out: it repeats block 1");
    // A repeat with work left to do is done.
    let (there, back) = (Block::new("a", "b"), Block::new("b", "a"));
    assert_eq!(apply("a\n", &[there.clone(), back, there]).expect("three edits").text, "b\n");
    let missing = Block::new("q", "r");
    let failures = apply("a\n", &[missing.clone(), missing]).expect_err("not there");
    assert_eq!(failures.failed[1].reason, Reason::RepeatsFailed { earlier: 1 });
}

#[test]
fn overlapping_blocks_are_named_and_later_blocks_see_earlier_ones() {
    let blocks = [Block::new("b", "B"), Block::new("a\nb", "x")];
    let failures = apply("a\nb\nc\n", &blocks).expect_err("overlap");
    assert_eq!(failures.failed[0].reason, Reason::Overlaps { earlier: 1 });
    let blocks = [Block::new("b", "B"), Block::new("a\nB", "x")];
    assert_eq!(apply("a\nb\nc\n", &blocks).expect("in sequence").text, "x\nc\n");
    // Sharing a line that neither changes is no overlap.
    let blocks = [Block::new("a\nb", "A\nb"), Block::new("b\nc", "b\nC")];
    assert_eq!(apply("a\nb\nc\n", &blocks).expect("shared context").text, "A\nb\nC\n");
    let blocks = [Block::new("b", "c"), Block::new("a", "b")];
    let failures = apply("a\n", &blocks).expect_err("in the wrong order");
    assert_eq!(failures.failed[0].reason, Reason::OutOfOrder);
}

#[test]
fn a_block_without_a_difference_does_nothing_and_says_so() {
    let applied = edit("a\n", "a", "a").expect("nothing to do");
    assert_eq!(applied.notes, ["block 1 was left out: SEARCH and REPLACE are the same"]);
    let applied = edit("a\n", "a ", "a").expect("nothing changes");
    assert_eq!(applied.text, "a\n");
    assert_eq!(applied.notes.last().expect("a note"), "block 1 changes nothing");
}

#[test]
fn a_part_of_a_line_is_accepted_only_in_a_very_long_one() {
    let filler = ".a{b:c}".repeat(300);
    let document = format!("<style>\n{filler}.menu{{color:red}}{filler}\n</style>\n");
    let (text, level) = edited(&document, ".menu{color:red}", ".menu{color:blue}\n.x{}");
    assert_eq!(text, document.replace("{color:red}", "{color:blue}\n.x{}"));
    assert_eq!(level, Level::Fragment);
    assert_eq!(edited(&document, "color:red", "").0, document.replace("color:red", ""));
    let crlf = document.replace('\n', "\r\n");
    let expected = crlf.replace("{color:red}", "{}\r\n.x{}");
    assert_eq!(edited(&crlf, "{color:red}", "{}\n.x{}").0, expected);
    // Not unique, not exact, within a word.
    assert!(matches!(
        reason(&document, ".a{b:c}", ""),
        Reason::Ambiguous { level: Level::Fragment, .. }
    ));
    assert_eq!(reason(&document, ".menu{color: red}", ""), Reason::NotFound);
    assert_eq!(reason(&document, "olor:re", ""), Reason::PartOfLine { line: 2 });
    // Cut short by mistake: the rest of the line would stay behind.
    let page = "<ul>\n<li>One</li>\n</ul>\n";
    assert_eq!(reason(page, "<li>One", "<li>Two</li>"), Reason::PartOfLine { line: 2 });
}

#[test]
fn bounds_are_refusals() {
    let refusal = |document: &str, blocks: &[Block]| {
        apply(document, blocks).expect_err("refused").refusal.expect("a refusal")
    };
    assert_eq!(refusal("a", &[]), Refusal::NoBlocks);
    let many = vec![Block::new("a", "b"); 201];
    assert_eq!(refusal("a", &many), Refusal::TooManyBlocks { count: 201 });
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(
        refusal(&large, &[Block::new("a", "b")]),
        Refusal::DocumentTooLarge { bytes: large.len() }
    );
    assert!(matches!(refusal("a", &[Block::new("a", &large)]), Refusal::BlocksTooLarge { .. }));
    let half = "x".repeat(600_000);
    assert!(matches!(
        refusal(&format!("{half}\na\n"), &[Block::new("a", &half)]),
        Refusal::ResultTooLarge { .. }
    ));
}

#[test]
fn the_callers_check_judges_the_result_and_only_a_changed_one() {
    let asked = Cell::new(0);
    let check = |text: &str| {
        asked.set(asked.get() + 1);
        if text.contains("</html>") { Ok(()) } else { Err("`</html>` is missing".to_owned()) }
    };
    let failures = apply_checked(PAGE, &[Block::new("</html>", "")], check).expect_err("unsound");
    assert_eq!(failures.refusal, Some(Refusal::Unsound("`</html>` is missing".to_owned())));
    assert!(failures.kept.is_empty());
    apply_checked(PAGE, &[Block::new("    <p>one</p>", "")], check).expect("sound");
    apply_checked("x\n", &[Block::new("x", "x")], check).expect("unchanged");
    apply_checked(PAGE, &[Block::new("nowhere", "")], check).expect_err("not found");
    assert_eq!(asked.get(), 2);
}

#[test]
fn the_result_tells_its_diff_levels_and_lines() {
    let blocks = [Block::new("<p>one</p>", "<p>1</p>"), Block::new("      <li>b</li>", "")];
    let applied = apply(PAGE, &blocks).expect("both blocks apply");
    insta::assert_snapshot!(applied.diff, @r"
    --- before
    +++ after
    @@ -1,11 +1,10 @@
     <!doctype html>
     <html>
       <body>
    -    <p>one</p>
    +    <p>1</p>
         <p>two</p>
         <ul>
           <li>a</li>
    -      <li>b</li>
         </ul>
       </body>
     </html>
    ");
    assert_eq!(levels(&applied), [Level::Indentation, Level::Exact]);
    assert_eq!(applied.blocks.iter().map(|b| b.line).collect::<Vec<_>>(), [Some(4), Some(8)]);
    assert_eq!(applied.notes, ["block 1 matched when its indentation is shifted"]);
    let long = format!("a\n{}\n", "ä".repeat(60_000));
    let diff = edit(&long, "a", "b").expect("the block applies").diff;
    assert!(diff.len() < 41_000 && diff.ends_with("more bytes of the diff]\n"), "{}", diff.len());
}
