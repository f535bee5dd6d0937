//! The environment variables, read once. Nothing else in the program reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A copy of the environment variables that can be read as text.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn capture() -> Self {
        // Names and values that are no text cannot be settings of this program.
        Self::from_pairs(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// An environment of these variables.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self {
            variables: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// These variables, with those of the other in place of their own.
    #[must_use]
    pub(super) fn overlaid_by(mut self, other: &Self) -> Self {
        self.variables.extend(other.variables.clone());
        self
    }

    /// A variable, trimmed. A blank one counts as absent, since clients and shells write
    /// `NAME=` for "not set".
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// All variables that are not blank, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.trim()))
            .filter(|(_, value)| !value.is_empty())
    }

    /// The user's home folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.absolute("HOME")
    }

    /// Where users keep configuration: the folder `atelier` of the XDG configuration folder.
    pub fn config_folder(&self) -> Option<PathBuf> {
        self.xdg_folder("XDG_CONFIG_HOME", ".config")
    }

    /// Where users keep data: the folder `atelier` of the XDG data folder.
    pub fn data_folder(&self) -> Option<PathBuf> {
        self.xdg_folder("XDG_DATA_HOME", ".local/share")
    }

    fn xdg_folder(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let root = self.absolute(name).or_else(|| Some(self.home()?.join(below_home)))?;
        Some(root.join("atelier"))
    }

    /// The XDG specification has relative values ignored.
    fn absolute(&self, name: &str) -> Option<PathBuf> {
        let path = Path::new(self.get(name)?);
        path.is_absolute().then(|| path.to_owned())
    }
}

impl std::fmt::Debug for Environment {
    /// Names alone: values may be secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}
