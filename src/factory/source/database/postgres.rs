//! PostgreSQL servers.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{Column, ForeignKey, Note, Skipped, Table, TableKind, Values};

use super::schema::{Arguments, Described, Rights, Schema};
use super::{blueprint, problem};

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(15);
/// How deep types may be made of types.
const DEEPEST_TYPE: usize = 8;

const RELATIONS: &str = "\
SELECT c.oid::int8 AS id, n.nspname::text AS space, c.relname::text AS name, c.relkind::text AS kind, \
       c.relispartition AS part, coalesce(obj_description(c.oid, 'pg_class'), '') AS comment, \
       has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable, \
       has_any_column_privilege(c.oid, 'INSERT') AS insertable, \
       has_any_column_privilege(c.oid, 'UPDATE') AS updatable, \
       has_table_privilege(c.oid, 'DELETE') AS deletable \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
ORDER BY n.nspname = 'public' DESC, n.nspname, c.oid";

const COLUMNS: &str = "\
SELECT a.attrelid::int8 AS id, a.attnum::int8 AS place, a.attname::text AS name, \
       format_type(a.atttypid, a.atttypmod) AS declared, a.atttypid::int8 AS kind, \
       a.attnotnull AS not_null, a.attidentity::text AS identity, a.attgenerated::text AS generated, \
       a.atthasdef AS has_default, coalesce(col_description(a.attrelid, a.attnum), '') AS comment, \
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable, \
       has_column_privilege(a.attrelid, a.attnum, 'INSERT') OR has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS writable \
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
ORDER BY a.attrelid, a.attnum";

/// Unique indexes over plain columns, the primary key first.
const KEYS: &str = "\
SELECT i.indrelid::int8 AS id, i.indisprimary AS first, \
       ARRAY(SELECT u.place::int8 FROM unnest(i.indkey) WITH ORDINALITY AS u (place, turn) ORDER BY u.turn) AS places \
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate AND i.indisvalid \
  AND i.indnkeyatts = i.indnatts \
ORDER BY i.indrelid, i.indisprimary DESC, x.relname";

const FOREIGN_KEYS: &str = "\
SELECT k.conrelid::int8 AS id, k.conname::text AS name, k.conkey::int8[] AS places, \
       n.nspname::text AS target_space, c.relname::text AS target, k.confrelid::int8 AS target_id, \
       k.confkey::int8[] AS target_places \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.confrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conrelid, k.conname";

const TYPES: &str = "\
SELECT t.oid::int8 AS id, t.typname::text AS name, t.typtype::text AS sort, t.typcategory::text AS category, \
       t.typbasetype::int8 AS base, t.typelem::int8 AS item, format_type(t.oid, -1) AS written, \
       EXISTS (SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod \
               WHERE m.amname = 'btree' AND o.opcdefault AND o.opcintype = t.oid) AS ordered \
FROM pg_catalog.pg_type t \
WHERE t.oid IN (SELECT atttypid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_') \
   OR t.typtype IN ('b', 'd', 'e')";

/// What is in a database.
pub(super) async fn read(
    url: &str,
    known: &moka::future::Cache<String, Arc<Schema>>,
) -> Result<Arc<Schema>, FactoryError> {
    // The address holds the password: it is not kept.
    let digest: String = Sha256::digest(url).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("postgresql:{digest}");
    if let Some(schema) = known.get(&key).await {
        return Ok(schema);
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| {
            FactoryError::new(
                Refusal::Arguments,
                "`database_url` is no URL of a PostgreSQL database",
                "write it as postgresql://user:password@host:5432/name, with special characters percent-encoded",
            )
        })?
        .application_name("atelier")
        .options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "30000"),
            // So that names of types are written out in full.
            ("search_path", ""),
        ])
        .disable_statement_logging();
    let place = format!("at {}:{}", options.get_host(), options.get_port());
    let problem = |error: &sqlx::Error| problem::of(error, &place);
    let mut connection = tokio::time::timeout(CONNECTING, options.connect())
        .await
        .map_err(|_| problem(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?
        .map_err(|error| problem(&error))?;
    let result = schema(&mut connection).await;
    let closed = connection.close().await;
    let schema = Arc::new(result.map_err(|error| problem(&error))?);
    closed.map_err(|error| problem(&error))?;
    known.insert(key, Arc::clone(&schema)).await;
    Ok(schema)
}

async fn schema(connection: &mut PgConnection) -> sqlx::Result<Schema> {
    let types = Types::read(connection).await?;
    let relations = sqlx::query(RELATIONS).fetch_all(&mut *connection).await?;
    let columns = by_relation(sqlx::query(COLUMNS).fetch_all(&mut *connection).await?)?;
    let keys = by_relation(sqlx::query(KEYS).fetch_all(&mut *connection).await?)?;
    let foreign = by_relation(sqlx::query(FOREIGN_KEYS).fetch_all(&mut *connection).await?)?;
    let mut schema = Schema::default();
    for row in &relations {
        let id: i64 = row.try_get("id")?;
        let space: String = row.try_get("space")?;
        let name: String = row.try_get("name")?;
        let kind: String = row.try_get("kind")?;
        let label = format!("{space}.{name}");
        let what = if matches!(kind.as_str(), "v" | "m") { "view" } else { "table" };
        let reason = if row.try_get("part")? {
            Some("it is a partition; its rows are reached through the table that it is a part of")
        } else if kind == "f" {
            Some("its rows lie on another server")
        } else if !row.try_get::<bool, _>("readable")? {
            Some("the user of this database may not read it")
        } else {
            None
        };
        if let Some(reason) = reason {
            schema.skipped.push(Skipped {
                pointer: label.clone(),
                operation: format!("{what} {label}"),
                reason: reason.to_owned(),
            });
            continue;
        }
        let kind = match kind.as_str() {
            "v" => TableKind::View,
            "m" => TableKind::MaterializedView,
            _ => TableKind::Table,
        };
        let places = columns.get(&id).map(Vec::as_slice).unwrap_or_default();
        let made = made_columns(places, &types, &label, &mut schema.notes)?;
        if made.is_empty() {
            schema.skipped.push(Skipped {
                pointer: label.clone(),
                operation: format!("{what} {label}"),
                reason: "it has no columns that the user of this database may read".to_owned(),
            });
            continue;
        }
        let key = if kind == TableKind::Table {
            key(keys.get(&id).map(Vec::as_slice).unwrap_or_default(), &made)?
        } else {
            Vec::new()
        };
        let names = |id: i64, wanted: Vec<i64>| -> sqlx::Result<Vec<String>> {
            let all = columns.get(&id).map(Vec::as_slice).unwrap_or_default();
            let mut names = Vec::new();
            for place in wanted {
                for row in all {
                    if row.try_get::<i64, _>("place")? == place {
                        names.push(row.try_get("name")?);
                    }
                }
            }
            Ok(names)
        };
        let mut foreign_keys = Vec::new();
        for row in foreign.get(&id).map(Vec::as_slice).unwrap_or_default() {
            foreign_keys.push(ForeignKey {
                name: row.try_get("name")?,
                columns: names(id, row.try_get("places")?)?,
                target_schema: Some(row.try_get("target_space")?),
                target: row.try_get("target")?,
                target_columns: names(row.try_get("target_id")?, row.try_get("target_places")?)?,
            });
        }
        schema.tables.push(Described {
            table: Table {
                schema: Some(space),
                name,
                kind,
                comment: row.try_get("comment")?,
                key,
                columns: made.into_iter().map(|(_, column)| column).collect(),
                foreign_keys,
            },
            rights: Rights {
                insert: row.try_get("insertable")?,
                update: row.try_get("updatable")?,
                delete: row.try_get("deletable")?,
            },
        });
    }
    schema.blueprints = blueprint::read(connection).await?;
    Ok(schema)
}

fn by_relation(rows: Vec<PgRow>) -> sqlx::Result<BTreeMap<i64, Vec<PgRow>>> {
    let mut all: BTreeMap<i64, Vec<PgRow>> = BTreeMap::new();
    for row in rows {
        all.entry(row.try_get("id")?).or_default().push(row);
    }
    Ok(all)
}

fn made_columns(
    rows: &[PgRow],
    types: &Types,
    label: &str,
    notes: &mut Vec<Note>,
) -> sqlx::Result<Vec<(i64, Column)>> {
    let mut arguments = Arguments::default();
    let mut columns = Vec::new();
    for row in rows {
        let name: String = row.try_get("name")?;
        if !row.try_get::<bool, _>("readable")? {
            notes.push(Note {
                pointer: format!("{label}.{name}"),
                message: "the user of this database may not read the column; it is left out"
                    .to_owned(),
            });
            continue;
        }
        let found = types.of(row.try_get("kind")?);
        let identity: String = row.try_get("identity")?;
        let generated: String = row.try_get("generated")?;
        let own = identity == "a" || !generated.is_empty();
        let nullable = !row.try_get::<bool, _>("not_null")?;
        columns.push((
            row.try_get("place")?,
            Column {
                argument: arguments.of(&name),
                name,
                declared: row.try_get("declared")?,
                cast: Some(found.written),
                values: found.values,
                nullable,
                writable: !own && row.try_get("writable")?,
                optional: nullable || own || !identity.is_empty() || row.try_get("has_default")?,
                comparable: found.ordered,
                comment: row.try_get("comment")?,
            },
        ));
    }
    Ok(columns)
}

/// The primary key, else the first unique columns that are never NULL.
fn key(rows: &[PgRow], columns: &[(i64, Column)]) -> sqlx::Result<Vec<String>> {
    for row in rows {
        let first: bool = row.try_get("first")?;
        let places: Vec<i64> = row.try_get("places")?;
        let found: Option<Vec<&Column>> = places
            .iter()
            .map(|wanted| {
                columns.iter().find(|(place, _)| place == wanted).map(|(_, column)| column)
            })
            .collect();
        if let Some(found) = found
            && (first || found.iter().all(|column| !column.nullable))
        {
            return Ok(found.iter().map(|column| column.argument.clone()).collect());
        }
    }
    Ok(Vec::new())
}

/// A type as tools see it.
#[derive(Debug, Clone)]
struct Found {
    values: Values,
    /// As values are cast: without a length, which would cut off what is too long, and without
    /// a domain, whose checks are made when the value is stored.
    written: String,
    ordered: bool,
}

struct Known {
    name: String,
    sort: String,
    category: String,
    base: i64,
    item: i64,
    written: String,
    ordered: bool,
}

struct Types {
    all: BTreeMap<i64, Known>,
    choices: BTreeMap<i64, Vec<String>>,
}

impl Types {
    async fn read(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let mut all = BTreeMap::new();
        for row in sqlx::query(TYPES).fetch_all(&mut *connection).await? {
            all.insert(
                row.try_get("id")?,
                Known {
                    name: row.try_get("name")?,
                    sort: row.try_get("sort")?,
                    category: row.try_get("category")?,
                    base: row.try_get("base")?,
                    item: row.try_get("item")?,
                    written: row.try_get("written")?,
                    ordered: row.try_get("ordered")?,
                },
            );
        }
        let mut choices: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let labels = sqlx::query(
            "SELECT enumtypid::int8 AS id, enumlabel::text AS label FROM pg_catalog.pg_enum \
             ORDER BY enumtypid, enumsortorder",
        );
        for row in labels.fetch_all(&mut *connection).await? {
            choices.entry(row.try_get("id")?).or_default().push(row.try_get("label")?);
        }
        Ok(Self { all, choices })
    }

    fn of(&self, id: i64) -> Found {
        self.resolve(id, 0)
    }

    fn resolve(&self, id: i64, depth: usize) -> Found {
        let Some(known) = self.all.get(&id).filter(|_| depth < DEEPEST_TYPE) else {
            return Found { values: Values::Other, written: "text".to_owned(), ordered: false };
        };
        if known.sort == "d" {
            return self.resolve(known.base, depth + 1);
        }
        if known.sort == "e" {
            let choices = self.choices.get(&id).cloned().unwrap_or_default();
            return Found {
                values: Values::Enum { choices },
                written: known.written.clone(),
                ordered: true,
            };
        }
        if known.category == "A" && known.item != 0 && known.name.starts_with('_') {
            let item = self.resolve(known.item, depth + 1);
            return Found {
                values: Values::Array { items: Box::new(item.values) },
                // Lists of a domain are read as lists of it: there is no other way to write them.
                written: known.written.clone(),
                ordered: item.ordered,
            };
        }
        let times: BTreeSet<&str> =
            ["date", "time", "timetz", "timestamp", "timestamptz", "interval"].into();
        let values = match known.name.as_str() {
            "int2" | "int4" | "int8" | "oid" => Values::Integer,
            "numeric" => Values::Decimal,
            "float4" | "float8" => Values::Float,
            "bool" => Values::Boolean,
            "text" | "varchar" | "bpchar" | "char" | "name" | "citext" => Values::Text,
            "bytea" => Values::Blob,
            "json" | "jsonb" => Values::Json,
            "uuid" => Values::Uuid,
            name if times.contains(name) => Values::Time,
            _ => Values::Other,
        };
        let ordered = values != Values::Json
            && (known.ordered || matches!(known.name.as_str(), "varchar") || known.sort == "r");
        Found { values, written: known.written.clone(), ordered }
    }
}
