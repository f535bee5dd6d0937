//! What a PDF shall look like: what callers write, and the checked form of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RenderError;
use super::length::{Length, shorten};
use super::template::{Template, TemplatePlace};

/// Chrome's own limits for paper, below which it prints nothing of use.
const LEAST_PAPER: Length = Length::millimetres(10.0);
/// The longest page that PDF viewers show.
const LONGEST_PAPER: Length = Length::inches(200.0);
/// What stays between the margins.
const LEAST_CONTENT: Length = Length::millimetres(5.0);
/// A line of a header fits in here.
const LEAST_TEMPLATE_MARGIN: Length = Length::millimetres(8.0);
const DEFAULT_MARGIN: Length = Length::millimetres(15.0);
const LONGEST_TEMPLATE: usize = 2_000;

/// Page options as a caller writes them; absent ones have defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageSetup {
    /// Paper: A3, A4 (default), A5, A6, Letter, Legal, Tabloid, or width and height with units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeSetting>,
    /// Margins with units (mm, cm, in, px, pt): one for all sides, or top, right, bottom and left.
    /// Default 15mm. `@page` margins of the document win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margins: Option<MarginsSetting>,
    /// Turn the paper on its side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landscape: Option<bool>,
    /// Line above every page; may hold {page}, {pages}, {title}, {date}, and `|` between a left, a
    /// middle and a right part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Line below every page, as in `header`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// Enlarges or reduces the content, 0.1 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 2.0))]
    pub scale: Option<f64>,
    /// Print background colours and pictures (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// Let `@page { size }` of the document win over `size` and `landscape`. Default true, but false
    /// for PDF documents whose call or earlier version gives one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_css_page_size: Option<bool>,
    /// Pages to print, such as `1-3, 5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges: Option<String>,
    /// One page, as long as the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_page: Option<bool>,
    /// No white behind the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparent: Option<bool>,
    /// CSS media type: print (default) or screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
}

/// Paper by name, or by its sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SizeSetting {
    /// A3, A4, A5, A6, Letter, Legal or Tabloid.
    Name(String),
    /// Both sides, each with a unit.
    Sides {
        /// Such as `210mm`.
        width: String,
        /// Such as `297mm`.
        height: String,
    },
}

/// One margin for all sides, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MarginsSetting {
    /// All sides, such as `20mm`.
    All(String),
    /// Side by side; absent ones have the default.
    Sides {
        /// Above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top: Option<String>,
        /// On the right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<String>,
        /// Below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bottom: Option<String>,
        /// On the left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<String>,
    },
}

/// CSS media type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Styles for paper.
    #[default]
    Print,
    /// Styles for screens.
    Screen,
}

/// Width and height of paper, upright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// The first side.
    pub width: Length,
    /// The second side.
    pub height: Length,
}

/// Blank borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margins {
    /// Above.
    pub top: Length,
    /// On the right.
    pub right: Length,
    /// Below.
    pub bottom: Length,
    /// On the left.
    pub left: Length,
}

/// Checked page options: whatever exists of this type can be printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PageSetup", into = "PageSetup")]
pub struct PdfOptions {
    setup: PageSetup,
    paper: Paper,
    margins: Margins,
    header: Option<Template>,
    footer: Option<Template>,
    ranges: String,
}

impl Default for PdfOptions {
    fn default() -> Self {
        Self {
            setup: PageSetup::default(),
            paper: A4,
            margins: Margins::all(DEFAULT_MARGIN),
            header: None,
            footer: None,
            ranges: String::new(),
        }
    }
}

const A4: Paper = Paper { width: Length::millimetres(210.0), height: Length::millimetres(297.0) };

impl Margins {
    const fn all(length: Length) -> Self {
        Self { top: length, right: length, bottom: length, left: length }
    }
}

impl PdfOptions {
    /// Checks what a caller wrote.
    ///
    /// # Errors
    /// [`RenderError::Options`], naming the field.
    pub fn new(setup: PageSetup) -> Result<Self, RenderError> {
        let paper = setup.size.as_ref().map_or(Ok(A4), paper)?;
        let margins = setup.margins.as_ref().map_or(Ok(Margins::all(DEFAULT_MARGIN)), margins)?;
        if let Some(scale) = setup.scale
            && !(0.1..=2.0).contains(&scale)
        {
            return Err(RenderError::option("scale", format!("is {scale}; write 0.1 to 2")));
        }
        let (width, height) = match setup.landscape {
            Some(true) => (paper.height, paper.width),
            Some(false) | None => (paper.width, paper.height),
        };
        for (sides, margin, paper) in [
            ("margins.left and margins.right", (margins.left, margins.right), width),
            ("margins.top and margins.bottom", (margins.top, margins.bottom), height),
        ] {
            let together = margin.0.as_inches() + margin.1.as_inches();
            if together + LEAST_CONTENT.as_inches() > paper.as_inches() {
                let together = Length::inches(together);
                return Err(RenderError::Options {
                    field: sides.to_owned(),
                    problem: format!(
                        "are {together} together, which leaves less than {LEAST_CONTENT} of {paper} paper; write smaller ones"
                    ),
                });
            }
        }
        let header = template("header", setup.header.as_deref(), margins, margins.top)?;
        let footer = template("footer", setup.footer.as_deref(), margins, margins.bottom)?;
        let ranges = setup.ranges.as_deref().map_or(Ok(String::new()), ranges)?;
        if setup.single_page == Some(true) && !ranges.is_empty() {
            return Err(RenderError::option(
                "ranges",
                "cannot be given with `single_page`; leave one out",
            ));
        }
        Ok(Self { setup, paper, margins, header, footer, ranges })
    }

    /// The paper, turned if it is to be turned.
    pub fn paper(&self) -> Paper {
        if self.is_landscape() {
            Paper { width: self.paper.height, height: self.paper.width }
        } else {
            self.paper
        }
    }

    /// Blank borders.
    pub fn margins(&self) -> Margins {
        self.margins
    }

    /// Whether the paper lies on its side.
    pub fn is_landscape(&self) -> bool {
        self.setup.landscape.unwrap_or(false)
    }

    pub(super) fn scale(&self) -> f64 {
        self.setup.scale.unwrap_or(1.0)
    }

    pub(super) fn background(&self) -> bool {
        self.setup.background.unwrap_or(true)
    }

    pub(super) fn prefers_css_page_size(&self) -> bool {
        self.setup.prefer_css_page_size.unwrap_or(true) && !self.is_single_page()
    }

    pub(super) fn is_single_page(&self) -> bool {
        self.setup.single_page.unwrap_or(false)
    }

    pub(super) fn is_transparent(&self) -> bool {
        self.setup.transparent.unwrap_or(false)
    }

    pub(super) fn media(&self) -> Media {
        self.setup.media.unwrap_or_default()
    }

    pub(super) fn header(&self) -> Option<&Template> {
        self.header.as_ref()
    }

    pub(super) fn footer(&self) -> Option<&Template> {
        self.footer.as_ref()
    }

    pub(super) fn ranges(&self) -> &str {
        &self.ranges
    }
}

impl TryFrom<PageSetup> for PdfOptions {
    type Error = RenderError;

    fn try_from(setup: PageSetup) -> Result<Self, RenderError> {
        Self::new(setup)
    }
}

impl From<PdfOptions> for PageSetup {
    fn from(options: PdfOptions) -> Self {
        options.setup
    }
}

fn paper(size: &SizeSetting) -> Result<Paper, RenderError> {
    let paper = match size {
        SizeSetting::Name(name) => {
            let millimetres = |width, height| Paper {
                width: Length::millimetres(width),
                height: Length::millimetres(height),
            };
            let inches = |width, height| Paper {
                width: Length::inches(width),
                height: Length::inches(height),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "a3" => millimetres(297.0, 420.0),
                "a4" => A4,
                "a5" => millimetres(148.0, 210.0),
                "a6" => millimetres(105.0, 148.0),
                "letter" => inches(8.5, 11.0),
                "legal" => inches(8.5, 14.0),
                "tabloid" => inches(11.0, 17.0),
                _ => {
                    return Err(RenderError::option(
                        "size",
                        format!(
                            "is `{}`; write A3, A4, A5, A6, Letter, Legal, Tabloid, or {{\"width\": \"210mm\", \"height\": \"297mm\"}}",
                            shorten(name)
                        ),
                    ));
                }
            }
        }
        SizeSetting::Sides { width, height } => Paper {
            width: Length::parse("size.width", width)?,
            height: Length::parse("size.height", height)?,
        },
    };
    for (field, side) in [("size.width", paper.width), ("size.height", paper.height)] {
        if !(LEAST_PAPER..=LONGEST_PAPER).contains(&side) {
            return Err(RenderError::option(
                field,
                format!("is {side}; paper is {LEAST_PAPER} to {LONGEST_PAPER} long and wide"),
            ));
        }
    }
    Ok(paper)
}

fn margins(setting: &MarginsSetting) -> Result<Margins, RenderError> {
    match setting {
        MarginsSetting::All(text) => Length::parse("margins", text).map(Margins::all),
        MarginsSetting::Sides { top, right, bottom, left } => {
            let side = |field: &str, text: &Option<String>| {
                text.as_deref().map_or(Ok(DEFAULT_MARGIN), |text| Length::parse(field, text))
            };
            Ok(Margins {
                top: side("margins.top", top)?,
                right: side("margins.right", right)?,
                bottom: side("margins.bottom", bottom)?,
                left: side("margins.left", left)?,
            })
        }
    }
}

fn template(
    field: &'static str,
    text: Option<&str>,
    margins: Margins,
    room: Length,
) -> Result<Option<Template>, RenderError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    if text.chars().count() > LONGEST_TEMPLATE {
        return Err(RenderError::option(
            field,
            format!("is longer than {LONGEST_TEMPLATE} characters; it is one line"),
        ));
    }
    if room < LEAST_TEMPLATE_MARGIN {
        return Err(RenderError::option(
            field,
            format!(
                "does not fit into a margin of {room}; the margin must be {LEAST_TEMPLATE_MARGIN} or more"
            ),
        ));
    }
    let place = TemplatePlace { left: margins.left, right: margins.right };
    Template::new(field, text, place).map(Some)
}

/// Brings page ranges into Chrome's form.
fn ranges(text: &str) -> Result<String, RenderError> {
    let wrong = || {
        RenderError::option(
            "ranges",
            format!("is `{}`; write pages from 1 on, such as `1-3, 5`", shorten(text)),
        )
    };
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    let mut parts = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let range = match part.split_once('-') {
            None => {
                let page = number(part).ok_or_else(wrong)?;
                page.to_string()
            }
            Some((first, last)) => {
                let first = number(first).ok_or_else(wrong)?;
                if last.trim().is_empty() {
                    format!("{first}-")
                } else {
                    let last = number(last).filter(|last| *last >= first).ok_or_else(wrong)?;
                    format!("{first}-{last}")
                }
            }
        };
        parts.push(range);
    }
    Ok(parts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(setup: serde_json::Value) -> Result<PdfOptions, String> {
        let setup: PageSetup = serde_json::from_value(setup).map_err(|error| error.to_string())?;
        PdfOptions::new(setup).map_err(|error| error.to_string())
    }

    #[test]
    fn good_options_are_taken() {
        let checked = options(json!({
            "size": "letter", "margins": {"top": "1in", "bottom": "1in"}, "landscape": true,
            "header": "{title}", "footer": "{page} of {pages}", "scale": 0.8, "ranges": " 1 - 3 ,5, 7-",
        }))
        .unwrap();
        assert_eq!(checked.paper().width, Length::inches(11.0));
        assert_eq!(checked.margins().left, DEFAULT_MARGIN);
        assert_eq!(checked.ranges(), "1-3,5,7-");
        assert!(options(json!({"size": {"width": "80mm", "height": "200mm"}})).is_ok());
        assert_eq!(options(json!({})).unwrap(), PdfOptions::default());
    }

    #[test]
    fn every_bad_value_names_its_field() {
        for (setup, field) in [
            (json!({"size": "A9"}), "`size`"),
            (json!({"size": {"width": "0mm", "height": "10cm"}}), "`size.width`"),
            (json!({"size": {"width": "10cm", "height": "0"}}), "`size.height`"),
            (json!({"size": {"width": "10cm", "height": "9999in"}}), "`size.height`"),
            (json!({"margins": "120mm"}), "`margins.left and margins.right`"),
            (
                json!({"margins": {"top": "200mm", "bottom": "95mm"}}),
                "`margins.top and margins.bottom`",
            ),
            (json!({"margins": {"left": "wide"}}), "`margins.left`"),
            (json!({"scale": 0}), "`scale`"),
            (json!({"scale": 2.1}), "`scale`"),
            (json!({"ranges": "3-1"}), "`ranges`"),
            (json!({"ranges": "0"}), "`ranges`"),
            (json!({"ranges": "all"}), "`ranges`"),
            (json!({"ranges": "1", "single_page": true}), "`ranges`"),
            (json!({"header": "x", "margins": "5mm"}), "`header`"),
            (json!({"footer": "{total}"}), "`footer`"),
            (json!({"footer": "x".repeat(2001)}), "`footer`"),
            (json!({"colour": "red"}), "`colour`"),
        ] {
            let error = options(setup.clone()).unwrap_err();
            assert!(error.contains(field), "{setup}: {error}");
        }
    }
}
