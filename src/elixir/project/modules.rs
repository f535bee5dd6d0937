//! Modules and schemas of a project.

use crate::elixir::syntax::{Block, Call, Expr, Kind, Parsed};

/// A module in a file.
#[derive(Debug, Clone)]
pub(crate) struct Module<'a> {
    /// Its whole name.
    pub(crate) name: String,
    /// Its body.
    pub(crate) block: &'a Block,
}

/// The modules of a file, outer before inner.
pub(crate) fn modules(parsed: &Parsed) -> Vec<Module<'_>> {
    let mut found = Vec::new();
    collect(&parsed.body, "", &mut found);
    found
}

fn collect<'a>(body: &'a [Expr], outer: &str, found: &mut Vec<Module<'a>>) {
    for expr in body {
        let Some(call) = expr.call().filter(|call| call.target == "defmodule") else { continue };
        let (Some(name), Some(block)) = (call.arg(0).and_then(Expr::alias), &call.block) else {
            continue;
        };
        let name = if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
        found.push(Module { name: name.clone(), block });
        collect(&block.body, &name, found);
    }
}

/// An association of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaAssociation {
    pub(crate) relation: String,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) foreign_key: Option<String>,
}

/// A field of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaField {
    pub(crate) name: String,
    /// Type as written.
    pub(crate) kind: String,
    /// Column, where it has another name.
    pub(crate) source: Option<String>,
    /// The first of an enumeration's values, as code.
    pub(crate) first_value: Option<String>,
}

/// A schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    pub(crate) module: String,
    pub(crate) path: String,
    pub(crate) table: String,
    /// Name and type of the key; `None`: the schema has none.
    pub(crate) primary_key: Option<(String, String)>,
    pub(crate) fields: Vec<SchemaField>,
    pub(crate) associations: Vec<SchemaAssociation>,
}

impl Schema {
    /// The last segment of the module.
    pub(crate) fn alias(&self) -> &str {
        self.module.rsplit('.').next().unwrap_or(&self.module)
    }
}

/// The call that opens a module's schema.
pub(crate) fn schema_call(block: &Block) -> Option<(&Call, &Block)> {
    block.body.iter().find_map(|expr| {
        let call = expr.call().filter(|call| call.target == "schema")?;
        Some((call, call.block.as_ref()?))
    })
}

/// The schemas of a file.
pub(crate) fn schemas(parsed: &Parsed, path: &str) -> Vec<Schema> {
    modules(parsed)
        .iter()
        .filter_map(|module| {
            let (call, block) = schema_call(module.block)?;
            Some(read_schema(module, call.arg(0)?.text()?, block, path))
        })
        .collect()
}

fn read_schema(module: &Module<'_>, table: &str, block: &Block, path: &str) -> Schema {
    let aliases = Aliases::read(module.block);
    let mut schema = Schema {
        module: module.name.clone(),
        path: path.to_owned(),
        table: table.to_owned(),
        primary_key: primary_key(module.block),
        ..Schema::default()
    };
    for call in block.body.iter().filter_map(Expr::call) {
        let Some(name) = call.atom(0) else { continue };
        match call.target.as_str() {
            "field" => {
                let kind = call.arg(1).map_or_else(|| ":string".to_owned(), Expr::flat);
                let first_value = call.get("values").and_then(Expr::list).and_then(first_value);
                schema.fields.push(SchemaField {
                    name: name.to_owned(),
                    kind,
                    source: call.get("source").and_then(Expr::atom).map(str::to_owned),
                    first_value,
                });
            }
            "belongs_to" | "has_many" | "has_one" | "many_to_many" => {
                let target = call.arg(1).map(Expr::flat).unwrap_or_default();
                schema.associations.push(SchemaAssociation {
                    relation: call.target.clone(),
                    name: name.to_owned(),
                    target: aliases.expand(&target, &module.name),
                    foreign_key: call.get("foreign_key").and_then(Expr::atom).map(str::to_owned),
                });
            }
            _ => {}
        }
    }
    schema
}

/// The first value of `[:a, :b]` or `[a: 1, b: 2]`.
fn first_value(values: &[Expr]) -> Option<String> {
    let first = values.first()?;
    match &first.kind {
        Kind::Keywords(pairs) => pairs.first().map(|pair| crate::elixir::literal::atom(&pair.key)),
        _ => Some(first.flat()),
    }
}

/// The key by `@primary_key`; Ecto's own without it.
fn primary_key(block: &Block) -> Option<(String, String)> {
    let attribute = block.body.iter().rev().find_map(|expr| match &expr.kind {
        Kind::Unary(operator, operand) if operator == "@" => {
            operand.call().filter(|call| call.target == "primary_key")
        }
        _ => None,
    });
    let Some(value) = attribute.and_then(|call| call.arg(0)) else {
        return Some(("id".to_owned(), ":id".to_owned()));
    };
    match &value.kind {
        Kind::Tuple(parts) => {
            let name = parts.first().and_then(Expr::atom)?;
            Some((name.to_owned(), parts.get(1).map(Expr::flat)?))
        }
        _ => None,
    }
}

/// What short names mean in a module.
pub(crate) struct Aliases(Vec<(String, String)>);

impl Aliases {
    /// Reads the single, `as:` and `{A, B}` forms.
    pub(crate) fn read(block: &Block) -> Self {
        let mut known = Vec::new();
        for call in block.body.iter().filter_map(Expr::call).filter(|call| call.target == "alias") {
            let Some(first) = call.arg(0) else { continue };
            let whole = first.flat();
            if let Some((base, group)) = whole.split_once(".{") {
                for part in group.trim_end_matches('}').split(',').map(str::trim) {
                    known.push((last(part).to_owned(), format!("{base}.{part}")));
                }
            } else {
                let short = call.get("as").and_then(Expr::alias).unwrap_or_else(|| last(&whole));
                known.push((short.to_owned(), whole.clone()));
            }
        }
        Self(known)
    }

    /// The whole name of a module.
    pub(crate) fn expand(&self, name: &str, current: &str) -> String {
        if name == "__MODULE__" {
            return current.to_owned();
        }
        let (head, rest) =
            name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
        match self.0.iter().find(|(short, _)| short == head) {
            Some((_, whole)) => {
                rest.map_or_else(|| whole.clone(), |rest| format!("{whole}.{rest}"))
            }
            None => name.to_owned(),
        }
    }

    /// Whether a module has this short name here.
    pub(crate) fn has(&self, short: &str, whole: &str) -> bool {
        self.0.iter().any(|(known, name)| known == short && name == whole)
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Functions that a module defines, as `(name, least arity, most arity)`.
pub(crate) fn functions(block: &Block) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for call in block.body.iter().filter_map(Expr::call) {
        if !matches!(call.target.as_str(), "def" | "defp" | "defmacro" | "defdelegate") {
            continue;
        }
        let Some(mut head) = call.arg(0) else { continue };
        if let Kind::Binary(operator, left, _) = &head.kind
            && operator == "when"
        {
            head = left;
        }
        match &head.kind {
            Kind::Name(name) => found.push((name.clone(), 0, 0)),
            Kind::Call(function) => {
                let most = function.args.len();
                let defaults = function
                    .args
                    .iter()
                    .filter(
                        |arg| matches!(&arg.kind, Kind::Binary(operator, ..) if operator == "\\\\"),
                    )
                    .count();
                found.push((function.target.clone(), most - defaults, most));
            }
            _ => {}
        }
    }
    found
}
