//! The migrations of a project, folded into the tables that they leave.

use std::collections::BTreeMap;

use super::table::{Column, Known, Table, TableConstraint, TableIndex};
use crate::elixir::literal;
use crate::elixir::names::database_name;
use crate::elixir::syntax::{Block, Call, Expr, Kind, Pair, Parsed, walk};

/// What the repo's configuration says about tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    /// Name and type of the key of `create table`.
    pub(crate) primary_key: Option<(String, String)>,
    /// Type of `timestamps()`.
    pub(crate) timestamps: Option<String>,
}

/// A migration's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MigrationFile {
    pub(crate) version: u64,
    pub(crate) name: String,
    pub(crate) path: String,
}

/// All migrations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Migrations {
    pub(crate) files: Vec<MigrationFile>,
    pub(crate) tables: BTreeMap<String, Table>,
    /// What could not be read, in sentences.
    pub(crate) notes: Vec<String>,
}

/// Reads the version and name of a migration's file.
pub(crate) fn file_of(path: &str) -> Option<MigrationFile> {
    let stem = path.rsplit('/').next()?.strip_suffix(".exs")?;
    let (version, name) = stem.split_once('_')?;
    let version = version.parse().ok()?;
    Some(MigrationFile { version, name: name.to_owned(), path: path.to_owned() })
}

impl Migrations {
    /// Adds a migration; they come in the order of their versions.
    pub(crate) fn fold(&mut self, file: &MigrationFile, parsed: &Parsed, defaults: &Defaults) {
        let mut bodies = Vec::new();
        walk(&parsed.body, &mut |expr| {
            if let Some(call) = expr.call()
                && call.target == "def"
                && let (Some(Kind::Name(name)), Some(block)) =
                    (call.arg(0).map(|head| &head.kind), &call.block)
                && (name == "change" || name == "up")
            {
                bodies.push(block);
            }
        });
        if parsed.broken_line.is_some() {
            self.notes
                .push(format!("the migration {} does not parse and was left aside", file.path));
            return;
        }
        for block in bodies {
            for expr in &block.body {
                if !self.statement(expr, defaults) {
                    self.not_read(file, expr);
                }
            }
        }
    }

    /// Something that only running it could tell: the tables that it names are partly known.
    fn not_read(&mut self, file: &MigrationFile, expr: &Expr) {
        let text = format!("{:?}", expr.kind);
        let mut named = Vec::new();
        for table in self.tables.values_mut() {
            if text
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .any(|word| word == table.name)
            {
                table.known = Known::Partly;
                named.push(table.name.clone());
            }
        }
        let what =
            if named.is_empty() { String::new() } else { format!(" about {}", named.join(", ")) };
        self.notes
            .push(format!("a statement{what} in {} cannot be read without running it", file.path));
    }

    fn statement(&mut self, expr: &Expr, defaults: &Defaults) -> bool {
        let Some(call) = expr.call() else {
            return matches!(expr.kind, Kind::Atom(_) | Kind::Scalar(_));
        };
        match call.target.as_str() {
            "create" | "create_if_not_exists" => self.create(call, defaults),
            "alter" => self.alter(call, defaults),
            "drop" | "drop_if_exists" => self.remove(call),
            "rename" => self.rename(call),
            "flush" => true,
            // Extensions and the like concern no table.
            "execute" => call.arg(0).and_then(Expr::text).is_some_and(|sql| {
                let sql = sql.to_ascii_uppercase();
                ["CREATE EXTENSION", "CREATE SCHEMA"].iter().any(|start| sql.starts_with(start))
            }),
            _ => false,
        }
    }

    fn create(&mut self, call: &Call, defaults: &Defaults) -> bool {
        let Some(what) = call.arg(0).and_then(Expr::call) else { return false };
        match what.target.as_str() {
            "table" => {
                let Some(name) = name_of(what.arg(0)) else { return false };
                let mut table =
                    Table { name: name.clone(), prefix: prefix_of(what), ..Table::default() };
                table.columns.extend(implicit_key(what, defaults));
                let complete =
                    call.block.as_ref().is_none_or(|block| columns(&mut table, block, defaults));
                if !complete {
                    table.known = Known::Partly;
                }
                self.tables.insert(table_key(table.prefix.as_deref(), &name), table);
                complete
            }
            "index" | "unique_index" => self.create_index(what),
            "constraint" => {
                let (Some(table), Some(name)) = (self.table_of(what), name_of(what.arg(1))) else {
                    return false;
                };
                let options = what
                    .keywords()
                    .iter()
                    .filter(|pair| pair.key != "prefix")
                    .map(|pair| (pair.key.clone(), pair.value.flat()))
                    .collect();
                table.constraints.retain(|constraint| constraint.name != name);
                table.constraints.push(TableConstraint { name, options });
                true
            }
            _ => false,
        }
    }

    fn create_index(&mut self, call: &Call) -> bool {
        let Some(index) = read_index(call) else { return false };
        let Some(table) = self.table_of(call) else { return false };
        table.indexes.retain(|known| known.name != index.name);
        table.indexes.push(index);
        true
    }

    fn alter(&mut self, call: &Call, defaults: &Defaults) -> bool {
        let (Some(what), Some(block)) = (call.arg(0).and_then(Expr::call), &call.block) else {
            return false;
        };
        let Some(table) = self.table_of(what) else { return false };
        let complete = columns(table, block, defaults);
        if !complete {
            table.known = Known::Partly;
        }
        complete
    }

    fn remove(&mut self, call: &Call) -> bool {
        let Some(what) = call.arg(0).and_then(Expr::call) else { return false };
        match what.target.as_str() {
            "table" => {
                let Some(name) = name_of(what.arg(0)) else { return false };
                self.tables.remove(&table_key(prefix_of(what).as_deref(), &name));
                true
            }
            "index" | "unique_index" => {
                let Some(index) = read_index(what) else { return false };
                self.table_of(what).is_some_and(|table| {
                    table.indexes.retain(|known| known.name != index.name);
                    true
                })
            }
            "constraint" => {
                let Some(name) = name_of(what.arg(1)) else { return false };
                self.table_of(what).is_some_and(|table| {
                    table.constraints.retain(|known| known.name != name);
                    true
                })
            }
            _ => false,
        }
    }

    fn rename(&mut self, call: &Call) -> bool {
        let Some(what) = call.arg(0).and_then(Expr::call) else { return false };
        let Some(old) = name_of(what.arg(0)) else { return false };
        let key = table_key(prefix_of(what).as_deref(), &old);
        if let Some(to) = call.get("to").and_then(Expr::call).and_then(|to| name_of(to.arg(0))) {
            let Some(mut table) = self.tables.remove(&key) else { return false };
            table.name.clone_from(&to);
            self.tables.insert(table_key(table.prefix.as_deref(), &to), table);
            return true;
        }
        let (Some(from), Some(to)) = (call.atom(1), call.get("to").and_then(Expr::atom)) else {
            return false;
        };
        let Some(table) = self.tables.get_mut(&key) else { return false };
        for column in table.columns.iter_mut().filter(|column| column.name == from) {
            to.clone_into(&mut column.name);
        }
        for name in table
            .indexes
            .iter_mut()
            .flat_map(|index| index.columns.iter_mut())
            .filter(|name| *name == from)
        {
            to.clone_into(name);
        }
        true
    }

    fn table_of(&mut self, call: &Call) -> Option<&mut Table> {
        let name = name_of(call.arg(0))?;
        self.tables.get_mut(&table_key(prefix_of(call).as_deref(), &name))
    }
}

/// How tables are told apart.
pub(crate) fn table_key(prefix: Option<&str>, name: &str) -> String {
    prefix.map_or_else(|| name.to_owned(), |prefix| format!("{prefix}.{name}"))
}

fn name_of(expr: Option<&Expr>) -> Option<String> {
    let expr = expr?;
    expr.atom().or_else(|| expr.text()).map(str::to_owned)
}

fn prefix_of(call: &Call) -> Option<String> {
    name_of(call.get("prefix"))
}

fn implicit_key(call: &Call, defaults: &Defaults) -> Option<Column> {
    let given = call.get("primary_key");
    let configured = || {
        defaults.primary_key.clone().unwrap_or_else(|| ("id".to_owned(), ":bigserial".to_owned()))
    };
    let (name, kind) = match given {
        Some(Expr { kind: Kind::Scalar(no), .. }) if no == "false" => return None,
        Some(pairs) if !pairs.pairs().is_empty() => {
            let (name, kind) = configured();
            (
                pairs.get("name").and_then(Expr::atom).map_or(name, str::to_owned),
                pairs.get("type").map_or(kind, Expr::flat),
            )
        }
        _ => configured(),
    };
    Some(Column::new(&name, &kind, vec![("primary_key".to_owned(), "true".to_owned())]))
}

/// Reads the lines of a table's block; whether all could be read.
fn columns(table: &mut Table, block: &Block, defaults: &Defaults) -> bool {
    let mut complete = true;
    for expr in &block.body {
        let read = match &expr.kind {
            Kind::Name(name) if name == "timestamps" => {
                timestamps(table, &[], defaults);
                true
            }
            Kind::Call(call) => column_line(table, call, defaults),
            _ => false,
        };
        complete &= read;
    }
    complete
}

fn column_line(table: &mut Table, call: &Call, defaults: &Defaults) -> bool {
    if call.target == "timestamps" {
        let pairs = call.args.first().map(Expr::pairs).unwrap_or_default();
        timestamps(table, pairs, defaults);
        return true;
    }
    let Some(name) = name_of(call.arg(0)) else { return false };
    match call.target.as_str() {
        "add" | "add_if_not_exists" | "modify" => {
            let kind = match call.arg(1) {
                Some(Expr { kind: Kind::Keywords(_), .. }) | None => ":string".to_owned(),
                Some(kind) => kind_code(kind),
            };
            let options = call
                .keywords()
                .iter()
                .filter(|pair| pair.key != "from")
                .map(|pair| (pair.key.clone(), pair.value.flat()))
                .collect();
            let column = Column::new(&name, &kind, options);
            match table.columns.iter_mut().find(|known| known.name == name) {
                Some(known) => *known = merged(known, &column),
                None => table.columns.push(column),
            }
            true
        }
        "remove" | "remove_if_exists" => {
            table.columns.retain(|column| column.name != name);
            table.indexes.retain(|index| !index.columns.contains(&name));
            true
        }
        _ => false,
    }
}

/// `modify` changes what it names and leaves the rest.
fn merged(old: &Column, new: &Column) -> Column {
    let mut options = new.options.clone();
    for (key, value) in &old.options {
        if !options.iter().any(|(known, _)| known == key)
            && !matches!(key.as_str(), "size" | "precision" | "scale")
        {
            options.push((key.clone(), value.clone()));
        }
    }
    Column::new(&new.name, &new.kind, options)
}

/// A type in its one spelling: the options of `references` sorted, those that repeat a default left
/// out.
pub(crate) fn kind_code(expr: &Expr) -> String {
    let Some(call) = expr.call().filter(|call| call.target == "references") else {
        return expr.flat();
    };
    let mut options: Vec<(String, String)> =
        call.keywords().iter().map(|pair| (pair.key.clone(), pair.value.flat())).collect();
    options.sort();
    references(&name_of(call.arg(0)).unwrap_or_default(), &options)
}

/// `references(:table, …)` in its one spelling.
pub(crate) fn references(table: &str, options: &[(String, String)]) -> String {
    let options: String = options
        .iter()
        .filter(|(key, value)| {
            !matches!(
                (key.as_str(), value.as_str()),
                ("on_delete" | "on_update", ":nothing")
                    | ("column", ":id")
                    | ("type", ":bigserial" | ":id" | ":bigint")
            )
        })
        .map(|(key, value)| format!(", {key}: {value}"))
        .collect();
    format!("references({}{options})", literal::atom(table))
}

fn timestamps(table: &mut Table, pairs: &[Pair], defaults: &Defaults) {
    let get = |key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.flat());
    let kind = get("type")
        .or_else(|| defaults.timestamps.clone())
        .unwrap_or_else(|| ":naive_datetime".to_owned());
    let null = get("null").unwrap_or_else(|| "false".to_owned());
    for key in ["inserted_at", "updated_at"] {
        let name = match get(key) {
            Some(off) if off == "false" => continue,
            Some(name) => name.trim_start_matches(':').to_owned(),
            None => key.to_owned(),
        };
        if table.column(&name).is_none() {
            table.columns.push(Column::new(&name, &kind, vec![("null".to_owned(), null.clone())]));
        }
    }
}

fn read_index(call: &Call) -> Option<TableIndex> {
    let table = name_of(call.arg(0))?;
    let given = call.arg(1)?;
    let items: Vec<&Expr> = match &given.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![given],
    };
    let columns: Vec<String> = items
        .iter()
        .flat_map(|item| match &item.kind {
            Kind::Keywords(pairs) => {
                pairs.iter().map(|pair| format!("{}: {}", pair.key, pair.value.flat())).collect()
            }
            Kind::Atom(name) => vec![name.clone()],
            _ => vec![item.flat()],
        })
        .collect();
    let unique = call.target == "unique_index"
        || matches!(call.get("unique").map(Expr::flat).as_deref(), Some("true"));
    let name = name_of(call.get("name")).unwrap_or_else(|| default_index_name(&table, &columns));
    let options = call
        .keywords()
        .iter()
        .filter(|pair| !matches!(pair.key.as_str(), "name" | "unique" | "prefix" | "concurrently"))
        .map(|pair| (pair.key.clone(), pair.value.flat()))
        .collect();
    Some(TableIndex { name, columns, unique, options })
}

/// The name that Ecto gives an index, as PostgreSQL keeps it.
pub(crate) fn default_index_name(table: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| {
            let bare = column.rsplit(": :").next().unwrap_or(column);
            let cleaned: String = bare
                .chars()
                .map(
                    |letter| {
                        if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '_' }
                    },
                )
                .collect();
            cleaned.trim_matches('_').to_owned()
        })
        .collect();
    let mut parts = vec![table];
    parts.extend(columns.iter().map(String::as_str));
    parts.push("index");
    database_name(&parts)
}
