//! Names: what Elixir, Ecto and PostgreSQL accept, and how English words inflect.

/// Longest identifier that PostgreSQL keeps whole.
pub(crate) const IDENTIFIER_BYTES: usize = 63;

/// Words that are no variables in Elixir.
const RESERVED: [&str; 15] = [
    "after", "and", "catch", "do", "else", "end", "false", "fn", "in", "nil", "not", "or",
    "rescue", "true", "when",
];

/// Last segments of modules that would hide something that generated code uses.
const TAKEN_MODULES: [&str; 42] = [
    "Access",
    "Agent",
    "Application",
    "Atom",
    "Base",
    "Bitwise",
    "Changeset",
    "Code",
    "Date",
    "DateTime",
    "Decimal",
    "Ecto",
    "Elixir",
    "Enum",
    "Ecto.Query",
    "Exception",
    "File",
    "Float",
    "Function",
    "GenServer",
    "IO",
    "Integer",
    "Kernel",
    "Keyword",
    "List",
    "Macro",
    "Map",
    "MapSet",
    "Module",
    "NaiveDateTime",
    "Phoenix",
    "Process",
    "Query",
    "Range",
    "Regex",
    "Repo",
    "Scope",
    "Stream",
    "String",
    "System",
    "Time",
    "Tuple",
];

/// Words that are equal in singular and plural.
const UNCOUNTED: [&str; 22] = [
    "aircraft",
    "baggage",
    "chaos",
    "deer",
    "equipment",
    "feedback",
    "fish",
    "furniture",
    "hardware",
    "information",
    "jeans",
    "luggage",
    "metadata",
    "money",
    "moose",
    "news",
    "police",
    "rice",
    "series",
    "sheep",
    "software",
    "species",
];

/// Singulars and plurals that follow no rule.
const IRREGULAR: [(&str, &str); 36] = [
    ("analysis", "analyses"),
    ("axis", "axes"),
    ("basis", "bases"),
    ("bus", "buses"),
    ("cache", "caches"),
    ("calf", "calves"),
    ("child", "children"),
    ("crisis", "crises"),
    ("criterion", "criteria"),
    ("datum", "data"),
    ("diagnosis", "diagnoses"),
    ("echo", "echoes"),
    ("foot", "feet"),
    ("goose", "geese"),
    ("half", "halves"),
    ("hero", "heroes"),
    ("hypothesis", "hypotheses"),
    ("index", "indexes"),
    ("knife", "knives"),
    ("leaf", "leaves"),
    ("life", "lives"),
    ("loaf", "loaves"),
    ("man", "men"),
    ("mouse", "mice"),
    ("movie", "movies"),
    ("ox", "oxen"),
    ("person", "people"),
    ("potato", "potatoes"),
    ("quiz", "quizzes"),
    ("shelf", "shelves"),
    ("thesis", "theses"),
    ("thief", "thieves"),
    ("tomato", "tomatoes"),
    ("tooth", "teeth"),
    ("wolf", "wolves"),
    ("woman", "women"),
];

/// The plural of a word of underscored parts; only the last one inflects.
pub(crate) fn plural(word: &str) -> String {
    let (front, last) = split_last(word);
    let inflected = if UNCOUNTED.contains(&last) || IRREGULAR.iter().any(|pair| pair.1 == last) {
        last.to_owned()
    } else if let Some((_, plural)) = irregular(last, |pair| pair.0) {
        plural
    } else if let Some(stem) = last.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
        && !stem.is_empty()
    {
        format!("{stem}ies")
    } else if let Some(stem) = last.strip_suffix("sis") {
        format!("{stem}ses")
    } else if ["s", "x", "z", "ch", "sh"].iter().any(|ending| last.ends_with(ending)) {
        format!("{last}es")
    } else {
        format!("{last}s")
    };
    format!("{front}{inflected}")
}

/// The singular of a word of underscored parts.
pub(crate) fn singular(word: &str) -> String {
    let (front, last) = split_last(word);
    let inflected = if UNCOUNTED.contains(&last) || IRREGULAR.iter().any(|pair| pair.0 == last) {
        last.to_owned()
    } else if let Some((singular, _)) = irregular(last, |pair| pair.1) {
        singular
    } else if let Some(stem) = last.strip_suffix("ies")
        && stem.len() > 1
    {
        format!("{stem}y")
    } else if let Some(stem) = ["ses", "xes", "zes", "ches", "shes"]
        .iter()
        .find(|ending| last.ends_with(**ending))
        .and_then(|_| last.strip_suffix("es"))
        .filter(|stem| is_sibilant(stem))
    {
        stem.to_owned()
    } else if last.ends_with("ss") || last.ends_with("us") || last.ends_with("is") {
        last.to_owned()
    } else {
        last.strip_suffix('s').unwrap_or(last).to_owned()
    };
    format!("{front}{inflected}")
}

/// Whether a stem takes `es` in the plural: bonus and branch do, house and clause do not.
fn is_sibilant(stem: &str) -> bool {
    let latin =
        stem.len() > 3 && stem.ends_with("us") && !stem.ends_with("ous") && !stem.ends_with("aus");
    latin || ["ss", "x", "z", "ch", "sh"].iter().any(|end| stem.ends_with(end))
}

fn irregular(
    word: &str,
    side: fn(&(&'static str, &'static str)) -> &'static str,
) -> Option<(String, String)> {
    IRREGULAR
        .iter()
        .find(|pair| side(pair) == word)
        .map(|(one, many)| ((*one).to_owned(), (*many).to_owned()))
}

fn split_last(word: &str) -> (&str, &str) {
    word.rfind('_').map_or(("", word), |place| word.split_at(place + 1))
}

/// `blog_post` as `BlogPost`.
pub(crate) fn camel(name: &str) -> String {
    name.split('_')
        .map(|part| {
            let mut letters = part.chars();
            letters.next().map_or_else(String::new, |first| {
                format!("{}{}", first.to_ascii_uppercase(), letters.as_str())
            })
        })
        .collect()
}

/// `BlogPost` as `blog_post`, `APIKey` as `api_key`.
pub(crate) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|place| letters.get(place));
        let after = letters.get(place + 1);
        let starts = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts {
            out.push('_');
        }
        match letter {
            ' ' | '-' | '.' => out.push('_'),
            letter => out.push(letter.to_ascii_lowercase()),
        }
    }
    out
}

/// `blog_post` as `blog post`.
pub(crate) fn human(name: &str) -> String {
    name.replace('_', " ")
}

/// `a user`, `an address`.
pub(crate) fn with_article(name: &str) -> String {
    // By sound: a user, a one-time code, an hour.
    let consonant = ["use", "usa", "usu", "uni", "eu", "one", "once", "ufo", "uti", "uk"];
    let vowel = ["hour", "honor", "honour", "heir", "honest"];
    let sounds = name.starts_with(['a', 'e', 'i', 'o', 'u'])
        && !consonant.iter().any(|start| name.starts_with(start));
    let an = sounds || vowel.iter().any(|start| name.starts_with(start));
    let article = if an { "an" } else { "a" };
    format!("{article} {name}")
}

/// Whether a name is a variable, field, table or column as Elixir programs write it.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.len() <= IDENTIFIER_BYTES
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether Elixir keeps a word for itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether a segment is one of a module's name.
pub(crate) fn is_module_segment(name: &str) -> bool {
    name.len() <= IDENTIFIER_BYTES
        && name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a schema of this name would hide a module that generated code uses.
pub(crate) fn is_taken_module(name: &str) -> bool {
    TAKEN_MODULES.contains(&name)
}

/// The identifier that was meant, for hints.
pub(crate) fn proposed_identifier(name: &str) -> String {
    let spaced: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' })
        .collect();
    let joined = spaced.split_whitespace().map(snake).collect::<Vec<_>>().join("_");
    let joined = joined.trim_start_matches(|letter: char| !letter.is_ascii_lowercase());
    let proposed: String = joined.chars().take(IDENTIFIER_BYTES).collect();
    if proposed.is_empty() || is_reserved(&proposed) {
        format!("{proposed}_value")
    } else {
        proposed
    }
}

/// A database identifier made of parts, shortened with a hash where PostgreSQL would cut it.
pub(crate) fn database_name(parts: &[&str]) -> String {
    let name = parts.join("_");
    if name.len() <= IDENTIFIER_BYTES {
        return name;
    }
    let hash = crate::elixir::files::sha256_hex(name.as_bytes());
    let hash: String = hash.chars().take(8).collect();
    let kept: String = name.chars().take(IDENTIFIER_BYTES - 9).collect();
    format!("{}_{hash}", kept.trim_end_matches('_'))
}

/// The nearest of some words, for hints.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_inflect() {
        for (one, many) in [
            ("user", "users"),
            ("person", "people"),
            ("news", "news"),
            ("series", "series"),
            ("status", "statuses"),
            ("analysis", "analyses"),
            ("category", "categories"),
            ("address", "addresses"),
            ("child", "children"),
            ("datum", "data"),
            ("fish", "fish"),
            ("bus", "buses"),
            ("box", "boxes"),
            ("day", "days"),
            ("house", "houses"),
            ("blog_post", "blog_posts"),
            ("case", "cases"),
            ("branch", "branches"),
            ("movie", "movies"),
            ("cache", "caches"),
            ("quiz", "quizzes"),
            ("page", "pages"),
            ("knife", "knives"),
            ("database", "databases"),
            ("price", "prices"),
            ("bonus", "bonuses"),
            ("house", "houses"),
            ("clause", "clauses"),
            ("use", "uses"),
            ("warehouse", "warehouses"),
        ] {
            assert_eq!(plural(one), many);
            assert_eq!(singular(many), one, "{many}");
        }
    }

    #[test]
    fn case_changes_both_ways() {
        for (camels, snakes) in [
            ("User", "user"),
            ("BlogPost", "blog_post"),
            ("APIKey", "api_key"),
            ("OAuth2Token", "o_auth2_token"),
            ("MyAPP", "my_app"),
        ] {
            assert_eq!(snake(camels), snakes);
        }
        assert_eq!(camel("blog_post"), "BlogPost");
        assert_eq!(proposed_identifier("First Name"), "first_name");
        assert_eq!(proposed_identifier("end"), "end_value");
    }

    #[test]
    fn long_database_names_keep_apart() {
        let long = "a".repeat(60);
        let one = database_name(&[&long, "b", "index"]);
        let two = database_name(&[&long, "c", "index"]);
        assert!(one.len() <= 63 && two.len() <= 63 && one != two);
    }
}
