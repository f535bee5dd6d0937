//! The documents of one API, and how references lead from one place to another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

/// Most references that lead on to references.
const CHAIN: usize = 64;

/// Documents that refer to each other.
#[derive(Debug, Clone)]
pub struct Bundle {
    documents: Vec<Document>,
    by_address: HashMap<String, usize>,
    /// Documents that could not be had, with the reason.
    refused: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Document {
    address: Option<Url>,
    value: Value,
    /// Pointers of what has an `$anchor`, once one is asked for.
    anchors: OnceLock<HashMap<String, String>>,
}

impl Document {
    fn new(address: Option<Url>, value: Value) -> Self {
        Self { address, value, anchors: OnceLock::new() }
    }

    /// The pointer of an anchor; of several with one name, one of them.
    fn anchor(&self, name: &str) -> Option<&str> {
        let anchors = self.anchors.get_or_init(|| anchors(&self.value));
        anchors.get(name).map(String::as_str)
    }
}

/// All anchors below a value; a loop, since documents may be deep.
fn anchors(value: &Value) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut stack = vec![(String::new(), value)];
    while let Some((pointer, value)) = stack.pop() {
        match value {
            Value::Object(object) => {
                for key in ["$anchor", "$dynamicAnchor"] {
                    if let Some(Value::String(name)) = object.get(key) {
                        found.insert(name.clone(), pointer.clone());
                    }
                }
                for (key, inner) in object.iter().filter(|(_, inner)| is_nested(inner)) {
                    let key = key.replace('~', "~0").replace('/', "~1").replace('%', "%25");
                    stack.push((format!("{pointer}/{key}"), inner));
                }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().filter(|(_, inner)| is_nested(inner));
                stack.extend(items.map(|(index, inner)| (format!("{pointer}/{index}"), inner)));
            }
            _ => {}
        }
    }
    found
}

const fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

/// A place in a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Number of the document.
    pub document: usize,
    /// What stands there.
    pub value: &'a Value,
}

/// Where a reference leads.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The place.
    pub place: Place<'a>,
    /// Its name, equal for equal places: number of the document and pointer.
    pub key: (usize, String),
}

impl<'a> Place<'a> {
    /// A member of the value here.
    pub fn get(&self, key: &str) -> Option<Place<'a>> {
        self.value.get(key).map(|value| Place { document: self.document, value })
    }
}

impl Bundle {
    /// A bundle of one document, with its address when it has one.
    pub fn new(value: Value, address: Option<Url>) -> Self {
        let mut by_address = HashMap::new();
        if let Some(address) = &address {
            by_address.insert(address.as_str().to_owned(), 0);
        }
        Self {
            documents: vec![Document::new(address, value)],
            by_address,
            refused: BTreeMap::new(),
        }
    }

    /// The first document.
    pub fn root(&self) -> Place<'_> {
        static NOTHING: Value = Value::Null;
        let value = self.documents.first().map_or(&NOTHING, |document| &document.value);
        Place { document: 0, value }
    }

    /// Address of the first document.
    pub fn address(&self) -> Option<&Url> {
        self.documents.first().and_then(|document| document.address.as_ref())
    }

    /// Adds a document that a reference led to.
    pub fn add(&mut self, address: Url, value: Value) {
        self.by_address.insert(address.as_str().to_owned(), self.documents.len());
        self.documents.push(Document::new(Some(address), value));
    }

    /// Remembers why a document could not be had.
    pub fn refuse(&mut self, address: &Url, reason: String) {
        self.refused.insert(address.as_str().to_owned(), reason);
    }

    /// Addresses that references lead to and that are neither here nor refused.
    pub fn missing(&self) -> Vec<Url> {
        let mut found = BTreeSet::new();
        for document in &self.documents {
            let Some(base) = &document.address else { continue };
            let mut stack = vec![&document.value];
            while let Some(value) = stack.pop() {
                match value {
                    Value::Object(object) => {
                        if let Some(Value::String(reference)) = object.get("$ref")
                            && !reference.starts_with('#')
                            && let Ok(mut address) = base.join(reference)
                        {
                            address.set_fragment(None);
                            let known = self.by_address.contains_key(address.as_str())
                                || self.refused.contains_key(address.as_str());
                            if !known {
                                found.insert(address);
                            }
                        }
                        stack.extend(object.values());
                    }
                    Value::Array(items) => stack.extend(items),
                    _ => {}
                }
            }
        }
        found.into_iter().collect()
    }

    /// Follows a place's `$ref`, and those behind it, to something that is none.
    ///
    /// # Errors
    /// Why it leads nowhere.
    pub fn resolve<'a>(&'a self, place: Place<'a>) -> Result<Place<'a>, String> {
        let mut place = place;
        for _ in 0..CHAIN {
            match place.value.get("$ref") {
                Some(Value::String(reference)) => {
                    place = self.follow(place.document, reference)?.place;
                }
                _ => return Ok(place),
            }
        }
        Err("the reference leads in a circle".to_owned())
    }

    /// Where one reference leads.
    ///
    /// # Errors
    /// Why it leads nowhere.
    pub fn follow(&self, document: usize, reference: &str) -> Result<Target<'_>, String> {
        let shown: String = reference.chars().take(200).collect();
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let number = if file.is_empty() {
            document
        } else {
            let base = self.documents.get(document).and_then(|document| document.address.as_ref());
            let Some(base) = base else {
                return Err(format!(
                    "the reference `{shown}` leads to another file, and a document given as text has no place to look for it"
                ));
            };
            let mut address =
                base.join(file).map_err(|_| format!("the reference `{shown}` is no address"))?;
            address.set_fragment(None);
            if let Some(number) = self.by_address.get(address.as_str()) {
                *number
            } else {
                let reason =
                    self.refused.get(address.as_str()).map_or("it was not loaded", String::as_str);
                return Err(format!("the reference `{shown}` cannot be followed: {reason}"));
            }
        };
        let Some(root) = self.documents.get(number) else {
            return Err(format!("the reference `{shown}` leads nowhere"));
        };
        let fragment = if fragment.is_empty() || fragment.starts_with('/') {
            fragment
        } else {
            let name = percent_decode_str(fragment).decode_utf8_lossy();
            root.anchor(&name).ok_or_else(|| {
                format!("the reference `{shown}` leads nowhere: there is no such `$anchor`")
            })?
        };
        let mut value = &root.value;
        let mut pointer = String::new();
        for segment in fragment.split('/').skip(1) {
            let segment = percent_decode_str(segment).decode_utf8_lossy();
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match value {
                Value::Object(object) => object.get(&segment),
                Value::Array(items) => {
                    segment.parse::<usize>().ok().and_then(|index| items.get(index))
                }
                _ => None,
            };
            let Some(next) = next else {
                return Err(format!(
                    "the reference `{shown}` leads nowhere: there is no `{segment}`"
                ));
            };
            value = next;
            pointer.push('/');
            pointer.push_str(&segment);
        }
        Ok(Target { place: Place { document: number, value }, key: (number, pointer) })
    }
}
