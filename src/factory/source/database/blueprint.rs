//! How the tables of a `PostgreSQL` database are made anew, without their rows, for tests.
//!
//! Whatever would run code of the database's owner is left out and named: functions may do things
//! that no rollback takes back. So defaults, checks and indexes come along where all they call is
//! the server's own and changes nothing; a default that counts gets a sequence of the copy's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::factory::ir::Table;

use super::schema::label;

/// Extensions whose functions only compute.
const EXTENSIONS: &str = "'uuid-ossp', 'pgcrypto', 'citext', 'hstore', 'ltree', 'unaccent', 'pg_trgm', \
     'fuzzystrmatch', 'intarray', 'cube', 'isn', 'seg', 'earthdistance', 'vector', 'postgis'";
/// Functions that give another value each time and change nothing.
const FRESH: &str = "'random', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'clock_timestamp', 'timeofday', \
     'uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4', 'gen_random_bytes', 'gen_salt'";
const RELATIONS: &str = "c.relkind IN ('r', 'p') AND NOT c.relispartition \
     AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// How a table is made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Blueprint {
    columns: Vec<Definition>,
    /// Keys and checks, as they stand behind `ALTER TABLE … ADD`.
    rules: Vec<String>,
    /// Unique indexes, as they stand behind the name of their table.
    indexes: Vec<String>,
    /// What stands behind the columns of a reference, by its name.
    references: BTreeMap<String, String>,
    /// What is not in the copy, and why.
    left_out: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    text: String,
    counts: bool,
}

/// Whether all that an expression calls is harmless, by its tree.
fn harmless(tree: &str) -> String {
    format!(
        "(strpos({tree}, ':opnos') = 0 AND NOT EXISTS (\
           SELECT 1 FROM regexp_matches({tree}, ':(funcid|opfuncid|opno|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') AS m (found) \
           LEFT JOIN pg_catalog.pg_operator o ON m.found[1] = 'opno' AND o.oid = m.found[2]::oid \
           JOIN pg_catalog.pg_proc p ON p.oid = CASE WHEN m.found[1] = 'opno' THEN o.oprcode::oid ELSE m.found[2]::oid END \
           JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace \
           LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e' \
           LEFT JOIN pg_catalog.pg_extension x ON x.oid = e.refobjid AND e.refclassid = 'pg_catalog.pg_extension'::regclass \
           WHERE NOT ((s.nspname = 'pg_catalog' OR x.extname IN ({EXTENSIONS})) \
                      AND (p.provolatile <> 'v' OR p.proname IN ({FRESH})))))"
    )
}

/// A query whose text is ours.
async fn rows(connection: &mut PgConnection, query: String) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await
}

/// The blueprints of all tables, by name space and name.
pub(super) async fn read(
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<(String, String), Blueprint>> {
    let mut all: BTreeMap<(String, String), Blueprint> = BTreeMap::new();
    let name = |row: &PgRow| -> sqlx::Result<(String, String)> {
        Ok((row.try_get("space")?, row.try_get("name")?))
    };
    for row in rows(connection, columns()).await? {
        let blueprint = all.entry(name(&row)?).or_default();
        column(&row, blueprint)?;
    }
    for row in rows(connection, constraints()).await? {
        let blueprint = all.entry(name(&row)?).or_default();
        let called: String = row.try_get("called")?;
        let definition: String = row.try_get("definition")?;
        let kind: String = row.try_get("kind")?;
        match kind.as_str() {
            "f" => {
                blueprint.references.insert(called, definition);
            }
            "x" => blueprint.left_out.push(format!("the exclusion constraint {called}")),
            _ if row.try_get::<bool, _>("harmless")? => blueprint.rules.push(definition),
            _ => blueprint.left_out.push(format!(
                "the constraint {called}, since it calls functions of the database's own"
            )),
        }
    }
    for row in rows(connection, indexes()).await? {
        let blueprint = all.entry(name(&row)?).or_default();
        let called: String = row.try_get("called")?;
        let definition: String = row.try_get("definition")?;
        let front: String = row.try_get("front")?;
        match definition.strip_prefix(&front) {
            Some(rest) if row.try_get::<bool, _>("harmless")? => {
                blueprint.indexes.push(rest.to_owned());
            }
            _ => blueprint.left_out.push(format!(
                "the unique index {called}, since it calls functions of the database's own"
            )),
        }
    }
    for row in rows(connection, extras()).await? {
        let blueprint = all.entry(name(&row)?).or_default();
        for (column, what) in [
            ("partitioned", "its partitions"),
            ("guarded", "its policies of row-level security"),
            ("triggered", "its triggers"),
            ("ruled", "its rules"),
        ] {
            if row.try_get::<bool, _>(column)? {
                blueprint.left_out.push(what.to_owned());
            }
        }
    }
    Ok(all)
}

fn columns() -> String {
    format!(
        "WITH RECURSIVE risky (id) AS (\
           SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typtype = 'd' AND (\
             NOT {} OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND NOT {})) \
           UNION SELECT t.oid FROM pg_catalog.pg_type t JOIN risky r \
             ON (t.typtype = 'd' AND t.typbasetype = r.id) OR (t.typcategory = 'A' AND t.typelem = r.id)) \
         SELECT n.nspname::text AS space, c.relname::text AS name, a.attname::text AS called, \
           format_type(a.atttypid, a.atttypmod) AS declared, a.atttypid IN (SELECT id FROM risky) AS risky, \
           CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE down (id) AS (SELECT t.oid UNION ALL \
               SELECT b.typbasetype FROM down JOIN pg_catalog.pg_type b ON b.oid = down.id WHERE b.typtype = 'd') \
             SELECT format_type(down.id, NULL) FROM down JOIN pg_catalog.pg_type b ON b.oid = down.id WHERE b.typtype <> 'd') END AS base, \
           a.attnotnull AS not_null, a.attidentity::text AS identity, a.attgenerated::text AS generated, \
           pg_get_expr(d.adbin, d.adrelid) AS expression, coalesce({}, true) AS harmless, \
           (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname) FROM pg_catalog.pg_collation co \
              JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
              WHERE co.oid = a.attcollation AND a.attcollation <> t.typcollation) AS collation \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
           LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND {RELATIONS} ORDER BY c.oid, a.attnum",
        harmless("coalesce(t.typdefaultbin::text, '')"),
        harmless("k.conbin::text"),
        harmless("d.adbin::text"),
    )
}

fn constraints() -> String {
    format!(
        "SELECT n.nspname::text AS space, c.relname::text AS name, k.conname::text AS called, k.contype::text AS kind, \
           CASE WHEN k.contype = 'f' THEN \
             CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' ELSE '' END \
             || CASE k.confupdtype WHEN 'c' THEN ' ON UPDATE CASCADE' WHEN 'r' THEN ' ON UPDATE RESTRICT' \
                  WHEN 'n' THEN ' ON UPDATE SET NULL' WHEN 'd' THEN ' ON UPDATE SET DEFAULT' ELSE '' END \
             || CASE k.confdeltype WHEN 'c' THEN ' ON DELETE CASCADE' WHEN 'r' THEN ' ON DELETE RESTRICT' \
                  WHEN 'n' THEN ' ON DELETE SET NULL' WHEN 'd' THEN ' ON DELETE SET DEFAULT' ELSE '' END \
             || CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END \
             || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END \
           ELSE pg_get_constraintdef(k.oid) END AS definition, coalesce({}, true) AS harmless \
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype IN ('p', 'u', 'c', 'x', 'f') AND {RELATIONS} ORDER BY c.oid, k.contype <> 'p', k.conname",
        harmless("k.conbin::text"),
    )
}

fn indexes() -> String {
    format!(
        "SELECT n.nspname::text AS space, c.relname::text AS name, x.relname::text AS called, \
           pg_get_indexdef(i.indexrelid) AS definition, \
           'CREATE UNIQUE INDEX ' || quote_ident(x.relname) || ' ON ' \
             || CASE WHEN c.relkind = 'p' THEN 'ONLY ' ELSE '' END \
             || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' ' AS front, \
           {} AS harmless \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
           JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE i.indisunique AND i.indisvalid AND {RELATIONS} \
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype <> 'f') \
         ORDER BY c.oid, x.relname",
        harmless("(coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, ''))"),
    )
}

fn extras() -> String {
    format!(
        "SELECT n.nspname::text AS space, c.relname::text AS name, c.relkind = 'p' AS partitioned, \
           c.relrowsecurity AS guarded, \
           EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D') AS triggered, \
           EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') AS ruled \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {RELATIONS}"
    )
}

fn column(row: &PgRow, blueprint: &mut Blueprint) -> sqlx::Result<()> {
    let called: String = row.try_get("called")?;
    let mut declared: String = row.try_get("declared")?;
    let mut not_null: bool = row.try_get("not_null")?;
    let mut counts = false;
    if row.try_get::<bool, _>("risky")? {
        blueprint.left_out.push(format!(
            "the rules of the type {declared} of {called}, since they call functions of the database's own"
        ));
        if let Some(base) = row.try_get("base")? {
            declared = base;
        }
    }
    let mut text = format!("{} {declared}", quoted(&called));
    if let Some(collation) = row.try_get::<Option<String>, _>("collation")? {
        text.push_str(" COLLATE ");
        text.push_str(&collation);
    }
    let identity: String = row.try_get("identity")?;
    let generated: String = row.try_get("generated")?;
    let expression: Option<String> = row.try_get("expression")?;
    let harmless: bool = row.try_get("harmless")?;
    match (identity.as_str(), generated.as_str(), expression) {
        ("a", ..) => text.push_str(" GENERATED ALWAYS AS IDENTITY"),
        ("d", ..) => text.push_str(" GENERATED BY DEFAULT AS IDENTITY"),
        (_, "s", Some(expression)) if harmless => {
            let _ = write!(text, " GENERATED ALWAYS AS ({expression}) STORED");
        }
        (_, "v", Some(expression)) if harmless => {
            let _ = write!(text, " GENERATED ALWAYS AS ({expression}) VIRTUAL");
        }
        (_, "", Some(expression)) if harmless => {
            let _ = write!(text, " DEFAULT {expression}");
        }
        (_, "", Some(expression))
            if expression.starts_with("nextval('") && expression.ends_with("'::regclass)") =>
        {
            counts = true;
        }
        (_, _, Some(_)) => {
            // Rows are to be made without a value for it all the same.
            not_null = false;
            blueprint.left_out.push(format!(
                "the default of {called}, since it calls functions of the database's own"
            ));
        }
        (_, _, None) => {}
    }
    if not_null {
        text.push_str(" NOT NULL");
    }
    blueprint.columns.push(Definition { text, counts });
    Ok(())
}

/// An identifier, whatever characters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a table is called in the copy, which has one name space: its own name, unless one before it
/// has that.
pub(super) fn copied_name(tables: &[Table], place: usize) -> String {
    let Some(table) = tables.get(place) else { return String::new() };
    let taken = tables.iter().take(place).any(|other| other.name == table.name);
    if taken { format!("copy {place}") } else { table.name.clone() }
}

/// A statement of the copy: which table it makes or belongs to, and what is lost without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) place: usize,
    pub(super) texts: Vec<String>,
    pub(super) what: String,
    pub(super) is_table: bool,
}

/// The statements that make the copy, tables before what holds between them, and what they leave
/// out. Names without a name space: the copy's is where things are made.
pub(super) fn steps(
    blueprints: &BTreeMap<(String, String), Blueprint>,
    tables: &[Table],
) -> (Vec<Step>, Vec<String>) {
    let of = |table: &Table| {
        let key = (table.schema.clone().unwrap_or_default(), table.name.clone());
        blueprints.get(&key)
    };
    let (mut made, mut rules, mut references) = (Vec::new(), Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let Some(blueprint) = of(table) else { continue };
        let own = quoted(&copied_name(tables, place));
        let step = |texts: Vec<String>, what: String, is_table: bool| Step {
            place,
            texts,
            what: format!("{}: {what}", label(table)),
            is_table,
        };
        let mut texts = Vec::new();
        let mut columns = Vec::new();
        for (number, column) in blueprint.columns.iter().enumerate() {
            let mut text = column.text.clone();
            if column.counts {
                let sequence = quoted(&format!("sequence {place} {number}"));
                texts.push(format!("CREATE SEQUENCE {sequence}"));
                let literal = sequence.replace('\'', "''");
                let _ = write!(text, " DEFAULT nextval('{literal}'::regclass)");
            }
            columns.push(text);
        }
        texts.push(format!("CREATE TABLE {own} ({})", columns.join(", ")));
        made.push(step(texts, "its copy cannot be made".to_owned(), true));
        for rule in &blueprint.rules {
            let text = format!("ALTER TABLE {own} ADD {rule}");
            rules.push(step(vec![text], rule.clone(), false));
        }
        for index in &blueprint.indexes {
            let text = format!("CREATE UNIQUE INDEX ON {own} {index}");
            rules.push(step(vec![text], format!("the unique index {index}"), false));
        }
        for key in &table.foreign_keys {
            let called = key.name.clone().unwrap_or_default();
            let what = format!("the reference {called}");
            let target = tables
                .iter()
                .position(|other| other.name == key.target && other.schema == key.target_schema);
            let (Some(target), Some(tail)) = (target, blueprint.references.get(&called)) else {
                left_out
                    .push(format!("{}: {what}, whose table is not among the tools", label(table)));
                continue;
            };
            let list = |names: &[String]| {
                names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
            };
            let text = format!(
                "ALTER TABLE {own} ADD FOREIGN KEY ({}) REFERENCES {} ({}){tail}",
                list(&key.columns),
                quoted(&copied_name(tables, target)),
                list(&key.target_columns),
            );
            references.push(step(vec![text], what, false));
        }
        left_out.extend(blueprint.left_out.iter().map(|what| format!("{}: {what}", label(table))));
    }
    made.extend(rules);
    made.extend(references);
    (made, left_out)
}
