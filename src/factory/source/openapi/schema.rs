//! Schemas of a description, as JSON Schema 2020-12 for requests.
//!
//! References stay references, to `#/$defs/<name>`, so cycles need no end; what only an answer
//! holds (`readOnly`) is left out, with its entry in `required`.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Value, json};

use super::bundle::{Bundle, Place};
use super::document::Edition;
use super::keywords::{COPIED, LISTS, MAPS, SCHEMA, TYPES, is_structural, variants};
use crate::factory::names::prose;

/// Longest description of a schema.
const DESCRIPTION: usize = 400;

/// Depth at which nested `allOf` is left as it is.
const MERGE_DEPTH: usize = 24;

type Key = (usize, String);

/// Which way the described value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the API: without what is `readOnly`.
    Request,
    /// From it: without what is `writeOnly`.
    Response,
}

/// Converts schemas and collects those that others point to.
pub(super) struct Schemas<'a> {
    bundle: &'a Bundle,
    edition: Edition,
    direction: Direction,
    names: HashMap<Key, String>,
    taken: HashSet<String>,
    queue: VecDeque<(String, Key, Place<'a>)>,
    defs: Map<String, Value>,
    notes: Vec<String>,
}

/// A converted schema, and the properties that were left out of it.
struct Converted {
    value: Value,
    dropped: Vec<String>,
}

impl From<Value> for Converted {
    fn from(value: Value) -> Self {
        Self { value, dropped: Vec::new() }
    }
}

impl<'a> Schemas<'a> {
    pub(super) fn new(bundle: &'a Bundle, edition: Edition, direction: Direction) -> Self {
        Self {
            bundle,
            edition,
            direction,
            names: HashMap::new(),
            taken: HashSet::new(),
            queue: VecDeque::new(),
            defs: Map::new(),
            notes: Vec::new(),
        }
    }

    /// Which edition's words are read.
    pub(super) const fn edition(&self) -> Edition {
        self.edition
    }

    /// The schema at a place, for a request.
    pub(super) fn convert(&mut self, place: Place<'a>) -> Value {
        let value = self.schema(place, &mut Vec::new()).value;
        self.drain();
        value
    }

    /// All that was pointed to, and what was left aside.
    pub(super) fn finish(self) -> (Map<String, Value>, Vec<String>) {
        (self.defs, self.notes)
    }

    /// Converts what is pointed to, one after the other, so that depth costs no stack.
    fn drain(&mut self) {
        while let Some((name, key, place)) = self.queue.pop_front() {
            let mut expanding = vec![key];
            let value = self.schema(place, &mut expanding).value;
            self.defs.insert(name, value);
        }
    }

    fn schema(&mut self, place: Place<'a>, expanding: &mut Vec<Key>) -> Converted {
        let object = match place.value {
            Value::Object(object) => object,
            Value::Bool(_) => return place.value.clone().into(),
            _ => return json!({}).into(),
        };
        let Some(Value::String(reference)) = object.get("$ref") else {
            return self.object(place, object, expanding);
        };
        // Beside a reference, only 3.1 lets other keywords count; descriptions do no harm anywhere.
        if self.edition == Edition::ThreeOne && object.keys().any(|key| is_structural(key)) {
            let key = self.bundle.follow(place.document, reference).map(|target| target.key);
            if key.is_ok_and(|key| !expanding.contains(&key)) {
                return self.object(place, object, expanding);
            }
        }
        let mut value = self.reference(place.document, reference);
        if let Some(converted) = value.as_object_mut() {
            if self.edition == Edition::ThreeOne && object.len() > 1 {
                let mut rest = object.clone();
                rest.shift_remove("$ref");
                let siblings = plain(&rest);
                for (key, sibling) in siblings {
                    converted.insert(key, sibling);
                }
            } else if let Some(description) = object.get("description").and_then(Value::as_str) {
                converted.insert("description".to_owned(), json!(prose(description, DESCRIPTION)));
            }
        }
        value.into()
    }

    fn reference(&mut self, document: usize, reference: &str) -> Value {
        let bundle = self.bundle;
        let mut target = match bundle.follow(document, reference) {
            Ok(target) => target,
            Err(reason) => {
                self.notes.push(reason);
                return json!({});
            }
        };
        // A schema that is only a reference is passed through.
        let mut steps = 0;
        while let Some(Value::String(next)) = target.place.value.get("$ref")
            && target.place.value.as_object().is_some_and(|object| object.len() == 1)
        {
            steps += 1;
            match bundle.follow(target.place.document, next) {
                Ok(further) if steps < 64 => target = further,
                Ok(_) => {
                    self.notes.push(format!("the reference `{next}` leads in a circle"));
                    return json!({});
                }
                Err(reason) => {
                    self.notes.push(reason);
                    return json!({});
                }
            }
        }
        if let Some(name) = self.names.get(&target.key) {
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        if is_small(target.place.value) {
            return self.schema(target.place, &mut Vec::new()).value;
        }
        let name = self.name(&target.key.1);
        self.names.insert(target.key.clone(), name.clone());
        let result = json!({ "$ref": format!("#/$defs/{name}") });
        self.queue.push_back((name, target.key, target.place));
        result
    }

    /// A name for what stands at a pointer.
    fn name(&mut self, pointer: &str) -> String {
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let mut plain: String = last
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() || "_.-".contains(letter) { letter } else { '_' }
            })
            .take(60)
            .collect();
        if plain.is_empty() {
            "Schema".clone_into(&mut plain);
        }
        let mut name = plain.clone();
        let mut number = 1;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{plain}_{number}");
        }
        name
    }

    fn object(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        expanding: &mut Vec<Key>,
    ) -> Converted {
        let document = place.document;
        let at = |value: &'a Value| Place { document, value };
        let mut result = Map::new();
        let mut dropped = Vec::new();
        self.types(object, &mut result);
        for key in COPIED {
            if let Some(value) = object.get(key) {
                result.insert(key.to_owned(), value.clone());
            }
        }
        for key in ["title", "pattern", "format", "contentEncoding", "contentMediaType"] {
            if result.get(key).is_some_and(|value| !value.is_string()) {
                result.shift_remove(key);
            }
        }
        for key in [
            "maximum",
            "minimum",
            "multipleOf",
            "maxLength",
            "minLength",
            "maxItems",
            "minItems",
            "maxProperties",
            "minProperties",
        ] {
            if result.get(key).is_some_and(|value| {
                !value.is_number()
                    || (key != "maximum"
                        && key != "minimum"
                        && value.as_f64().is_some_and(|number| number < 0.0))
            }) {
                result.shift_remove(key);
            }
        }
        if result.get("enum").is_some_and(|values| values.as_array().is_none_or(Vec::is_empty)) {
            result.shift_remove("enum");
        }
        if let Some(text) = object.get("description").and_then(Value::as_str) {
            result.insert("description".to_owned(), json!(prose(text, DESCRIPTION)));
        }
        exclusive(object, &mut result);
        if let Some(Value::Object(properties)) = object.get("properties") {
            let mut converted = Map::new();
            for (name, value) in properties {
                if self.is_elsewhere(at(value)) {
                    dropped.push(name.clone());
                } else {
                    converted.insert(name.clone(), self.schema(at(value), expanding).value);
                }
            }
            result.insert("properties".to_owned(), Value::Object(converted));
        }
        if let Some(Value::Array(required)) = object.get("required") {
            let names: Vec<Value> = required
                .iter()
                .filter(|name| {
                    name.as_str().is_some_and(|name| !dropped.iter().any(|drop| drop == name))
                })
                .cloned()
                .collect();
            if !names.is_empty() {
                result.insert("required".to_owned(), Value::Array(names));
            }
        }
        for key in SCHEMA {
            match object.get(key) {
                Some(Value::Array(items)) if key == "items" => {
                    let items = items.iter().map(|item| self.schema(at(item), expanding).value);
                    result.insert("prefixItems".to_owned(), Value::Array(items.collect()));
                }
                Some(value @ (Value::Object(_) | Value::Bool(_))) => {
                    let value = self.schema(at(value), expanding).value;
                    result.insert(key.to_owned(), value);
                }
                _ => {}
            }
        }
        for key in LISTS {
            if let Some(Value::Array(branches)) = object.get(key)
                && !branches.is_empty()
            {
                let branches =
                    branches.iter().map(|branch| self.schema(at(branch), expanding).value);
                let branches = Value::Array(branches.collect());
                // Branches overlap in many documents, where a discriminator tells them apart, of
                // which validators know nothing: the API judges whether one alone fits.
                let loose = self.direction == Direction::Request && key == "oneOf";
                let key = if loose && !object.contains_key("anyOf") { "anyOf" } else { key };
                result.insert(key.to_owned(), branches);
            }
        }
        for key in MAPS {
            if let Some(Value::Object(map)) = object.get(key) {
                let converted: Map<String, Value> = map
                    .iter()
                    .map(|(name, value)| (name.clone(), self.schema(at(value), expanding).value))
                    .collect();
                result.insert(key.to_owned(), Value::Object(converted));
            }
        }
        if let Some(name) =
            object.get("discriminator").and_then(|value| value.get("propertyName").or(Some(value)))
            && let Some(name) = name.as_str()
            && (result.contains_key("oneOf") || result.contains_key("anyOf"))
        {
            let words = variants(object);
            let words = if words.is_empty() { words } else { format!(": {words}") };
            let sentence = format!("The variant is chosen by `{}`{words}.", prose(name, 60));
            let text = match result.get("description").and_then(Value::as_str) {
                Some(text) => format!("{text} {sentence}"),
                None => sentence,
            };
            result.insert("description".to_owned(), Value::String(text));
        }
        if object.get("$ref").is_some_and(Value::is_string) {
            // What stands beside the reference counts together with it.
            let reference = std::slice::from_ref(place.value);
            self.all_of(place, reference, &mut result, &mut dropped, expanding);
        }
        if let Some(Value::Array(branches)) = object.get("allOf") {
            self.all_of(place, branches, &mut result, &mut dropped, expanding);
        }
        nullable(object, &mut result);
        Converted { value: Value::Object(result), dropped }
    }

    fn types(&mut self, object: &Map<String, Value>, result: &mut Map<String, Value>) {
        match object.get("type") {
            Some(Value::String(name)) if name == "file" => {
                result.insert("type".to_owned(), json!("string"));
            }
            Some(Value::String(name)) if TYPES.contains(&name.as_str()) => {
                result.insert("type".to_owned(), json!(name));
            }
            Some(Value::Array(names)) => {
                let names: Vec<Value> = names
                    .iter()
                    .filter(|name| name.as_str().is_some_and(|name| TYPES.contains(&name)))
                    .cloned()
                    .collect();
                match names.as_slice() {
                    [] => {}
                    [one] => {
                        result.insert("type".to_owned(), one.clone());
                    }
                    _ => {
                        result.insert("type".to_owned(), Value::Array(names));
                    }
                }
            }
            Some(other) => self.notes.push(format!(
                "`{}` is no type of JSON Schema; any value is taken",
                prose(&other.to_string(), 60)
            )),
            None => {}
        }
    }

    /// Merges `allOf` into the schema, as far as it can be done without a contradiction.
    fn all_of(
        &mut self,
        place: Place<'a>,
        branches: &'a [Value],
        result: &mut Map<String, Value>,
        dropped: &mut Vec<String>,
        expanding: &mut Vec<Key>,
    ) {
        let mut kept = Vec::new();
        for branch in branches {
            let converted =
                self.branch(Place { document: place.document, value: branch }, expanding);
            let Some(Converted { value, dropped: names }) = converted else { continue };
            dropped.extend(names);
            match value {
                Value::Object(branch) if mergeable(result, &branch) => merge(result, branch),
                other => kept.push(other),
            }
        }
        if let Some(Value::Array(required)) = result.get_mut("required") {
            required.retain(|name| {
                !name.as_str().is_some_and(|name| dropped.iter().any(|drop| drop == name))
            });
            if required.is_empty() {
                result.shift_remove("required");
            }
        }
        if !kept.is_empty() {
            match result.get_mut("allOf") {
                Some(Value::Array(before)) => before.extend(kept),
                _ => {
                    result.insert("allOf".to_owned(), Value::Array(kept));
                }
            }
        }
    }

    /// One branch of `allOf`, references opened; `None` when it leads back to where we are.
    fn branch(&mut self, place: Place<'a>, expanding: &mut Vec<Key>) -> Option<Converted> {
        let Some(Value::String(reference)) = place.value.get("$ref") else {
            return Some(self.schema(place, expanding));
        };
        let bundle = self.bundle;
        let mut target = match bundle.follow(place.document, reference) {
            Ok(target) => target,
            Err(reason) => {
                self.notes.push(reason);
                return None;
            }
        };
        for _ in 0..64 {
            match target.place.value.get("$ref") {
                Some(Value::String(next)) => {
                    target = bundle.follow(target.place.document, next).ok()?;
                }
                _ => break,
            }
        }
        if expanding.contains(&target.key) {
            return None;
        }
        if expanding.len() > MERGE_DEPTH {
            return Some(self.reference(place.document, reference).into());
        }
        expanding.push(target.key);
        let mut converted = self.schema(target.place, expanding);
        expanding.pop();
        // A parent that lists its children would make a child contain itself.
        let own: HashSet<String> = expanding
            .iter()
            .filter_map(|key| self.names.get(key))
            .map(|name| format!("#/$defs/{name}"))
            .collect();
        if let Value::Object(object) = &mut converted.value {
            for key in ["oneOf", "anyOf"] {
                let leads_back =
                    object.get(key).and_then(Value::as_array).is_some_and(|branches| {
                        branches.iter().any(|branch| {
                            branch
                                .get("$ref")
                                .and_then(Value::as_str)
                                .is_some_and(|name| own.contains(name))
                        })
                    });
                if leads_back {
                    object.shift_remove(key);
                }
            }
        }
        Some(converted)
    }

    /// Whether a property belongs to the other direction alone.
    fn is_elsewhere(&self, place: Place<'a>) -> bool {
        let mark = match self.direction {
            Direction::Request => "readOnly",
            Direction::Response => "writeOnly",
        };
        let marked = |value: &Value| value.get(mark) == Some(&Value::Bool(true));
        marked(place.value)
            || (place.value.get("$ref").is_some()
                && self.bundle.resolve(place).is_ok_and(|place| marked(place.value)))
    }
}

/// Keywords beside a reference that hold no schemas.
fn plain(object: &Map<String, Value>) -> Map<String, Value> {
    let mut result = Map::new();
    for key in COPIED {
        if let Some(value) = object.get(key) {
            result.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(text) = object.get("description").and_then(Value::as_str) {
        result.insert("description".to_owned(), json!(prose(text, DESCRIPTION)));
    }
    result
}

/// Whether a schema is so small that it is written out where it is used.
fn is_small(value: &Value) -> bool {
    const BIG: [&str; 13] = [
        "properties",
        "items",
        "allOf",
        "oneOf",
        "anyOf",
        "$ref",
        "additionalProperties",
        "patternProperties",
        "prefixItems",
        "not",
        "if",
        "contains",
        "unevaluatedProperties",
    ];
    let Some(object) = value.as_object() else { return true };
    !BIG.iter().any(|key| object.contains_key(*key))
        && object.get("enum").and_then(Value::as_array).is_none_or(|values| values.len() <= 20)
}

/// Numeric limits that older editions marked with a boolean.
fn exclusive(object: &Map<String, Value>, result: &mut Map<String, Value>) {
    for (key, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match object.get(key) {
            Some(Value::Bool(true)) => {
                if let Some(value) = result.shift_remove(limit) {
                    result.insert(key.to_owned(), value);
                }
            }
            Some(value @ Value::Number(_)) => {
                result.insert(key.to_owned(), value.clone());
            }
            _ => {}
        }
    }
}

/// `nullable` of 3.0 and `x-nullable` of 2.0.
fn nullable(object: &Map<String, Value>, result: &mut Map<String, Value>) {
    let marked =
        ["nullable", "x-nullable"].iter().any(|key| object.get(*key) == Some(&Value::Bool(true)));
    if !marked {
        return;
    }
    if let Some(Value::String(name)) = result.get("type").cloned() {
        if name != "null" {
            result.insert("type".to_owned(), json!([name, "null"]));
        }
    } else if let Some(Value::Array(names)) = result.get_mut("type") {
        if !names.contains(&json!("null")) {
            names.push(json!("null"));
        }
    } else if ["oneOf", "anyOf", "allOf"].iter().any(|key| result.contains_key(*key)) {
        let inner = Value::Object(std::mem::take(result));
        result.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
    }
    if let Some(Value::Array(values)) = result.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Whether a branch says nothing that contradicts or would replace what is there.
fn mergeable(result: &Map<String, Value>, branch: &Map<String, Value>) -> bool {
    branch.iter().all(|(key, value)| match key.as_str() {
        "properties" => result.get("properties").and_then(Value::as_object).is_none_or(|own| {
            value.as_object().is_some_and(|other| {
                other.iter().all(|(name, schema)| own.get(name).is_none_or(|mine| mine == schema))
            })
        }),
        "required" | "title" | "description" | "default" => true,
        // It speaks of the properties beside it alone.
        "additionalProperties" | "unevaluatedProperties" => {
            value != &Value::Bool(false) && result.get(key).is_none_or(|own| own == value)
        }
        _ => result.get(key).is_none_or(|own| own == value),
    })
}

fn merge(result: &mut Map<String, Value>, branch: Map<String, Value>) {
    for (key, value) in branch {
        match (result.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(other)) if key == "properties" => {
                for (name, schema) in other {
                    own.entry(name).or_insert(schema);
                }
            }
            (Some(Value::Array(own)), Value::Array(other)) if key == "required" => {
                for name in other {
                    if !own.contains(&name) {
                        own.push(name);
                    }
                }
            }
            (Some(_), _) => {}
            (None, value) => {
                result.insert(key, value);
            }
        }
    }
}
