//! Words of names, descriptions and queries, as the index compares them.

use bm25::Tokenizer;
use rust_stemmers::{Algorithm, Stemmer};

/// Words without a meaning of their own in a wish or a description.
const STOP_WORDS: [&str; 94] = [
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but",
    "by", "can", "could", "d", "did", "do", "does", "don", "done", "each", "else", "for", "from",
    "had", "has", "have", "here", "how", "i", "if", "in", "into", "is", "it", "its", "just", "let",
    "like", "ll", "m", "may", "me", "might", "mine", "my", "need", "needs", "no", "not", "of",
    "on", "onto", "or", "our", "ours", "out", "please", "re", "s", "should", "so", "some", "such",
    "t", "than", "that", "the", "their", "them", "then", "there", "these", "they", "thing", "this",
    "those", "to", "tool", "up", "us", "use", "used", "using", "ve", "via", "want", "was", "we",
    "were", "with",
];

/// Splits texts into stemmed words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        words(text)
    }
}

/// The words of a text, stemmed, without stop words. Names in any spelling come apart:
/// `listPullRequests`, `list_pull_requests` and `HTTPServer2` alike.
pub fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    split(text)
        .into_iter()
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
        .map(|word| stemmer.stem(&word).into_owned())
        .collect()
}

/// The stem of one word.
pub(super) fn stem(word: &str) -> String {
    Stemmer::create(Algorithm::English).stem(word).into_owned()
}

fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let begins = letter.is_uppercase()
            && (last.is_lowercase() || (last.is_uppercase() && next.is_lowercase()))
            || letter.is_alphabetic() && last.is_numeric() && word.len() > 2;
        if begins || !letter.is_alphanumeric() {
            finish(&mut word, &mut words);
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        last = letter;
    }
    finish(&mut word, &mut words);
    words
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        assert_eq!(split("listPullRequests"), ["list", "pull", "requests"]);
        assert_eq!(split("github__list_pull-requests"), ["github", "list", "pull", "requests"]);
        assert_eq!(split("parseHTTPHeader"), ["parse", "http", "header"]);
        assert_eq!(split("s3 ec2 base64"), ["s3", "ec2", "base64"]);
        assert_eq!(split("Überprüfe 東京"), ["überprüfe", "東京"]);
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
        assert_eq!(words("I want to send the messages"), ["send", "messag"]);
    }
}
