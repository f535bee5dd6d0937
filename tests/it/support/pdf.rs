//! A PDF as its readers see it: structure by its objects, text and colours by poppler's programs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use lopdf::{Dictionary, Document, Object};

/// A PDF.
pub(crate) struct Pdf {
    bytes: Vec<u8>,
    file: Document,
}

impl Pdf {
    /// Reads one.
    #[track_caller]
    pub(crate) fn read(bytes: Vec<u8>) -> Self {
        assert!(bytes.starts_with(b"%PDF-"), "no PDF: {:?}", &bytes[..bytes.len().min(20)]);
        let file = Document::load_mem(&bytes).unwrap();
        Self { bytes, file }
    }

    pub(crate) fn pages(&self) -> usize {
        self.file.get_pages().len()
    }

    /// Width and height of a page, from 1, in whole millimetres.
    pub(crate) fn size_mm(&self, page: u32) -> (i64, i64) {
        let page = self.page(page);
        let area = page.get(b"MediaBox").unwrap().as_array().unwrap();
        let side = |index: usize| f64::from(area[index].as_float().unwrap());
        #[expect(clippy::cast_possible_truncation, reason = "paper is small")]
        let millimetres = |points: f64| (points / 72.0 * 25.4).round() as i64;
        (millimetres(side(2) - side(0)), millimetres(side(3) - side(1)))
    }

    /// The text of a page, from 1, with its lines where they stand.
    pub(crate) fn text(&self, page: u32) -> String {
        let number = page.to_string();
        let text = self.through("pdftotext", &["-layout", "-f", &number, "-l", &number, "-", "-"]);
        String::from_utf8(text).unwrap()
    }

    /// The text of all pages.
    pub(crate) fn all_text(&self) -> String {
        String::from_utf8(self.through("pdftotext", &["-layout", "-", "-"])).unwrap()
    }

    /// The colour of a place on a page, from 1, in millimetres from its upper left corner.
    pub(crate) fn colour(&self, page: u32, x_mm: usize, y_mm: usize) -> [u8; 3] {
        let number = page.to_string();
        // At this resolution a pixel is a millimetre.
        let picture = self.through("pdftoppm", &["-r", "25.4", "-f", &number, "-l", &number, "-"]);
        let mut head = picture.splitn(4, |byte| *byte == b'\n');
        assert_eq!(head.next(), Some(&b"P6"[..]));
        let size = std::str::from_utf8(head.next().unwrap()).unwrap();
        let width: usize = size.split(' ').next().unwrap().parse().unwrap();
        head.next().unwrap();
        let pixels = head.next().unwrap();
        let at = (y_mm * width + x_mm) * 3;
        [pixels[at], pixels[at + 1], pixels[at + 2]]
    }

    /// Whether its markup is in it, for screen readers.
    pub(crate) fn is_tagged(&self) -> bool {
        let catalog = self.file.catalog().unwrap();
        let marked = catalog.get(b"MarkInfo").and_then(|info| self.file.dereference(info));
        let is_marked = marked.is_ok_and(|(_, info)| {
            info.as_dict().unwrap().get(b"Marked").unwrap().as_bool().unwrap()
        });
        is_marked && catalog.has(b"StructTreeRoot")
    }

    /// The language in its properties.
    pub(crate) fn language(&self) -> Option<String> {
        let language = self.file.catalog().unwrap().get(b"Lang").ok()?;
        lopdf::decode_text_string(language).ok()
    }

    /// The titles of its outline, in order.
    pub(crate) fn outline(&self) -> Vec<String> {
        let mut titles = Vec::new();
        if let Ok(root) = self.file.catalog().unwrap().get(b"Outlines") {
            let (_, root) = self.file.dereference(root).unwrap();
            self.collect_titles(root.as_dict().unwrap(), &mut titles);
        }
        titles
    }

    fn collect_titles(&self, above: &Dictionary, titles: &mut Vec<String>) {
        let mut next = above.get(b"First").ok();
        while let Some(item) = next {
            let (_, item) = self.file.dereference(item).unwrap();
            let item = item.as_dict().unwrap();
            titles.push(lopdf::decode_text_string(item.get(b"Title").unwrap()).unwrap());
            self.collect_titles(item, titles);
            next = item.get(b"Next").ok();
        }
    }

    /// One of its properties, such as `Title`.
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        let info = self.file.trailer.get(b"Info").ok()?;
        let (_, info) = self.file.dereference(info).ok()?;
        lopdf::decode_text_string(info.as_dict().ok()?.get(name.as_bytes()).ok()?).ok()
    }

    /// How many pictures are in it.
    pub(crate) fn pictures(&self) -> usize {
        let is_picture = |object: &&Object| {
            object.as_stream().is_ok_and(|stream| {
                stream.dict.get(b"Subtype").is_ok_and(|kind| kind.as_name().ok() == Some(b"Image"))
            })
        };
        self.file.objects.values().filter(is_picture).count()
    }

    fn page(&self, number: u32) -> &Dictionary {
        let id = self.file.get_pages()[&number];
        self.file.get_dictionary(id).unwrap()
    }

    /// Gives the PDF to a program, and takes what it prints.
    fn through(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` (package poppler-utils): {error}"));
        let mut input = child.stdin.take().unwrap();
        let bytes = self.bytes.clone();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(&bytes);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
        output.stdout
    }
}
