//! What is said about blocks that fail.

use atelier::documents::patch::{
    Audience, Block, Malformed, Reply, Unusable, apply, apply_checked, parse,
};

fn page() -> String {
    let items: String =
        (1..=12).map(|n| format!("  <li class=\"entry\">Item number {n}</li>\n")).collect();
    format!("<ul>\n{items}</ul>\n```\n<p>end</p>\n<hr>\n<p>x</p>\n<hr>\n")
}

#[test]
fn a_model_reads_what_failed_why_and_what_is_kept() {
    let blocks = [
        Block::new("<ul>", "<ol>"),
        Block::new("  <li class=\"entry\">Item number seven</li>", ""),
        Block::new("</ul>", "</ol>"),
        Block::new("<hr>", "<br>"),
    ];
    let failures = apply(&page(), &blocks).expect_err("two blocks fail");
    let nearest = failures.failed[0].nearest.as_ref().expect("a resembling region");
    assert!(nearest.likeness >= 600 && nearest.lines.len() == 7, "{nearest:?}");
    assert!(failures.failed[1].nearest.is_none() && failures.failed[1].places.len() == 2);
    insta::assert_snapshot!(failures.feedback(Audience::Model { kept: 1 }));
}

#[test]
fn the_author_of_edits_reads_that_nothing_changed() {
    let blocks = [Block::new("<p>end</p>", "<p>END</p>"), Block::new("<p>end</p>\n<hr>", "<hr>")];
    let failures = apply(&page(), &blocks).expect_err("the blocks overlap");
    insta::assert_snapshot!(failures.feedback(Audience::Caller));
    insta::assert_snapshot!(failures.to_string(), @"1 of 2 edit blocks could not be applied; block 2: block 1 already changed lines that its SEARCH part holds; search for the lines as they are after block 1");
}

#[test]
fn a_kept_block_is_named_as_such() {
    let blocks = [Block::new("<p>end</p>", "<p>END</p>"), Block::new("<p>end</p>\n<hr>", "<hr>")];
    let failures = apply(&page(), &blocks).expect_err("the blocks overlap");
    let feedback = failures.feedback(Audience::Model { kept: 1 });
    assert!(feedback.contains("Block 1 (SEARCH begins `<p>end</p>`): a block kept"), "{feedback}");
}

#[test]
fn the_nearest_region_has_five_lines_on_either_side_and_is_that_which_is_meant() {
    let lines: Vec<String> = (0..200).map(|n| format!("row {n} holds w{n} and v{n}")).collect();
    let document = lines.join("\n");
    let search = "row 100 holds w100 and u100\nrow 101 holds w101 and v101";
    let failures = apply(&document, &[Block::new(search, "x")]).expect_err("a slip");
    let nearest = failures.failed[0].nearest.as_ref().expect("a region");
    assert_eq!((nearest.first_line, nearest.lines.len()), (96, 12));
    assert_eq!(nearest.lines, lines[95..107]);
    // Not alike enough.
    let failures = apply(&document, &[Block::new("nothing of it is here", "x")]).expect_err("no");
    assert!(failures.failed[0].nearest.is_none());
}

#[test]
fn a_part_of_a_line_is_shown_with_its_line() {
    let failures = apply(&page(), &[Block::new("<p>en", "<p>")]).expect_err("a part");
    assert_eq!(failures.failed[0].places[0].lines[2], "<p>end</p>");
}

#[test]
fn a_difference_in_blanks_alone_is_said() {
    let document = "a\n\tfirst(1);\n\t\tsecond(2);\n";
    let failures =
        apply(document, &[Block::new("  first(1);\n    second(2);", "")]).expect_err("tabs");
    let feedback = failures.feedback(Audience::Caller);
    assert!(feedback.contains("differ only in blanks"), "{feedback}");
}

#[test]
fn marker_lines_are_shown_as_they_must_be_written() {
    let document = "<pre>\n=======\none two three four\n```\n</pre>\n";
    let failures = apply(document, &[Block::new("one two three five", "")]).expect_err("a slip");
    let feedback = failures.feedback(Audience::Caller);
    assert!(feedback.contains("````\n<pre>\n\\=======\none two"), "{feedback}");
}

#[test]
fn feedback_stays_compact() {
    let document: String =
        (0..400).map(|n| format!("<p>paragraph {n} {}</p>\n", "w ".repeat(100))).collect();
    let blocks: Vec<Block> = (0..200)
        .map(|n| Block::new(&format!("<p>paragraph {n} x{}</p>", "w ".repeat(100)), "y"))
        .collect();
    let failures = apply(&document, &blocks).expect_err("all fail");
    assert_eq!(failures.failed.len(), 200);
    let feedback = failures.feedback(Audience::Model { kept: 0 });
    assert!(feedback.len() < 90_000, "{}", feedback.len());
    assert!(feedback.contains("left out here"));
}

#[test]
fn refusals_and_unusable_answers_say_what_to_send() {
    let failures = apply("a\n", &[]).expect_err("no blocks");
    insta::assert_snapshot!(failures.feedback(Audience::Caller), @r"
    The document was not changed: there are no edit blocks.

    Write each edit as a block:
    <<<<<<< SEARCH
    lines that stand exactly once in the document, copied exactly, as few as make them unique
    =======
    lines that take their place; none to delete
    >>>>>>> REPLACE
    Markers stand alone on their lines, not indented. Put a backslash before a line of content that looks like a marker.
    ");
    let failures =
        apply_checked("a\n", &[Block::new("a", "b")], |_| Err("its body is empty".into()))
            .expect_err("unsound");
    insta::assert_snapshot!(failures.feedback(Audience::Model { kept: 0 }), @r"
    The document was not changed: every block was placed, but the result is not sound: its body is empty.

    Send all blocks again, so that the whole document stays sound.
    ");
    let Reply::Unusable(problem) = parse("<<<<<<< SEARCH\na") else { panic!("unusable") };
    assert_eq!(problem, Unusable::Malformed(Malformed::Unterminated { line: 1 }));
    let feedback = problem.feedback();
    assert!(
        feedback.starts_with("Nothing of the answer was applied: the block that begins on line 1")
    );
    assert!(feedback.contains("<<<<<<< SEARCH\n"));
}
