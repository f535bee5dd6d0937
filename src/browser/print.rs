//! Prints a loaded page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::RenderError;
use super::cdp::CommandError;
use super::cdp::json::{Fields as _, set};
use super::options::{Media, PdfOptions};
use super::page::Page;

/// What is read at a time.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// The largest PDF.
const LARGEST: usize = 256 * 1024 * 1024;
/// The longest page that PDF viewers show, in inches.
const LONGEST_PAGE: f64 = 200.0;

/// What must hold before the document loads.
pub(super) async fn prepare(page: &Page, options: &PdfOptions) -> Result<(), CommandError> {
    if options.media() == Media::Screen || options.is_single_page() {
        let media = match options.media() {
            Media::Print => "print",
            Media::Screen => "screen",
        };
        page.post("Emulation.setEmulatedMedia", json!({"media": media})).await?;
    }
    if options.is_transparent() {
        let colour = json!({"color": {"r": 0, "g": 0, "b": 0, "a": 0}});
        page.post("Emulation.setDefaultBackgroundColorOverride", colour).await?;
    }
    Ok(())
}

/// Prints the page as it is.
pub(super) async fn print(page: &Page, options: &PdfOptions) -> Result<Bytes, RenderError> {
    let mut parameters = parameters(options);
    if options.is_single_page() {
        set(&mut parameters, "paperHeight", json!(content_height(page, options).await?));
    }
    let printed =
        page.command("Page.printToPDF", parameters).await.map_err(|error| match error {
            CommandError::Refused { message, .. } if message.contains("age range") => {
                RenderError::option("ranges", format!("name no page of the document: {message}"))
            }
            error => error.into(),
        })?;
    let Some(stream) = printed.field("stream").as_str() else {
        return Err(RenderError::Refused {
            method: "Page.printToPDF".to_owned(),
            message: "no stream came back".to_owned(),
        });
    };
    read(page, stream).await
}

fn parameters(options: &PdfOptions) -> Value {
    let (paper, margins) = (options.paper(), options.margins());
    // Chrome prints its own header and footer where a template is empty.
    let template = |template: Option<&super::template::Template>| {
        template.map_or("<span></span>", super::template::Template::html).to_owned()
    };
    json!({
        "paperWidth": paper.width.as_inches(),
        "paperHeight": paper.height.as_inches(),
        "marginTop": margins.top.as_inches(),
        "marginRight": margins.right.as_inches(),
        "marginBottom": margins.bottom.as_inches(),
        "marginLeft": margins.left.as_inches(),
        "scale": options.scale(),
        "printBackground": options.background(),
        "preferCSSPageSize": options.prefers_css_page_size(),
        "displayHeaderFooter": options.header().is_some() || options.footer().is_some(),
        "headerTemplate": template(options.header()),
        "footerTemplate": template(options.footer()),
        "pageRanges": options.ranges(),
        "generateTaggedPDF": true,
        "generateDocumentOutline": true,
        "transferMode": "ReturnAsStream",
    })
}

/// How high one page with everything on it is, in inches.
async fn content_height(page: &Page, options: &PdfOptions) -> Result<f64, RenderError> {
    let (paper, margins) = (options.paper(), options.margins());
    let width = (paper.width.as_pixels() - margins.left.as_pixels() - margins.right.as_pixels())
        / options.scale();
    let metrics = json!({
        "width": width.round().max(1.0), "height": 100, "deviceScaleFactor": 1, "mobile": false,
    });
    page.command("Emulation.setDeviceMetricsOverride", metrics).await?;
    let question = json!({
        "expression": "Math.max(document.documentElement.getBoundingClientRect().height, \
                       document.body ? document.body.scrollHeight : 0)",
        "returnByValue": true,
    });
    let answer = page.command("Runtime.evaluate", question).await?;
    let pixels = answer.field("result").field("value").as_f64().unwrap_or_default();
    let content = pixels * options.scale() / 96.0;
    // A pixel more, or rounding would make a second page.
    let height = content + margins.top.as_inches() + margins.bottom.as_inches() + 2.0 / 96.0;
    if height > LONGEST_PAGE {
        return Err(RenderError::option(
            "single_page",
            format!(
                "would be {height:.0} inches long; pages end at {LONGEST_PAGE}, so leave it out"
            ),
        ));
    }
    Ok(height.max(1.0))
}

async fn read(page: &Page, stream: &str) -> Result<Bytes, RenderError> {
    let mut pdf = BytesMut::new();
    loop {
        let parameters = json!({"handle": stream, "size": PART_BYTES});
        let part = page.command("IO.read", parameters).await?;
        let data = part.field("data").as_str().unwrap_or_default();
        if part.field("base64Encoded") == true {
            let bytes = STANDARD.decode(data).map_err(|error| RenderError::Refused {
                method: "IO.read".to_owned(),
                message: error.to_string(),
            })?;
            pdf.extend_from_slice(&bytes);
        } else {
            pdf.extend_from_slice(data.as_bytes());
        }
        if pdf.len() > LARGEST {
            return Err(RenderError::TooLarge { what: "PDF", limit_bytes: LARGEST });
        }
        if part.field("eof") == true {
            break;
        }
    }
    page.post("IO.close", json!({"handle": stream})).await?;
    Ok(pdf.freeze())
}
