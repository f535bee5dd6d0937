//! JSON as people write it: with comments, trailing commas and a byte-order mark; and names that
//! stand twice, which a map would swallow.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A document, and the keys that stand twice somewhere in it.
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) duplicates: BTreeSet<String>,
}

/// Why a text is no JSON. Never quotes it: it may hold keys.
pub(super) struct JsonFault {
    pub(super) line: usize,
    pub(super) message: String,
}

pub(super) fn parse(text: &str) -> Result<Document, JsonFault> {
    let plain = plain(text.strip_prefix('\u{feff}').unwrap_or(text));
    let value = serde_json::from_str(&plain).map_err(|error| JsonFault {
        line: error.line(),
        message: match error.classify() {
            serde_json::error::Category::Eof => "it ends too early".to_owned(),
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Data => {
                let text = error.to_string();
                text.split(" at line").next().unwrap_or_default().to_owned()
            }
        },
    })?;
    let mut duplicates = BTreeSet::new();
    let mut reader = serde_json::Deserializer::from_str(&plain);
    // It was parsed just now, so it cannot fail.
    let _ = Walk(&mut duplicates).deserialize(&mut reader);
    Ok(Document { value, duplicates })
}

/// The text with comments and trailing commas as blanks, so that lines keep their numbers.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut in_text = false;
    // Where in `out` a comma stands that nothing but blanks has followed yet.
    let mut comma: Option<usize> = None;
    while let Some(letter) = letters.next() {
        if in_text {
            out.push(letter);
            match letter {
                '\\' => out.extend(letters.next()),
                '"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match (letter, letters.peek()) {
            ('/', Some('/')) => while letters.next_if(|next| *next != '\n').is_some() {},
            ('/', Some('*')) => {
                letters.next();
                let mut last = ' ';
                for next in letters.by_ref() {
                    if next == '\n' {
                        out.push('\n');
                    }
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
            }
            _ => {
                if matches!(letter, '}' | ']')
                    && let Some(place) = comma
                {
                    out.replace_range(place..=place, " ");
                }
                in_text = letter == '"';
                if letter == ',' {
                    comma = Some(out.len());
                } else if !letter.is_whitespace() {
                    comma = None;
                }
                out.push(letter);
            }
        }
    }
    out
}

/// Walks a document and notes the keys that an object has twice.
struct Walk<'a>(&'a mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value_seed(Walk(self.0))?;
            if !seen.insert(key.clone()) {
                self.0.insert(key);
            }
        }
        Ok(())
    }
}
