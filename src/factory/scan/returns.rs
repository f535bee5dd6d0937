//! What calls return.

use ruff_python_ast::Expr;

use super::calls::Call;
use super::names;
use super::program::Scan;
use super::statements::entries;
use super::tables;
use super::value::{Origin, Part, Value};

impl<'tree> Scan<'_, 'tree> {
    /// What a call returns.
    pub(super) fn result(&mut self, call: &Call<'tree>, function: &Value) -> Value {
        let path = call.path.as_str();
        let first = call.arguments.first();
        let of = |value: Option<&Value>| {
            value.map_or_else(|| Value::of(Origin::Unknown), Value::derived)
        };
        match path {
            "builtins.int"
            | "builtins.float"
            | "builtins.len"
            | "builtins.bool"
            | "builtins.ord"
            | "builtins.round"
            | "builtins.abs"
            | "builtins.hash"
            | "builtins.id"
            | "builtins.range"
            | "builtins.isinstance"
            | "uuid.UUID"
            | "uuid.uuid4"
            | "time.time"
            | "shlex.quote"
            | "decimal.Decimal"
            | "os.path.basename"
            | "werkzeug.utils.secure_filename"
            | "psycopg.sql.Identifier"
            | "psycopg.sql.Literal"
            | "psycopg.sql.Placeholder"
            | "psycopg2.sql.Identifier"
            | "psycopg2.sql.Literal"
            | "html.escape" => {
                return Value::of(Origin::Harmless);
            }
            "builtins.str" | "builtins.repr" if call.arguments.len() == 1 => {
                return first.cloned().unwrap_or_default();
            }
            "builtins.min" | "builtins.max" | "builtins.sum" => {
                let mut values = call.arguments.iter();
                let seed = values.next().cloned().unwrap_or_default();
                return values.fold(seed, |all, one| all.or(one));
            }
            "builtins.list" | "builtins.tuple" | "builtins.set" | "builtins.frozenset"
            | "builtins.sorted" | "builtins.reversed" | "builtins.iter" | "asyncio.shield" => {
                return first.cloned().unwrap_or_else(|| Value::of(Origin::Constant));
            }
            "builtins.dict" => {
                if let Some(first) = first {
                    return first.clone();
                }
                let mut value = Value::of(
                    call.keywords.iter().map(|(_, v)| v.origin()).max().unwrap_or_default(),
                );
                value.entries = entries(call.keywords.clone());
                value.keys = Some(Origin::Constant);
                return value;
            }
            "builtins.enumerate" | "builtins.zip" => {
                let mut values = call.arguments.iter().map(Value::item).collect::<Vec<_>>();
                if path == "builtins.enumerate" {
                    values.insert(0, Value::of(Origin::Harmless));
                }
                let worst = values.iter().map(Value::origin).max().unwrap_or_default();
                // What it yields is a tuple of these.
                let mut pair = Value::of(worst);
                pair.entries = entries(
                    values
                        .into_iter()
                        .enumerate()
                        .map(|(place, value)| (place.to_string(), value))
                        .collect(),
                );
                let mut whole = Value::of(worst);
                whole.entries = entries(vec![("each".to_owned(), pair)]);
                return whole;
            }
            "importlib.import_module" | "builtins.__import__" => {
                if let Some(module) = first.and_then(Value::constant) {
                    return Value::named(&module);
                }
            }
            "builtins.getattr" => {
                if let [owner, name, ..] = call.arguments.as_slice()
                    && let Some(name) = name.constant()
                {
                    return self.attribute(&call.node.func, owner, &name);
                }
            }
            "os.getenv" => return self.environment_of(call, first),
            "os.environ.get" | "os.environ.pop" | "os.environ.setdefault" => {
                return self.environment_of(call, first);
            }
            "os.path.join" | "posixpath.join" => {
                let mut parts = Vec::new();
                for part in &call.arguments {
                    parts.extend([part.clone(), Value::text("/")]);
                }
                parts.pop();
                return Value::concat(&parts);
            }
            "os.path.abspath"
            | "os.path.realpath"
            | "os.path.normpath"
            | "os.path.expanduser"
            | "os.fspath"
            | "urllib.parse.quote"
            | "urllib.parse.quote_plus"
            | "urllib.parse.unquote"
            | "urllib.parse.urljoin"
            | "textwrap.dedent"
            | "sqlalchemy.text"
            | "sqlalchemy.sql.text" => {
                if path == "urllib.parse.urljoin" {
                    return Value::concat(&call.arguments);
                }
                if path.ends_with("quote") || path.ends_with("quote_plus") {
                    return first.map_or_else(Value::default, Value::checked);
                }
                return first.cloned().unwrap_or_default();
            }
            "pathlib.Path" | "pathlib.PurePath" | "pathlib.PosixPath" => {
                let mut value = Value::concat(&call.arguments);
                value.path = Some(tables::PATH.into());
                return value;
            }
            "pathlib.Path.cwd" | "pathlib.Path.home" => {
                let mut value = Value::of(Origin::Constant);
                value.path = Some(tables::PATH.into());
                return value;
            }
            "urllib.request.Request" => {
                let mut value = of(first);
                value.path = Some("urllib.request.Request()".into());
                return value;
            }
            _ => {}
        }
        if let Some(value) = self.method_result(call) {
            return value;
        }
        let mut value = function.derived();
        let worst = call.arguments.iter().chain(call.keywords.iter().map(|(_, value)| value));
        let origin = worst.map(Value::origin).max().unwrap_or_default();
        let origin =
            origin.max(if path.is_empty() { call.owner.origin() } else { Origin::Unknown });
        value.parts = vec![Part::Hole(origin)];
        value.secret = None;
        value.built = call.arguments.iter().any(|value| value.built);
        if !path.is_empty() && path != "local" {
            value.path = Some(format!("{path}()").into());
        }
        value
    }

    /// What methods of texts, lists, dictionaries and paths return.
    fn method_result(&mut self, call: &Call<'tree>) -> Option<Value> {
        let Expr::Attribute(method) = call.node.func.as_ref() else { return None };
        let owner = &call.owner;
        let first = call.arguments.first();
        Some(match call.name.as_str() {
            "format" | "format_map" if !owner.parts.is_empty() => {
                // The brackets stand where the values go.
                if owner.path().contains("sql.SQL()") {
                    let worst = call.arguments.iter().chain(call.keywords.iter().map(|(_, v)| v));
                    let built = worst
                        .into_iter()
                        .any(|value| value.origin() > Origin::Harmless && value.path().is_empty());
                    let mut value =
                        Value::of(if built { Origin::Argument } else { Origin::Harmless });
                    value.built = built;
                    value.path.clone_from(&owner.path);
                    return Some(value);
                }
                let values: Vec<Value> = call
                    .arguments
                    .iter()
                    .chain(call.keywords.iter().map(|(_, value)| value))
                    .cloned()
                    .collect();
                let outline = owner.outline();
                let mut pieces = Vec::new();
                let mut values_left = values.iter();
                let mut rest = outline.as_str();
                while let Some((before, after)) = rest.split_once('{') {
                    pieces.push(Value::text(before));
                    let Some((_, after)) = after.split_once('}') else { break };
                    pieces.extend(values_left.next().cloned());
                    rest = after;
                }
                pieces.extend(values_left.cloned());
                pieces.push(Value::text(rest));
                Value::concat(&pieces)
            }
            "join" if !owner.parts.is_empty() && call.arguments.len() == 1 => {
                let items = first.map(Value::item).unwrap_or_default();
                if items.origin() <= Origin::Harmless && !items.built {
                    let mut value = Value::of(items.origin());
                    value.secret.clone_from(&items.secret);
                    value
                } else {
                    Value::concat(&[items, owner.clone()])
                }
            }
            "strip" | "lstrip" | "rstrip" | "lower" | "upper" | "title" | "encode" | "decode"
            | "casefold" | "expandtabs" | "removeprefix" | "removesuffix" | "resolve"
            | "absolute" | "expanduser" | "copy" | "with_suffix" | "as_posix" | "items" => {
                let mut value = owner.clone();
                if value.path() != tables::PATH {
                    value.path = None;
                }
                value
            }
            "keys" => Value::of(owner.keys.unwrap_or(owner.origin())),
            "values" => {
                let mut value = owner.clone();
                value.keys = None;
                value
            }
            "joinpath" | "with_name" if owner.path() == tables::PATH => {
                let mut value = Value::concat(&[owner.clone(), Value::concat(&call.arguments)]);
                value.path = Some(tables::PATH.into());
                value
            }
            "relative_to" if owner.path() == tables::PATH => owner.checked(),
            "get" | "pop" | "setdefault" if tables::address_of(&call.path).is_none() => {
                let mut value = match first.and_then(Value::constant) {
                    Some(key) => owner.entry(&key).cloned().unwrap_or_else(|| {
                        let mut value = owner.derived();
                        value.secret = names::is_secret(&key).then(|| key.as_str().into());
                        value
                    }),
                    None if owner.keys.is_some() && !owner.entries.is_empty() => {
                        let mut inner = owner.clone();
                        inner.keys = None;
                        inner.item()
                    }
                    None => owner.derived(),
                };
                if let Some(other) = call.arguments.get(1) {
                    value = value.or(other);
                }
                value
            }
            "append" | "add" | "extend" | "insert" | "update" | "appendleft" => {
                let place = names::place(&method.value)?;
                let mut whole = self.scope.get(&place)?.clone();
                for value in &call.arguments {
                    let value = if call.name == "extend" { value.item() } else { value.clone() };
                    let mut kept = whole.entries.as_ref().clone();
                    if kept.len() < 16 {
                        kept.push((format!("+{}", kept.len()), value.derived()));
                    }
                    let keys = whole.keys;
                    let built = whole.built || value.built;
                    whole = Value::of(whole.origin().max(value.origin()));
                    whole.built = built;
                    whole.keys = keys.map(|keys| keys.max(value.keys.unwrap_or(keys)));
                    whole.entries = entries(kept);
                }
                self.scope.insert(place, whole);
                Value::of(Origin::Constant)
            }
            "hexdigest" | "digest" | "isoformat" | "count" | "index" | "find" => {
                Value::of(Origin::Harmless)
            }
            "open" if owner.path() == tables::PATH => Value::of(Origin::Unknown),
            "split" | "splitlines" | "partition" | "replace" | "rsplit"
                if call.path.is_empty() || owner.constant().is_some() =>
            {
                let mut value = owner.derived();
                if let Some(added) = call.arguments.get(1) {
                    value = value.or(&added.derived());
                }
                value
            }
            _ => return None,
        })
    }
}
