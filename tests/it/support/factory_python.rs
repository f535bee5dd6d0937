//! The Python that made servers run with in tests.

use std::path::PathBuf;

/// The environment that `scripts/factory-python.sh` makes before the tests.
pub(crate) fn environment() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/factory-python");
    assert!(
        folder.join("READY").exists(),
        "{} is missing: run scripts/factory-python.sh once",
        folder.display()
    );
    folder
}

/// Its interpreter.
pub(crate) fn interpreter() -> PathBuf {
    environment().join("bin/python")
}
