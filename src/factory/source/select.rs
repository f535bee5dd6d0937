//! Which operations or tables are wanted.

use crate::factory::error::{FactoryError, Refusal};

/// Methods that a pattern may begin with.
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// Patterns of what is wanted and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Tag(String),
    Method(String),
    Path(String),
    MethodAndPath(String, String),
    Id(String),
    IdOrTag(String),
}

/// What is known of an operation.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Upper case.
    pub method: &'a str,
    /// As it is written.
    pub path: &'a str,
    /// `operationId`, or empty.
    pub id: &'a str,
    /// Tags.
    pub tags: &'a [String],
}

impl Selection {
    /// Reads patterns: `tag:pets`, `method:GET`, `path:/pets/*`, `id:list*`, `GET /pets/*`,
    /// `/pets/*`, or a word that is an id or a tag. `*` stands for anything.
    ///
    /// # Errors
    /// When a pattern is empty.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, FactoryError> {
        Ok(Self { include: patterns("include", include)?, exclude: patterns("exclude", exclude)? })
    }

    /// Why the operation is not wanted; `None`: it is.
    pub fn refuses(&self, facts: &Facts<'_>) -> Option<String> {
        if !self.include.is_empty() && !self.names(facts) {
            return Some("`include` does not name it".to_owned());
        }
        self.exclude
            .iter()
            .any(|pattern| pattern.matches(facts))
            .then(|| "`exclude` names it".to_owned())
    }

    /// Whether `include` names it.
    pub fn names(&self, facts: &Facts<'_>) -> bool {
        self.include.iter().any(|pattern| pattern.matches(facts))
    }
}

fn patterns(argument: &str, texts: &[String]) -> Result<Vec<Pattern>, FactoryError> {
    texts
        .iter()
        .map(|text| {
            pattern(text.trim()).ok_or_else(|| {
                FactoryError::new(
                    Refusal::Arguments,
                    format!("`{argument}` has an empty pattern"),
                    "write patterns such as `tag:pets`, `GET /pets/*` or `id:list*`",
                )
            })
        })
        .collect()
}

fn pattern(text: &str) -> Option<Pattern> {
    if text.is_empty() {
        return None;
    }
    if let Some((kind, rest)) = text.split_once(':') {
        let rest = rest.trim();
        let made = match kind.to_ascii_lowercase().as_str() {
            "tag" => Some(Pattern::Tag(rest.to_owned())),
            "method" => Some(Pattern::Method(rest.to_ascii_uppercase())),
            "path" => Some(Pattern::Path(rest.to_owned())),
            "id" | "operation" => Some(Pattern::Id(rest.to_owned())),
            _ => None,
        };
        if let Some(made) = made {
            return (!rest.is_empty()).then_some(made);
        }
    }
    let upper = text.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) {
        return Some(Pattern::Method(upper));
    }
    if let Some((method, path)) = text.split_once(' ')
        && METHODS.contains(&method.to_ascii_uppercase().as_str())
    {
        return Some(Pattern::MethodAndPath(method.to_ascii_uppercase(), path.trim().to_owned()));
    }
    if text.starts_with('/') {
        return Some(Pattern::Path(text.to_owned()));
    }
    Some(Pattern::IdOrTag(text.to_owned()))
}

impl Pattern {
    fn matches(&self, facts: &Facts<'_>) -> bool {
        let tag = |wanted: &str| facts.tags.iter().any(|tag| glob(wanted, tag));
        match self {
            Self::Tag(wanted) => tag(wanted),
            Self::Method(method) => method == facts.method,
            Self::Path(wanted) => glob(wanted, facts.path),
            Self::MethodAndPath(method, wanted) => {
                method == facts.method && glob(wanted, facts.path)
            }
            Self::Id(wanted) => glob(wanted, facts.id),
            Self::IdOrTag(wanted) => glob(wanted, facts.id) || tag(wanted),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for anything; in time of both lengths.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(letter) if text.get(place) == Some(letter) => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    at = back + 1;
                    place = from + 1;
                    star = Some((back, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let tags = ["pets".to_owned()];
        let facts = Facts { method: "GET", path: "/pets/{id}", id: "getPet", tags: &tags };
        let takes =
            |word: &str| Selection::new(&[word.to_owned()], &[]).unwrap().refuses(&facts).is_none();
        for word in
            ["pets", "tag:pets", "GET", "method:get", "/pets/*", "GET /pets/*", "id:get*", "getPet"]
        {
            assert!(takes(word), "{word}");
        }
        for word in ["tag:users", "POST", "/pets", "POST /pets/*", "id:list*"] {
            assert!(!takes(word), "{word}");
        }
        let none = Selection::new(&[], &["tag:pets".to_owned()]).unwrap();
        assert_eq!(none.refuses(&facts).as_deref(), Some("`exclude` names it"));
    }
}
