//! Which libraries there are.

use std::ops::RangeInclusive;

/// What a file is to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A classic script.
    Script,
    /// A style sheet.
    Style,
}

/// A file that pages may load from us.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name: the npm package, unless several files are made from one.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Under which licence it comes (SPDX). The text is in `assets/libraries/licences/`.
    pub licence: &'static str,
    /// What it is to a page.
    pub kind: Kind,
    /// SHA-256 of the package's file.
    pub sha256: &'static str,
    /// A script of ours that comes first.
    pub(super) prefix: &'static str,
    /// The package's file, compressed with brotli.
    pub(super) compressed: &'static [u8],
    /// Names of the npm package.
    pub(super) packages: &'static [&'static str],
    /// Names on cdnjs.
    pub(super) cdnjs: &'static [&'static str],
    /// Major versions whose pages it serves.
    pub(super) majors: RangeInclusive<u32>,
    /// Names of files that it stands for, in lower case. An address without a file means the first
    /// library of the package.
    pub(super) files: &'static [&'static str],
}

macro_rules! embedded {
    ($file:literal) => {
        include_bytes!(concat!("../../assets/libraries/", $file, ".br"))
    };
}

const TAILWIND: &str = "e54f393a8f716e47e9e21b916e934d42793dfb6ed65988583dcc3456dcb012aa";

/// Pages of `cdn.tailwindcss.com` are written for version 3.
pub(super) static TAILWIND_PLAY: &Library = &Library {
    name: "tailwindcss-play",
    version: "4.3.4",
    licence: "MIT",
    kind: Kind::Script,
    sha256: TAILWIND,
    prefix: include_str!("tailwind_play.js"),
    compressed: embedded!("tailwindcss-4.3.4.js"),
    packages: &[],
    cdnjs: &[],
    majors: 3..=4,
    files: &[],
};

/// All of them.
pub(super) static LIBRARIES: [&Library; 17] = [
    TAILWIND_PLAY,
    &Library {
        name: "tailwindcss",
        version: "4.3.4",
        licence: "MIT",
        kind: Kind::Script,
        sha256: TAILWIND,
        prefix: "",
        compressed: embedded!("tailwindcss-4.3.4.js"),
        packages: &["@tailwindcss/browser"],
        cdnjs: &["tailwindcss-browser"],
        majors: 4..=4,
        files: &["index.global.js", "index.global.min.js"],
    },
    &Library {
        name: "alpinejs",
        version: "3.17.5",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "b4036e9e9ac22fa6f6ae1ba292e015e1f3e9c85d0d79e73e4c8eb9bb139b522e",
        prefix: "",
        compressed: embedded!("alpinejs-3.17.5.js"),
        packages: &["alpinejs"],
        cdnjs: &["alpinejs"],
        majors: 3..=3,
        files: &["cdn.min.js", "cdn.js"],
    },
    &Library {
        name: "chart.js",
        version: "4.6.1",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2",
        prefix: "",
        compressed: embedded!("chart.js-4.6.1.js"),
        packages: &["chart.js"],
        cdnjs: &["chart.js"],
        majors: 3..=4,
        files: &["chart.umd.min.js", "chart.umd.js", "chart.min.js", "chart.js"],
    },
    &Library {
        name: "marked",
        version: "18.2.1",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "bb95d4c15f1289f78486eaacebf3bb18688475ed58a040ef762ed49337090542",
        prefix: "",
        compressed: embedded!("marked-18.2.1.js"),
        packages: &["marked"],
        cdnjs: &["marked"],
        majors: 4..=18,
        files: &["marked.umd.js", "marked.umd.min.js", "marked.min.js"],
    },
    &Library {
        name: "d3",
        version: "7.9.2",
        licence: "ISC",
        kind: Kind::Script,
        sha256: "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
        prefix: "",
        compressed: embedded!("d3-7.9.2.js"),
        packages: &["d3"],
        cdnjs: &["d3"],
        majors: 6..=7,
        files: &["d3.min.js", "d3.js"],
    },
    &Library {
        name: "lucide",
        version: "1.65.0",
        licence: "ISC",
        kind: Kind::Script,
        sha256: "afd0f59ef9962dc2cde0f31a58a90d45da240eaceaf0f783d6c0f510380bab1e",
        prefix: "",
        compressed: embedded!("lucide-1.65.0.js"),
        packages: &["lucide"],
        cdnjs: &["lucide"],
        majors: 0..=1,
        files: &["lucide.min.js", "lucide.js"],
    },
    &Library {
        name: "vue",
        version: "3.5.45",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "0287592e25a077b6190b721db9903d253d936778dab50cbde0d6010c1f51d262",
        prefix: "",
        compressed: embedded!("vue-3.5.45.js"),
        packages: &["vue"],
        cdnjs: &["vue"],
        majors: 3..=3,
        files: &[
            "vue.global.prod.js",
            "vue.global.prod.min.js",
            "vue.global.js",
            "vue.global.min.js",
        ],
    },
    &Library {
        name: "bootstrap",
        version: "5.3.9",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "4ad2ad30a7df1fa0a615c4cfeb1aeffbe92019a8dff0262c99464acbd56dca5c",
        prefix: "",
        compressed: embedded!("bootstrap-5.3.9.js"),
        packages: &["bootstrap"],
        cdnjs: &["bootstrap"],
        majors: 5..=5,
        files: &[
            "bootstrap.bundle.min.js",
            "bootstrap.bundle.js",
            "bootstrap.min.js",
            "bootstrap.js",
        ],
    },
    &Library {
        name: "bootstrap",
        version: "5.3.9",
        licence: "MIT",
        kind: Kind::Style,
        sha256: "9caac977a0af0c2229abd397eee3345899c4020da2a1a0b711c1cc543fe3719d",
        prefix: "",
        compressed: embedded!("bootstrap-5.3.9.css"),
        packages: &["bootstrap"],
        cdnjs: &["bootstrap"],
        majors: 5..=5,
        files: &["bootstrap.min.css", "bootstrap.css"],
    },
    &Library {
        name: "dayjs",
        version: "1.11.23",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "0198dd0b1f760cded169c7e7ff7eaf56bc36c4c22c7c9b7c683e59437ed8700e",
        prefix: "",
        compressed: embedded!("dayjs-1.11.23.js"),
        packages: &["dayjs"],
        cdnjs: &["dayjs"],
        majors: 1..=1,
        files: &["dayjs.min.js"],
    },
    &Library {
        name: "canvas-confetti",
        version: "1.9.4",
        licence: "ISC",
        kind: Kind::Script,
        sha256: "49f4bcbc56e7ceb5c3d25d13db1d0da965b6cd1c8a54a707bb055be0685b0a95",
        prefix: "",
        compressed: embedded!("canvas-confetti-1.9.4.js"),
        packages: &["canvas-confetti"],
        cdnjs: &["canvas-confetti"],
        majors: 1..=1,
        files: &["confetti.browser.js", "confetti.browser.min.js"],
    },
    &Library {
        name: "sortablejs",
        version: "1.15.7",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "bf4241bc73fef7f11c59a283a69fe8051cdd31c6d8ff5a2b9ba219e7831fcf76",
        prefix: "",
        compressed: embedded!("sortablejs-1.15.7.js"),
        packages: &["sortablejs"],
        cdnjs: &["sortable"],
        majors: 1..=1,
        files: &["sortable.min.js", "sortable.js"],
    },
    &Library {
        name: "dompurify",
        version: "3.4.18",
        licence: "Apache-2.0",
        kind: Kind::Script,
        sha256: "8053ee2a6a09f9d50f7fcd6fb7f07072f52c7f3fa9aa12147cab4feaf65ee970",
        prefix: "",
        compressed: embedded!("dompurify-3.4.18.js"),
        packages: &["dompurify"],
        cdnjs: &["dompurify"],
        majors: 2..=3,
        files: &["purify.min.js", "purify.js"],
    },
    &Library {
        name: "papaparse",
        version: "5.7.1",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "e032656b2c709e9a756d5be817da9885d58b2313c43d432c414eb8534a752685",
        prefix: "",
        compressed: embedded!("papaparse-5.7.1.js"),
        packages: &["papaparse"],
        cdnjs: &["papaparse"],
        majors: 5..=5,
        files: &["papaparse.min.js", "papaparse.js"],
    },
    &Library {
        name: "lodash",
        version: "4.18.1",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "a8d7e6291ad80256f976ace90824a71018d2f706992c9107b20bdced97bee27b",
        prefix: "",
        compressed: embedded!("lodash-4.18.1.js"),
        packages: &["lodash"],
        cdnjs: &["lodash.js"],
        majors: 4..=4,
        files: &["lodash.min.js", "lodash.js"],
    },
    &Library {
        name: "jquery",
        version: "3.7.1",
        licence: "MIT",
        kind: Kind::Script,
        sha256: "fc9a93dd241f6b045cbff0481cf4e1901becd0e12fb45166a8f17f95823f0b1a",
        prefix: "",
        compressed: embedded!("jquery-3.7.1.js"),
        packages: &["jquery"],
        cdnjs: &["jquery"],
        majors: 3..=3,
        files: &["jquery.min.js", "jquery.js", "jquery.slim.min.js", "jquery.slim.js"],
    },
];
