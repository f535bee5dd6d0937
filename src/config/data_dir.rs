//! The data folder on disk.

use std::path::Path;

use super::source::Problem;

/// Makes the data folder, open to its user alone, and tries to write in it. An existing folder
/// keeps its rights: an operator may have given them on purpose.
///
/// # Errors
/// When it cannot be made or written.
pub fn prepare_data_dir(path: &Path) -> Result<(), Problem> {
    create(path).and_then(|()| tempfile::NamedTempFile::new_in(path).map(drop)).map_err(|error| {
        Problem::new(
            format!("data folder {}", path.display()),
            format!("the data folder cannot be written: {error}"),
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "give this user the right to write there, or name another folder with `--data-dir PATH` or `ATELIER_DATA_DIR`"
                }
                std::io::ErrorKind::StorageFull => {
                    "free space on this disk, or name another folder with `--data-dir PATH` or `ATELIER_DATA_DIR`"
                }
                _ => "name another folder with `--data-dir PATH` or `ATELIER_DATA_DIR`",
            },
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "the data folder is made here")]
fn create(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
