//! The constant files of a Python package.

/// Path and text of each.
pub const PYTHON: [(&str, &str); 14] = [
    ("server.py", include_str!("../runtime/python/server.py")),
    ("runtime/__init__.py", include_str!("../runtime/python/runtime/__init__.py")),
    ("runtime/application.py", include_str!("../runtime/python/runtime/application.py")),
    ("runtime/auth.py", include_str!("../runtime/python/runtime/auth.py")),
    ("runtime/errors.py", include_str!("../runtime/python/runtime/errors.py")),
    ("runtime/functions.py", include_str!("../runtime/python/runtime/functions.py")),
    ("runtime/http.py", include_str!("../runtime/python/runtime/http.py")),
    ("runtime/schema.py", include_str!("../runtime/python/runtime/schema.py")),
    ("runtime/search.py", include_str!("../runtime/python/runtime/search.py")),
    ("runtime/serialize.py", include_str!("../runtime/python/runtime/serialize.py")),
    ("runtime/settings.py", include_str!("../runtime/python/runtime/settings.py")),
    ("runtime/telemetry.py", include_str!("../runtime/python/runtime/telemetry.py")),
    ("tests/test_tools.py", include_str!("../runtime/python/tests/test_tools.py")),
    ("requirements-dev.txt", DEVELOPMENT),
];

/// The versions that a package is tested with.
pub const REQUIREMENTS: &str = include_str!("../runtime/python/requirements.txt");

/// Packages that the tests of every package need.
pub const DEVELOPMENT: &str = include_str!("../runtime/python/requirements-dev.txt");
