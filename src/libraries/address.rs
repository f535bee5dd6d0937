//! Which library an address of a public network of libraries means.

use super::table::{Kind, LIBRARIES, Library, TAILWIND_PLAY};

/// What an address says about a file.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    /// The package, by which name.
    package: Package<'a>,
    /// Its version; none means the newest.
    version: Option<&'a str>,
    /// The path in it; empty means what the package says.
    path: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
enum Package<'a> {
    Npm(&'a str),
    Cdnjs(&'a str),
}

/// The library that serves this address to an element of this kind.
pub(super) fn library_for(address: &str, kind: Kind) -> Option<&'static Library> {
    let address = address.trim();
    let rest = strip_scheme(address)?;
    let rest = rest.split(['?', '#']).next()?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "cdn.tailwindcss.com" => {
            let is_known = path.is_empty() || major(path).is_some_and(|n| n == 3);
            (is_known && kind == Kind::Script).then_some(TAILWIND_PLAY)
        }
        "cdn.jsdelivr.net" | "fastly.jsdelivr.net" => by_npm(path.strip_prefix("npm/")?, kind),
        "unpkg.com" | "www.unpkg.com" | "esm.sh" => by_npm(path, kind),
        "cdnjs.cloudflare.com" => {
            let (name, rest) = path.strip_prefix("ajax/libs/")?.split_once('/')?;
            let (version, path) = rest.split_once('/')?;
            find(&Wanted { package: Package::Cdnjs(name), version: Some(version), path }, kind)
        }
        // `jquery-3.7.1.min.js`
        "code.jquery.com" => {
            let version = path.strip_prefix("jquery-")?;
            let path = "jquery.min.js";
            find(&Wanted { package: Package::Npm("jquery"), version: Some(version), path }, kind)
        }
        // `d3.v7.min.js`
        "d3js.org" => {
            let version = path.strip_prefix("d3.v")?;
            let path = "d3.min.js";
            find(&Wanted { package: Package::Npm("d3"), version: Some(version), path }, kind)
        }
        _ => None,
    }
}

fn strip_scheme(address: &str) -> Option<&str> {
    ["https://", "http://", "//"].into_iter().find_map(|scheme| {
        let start = address.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| address.get(scheme.len()..)).flatten()
    })
}

/// `name@version/path`, where the name may have a scope and everything behind it may be absent.
fn by_npm(text: &str, kind: Kind) -> Option<&'static Library> {
    let scope = if text.starts_with('@') { text.find('/')? + 1 } else { 0 };
    let end = text.get(scope..)?.find('/').map_or(text.len(), |at| scope + at);
    let (name, path) = text.split_at_checked(end)?;
    let (name, version) = match name.get(scope..)?.split_once('@') {
        Some((_, version)) => (name.get(..name.len() - version.len() - 1)?, Some(version)),
        None => (name, None),
    };
    let path = path.trim_start_matches('/');
    find(&Wanted { package: Package::Npm(name), version, path }, kind)
}

fn find(wanted: &Wanted<'_>, kind: Kind) -> Option<&'static Library> {
    let is_package = |library: &Library| match wanted.package {
        Package::Npm(name) => library.packages.contains(&name),
        Package::Cdnjs(name) => library.cdnjs.iter().any(|known| known.eq_ignore_ascii_case(name)),
    };
    let is_version = |library: &Library| match wanted.version {
        None | Some("" | "latest") => true,
        Some(version) => major(version).is_some_and(|n| library.majors.contains(&n)),
    };
    let file = wanted.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    LIBRARIES.into_iter().filter(|library| is_package(library)).find(|library| {
        library.kind == kind
            && is_version(library)
            && (wanted.path.is_empty() || library.files.contains(&file.as_str()))
    })
}

/// The major version of `3`, `3.x.x`, `^3.4`, `v3`.
fn major(version: &str) -> Option<u32> {
    let version = version.trim_start_matches(['^', '~', 'v', '=']);
    let digits = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    let (number, rest) = version.split_at_checked(digits)?;
    (rest.is_empty() || rest.starts_with(['.', '-'])).then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_models_write_lead_to_our_files() {
        let cases = [
            ("https://cdn.tailwindcss.com", "tailwindcss-play"),
            ("https://cdn.tailwindcss.com/", "tailwindcss-play"),
            ("https://cdn.tailwindcss.com/3.4.16", "tailwindcss-play"),
            ("https://cdn.tailwindcss.com?plugins=forms,typography", "tailwindcss-play"),
            ("https://cdn.jsdelivr.net/npm/@tailwindcss/browser@4", "tailwindcss"),
            ("https://unpkg.com/@tailwindcss/browser", "tailwindcss"),
            ("//unpkg.com/alpinejs", "alpinejs"),
            ("HTTPS://CDN.JSDELIVR.NET/npm/alpinejs@3.x.x/dist/cdn.min.js", "alpinejs"),
            ("https://cdn.jsdelivr.net/npm/chart.js", "chart.js"),
            ("https://cdn.jsdelivr.net/npm/chart.js@4.4.1/dist/chart.umd.min.js", "chart.js"),
            ("https://cdnjs.cloudflare.com/ajax/libs/Chart.js/3.9.1/chart.min.js", "chart.js"),
            ("https://cdn.jsdelivr.net/npm/marked/marked.min.js", "marked"),
            ("https://cdn.jsdelivr.net/npm/marked@12.0.0/lib/marked.umd.js", "marked"),
            ("https://d3js.org/d3.v7.min.js", "d3"),
            ("https://cdn.jsdelivr.net/npm/d3@7", "d3"),
            ("https://unpkg.com/lucide@latest", "lucide"),
            ("https://unpkg.com/lucide@latest/dist/umd/lucide.js", "lucide"),
            ("https://unpkg.com/vue@3/dist/vue.global.js", "vue"),
            ("https://unpkg.com/vue@^3.4/dist/vue.global.prod.js", "vue"),
            (
                "https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/js/bootstrap.bundle.min.js",
                "bootstrap",
            ),
            (
                "https://cdn.jsdelivr.net/npm/canvas-confetti@1.6.0/dist/confetti.browser.min.js",
                "canvas-confetti",
            ),
            ("https://esm.sh/canvas-confetti@1", "canvas-confetti"),
            (
                "https://cdnjs.cloudflare.com/ajax/libs/Sortable/1.15.0/Sortable.min.js",
                "sortablejs",
            ),
            ("https://code.jquery.com/jquery-3.6.0.min.js", "jquery"),
            (
                "https://cdnjs.cloudflare.com/ajax/libs/lodash.js/4.17.21/lodash.min.js?x#y",
                "lodash",
            ),
            ("https://cdn.jsdelivr.net/npm/dompurify@3/dist/purify.min.js", "dompurify"),
            ("https://cdn.jsdelivr.net/npm/papaparse@5.4.1/papaparse.min.js", "papaparse"),
            ("https://unpkg.com/dayjs@1.8.21/dayjs.min.js", "dayjs"),
        ];
        for (address, name) in cases {
            let found = library_for(address, Kind::Script);
            assert_eq!(found.map(|library| library.name), Some(name), "{address}");
        }
        let style = "https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css";
        assert_eq!(library_for(style, Kind::Style).unwrap().kind, Kind::Style);
        assert_eq!(library_for(style, Kind::Script), None);
    }

    #[test]
    fn everything_else_stays_what_it_is() {
        for address in [
            "",
            "/",
            "lib/alpinejs-3.17.5.js",
            "https://evil.example/npm/alpinejs",
            "https://cdn.jsdelivr.net.evil.example/npm/alpinejs",
            "https://evil.example/https://unpkg.com/alpinejs",
            "https://user@unpkg.com/alpinejs",
            "https://unpkg.com/alpinejs@2",
            "https://unpkg.com/alpinejs@33",
            "https://unpkg.com/alpinejs@3/dist/module.esm.js",
            "https://unpkg.com/vue@2.7.0/dist/vue.js",
            "https://unpkg.com/vue@3/dist/vue.esm-browser.js",
            "https://cdn.jsdelivr.net/npm/chart.js@2.9.4/dist/Chart.min.js",
            "https://cdn.jsdelivr.net/npm/chart.js@4/+esm",
            "https://cdn.jsdelivr.net/gh/user/alpinejs@3",
            "https://cdn.jsdelivr.net/combine/npm/alpinejs,npm/vue",
            "https://cdn.jsdelivr.net/npm/dayjs@1/plugin/utc.js",
            "https://cdn.jsdelivr.net/npm/bootstrap@4.6.0/dist/js/bootstrap.min.js",
            "https://cdn.jsdelivr.net/npm/@scope",
            "https://cdn.jsdelivr.net/npm/@",
            "https://cdnjs.cloudflare.com/ajax/libs/three.js/r128/three.min.js",
            "https://cdn.tailwindcss.com/2.0",
            "https://code.jquery.com/ui/1.13/jquery-ui.js",
            "https://unpkg.com/ünicode@ü/ü",
        ] {
            assert_eq!(library_for(address, Kind::Script), None, "{address}");
        }
    }
}
