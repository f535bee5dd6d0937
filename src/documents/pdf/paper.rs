//! Page options: which of them hold, and what a model is told of them.

use crate::browser::{PageSetup, PdfOptions, RenderError};

/// The options of a call over those that a document has already. What is given replaces what was.
pub(in crate::documents) fn merged(given: PageSetup, stored: PageSetup) -> PageSetup {
    PageSetup {
        size: given.size.or(stored.size),
        margins: given.margins.or(stored.margins),
        landscape: given.landscape.or(stored.landscape),
        header: given.header.or(stored.header),
        footer: given.footer.or(stored.footer),
        scale: given.scale.or(stored.scale),
        background: given.background.or(stored.background),
        prefer_css_page_size: given.prefer_css_page_size.or(stored.prefer_css_page_size),
        ranges: given.ranges.or(stored.ranges),
        single_page: given.single_page.or(stored.single_page),
        transparent: given.transparent.or(stored.transparent),
        media: given.media.or(stored.media),
    }
}

/// The options as they are printed. Paper that somebody asked for wins over what the document's
/// own style says, unless the call says otherwise; without such a wish the style decides.
///
/// # Errors
/// [`RenderError::Options`], naming the field.
pub(in crate::documents) fn checked(setup: &PageSetup) -> Result<PdfOptions, RenderError> {
    let mut setup = setup.clone();
    if setup.prefer_css_page_size.is_none() && names_paper(&setup) {
        setup.prefer_css_page_size = Some(false);
    }
    PdfOptions::new(setup)
}

fn names_paper(setup: &PageSetup) -> bool {
    setup.size.is_some() || setup.landscape.is_some()
}

/// The paper in the words of a prompt.
pub(in crate::documents) fn for_prompt(setup: &PageSetup, options: &PdfOptions) -> String {
    let (paper, margins) = (options.paper(), options.margins());
    let mut sentences = Vec::new();
    let orientation = if options.is_landscape() { "on its side" } else { "upright" };
    let area = paper.width.as_pixels() - margins.left.as_pixels() - margins.right.as_pixels();
    if names_paper(setup) || setup.margins.is_some() {
        sentences.push(format!(
            "The paper is fixed: {} wide, {} high ({orientation}), margins {} above, {} right, {} \
             below, {} left. Write no `@page` rule.",
            paper.width, paper.height, margins.top, margins.right, margins.bottom, margins.left
        ));
    } else {
        sentences.push(format!(
            "The paper is left to you: {} × {} with margins of {} unless you write `@page {{ size: …; margin: … }}`. \
             Do so when the request or its country asks for other paper.",
            paper.width, paper.height, margins.top
        ));
    }
    sentences.push(format!("The text area is {area:.0} CSS pixels wide on that paper."));
    if setup.single_page == Some(true) {
        sentences.push("Everything is printed on one long page: no page breaks.".to_owned());
    }
    for (place, line) in [("above", &setup.header), ("below", &setup.footer)] {
        if let Some(line) = line.as_deref().map(str::trim).filter(|line| !line.is_empty()) {
            sentences.push(format!(
                "Printed for you {place} every page, so leave it out of the document: “{line}”."
            ));
        }
    }
    if setup.header.is_none() && setup.footer.is_none() {
        sentences.push("No header and no footer are printed.".to_owned());
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setup(value: serde_json::Value) -> PageSetup {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn given_options_replace_stored_ones_one_by_one() {
        let stored = setup(json!({"size": "A5", "footer": "{page}", "landscape": true}));
        let given = setup(json!({"size": "Letter", "landscape": false}));
        assert_eq!(
            merged(given, stored),
            setup(json!({"size": "Letter", "footer": "{page}", "landscape": false}))
        );
    }

    #[test]
    fn paper_that_is_asked_for_wins_over_the_style() {
        let prefers = |value| PageSetup::from(checked(&setup(value)).unwrap()).prefer_css_page_size;
        assert_eq!(prefers(json!({})), None);
        assert_eq!(prefers(json!({"margins": "10mm"})), None);
        assert_eq!(prefers(json!({"size": "A5"})), Some(false));
        assert_eq!(prefers(json!({"landscape": true})), Some(false));
        assert_eq!(prefers(json!({"size": "A5", "prefer_css_page_size": true})), Some(true));
    }

    #[test]
    fn models_are_told_of_the_paper() {
        let told = |value| {
            let setup = setup(value);
            for_prompt(&setup, &checked(&setup).unwrap())
        };
        let free = told(json!({}));
        assert!(free.contains("left to you: 210 mm × 297 mm with margins of 15 mm"), "{free}");
        assert!(free.contains("680 CSS pixels") && free.contains("No header"), "{free}");
        let fixed =
            told(json!({"size": "Letter", "landscape": true, "footer": "{page} of {pages}"}));
        assert!(fixed.contains("fixed: 279.4 mm wide, 215.9 mm high (on its side)"), "{fixed}");
        assert!(
            fixed
                .contains("below every page, so leave it out of the document: “{page} of {pages}”")
        );
    }
}
