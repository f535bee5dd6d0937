//! Libraries that hosted pages may load from us, so that they need no other server.
//!
//! Models write pages that load Tailwind, Alpine or a charting library from a public network. Such
//! a page is blank where there is no network or a strict policy, and tells that network who looks
//! at it. The files here stand in for the usual ones; [`rewrite`] puts them into a page, where they
//! are addressed as `lib/<file>`, beside the page.

mod address;
mod rewrite;
mod table;

use std::io::Read as _;

pub use rewrite::{Rewritten, rewrite};
pub use table::{Kind, Library};

use table::{LIBRARIES, TAILWIND_PLAY};

/// Where pages find them.
pub const FOLDER: &str = "lib/";

impl Library {
    /// Name of the file.
    pub fn file(&self) -> String {
        let Self { name, version, kind, .. } = self;
        match kind {
            Kind::Script => format!("{name}-{version}.js"),
            Kind::Style => format!("{name}-{version}.css"),
        }
    }

    /// Its type.
    pub const fn media_type(&self) -> &'static str {
        match self.kind {
            Kind::Script => "text/javascript; charset=utf-8",
            Kind::Style => "text/css; charset=utf-8",
        }
    }

    /// The file.
    ///
    /// # Errors
    /// When what is embedded is damaged.
    pub fn content(&self) -> std::io::Result<Vec<u8>> {
        let mut content = self.prefix.as_bytes().to_vec();
        brotli::Decompressor::new(self.compressed, 64 * 1024).read_to_end(&mut content)?;
        Ok(content)
    }

    /// The file as brotli, where it is embedded so.
    pub const fn as_brotli(&self) -> Option<&'static [u8]> {
        if self.prefix.is_empty() { Some(self.compressed) } else { None }
    }
}

/// The library of a file name. Pages outlive versions: of the same major version, the one that is
/// here serves the names of all.
pub fn find(file: &str) -> Option<&'static Library> {
    let (stem, extension) = file.rsplit_once('.')?;
    let (name, version) = stem.rsplit_once('-')?;
    let major = |version: &str| version.split('.').next().and_then(|text| text.parse::<u32>().ok());
    let kind = match extension {
        "js" => Kind::Script,
        "css" => Kind::Style,
        _ => return None,
    };
    let wanted = major(version)?;
    LIBRARIES.into_iter().find(|library| {
        library.name == name && library.kind == kind && major(library.version) == Some(wanted)
    })
}

/// The libraries that a page refers to, each with the places of its references.
pub fn references(page: &str) -> Vec<(std::ops::Range<usize>, &'static Library)> {
    let mut found = Vec::new();
    for (at, _) in page.match_indices(FOLDER) {
        let before = page.get(..at).unwrap_or_default();
        let start = if before.ends_with("./") { at - 2 } else { at };
        let rest = page.get(at + FOLDER.len()..).unwrap_or_default();
        let length = rest.find(is_delimiter).unwrap_or(rest.len());
        let is_whole = page.get(..start).and_then(|text| text.chars().next_back());
        if is_whole.is_none_or(is_delimiter)
            && let Some(library) = rest.get(..length).and_then(find)
        {
            found.push((start..at + FOLDER.len() + length, library));
        }
    }
    found
}

/// What stands around an address in markup, styles and scripts.
fn is_delimiter(letter: char) -> bool {
    letter.is_whitespace() || "\"'`()=,<>\\;&?#".contains(letter)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "licences are not in the program")]
    fn every_file_is_what_its_row_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/libraries");
        for library in LIBRARIES {
            let content = library.content().unwrap();
            let original = content.strip_prefix(library.prefix.as_bytes()).unwrap();
            let sha: String = Sha256::digest(original).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(sha, library.sha256, "{}", library.file());
            let name = library.packages.first().map_or("tailwindcss", |_| library.name);
            let licence = folder.join(format!("licences/{name}.txt"));
            let text = std::fs::read_to_string(&licence).unwrap();
            let words = match library.licence {
                "MIT" => "Permission is hereby granted",
                "ISC" => "Permission to use, copy, modify",
                "Apache-2.0" => "Apache License",
                other => panic!("{other}"),
            };
            assert!(text.contains(words), "{}", licence.display());
            assert_eq!(find(&library.file()), Some(library));
        }
        let total: usize = LIBRARIES.iter().skip(1).map(|library| library.compressed.len()).sum();
        assert!(total < 1_500_000, "{total} bytes are embedded");
    }

    #[test]
    fn names_of_other_versions_lead_to_the_one_that_is_here() {
        assert_eq!(find("alpinejs-3.0.0.js").unwrap().version, "3.17.5");
        assert_eq!(find("chart.js-4.99.js").unwrap().name, "chart.js");
        for file in
            ["alpinejs-2.0.0.js", "alpinejs.js", "alpinejs-3.17.5.css", "-3.js", "", "..", "x-.js"]
        {
            assert_eq!(find(file), None, "{file}");
        }
    }

    #[test]
    fn references_are_whole_addresses_of_known_files() {
        let page = "<script src=\"lib/vue-3.5.45.js\"></script><script src=./lib/d3-7.9.2.js></script> \
                    xlib/d3-7.9.2.js https://x/lib/d3-7.9.2.js 'lib/unknown-1.js' url(lib/bootstrap-5.3.9.css)";
        let found: Vec<_> =
            references(page).into_iter().map(|(range, _)| page.get(range).unwrap()).collect();
        assert_eq!(found, ["lib/vue-3.5.45.js", "./lib/d3-7.9.2.js", "lib/bootstrap-5.3.9.css"]);
    }
}
