//! Tables as migrations leave them. Types and options are code in one fixed spelling, so that two
//! of them are equal when they mean the same.

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `:string`, `{:array, :string}`, `references(:users, on_delete: :nothing)`.
    pub(crate) kind: String,
    /// Options in the order of [`OPTIONS`]; those that only repeat a default are left out.
    pub(crate) options: Vec<(String, String)>,
}

/// Options of columns in the order in which they are written.
const OPTIONS: [&str; 9] = [
    "primary_key",
    "size",
    "precision",
    "scale",
    "collation",
    "default",
    "null",
    "comment",
    "generated",
];

impl Column {
    /// A column with its options in order.
    pub(crate) fn new(name: &str, kind: &str, options: Vec<(String, String)>) -> Self {
        let mut options: Vec<(String, String)> = options
            .into_iter()
            .filter(|(key, value)| {
                !matches!(
                    (key.as_str(), value.as_str()),
                    ("null", "true") | ("default", "nil") | ("primary_key", "false")
                )
            })
            .collect();
        let rank =
            |key: &str| OPTIONS.iter().position(|known| *known == key).unwrap_or(OPTIONS.len());
        options.sort_by_key(|(key, _)| rank(key));
        Self { name: name.to_owned(), kind: kind.to_owned(), options }
    }

    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether NULL is refused.
    pub(crate) fn is_not_null(&self) -> bool {
        self.option("null") == Some("false") || self.option("primary_key") == Some("true")
    }

    /// The table that it points to.
    pub(crate) fn references(&self) -> Option<&str> {
        let rest = self.kind.strip_prefix("references(")?.trim_start_matches([':', '"']);
        rest.split([',', ')', '"']).next()
    }

    /// `type, option: value` as arguments.
    pub(crate) fn arguments(&self) -> String {
        let options: String =
            self.options.iter().map(|(key, value)| format!(", {key}: {value}")).collect();
        format!("{}{options}", self.kind)
    }
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableIndex {
    pub(crate) name: String,
    /// Column names; expressions and orders as code.
    pub(crate) columns: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) options: Vec<(String, String)>,
}

/// A check or exclusion constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableConstraint {
    pub(crate) name: String,
    pub(crate) options: Vec<(String, String)>,
}

/// How much of a table is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Known {
    #[default]
    Fully,
    /// A migration does something to it that cannot be read without running it.
    Partly,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) prefix: Option<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) indexes: Vec<TableIndex>,
    pub(crate) constraints: Vec<TableConstraint>,
    pub(crate) known: Known,
    /// The last two columns, where they are the timestamps of a new table.
    pub(crate) stamps: Option<[String; 2]>,
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether some index begins with a column, so that look-ups by it are fast.
    pub(crate) fn leads_index(&self, column: &str) -> bool {
        let in_key: Vec<&Column> = self
            .columns
            .iter()
            .filter(|column| column.option("primary_key") == Some("true"))
            .collect();
        in_key.first().is_some_and(|first| first.name == column)
            || self.indexes.iter().any(|index| {
                index.columns.first().is_some_and(|first| first == column)
                    && !index.options.iter().any(|(key, _)| key == "where")
            })
    }
}
