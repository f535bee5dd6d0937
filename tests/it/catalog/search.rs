//! How well and how fast tools are found among thousands.

use std::time::{Duration, Instant};

use atelier::registry::search::{SearchIndex, words};

use super::super::tool_set::catalog;

const TOOLS: usize = 5_000;

#[test]
fn wishes_find_their_tool_among_the_first_five() {
    let (documents, wishes) = catalog(TOOLS);
    assert_eq!(documents.len(), TOOLS);
    assert!(wishes.len() >= 100, "{}", wishes.len());
    let index = SearchIndex::new(&documents);
    // Every second wish was never looked at while the search was made.
    let mut found = [0_u32; 2];
    let mut all = [0_u32; 2];
    let started = Instant::now();
    for (place, wish) in wishes.iter().enumerate() {
        let is_hit = index.search(&wish.query).take(5).any(|name| name == wish.name);
        all[place % 2] += 1;
        found[place % 2] += u32::from(is_hit);
    }
    let each = started.elapsed() / u32::try_from(wishes.len()).unwrap();
    let share = |part: usize| f64::from(found[part]) / f64::from(all[part]);
    let recall = f64::from(found[0] + found[1]) / f64::from(all[0] + all[1]);
    println!(
        "recall at 5: {recall:.3} (seen {:.3}, held out {:.3}), {each:?} each",
        share(0),
        share(1)
    );
    assert!(recall >= 0.85, "recall at 5 is {recall:.3}");
    assert!(share(1) >= 0.75, "recall at 5 of the held-out half is {:.3}", share(1));
    // A search is far below this; a quadratic one would not be.
    assert!(each < Duration::from_millis(100), "{each:?}");
}

#[test]
fn no_wish_has_a_word_of_its_tools_name() {
    for wish in catalog(200).1 {
        let name = words(&wish.name);
        let shared: Vec<_> =
            words(&wish.query).into_iter().filter(|word| name.contains(word)).collect();
        assert!(shared.is_empty(), "{}: {shared:?}", wish.query);
    }
}

#[test]
fn names_and_mistyped_words_find_too() {
    let index = SearchIndex::new(&catalog(TOOLS).0);
    let first = |query: &str| index.search(query).next().unwrap_or_default().to_owned();
    assert_eq!(first("github__create_issue"), "github__create_issue");
    assert_eq!(first("stripe refund"), "stripe__create_refund");
    assert_eq!(first("kubernetis cordn a node"), "kubernetes__cordon_node");
    assert_eq!(index.search("").count(), TOOLS, "nothing asked: all, by name");
    assert_eq!(index.search("zzzzqqqq").count(), 0);
}
