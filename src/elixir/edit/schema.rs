//! An existing schema, brought to what a definition says.

use super::pipeline::{Wanted, edit_pipeline};
use super::{Edits, indent_of, line_end, line_start, read_source};
use crate::elixir::error::ElixirError;
use crate::elixir::project::modules::{Aliases, modules, schema_call};
use crate::elixir::render::schema::SchemaParts;
use crate::elixir::syntax::{Block, Call, Expr, Kind, parse};

/// What changes beside the parts themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct SchemaChange {
    pub(crate) renames: Vec<(String, String)>,
    /// Fields that are removed.
    pub(crate) dropped: Vec<String>,
    /// Names that the definition speaks of.
    pub(crate) known: Vec<String>,
}

/// Options of a field that generation decides; all others are somebody's own and stay.
const OWN_OPTIONS: [&str; 13] = [
    "values",
    "source",
    "default",
    "primary_key",
    "virtual",
    "read_after_writes",
    "writable",
    "redact",
    "foreign_key",
    "references",
    "type",
    "join_through",
    "on_replace",
];

/// Edits the schema and its changeset. Returns the text, and what could not be edited.
pub(crate) fn edit_schema(
    path: &str,
    text: &str,
    module: &str,
    parts: &SchemaParts,
    change: &SchemaChange,
) -> Result<(String, Vec<String>), ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let Some(module) = found.iter().find(|known| known.name == module) else {
        return Ok((text.to_owned(), vec![format!("`{path}` holds no module `{module}`")]));
    };
    let Some((_, block)) = schema_call(module.block) else {
        return Ok((text.to_owned(), vec![format!("`{path}` holds no schema")]));
    };
    let aliases = Aliases::read(module.block);
    let mut edits = Edits::default();
    let mut notes = Vec::new();
    let lines = Lines { text, block, aliases: &aliases, module: &module.name };
    lines.rename(&mut edits, &change.renames);
    lines.put(&mut edits, &parts.fields, &["field"], &change.renames);
    lines.embeds(&mut edits, &parts.embeds);
    lines.put(
        &mut edits,
        &parts.associations,
        &["belongs_to", "has_many", "has_one", "many_to_many"],
        &[],
    );
    for call in &change.dropped {
        lines.remove(&mut edits, call);
    }
    let changesets: Vec<&Block> = function_bodies(module.block, "changeset");
    let wanted = Wanted {
        cast: &parts.cast,
        required: &parts.required,
        early_steps: &parts.early_steps,
        steps: &parts.steps,
        renames: &change.renames,
        dropped: &change.dropped,
        known: &change.known,
    };
    let edited = changesets
        .last()
        .is_some_and(|block| edit_pipeline(&mut edits, text, &block.body, &wanted));
    if !edited {
        notes.push(format!(
            "the changeset of `{}` is no plain pipeline with `cast` and was left as it is: it should cast {}",
            module.name,
            parts.cast.join(", ")
        ));
    }
    let mut missing = Vec::new();
    for function in &parts.functions {
        let name = function
            .first()
            .and_then(|head| head.strip_prefix("defp "))
            .and_then(|head| head.split('(').next())
            .unwrap_or_default();
        match function_bodies(module.block, name).last() {
            Some(block) => edit_embed_function(&mut edits, text, block, function),
            None => missing.push(function),
        }
    }
    if !missing.is_empty() {
        let end = module.block.end;
        let code: String = missing
            .iter()
            .map(|function| {
                format!(
                    "\n{}",
                    function.iter().map(|line| format!("  {line}\n")).collect::<String>()
                )
            })
            .collect();
        edits.insert(line_start(text, end), &code);
    }
    Ok((edits.apply(text), notes))
}

fn function_bodies<'a>(block: &'a Block, name: &str) -> Vec<&'a Block> {
    block
        .body
        .iter()
        .filter_map(|expr| {
            let call = expr.call().filter(|call| matches!(call.target.as_str(), "def" | "defp"))?;
            let head = call.arg(0)?.call().filter(|head| head.target == name)?;
            let _ = head;
            call.block.as_ref()
        })
        .collect()
}

/// The changeset of an embed: its names follow those of the generated one.
fn edit_embed_function(edits: &mut Edits, text: &str, block: &Block, function: &[String]) {
    let Some(parsed) = parse(&function.join("\n")) else { return };
    let Some(generated) =
        parsed.body.first().and_then(Expr::call).and_then(|call| call.block.as_ref())
    else {
        return;
    };
    let Some(steps) = generated.body.last().and_then(super::pipeline::flatten) else { return };
    let names = |target: &str| -> Vec<String> {
        steps
            .iter()
            .filter_map(|step| step.call())
            .find(|call| call.target == target)
            .and_then(|call| call.args.last()?.list())
            .map(|items| items.iter().filter_map(|item| item.atom().map(str::to_owned)).collect())
            .unwrap_or_default()
    };
    let cast = names("cast");
    let required = names("validate_required");
    let others: Vec<String> = steps
        .iter()
        .filter(|step| {
            step.call()
                .is_some_and(|call| !matches!(call.target.as_str(), "cast" | "validate_required"))
        })
        .map(|step| step.flat())
        .collect();
    let wanted = Wanted {
        cast: &cast,
        required: &required,
        steps: &others,
        known: &cast,
        ..Wanted::default()
    };
    edit_pipeline(edits, text, &block.body, &wanted);
}

struct Lines<'a> {
    text: &'a str,
    block: &'a Block,
    aliases: &'a Aliases,
    module: &'a str,
}

impl Lines<'_> {
    fn calls(&self) -> impl Iterator<Item = (&Expr, &Call)> {
        self.block.body.iter().filter_map(|expr| Some((expr, expr.call()?)))
    }

    fn named(&self, name: &str) -> Option<(&Expr, &Call)> {
        self.calls().find(|(_, call)| call.atom(0) == Some(name))
    }

    fn rename(&self, edits: &mut Edits, renames: &[(String, String)]) {
        for (old, new) in renames {
            if let Some((_, call)) = self.named(old)
                && call.target == "field"
                && self.named(new).is_none()
                && let Some(name) = call.arg(0)
            {
                edits.replace(name.span.clone(), &crate::elixir::literal::atom(new));
            }
        }
    }

    /// Replaces lines that say something else, and adds those that are missing.
    fn put(
        &self,
        edits: &mut Edits,
        wanted: &[String],
        kinds: &[&str],
        renames: &[(String, String)],
    ) {
        let mut missing = Vec::new();
        for line in wanted {
            let Some(parsed) = parse(line).and_then(|parsed| parsed.body.into_iter().next()) else {
                continue;
            };
            let Some(call) = parsed.call() else { continue };
            let Some(name) = call.atom(0) else { continue };
            let renamed = renames.iter().any(|(old, new)| new == name && self.named(old).is_some());
            match self.named(name) {
                Some((expr, known)) => {
                    if let Some(new) = self.changed(known, call) {
                        edits.replace(expr.span.clone(), &new);
                    }
                }
                None if renamed => {}
                None => missing.push(line.clone()),
            }
        }
        self.insert(edits, &missing, kinds);
    }

    /// The line that should stand in the place of `known`, when it says something else.
    fn changed(&self, known: &Call, wanted: &Call) -> Option<String> {
        let target = |call: &Call| {
            let text = call.arg(1).map(Expr::flat).unwrap_or_default();
            self.aliases.expand(&text, self.module)
        };
        let option = |call: &Call, key: &str| call.get(key).map(Expr::flat);
        // A one-to-many that somebody narrowed stays what it is.
        let same_kind = known.target == wanted.target;
        let implied = |call: &Call| {
            if call.args.len() < 2 && call.target == "field" {
                ":string".to_owned()
            } else {
                target(call)
            }
        };
        let same = same_kind
            && implied(known) == implied(wanted)
            && OWN_OPTIONS.iter().all(|key| option(known, key) == option(wanted, key));
        if same {
            return None;
        }
        let mut line = Expr { kind: Kind::Call(Box::new(wanted.clone())), span: 0..0 }.flat();
        for pair in known.keywords().iter().filter(|pair| !OWN_OPTIONS.contains(&pair.key.as_str()))
        {
            line.push_str(", ");
            line.push_str(&crate::elixir::literal::key(&pair.key));
            line.push_str(&pair.value.flat());
        }
        Some(line)
    }

    /// Puts lines behind the last of their kind, else before the timestamps, else at the end.
    fn insert(&self, edits: &mut Edits, lines: &[String], kinds: &[&str]) {
        if lines.is_empty() {
            return;
        }
        let last = self.calls().filter(|(_, call)| kinds.contains(&call.target.as_str())).last();
        if let Some((expr, _)) = last {
            let indent = indent_of(self.text, expr.span.start);
            let code: String = lines.iter().map(|line| format!("{indent}{line}\n")).collect();
            edits.insert(line_end(self.text, expr.span.end), &code);
            return;
        }
        let stamps = self.block.body.iter().find(|expr| {
            matches!(&expr.kind, Kind::Name(name) if name == "timestamps")
                || expr.call().is_some_and(|call| call.target == "timestamps")
        });
        let at = line_start(self.text, stamps.map_or(self.block.end, |expr| expr.span.start));
        let indent = format!("{}  ", indent_of(self.text, self.block.end));
        let code: String = lines.iter().map(|line| format!("{indent}{line}\n")).collect();
        let front = self.text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
        let opens = front.trim_end().ends_with("do")
            || front.ends_with("\n\n")
            || front.ends_with("\r\n\r\n");
        let before = if opens { "" } else { "\n" };
        let after = if stamps.is_some() { "\n" } else { "" };
        edits.insert(at, &format!("{before}{code}{after}"));
    }

    fn embeds(&self, edits: &mut Edits, embeds: &[Vec<String>]) {
        for lines in embeds {
            let Some(parsed) =
                parse(&lines.join("\n")).and_then(|parsed| parsed.body.into_iter().next())
            else {
                continue;
            };
            let Some(call) = parsed.call() else { continue };
            let known = call.atom(0).and_then(|name| self.named(name));
            match (known.and_then(|(_, known)| known.block.as_ref()), &call.block) {
                (Some(block), Some(_)) => {
                    let inner = Lines { block, ..*self };
                    let fields: Vec<String> = lines
                        .iter()
                        .skip(1)
                        .take(lines.len().saturating_sub(2))
                        .map(|line| line.trim().to_owned())
                        .collect();
                    inner.put(edits, &fields, &["field"], &[]);
                }
                (None, _) if known.is_none() => {
                    let stamps = self.calls().find(|(_, call)| {
                        matches!(
                            call.target.as_str(),
                            "belongs_to" | "has_many" | "has_one" | "many_to_many" | "timestamps"
                        )
                    });
                    let bare = self.block.body.iter().find(
                        |expr| matches!(&expr.kind, Kind::Name(name) if name == "timestamps"),
                    );
                    let at = stamps
                        .map(|(expr, _)| expr)
                        .or(bare)
                        .map_or(self.block.end, |expr| expr.span.start);
                    let at = line_start(self.text, at);
                    let indent = format!("{}  ", indent_of(self.text, self.block.end));
                    let code: String =
                        lines.iter().map(|line| format!("{indent}{line}\n")).collect();
                    let front = self.text.get(..at).unwrap_or_default();
                    let before = if front.ends_with("\n\n") || front.trim_end().ends_with("do") {
                        ""
                    } else {
                        "\n"
                    };
                    edits.insert(at, &format!("{before}{code}\n"));
                }
                _ => {}
            }
        }
    }

    fn remove(&self, edits: &mut Edits, name: &str) {
        if let Some((expr, _)) = self.named(name) {
            edits
                .remove(line_start(self.text, expr.span.start)..line_end(self.text, expr.span.end));
        }
    }
}

/// Puts one association into a schema, unless one of that name is there. Returns the text.
pub(crate) fn insert_association(
    path: &str,
    text: &str,
    module: &str,
    line: &str,
    cast: Option<&str>,
    steps: &[String],
) -> Result<String, ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let Some(module) = found.iter().find(|known| known.name == module) else {
        return Ok(text.to_owned());
    };
    let Some((_, block)) = schema_call(module.block) else { return Ok(text.to_owned()) };
    let wanted = parse(line).and_then(|parsed| parsed.body.into_iter().next());
    let name = wanted.as_ref().and_then(Expr::call).and_then(|call| call.atom(0));
    let aliases = Aliases::read(module.block);
    let lines = Lines { text, block, aliases: &aliases, module: &module.name };
    if name.is_none_or(|name| lines.named(name).is_some()) {
        return Ok(text.to_owned());
    }
    let mut edits = Edits::default();
    lines.insert(
        &mut edits,
        &[line.to_owned()],
        &["belongs_to", "has_many", "has_one", "many_to_many"],
    );
    if let Some(key) = cast {
        let names = [key.to_owned()];
        let wanted = Wanted { cast: &names, steps, ..Wanted::default() };
        if let Some(block) = function_bodies(module.block, "changeset").last() {
            edit_pipeline(&mut edits, text, &block.body, &wanted);
        }
    }
    Ok(edits.apply(text))
}
