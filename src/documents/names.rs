//! Names of documents: one normalisation for every tool, so that a name always finds what it made.
//!
//! Names are keys and parts of file names that are offered for download. They are never paths: the
//! store uses ids of its own.

use unicode_normalization::UnicodeNormalization as _;

/// Longest name, in characters.
const MAX_CHARACTERS: usize = 100;

/// Names that Windows keeps for devices, with any extension.
const DEVICE_NAMES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Cleans a name: everything but letters, digits, `_`, `.` and `-` becomes `_`, runs of `_` are
/// joined, `_`, `-`, `.` and blanks are trimmed. `None` when nothing is left.
pub(crate) fn clean_name(name: &str) -> Option<String> {
    let mut clean = String::new();
    for character in name.nfc().take(MAX_CHARACTERS * 8) {
        let kept = match character {
            letter if letter.is_alphanumeric() => letter,
            '.' | '-' => character,
            _ => '_',
        };
        if !(kept == '_' && clean.ends_with('_')) {
            clean.push(kept);
        }
    }
    let name = trim(&clean);
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let prefix = if DEVICE_NAMES.contains(&stem.as_str()) { "app_" } else { "" };
    let name: String = prefix.chars().chain(name.chars()).take(MAX_CHARACTERS).collect();
    let name = trim(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

/// A name made from a title: lower case, at most eight words.
pub(crate) fn name_from_title(title: &str) -> Option<String> {
    let words: Vec<&str> = title.split_whitespace().take(8).collect();
    clean_name(&words.join("_").to_lowercase())
}

/// The name of a PDF without the ending that people write; a name that is nothing else stays.
pub(crate) fn without_pdf_ending(name: &str) -> &str {
    const ENDING: usize = ".pdf".len();
    let name = name.trim();
    match name.len().checked_sub(ENDING).and_then(|at| name.split_at_checked(at)) {
        Some((stem, ending)) if !stem.trim().is_empty() && ending.eq_ignore_ascii_case(".pdf") => {
            stem.trim()
        }
        Some(_) | None => name,
    }
}

fn trim(name: &str) -> &str {
    name.trim_matches(['_', '-', '.'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_cleaned_like_the_first_version_did() {
        for (given, clean) in [
            ("my_cool_app", "my_cool_app"),
            ("My App 2.0", "My_App_2.0"),
            ("  spaces   inside  ", "spaces_inside"),
            ("../../etc/passwd", "etc_passwd"),
            ("..\\..\\windows\\system32", "windows_system32"),
            ("/absolute/path", "absolute_path"),
            ("a\0b", "a_b"),
            ("tip-calculator!", "tip-calculator"),
            ("Größe", "Größe"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("日本語アプリ", "日本語アプリ"),
            ("\u{202e}gnp.exe", "gnp.exe"),
            ("rocket 🚀 app", "rocket_app"),
            ("con", "app_con"),
            ("NUL.html", "app_NUL.html"),
            ("console", "console"),
        ] {
            assert_eq!(clean_name(given).as_deref(), Some(clean), "{given:?}");
        }
    }

    #[test]
    fn the_ending_is_no_part_of_the_name() {
        for (given, name) in [
            ("report.pdf", "report"),
            (" Report.PDF ", "Report"),
            ("a.pdf.b", "a.pdf.b"),
            (".pdf", ".pdf"),
            ("é.pdf", "é"),
            ("pdf", "pdf"),
            ("  ", ""),
        ] {
            assert_eq!(without_pdf_ending(given), name);
        }
    }

    #[test]
    fn nothing_usable_is_no_name() {
        for given in ["", "   ", "...", "///", "🚀", "\u{200f}\u{202e}", "\0", "-_.-"] {
            assert_eq!(clean_name(given), None, "{given:?}");
        }
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(clean_name(&"x".repeat(300)).unwrap().len(), 100);
        assert_eq!(clean_name(&"é".repeat(300)).unwrap().chars().count(), 100);
    }

    #[test]
    fn titles_become_short_names() {
        assert_eq!(name_from_title("Tip Calculator 🧮").as_deref(), Some("tip_calculator"));
        assert_eq!(
            name_from_title("one two three four five six seven eight nine").as_deref(),
            Some("one_two_three_four_five_six_seven_eight")
        );
        assert_eq!(name_from_title(" — "), None);
    }

    proptest! {
        #[test]
        fn clean_names_are_stable_and_harmless(given in "\\PC{0,200}|[./\\\\\0 a-c]{0,60}") {
            if let Some(name) = clean_name(&given) {
                prop_assert_eq!(clean_name(&name), Some(name.clone()));
                prop_assert!(name.chars().count() <= MAX_CHARACTERS);
                prop_assert!(!name.contains(['/', '\\', '\0', ' ']));
                prop_assert!(!name.starts_with('.') && !name.ends_with('.'));
            }
        }
    }
}
