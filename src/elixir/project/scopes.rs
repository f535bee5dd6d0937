//! Scopes of Phoenix 1.8: who owns rows.

use crate::elixir::syntax::{Expr, Kind};

/// A scope of `config :app, :scopes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) is_default: bool,
    /// `MyApp.Accounts.Scope`
    pub(crate) module: String,
    /// `current_scope`
    pub(crate) assign_key: String,
    /// `["user", "id"]`
    pub(crate) access_path: Vec<String>,
    /// `user_id`
    pub(crate) schema_key: String,
    /// `id` or `binary_id`
    pub(crate) schema_type: String,
    pub(crate) schema_migration_type: Option<String>,
    pub(crate) schema_table: Option<String>,
    /// `MyApp.AccountsFixtures`
    pub(crate) test_data_fixture: Option<String>,
    /// `register_and_log_in_user`
    pub(crate) test_setup_helper: Option<String>,
    pub(crate) route_prefix: Option<String>,
}

impl Scope {
    /// The last segment of the module.
    pub(crate) fn alias(&self) -> &str {
        self.module.rsplit('.').next().unwrap_or(&self.module)
    }

    /// `scope.user.id`
    pub(crate) fn access(&self) -> String {
        format!("scope.{}", self.access_path.join("."))
    }
}

/// Reads `scopes: [user: [default: true, …]]`.
pub(super) fn read(value: &Expr) -> Vec<Scope> {
    value
        .pairs()
        .iter()
        .filter_map(|pair| {
            let word = |key: &str| pair.value.get(key).and_then(super::config::word);
            let path = pair.value.get("access_path")?.list()?;
            Some(Scope {
                name: pair.key.clone(),
                is_default: word("default").as_deref() == Some("true"),
                module: word("module")?,
                assign_key: word("assign_key").unwrap_or_else(|| "current_scope".to_owned()),
                access_path: path
                    .iter()
                    .filter_map(|part| match &part.kind {
                        Kind::Atom(name) => Some(name.clone()),
                        _ => None,
                    })
                    .collect(),
                schema_key: word("schema_key")?,
                schema_type: word("schema_type").unwrap_or_else(|| "id".to_owned()),
                schema_migration_type: word("schema_migration_type"),
                schema_table: word("schema_table").filter(|table| table != "nil"),
                test_data_fixture: word("test_data_fixture").filter(|module| module != "nil"),
                test_setup_helper: word("test_setup_helper").filter(|name| name != "nil"),
                route_prefix: word("route_prefix"),
            })
        })
        .filter(|scope| !scope.access_path.is_empty())
        .collect()
}
