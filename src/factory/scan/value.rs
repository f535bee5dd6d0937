//! What is known of a value without running the program.

use std::rc::Rc;

/// Most parts of a text that are kept apart.
const MOST_PARTS: usize = 64;
/// Most bytes of one known part.
const PART_BYTES: usize = 4096;

/// Where a value comes from, from harmless to dangerous.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// It stands in the program.
    #[default]
    Constant,
    /// A number, or something that was checked or quoted.
    Harmless,
    /// Somewhere else: a file, a database, an answer.
    Unknown,
    /// The arguments of a call.
    Argument,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// It reads so.
    Text(String),
    /// Something that is known by its origin alone.
    Hole(Origin),
}

/// Whether something is a truth value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Literal {
    /// Not known, or none of these.
    #[default]
    Other,
    /// `True`.
    True,
    /// `False`.
    False,
    /// `None`.
    None,
    /// A whole number.
    Number(i64),
}

/// What is known of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Value {
    /// Its text, or the origins that it is made from.
    pub(super) parts: Vec<Part>,
    /// Whether text was put together from more than constants.
    pub(super) built: bool,
    /// The dotted name that it stands for; `()` stands for what a call returns.
    pub(super) path: Option<Rc<str>>,
    /// Items by constant key or position.
    #[expect(clippy::rc_buffer, reason = "made once from a list, and shared from then on")]
    pub(super) entries: Rc<Vec<(String, Value)>>,
    /// Where the keys of a dictionary come from.
    pub(super) keys: Option<Origin>,
    /// Truth values and numbers.
    pub(super) literal: Literal,
    /// The name under which it is a secret.
    pub(super) secret: Option<Rc<str>>,
}

impl Value {
    pub(super) fn of(origin: Origin) -> Self {
        Self { parts: vec![Part::Hole(origin)], ..Self::default() }
    }

    pub(super) fn text(text: &str) -> Self {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= PART_BYTES);
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        Self { parts: vec![Part::Text(text.to_owned())], ..Self::default() }
    }

    pub(super) fn named(path: &str) -> Self {
        let mut value = Self::of(Origin::Unknown);
        value.path = Some(Rc::from(path));
        value
    }

    /// The whole text, when it is known.
    pub(super) fn constant(&self) -> Option<String> {
        if self.parts.is_empty() {
            return None;
        }
        let mut whole = String::new();
        for part in &self.parts {
            let Part::Text(text) = part else { return None };
            whole.push_str(text);
        }
        Some(whole)
    }

    /// Where the worst part comes from.
    pub(super) fn origin(&self) -> Origin {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(_) => Origin::Constant,
                Part::Hole(origin) => *origin,
            })
            .max()
            .unwrap_or_default()
    }

    /// Its text with a NUL for every part that is not known.
    pub(super) fn outline(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Hole(_) => "\0",
            })
            .collect()
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// The same, of which only the origin and secrecy are kept.
    pub(super) fn derived(&self) -> Self {
        let mut value = Self::of(self.origin());
        value.built = self.built;
        value.secret.clone_from(&self.secret);
        value
    }

    /// The same, trusted.
    pub(super) fn checked(&self) -> Self {
        let mut value = self.clone();
        for part in &mut value.parts {
            if let Part::Hole(origin) = part {
                *origin = (*origin).min(Origin::Harmless);
            }
        }
        value.built = false;
        value
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What a loop over it yields.
    pub(super) fn item(&self) -> Self {
        if let Some(keys) = self.keys {
            return Self::of(keys);
        }
        let mut items = self.entries.iter().map(|(_, value)| value);
        match items.next() {
            Some(first) => items.fold(first.clone(), |all, one| all.or(one)),
            None => self.derived(),
        }
    }

    /// Texts after each other.
    pub(super) fn concat(values: &[Self]) -> Self {
        let mut whole = Self::default();
        for value in values {
            whole.built |= value.built;
            if whole.secret.is_none() {
                whole.secret.clone_from(&value.secret);
            }
            for part in &value.parts {
                let kept = whole.parts.len();
                match (whole.parts.last_mut(), part) {
                    (Some(Part::Text(last)), Part::Text(next))
                        if last.len() + next.len() <= PART_BYTES =>
                    {
                        last.push_str(next);
                    }
                    (Some(last), _) if kept >= MOST_PARTS => {
                        *last = Part::Hole(value.origin().max(Origin::Harmless));
                    }
                    _ => whole.parts.push(part.clone()),
                }
            }
        }
        whole.built |= values.len() > 1 && whole.origin() >= Origin::Unknown;
        whole
    }

    /// One or the other, whichever it may be: the worse of both.
    #[must_use]
    pub(super) fn or(&self, other: &Self) -> Self {
        if self == other {
            return self.clone();
        }
        let rank = |value: &Self| (value.origin(), value.built);
        let (worse, better) = if rank(other) > rank(self) { (other, self) } else { (self, other) };
        let mut value = worse.clone();
        value.literal = Literal::Other;
        if worse.origin() <= Origin::Harmless {
            // Both are harmless; what either reads is no longer certain.
            value.parts = vec![Part::Hole(worse.origin())];
        }
        if value.path.is_none() {
            value.path.clone_from(&better.path);
        }
        if value.secret.is_none() {
            value.secret.clone_from(&better.secret);
        }
        if value.entries.is_empty() {
            value.entries = Rc::clone(&better.entries);
        }
        value.keys = worse.keys.max(better.keys);
        value
    }
}
