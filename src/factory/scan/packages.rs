//! Which packages generated code may import.

use std::collections::BTreeSet;

use super::{Finding, Severity, SourceFile};

/// What every package may import beside the standard library: the server stands on it.
const ALWAYS: [&str; 5] = ["mcp", "anyio", "httpx2", "jsonschema", "pytest"];

/// Modules of the standard library of Python 3.11.
#[rustfmt::skip]
const STANDARD: &[&str] = &[
    "__future__", "abc", "aifc", "antigravity", "argparse", "array", "ast", "asynchat",
    "asyncio", "asyncore", "atexit", "audioop", "base64", "bdb", "binascii", "bisect",
    "builtins", "bz2", "cProfile", "calendar", "cgi", "cgitb", "chunk", "cmath", "cmd", "code",
    "codecs", "codeop", "collections", "colorsys", "compileall", "concurrent", "configparser",
    "contextlib", "contextvars", "copy", "copyreg", "crypt", "csv", "ctypes", "curses",
    "dataclasses", "datetime", "dbm", "decimal", "difflib", "dis", "distutils", "doctest",
    "email", "encodings", "ensurepip", "enum", "errno", "faulthandler", "fcntl", "filecmp",
    "fileinput", "fnmatch", "fractions", "ftplib", "functools", "gc", "genericpath", "getopt",
    "getpass", "gettext", "glob", "graphlib", "grp", "gzip", "hashlib", "heapq", "hmac", "html",
    "http", "idlelib", "imaplib", "imghdr", "imp", "importlib", "inspect", "io", "ipaddress",
    "itertools", "json", "keyword", "lib2to3", "linecache", "locale", "logging", "lzma",
    "mailbox", "mailcap", "marshal", "math", "mimetypes", "mmap", "modulefinder", "msilib",
    "msvcrt", "multiprocessing", "netrc", "nis", "nntplib", "nt", "ntpath", "nturl2path",
    "numbers", "opcode", "operator", "optparse", "os", "ossaudiodev", "pathlib", "pdb",
    "pickle", "pickletools", "pipes", "pkgutil", "platform", "plistlib", "poplib", "posix",
    "posixpath", "pprint", "profile", "pstats", "pty", "pwd", "py_compile", "pyclbr", "pydoc",
    "pydoc_data", "pyexpat", "queue", "quopri", "random", "re", "readline", "reprlib",
    "resource", "rlcompleter", "runpy", "sched", "secrets", "select", "selectors", "shelve",
    "shlex", "shutil", "signal", "site", "smtpd", "smtplib", "sndhdr", "socket", "socketserver",
    "spwd", "sqlite3", "sre_compile", "sre_constants", "sre_parse", "ssl", "stat", "statistics",
    "string", "stringprep", "struct", "subprocess", "sunau", "symtable", "sys", "sysconfig",
    "syslog", "tabnanny", "tarfile", "telnetlib", "tempfile", "termios", "textwrap", "this",
    "threading", "time", "timeit", "tkinter", "token", "tokenize", "tomllib", "trace",
    "traceback", "tracemalloc", "tty", "turtle", "turtledemo", "types", "typing", "unicodedata",
    "unittest", "urllib", "uu", "uuid", "venv", "warnings", "wave", "weakref", "webbrowser",
    "winreg", "winsound", "wsgiref", "xdrlib", "xml", "xmlrpc", "zipapp", "zipfile",
    "zipimport", "zlib", "zoneinfo",
];

/// Modules of well-known packages, each with the name under which it is installed.
const KNOWN: &[(&str, &str)] = &[
    ("aiofiles", "aiofiles"),
    ("aiohttp", "aiohttp"),
    ("aiosqlite", "aiosqlite"),
    ("anyio", "anyio"),
    ("asyncpg", "asyncpg"),
    ("attr", "attrs"),
    ("attrs", "attrs"),
    ("babel", "babel"),
    ("bleach", "bleach"),
    ("boto3", "boto3"),
    ("botocore", "boto3"),
    ("bs4", "beautifulsoup4"),
    ("cachetools", "cachetools"),
    ("certifi", "certifi"),
    ("chardet", "chardet"),
    ("charset_normalizer", "charset-normalizer"),
    ("click", "click"),
    ("Crypto", "pycryptodome"),
    ("cryptography", "cryptography"),
    ("dateutil", "python-dateutil"),
    ("defusedxml", "defusedxml"),
    ("dns", "dnspython"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("duckdb", "duckdb"),
    ("email_validator", "email-validator"),
    ("fastapi", "fastapi"),
    ("feedparser", "feedparser"),
    ("flask", "flask"),
    ("geopy", "geopy"),
    ("git", "gitpython"),
    ("html5lib", "html5lib"),
    ("httpx", "httpx"),
    ("httpx2", "httpx2"),
    ("humanize", "humanize"),
    ("icalendar", "icalendar"),
    ("jinja2", "jinja2"),
    ("jmespath", "jmespath"),
    ("joblib", "joblib"),
    ("jsonschema", "jsonschema"),
    ("jwt", "pyjwt"),
    ("lxml", "lxml"),
    ("markdown", "markdown"),
    ("markupsafe", "markupsafe"),
    ("matplotlib", "matplotlib"),
    ("mcp", "mcp"),
    ("msgpack", "msgpack"),
    ("networkx", "networkx"),
    ("numpy", "numpy"),
    ("openpyxl", "openpyxl"),
    ("orjson", "orjson"),
    ("packaging", "packaging"),
    ("pandas", "pandas"),
    ("paramiko", "paramiko"),
    ("phonenumbers", "phonenumbers"),
    ("PIL", "pillow"),
    ("prometheus_client", "prometheus-client"),
    ("psycopg", "psycopg"),
    ("pyarrow", "pyarrow"),
    ("pydantic", "pydantic"),
    ("pymongo", "pymongo"),
    ("pypdf", "pypdf"),
    ("pytest", "pytest"),
    ("pytz", "pytz"),
    ("qrcode", "qrcode"),
    ("rapidfuzz", "rapidfuzz"),
    ("redis", "redis"),
    ("regex", "regex"),
    ("requests", "requests"),
    ("rich", "rich"),
    ("ruamel", "ruamel.yaml"),
    ("scipy", "scipy"),
    ("shapely", "shapely"),
    ("sklearn", "scikit-learn"),
    ("sqlalchemy", "sqlalchemy"),
    ("starlette", "starlette"),
    ("statsmodels", "statsmodels"),
    ("structlog", "structlog"),
    ("sympy", "sympy"),
    ("tabulate", "tabulate"),
    ("tenacity", "tenacity"),
    ("tiktoken", "tiktoken"),
    ("tomli", "tomli"),
    ("tqdm", "tqdm"),
    ("typer", "typer"),
    ("typing_extensions", "typing-extensions"),
    ("tzlocal", "tzlocal"),
    ("unidecode", "unidecode"),
    ("urllib3", "urllib3"),
    ("uvicorn", "uvicorn"),
    ("websocket", "websocket-client"),
    ("websockets", "websockets"),
    ("xmltodict", "xmltodict"),
    ("yaml", "pyyaml"),
    ("yarl", "yarl"),
    ("zstandard", "zstandard"),
];

/// The packages that generated code may depend on, by the names under which they are installed.
pub fn allowed_packages() -> BTreeSet<&'static str> {
    KNOWN.iter().map(|(_, package)| *package).collect()
}

/// Checks names of packages, as `pyproject.toml` writes them: with versions and extras.
pub fn check_packages(path: &str, requirements: &[String]) -> Vec<Finding> {
    let allowed = allowed_packages();
    let unknown = |requirement: &&String| {
        let name = requirement
            .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .next()
            .unwrap_or_default();
        !allowed.contains(normalised(name).as_str())
    };
    requirements
        .iter()
        .filter(unknown)
        .map(|requirement| Finding {
            rule: "unlisted-dependency".to_owned(),
            severity: Severity::High,
            path: path.to_owned(),
            line: 1,
            column: 1,
            message: format!(
                "`{requirement}` is not in the list of allowed packages; it may be invented, or somebody's trap"
            ),
        })
        .collect()
}

/// A package's name as registries compare it.
fn normalised(name: &str) -> String {
    if name == "ruamel.yaml" {
        return name.to_owned();
    }
    name.to_lowercase().replace(['_', '.'], "-")
}

/// The modules that lie in the package itself.
pub(super) fn local_modules(files: &[SourceFile<'_>]) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for file in files {
        let Some(stem) = file.path.strip_suffix(".py") else { continue };
        modules.extend(stem.split('/').map(str::to_owned));
    }
    modules
}

/// What speaks against importing a module.
pub(super) fn objection(
    root: &str,
    local: &BTreeSet<String>,
    declared: Option<&[String]>,
) -> Option<(&'static str, Severity, String)> {
    if root.starts_with('_') && root != "__future__" {
        // `_pickle` and its like do what the public modules do; the rules know their names.
        return None;
    }
    if STANDARD.contains(&root) || local.contains(root) {
        return None;
    }
    let Some((_, package)) = KNOWN.iter().find(|(module, _)| *module == root) else {
        let message = format!(
            "`{root}` belongs to no package of the list of allowed ones; it may be invented, or somebody's trap"
        );
        return Some(("unlisted-dependency", Severity::High, message));
    };
    let missing = declared.is_some_and(|declared| {
        !ALWAYS.contains(package)
            && !declared.iter().any(|name| {
                let name =
                    name.split(['[', '=', '<', '>', '~', '!', ';', ' ']).next().unwrap_or_default();
                normalised(name) == *package
            })
    });
    missing.then(|| {
        let message = format!("`{root}` is imported, but the package `{package}` is not declared");
        ("undeclared-dependency", Severity::Medium, message)
    })
}
