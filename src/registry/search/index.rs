//! The inverted index and the score.

use std::collections::{BTreeSet, HashMap};

use bm25::{Embedder, EmbedderBuilder};

use super::Document;
use super::synonyms::Synonyms;
use super::words::{Words, words};

/// How much each field counts: name and title, description, parameters, server.
const FIELD_WEIGHTS: [f32; 4] = [1.1, 1.0, 0.4, 0.5];
/// How much a synonym counts beside the word itself.
const SYNONYM_WEIGHT: f32 = 0.55;
/// How much a word counts that the query's word may be a mistyped form of, or a part.
const NEAR_WEIGHT: f32 = 0.5;
/// Saturation of repeated words, and how far long texts count less.
const K1: f32 = 1.2;
const B: [f32; 4] = [0.3, 0.6, 0.7, 0.0];
/// What a query's share of matched concepts is worth: tools that fit a whole wish come before
/// those that repeat one word of it.
const COVERAGE_WEIGHT: f32 = 0.6;
/// Words of a query that are looked at.
const MOST_WORDS: usize = 64;
/// Bytes of a field that are looked at.
const MOST_BYTES: usize = 6_000;

/// What a word is worth in the fields beside the best one: a word that stands in a tool's name, its
/// description and a parameter says little more than one that stands in the name.
const REPEATED_WEIGHT: f32 = 0.25;
/// What remains of the score of each further tool of one server that fits for the same words.
/// Services have many tools for one object; without this they would fill the first places.
const ALIKE_WEIGHT: f32 = 0.9;
/// Places that are put in order by that.
const SPREAD: usize = 300;

type Id = u32;

/// What a word is worth in a tool.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    best: f32,
    sum: f32,
}

impl Value {
    fn total(self) -> f32 {
        self.best + REPEATED_WEIGHT * (self.sum - self.best)
    }
}

/// How well a tool fits a query.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    value: f32,
    covered: f32,
    /// Which words of the query it fits, a bit each.
    words: u64,
}

/// An index over tools.
#[derive(Debug, Default)]
pub struct SearchIndex {
    names: Vec<String>,
    servers: Vec<String>,
    /// By word: the documents that have it, each with its weight there.
    postings: HashMap<u32, Vec<(Id, f32)>>,
    /// All words, in order.
    vocabulary: Vec<String>,
    /// By whole name, in lower case.
    by_name: HashMap<String, Id>,
    synonyms: Synonyms,
}

impl SearchIndex {
    /// Reads all documents.
    pub fn new(documents: &[Document]) -> Self {
        let mut postings: HashMap<u32, HashMap<Id, Value>> = HashMap::new();
        let fields: [fn(&Document) -> &str; 4] = [
            |document| &document.title,
            |document| &document.description,
            |document| &document.parameters,
            |document| &document.server,
        ];
        let mut vocabulary = BTreeSet::new();
        for ((field, weight), b) in fields.into_iter().zip(FIELD_WEIGHTS).zip(B) {
            let texts: Vec<&str> = documents.iter().map(|document| cut(field(document))).collect();
            let embedder: Embedder<u32, Words> =
                EmbedderBuilder::with_tokenizer_and_fit_to_corpus(Words, &texts)
                    .k1(K1)
                    .b(b)
                    .build();
            for (id, text) in (0..).zip(texts) {
                vocabulary.extend(words(text));
                let mut last_seen = HashMap::new();
                // A word that a text repeats comes as often, with the same weight.
                for token in embedder.embed(text).0 {
                    last_seen.insert(token.index, token.value);
                }
                for (word, value) in last_seen {
                    let entry = postings.entry(word).or_default().entry(id).or_default();
                    let value = weight * value;
                    entry.sum += value;
                    entry.best = entry.best.max(value);
                }
            }
        }
        let mut sorted: HashMap<u32, Vec<(Id, f32)>> = HashMap::with_capacity(postings.len());
        for (word, documents) in postings {
            let mut documents: Vec<_> =
                documents.into_iter().map(|(id, value)| (id, value.total())).collect();
            documents.sort_unstable_by_key(|(id, _)| *id);
            sorted.insert(word, documents);
        }
        Self {
            names: documents.iter().map(|document| document.name.clone()).collect(),
            vocabulary: vocabulary.into_iter().collect(),
            servers: documents.iter().map(|document| document.server.clone()).collect(),
            by_name: (0..)
                .zip(documents)
                .map(|(id, document)| (document.name.to_lowercase(), id))
                .collect(),
            postings: sorted,
            synonyms: Synonyms::new(),
        }
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names of tools that fit, best first. A query without words that mean something matches all,
    /// by name.
    pub fn search(&self, query: &str) -> impl Iterator<Item = &str> {
        let mut ranked = self.ranked(query);
        // Somebody who writes a tool's name wants that one.
        if let Some(id) = self.by_name.get(query.trim().to_lowercase().as_str()) {
            ranked.retain(|other| other != id);
            ranked.insert(0, *id);
        }
        ranked.into_iter().filter_map(|id| {
            let place = usize::try_from(id).ok()?;
            self.names.get(place).map(String::as_str)
        })
    }

    fn ranked(&self, query: &str) -> Vec<Id> {
        let mut query: Vec<String> = words(cut(query));
        query.dedup();
        query.truncate(MOST_WORDS);
        if query.is_empty() {
            let mut all: Vec<Id> = (0..).zip(&self.names).map(|(id, _)| id).collect();
            all.sort_by_key(|id| usize::try_from(*id).ok().and_then(|id| self.names.get(id)));
            return all;
        }
        let mut scores: HashMap<Id, Score> = HashMap::new();
        let mut total = 0.0;
        for (place, word) in query.iter().enumerate() {
            let mut best: HashMap<Id, f32> = HashMap::new();
            let rarity = self.collect(word, 1.0, &mut best);
            total += rarity;
            for synonym in self.synonyms.of(word) {
                self.collect(synonym, SYNONYM_WEIGHT, &mut best);
            }
            if best.is_empty() {
                for near in self.near(word) {
                    self.collect(near, NEAR_WEIGHT, &mut best);
                }
            }
            for (id, score) in best {
                let entry = scores.entry(id).or_default();
                entry.value += score;
                entry.covered += rarity;
                entry.words |= 1 << (place % 64);
            }
        }
        let mut ranked: Vec<(f32, Id, u64)> = scores
            .into_iter()
            .map(|(id, score)| {
                let share = if total > 0.0 { score.covered / total } else { 0.0 };
                let factor = 1.0 - COVERAGE_WEIGHT + COVERAGE_WEIGHT * share;
                (score.value * factor, id, score.words)
            })
            .collect();
        // Equal scores in the order of names, so that the same query has the same answer.
        let order = |left: &(f32, Id, u64), right: &(f32, Id, u64)| {
            right.0.total_cmp(&left.0).then(left.1.cmp(&right.1))
        };
        ranked.sort_by(order);
        let mut alike: HashMap<(&str, u64), i32> = HashMap::new();
        for (score, id, words) in ranked.iter_mut().take(SPREAD) {
            let server = usize::try_from(*id).ok().and_then(|id| self.servers.get(id));
            let before = alike.entry((server.map_or("", String::as_str), *words)).or_default();
            *score *= ALIKE_WEIGHT.powi(*before);
            *before += 1;
        }
        ranked.sort_by(order);
        ranked.into_iter().map(|(_, id, _)| id).collect()
    }

    /// Words of the index that a word which is not among them may stand for: mistyped, or a part.
    fn near<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        const MOST: usize = 6;
        let letters = word.chars().count();
        let mistakes = match letters {
            0..=3 => 0,
            4..=6 => 1,
            _ => 2,
        };
        let fits = move |known: &&str| {
            let known_letters = known.chars().count();
            let is_part = known_letters.min(letters) >= 4
                && known_letters.abs_diff(letters) <= 4
                && (known.contains(word) || word.contains(*known));
            let is_close = mistakes > 0
                && known_letters.abs_diff(letters) <= mistakes
                && strsim::damerau_levenshtein(known, word) <= mistakes;
            is_part || is_close
        };
        self.vocabulary.iter().map(String::as_str).filter(fits).take(MOST)
    }

    /// Raises each document's best score for a concept; returns how rare the word is.
    fn collect(&self, word: &str, weight: f32, best: &mut HashMap<Id, f32>) -> f32 {
        let postings = self.postings.get(&<u32 as bm25::TokenEmbedder>::embed(word));
        let postings = postings.map(Vec::as_slice).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "counts of tools are small")]
        let (all, having) = (self.names.len() as f32, postings.len() as f32);
        let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        for (id, value) in postings {
            let score = weight * rarity * value;
            let entry = best.entry(*id).or_default();
            *entry = entry.max(score);
        }
        rarity
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_BYTES)).unwrap_or_default()
}
