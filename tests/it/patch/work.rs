//! Work grows with the size of what is given, not with its square.

use atelier::documents::patch::{Applied, Block, Failures, Reply, apply, parse};

fn work(result: &Result<Applied, Failures>) -> u64 {
    match result {
        Ok(applied) => applied.work,
        Err(failures) => failures.work,
    }
}

fn page(lines: usize) -> String {
    (0..lines).map(|n| format!("    <li id=\"i{n}\">Entry {n} of the list</li>\n")).collect()
}

/// Asserts that twice the document takes about twice the work, in few steps per byte.
fn assert_linear(name: &str, make: impl Fn(usize) -> (String, Vec<Block>), size: usize) {
    let measure = |size| {
        let (document, blocks) = make(size);
        let bytes = document.len() * blocks.len();
        (work(&apply(&document, &blocks)), bytes as u64)
    };
    let ((once, bytes), (twice, _)) = (measure(size), measure(2 * size));
    assert!(once > 0 && twice * 10 <= once * 25, "{name}: {once} steps, then {twice}");
    assert!(once <= 40 * bytes + 10_000, "{name}: {once} steps for {bytes} bytes");
}

#[test]
fn work_is_linear_in_the_document() {
    let good = |size: usize| {
        let blocks = (0..20).map(|n| n * size / 20).map(|n| {
            let line = format!("    <li id=\"i{n}\">Entry {n} of the list</li>");
            Block::new(&line, "    <li>changed</li>")
        });
        (page(size), blocks.collect())
    };
    assert_linear("exact", good, 1500);
    assert_linear("missing", |size| (page(size), vec![Block::new("<p>none</p>", "x"); 1]), 1500);
    assert_linear(
        "nearly",
        |size| (page(size), vec![Block::new("<li id=\"i7\">Entry 8 of the list</li>", "x")]),
        1500,
    );
    let repeated = |size: usize| {
        let search = format!("{}b", "a\n".repeat(size / 4));
        ("a\n".repeat(size), vec![Block::new(&search, "c")])
    };
    assert_linear("the same line again and again", repeated, 4000);
    let blank = |size: usize| ("\n".repeat(size), vec![Block::new("a\n\n\nb", "c")]);
    assert_linear("blank lines", blank, 20_000);
    let minified = |size: usize| {
        let unit = "a{b:c}";
        let document = format!("{}.x{{y}}{}", unit.repeat(size), unit.repeat(size));
        (document, vec![Block::new(".x{y}", ".x{z}"), Block::new(".q{y}", "w")])
    };
    assert_linear("one long line", minified, 10_000);
    let applied = |size: usize| {
        (page(size), vec![Block::new("<p>\n<b>", "    <li id=\"i7\">Entry 7 of the list</li>")])
    };
    assert_linear("applied already", applied, 1500);
}

#[test]
fn the_worst_input_ends_within_the_bound() {
    // Every line begins a match of all but the last line, at every indentation.
    let document: String = (0..60_000).map(|n| if n % 2 == 0 { "a\n" } else { " a\n" }).collect();
    let search = "a\n".repeat(1_000);
    let blocks: Vec<Block> =
        (0..6).map(|n| Block::new(&format!("{search}a"), &format!("b{n}"))).collect();
    let failures = apply(&document, &blocks).expect_err("no match has one shift");
    assert!(failures.work <= 151_000_000, "{}", failures.work);
}

#[test]
fn twenty_blocks_on_a_page_of_100_kb_take_little_work() {
    let document = page(2_200);
    assert!(document.len() > 100_000);
    let reply: String = (0..20)
        .map(|n| n * 100 + 7)
        .map(|n| {
            Block::new(
                &format!("    <li id=\"i{n}\">Entry {n} of the list</li>"),
                &format!("    <li id=\"i{n}\">Changed {n}</li>\n    <li>new</li>"),
            )
            .to_string()
        })
        .collect();
    let Reply::Blocks(blocks) = parse(&reply) else { panic!("blocks") };
    let applied = apply(&document, &blocks).expect("all blocks apply");
    assert!(applied.work < 500_000, "{}", applied.work);
    assert_eq!(applied.text.matches("Changed").count(), 20);
}
