//! Texts that come from elsewhere and are used as statements, paths and addresses.

use ruff_python_ast::Expr;

use super::FileUse;
use super::Severity::{High, Medium};
use super::calls::Call;
use super::program::Scan;
use super::tables::{self, FileAction};
use super::value::{Origin, Part, Value};

/// Methods that run statements in databases.
const EXECUTING: [&str; 17] = [
    "execute",
    "executemany",
    "executescript",
    "execute_async",
    "fetch_all",
    "fetch_one",
    "fetch_val",
    "fetchval",
    "fetchrow",
    "fetch",
    "scalar",
    "scalars",
    "read_sql",
    "read_sql_query",
    "raw",
    "copy_expert",
    "exec_driver_sql",
];
/// Words that statements begin with.
const STATEMENTS: [&str; 20] = [
    "select", "insert", "update", "delete", "create", "drop", "alter", "replace", "with", "pragma",
    "attach", "truncate", "merge", "grant", "revoke", "explain", "vacuum", "call", "copy",
    "values",
];

impl<'tree> Scan<'_, 'tree> {
    pub(super) fn flows(&mut self, call: &Call<'tree>) {
        self.statement_run(call);
        self.file_used(call);
        self.address_called(call);
    }

    fn statement_run(&mut self, call: &Call<'tree>) {
        let alchemy = matches!(call.path.as_str(), "sqlalchemy.text" | "sqlalchemy.sql.text");
        if !alchemy && !EXECUTING.contains(&call.name.as_str()) {
            return;
        }
        let Some(text) = call.argument(0, "query").or_else(|| call.keyword("sql")) else { return };
        let origin = text.origin();
        let open = text.built || origin == Origin::Argument;
        if !open || origin <= Origin::Harmless {
            return;
        }
        let outline = text.outline();
        let words = outline.trim_start_matches([' ', '\n', '\t', '(']).to_lowercase();
        let starts = STATEMENTS.iter().any(|word| words.starts_with(word));
        // Nothing is known of the start: what runs statements is taken at its word.
        let unknown = outline.starts_with('\0') && (call.name.starts_with("execute") || alchemy);
        if !starts && !unknown {
            return;
        }
        let (severity, from) = if origin == Origin::Argument {
            (High, "the arguments of the call")
        } else {
            (Medium, "values from elsewhere")
        };
        let message = format!(
            "a statement is put together from {from}; bind values as parameters, and take names of \
             tables and columns from a fixed list"
        );
        self.find(call.node, "sql-injection", severity, message);
    }

    fn file_used(&mut self, call: &Call<'tree>) {
        let Some(action) = tables::file_action(&call.path) else { return };
        let of_path = call.path.starts_with(tables::PATH);
        let target = if of_path { Some(&call.owner) } else { call.arguments.first() };
        let action = match action {
            FileAction::Open => {
                let mode = call.argument(usize::from(!of_path), "mode").and_then(Value::constant);
                match mode {
                    Some(mode) if mode.contains(['w', 'a', 'x', '+']) => FileAction::Write,
                    _ => FileAction::Read,
                }
            }
            known => known,
        };
        let second = match call.name.as_str() {
            "rename" | "replace" | "move" | "copy" | "copy2" | "copyfile" | "copytree"
            | "symlink" | "link" => call.arguments.get(usize::from(!of_path)),
            _ => None,
        };
        if [target, second].into_iter().flatten().any(|path| path.origin() == Origin::Argument) {
            let message = "a path comes from the arguments and may lead anywhere; resolve it and check it with \
                           `is_relative_to` a folder of the tool's own";
            self.find(call.node, "path-traversal", Medium, message.to_owned());
        }
        if action == FileAction::Write
            && target
                .and_then(Value::constant)
                .is_some_and(|path| path.starts_with("/tmp/") || path.starts_with("/var/tmp/"))
        {
            let message = "a fixed name in a folder of everybody's can be taken by somebody else; use \
                           `tempfile.NamedTemporaryFile`";
            self.find(call.node, "insecure-temporary-file", Medium, message.to_owned());
        }
        let beyond = match self.declared.files {
            FileUse::Unsaid | FileUse::Write => false,
            FileUse::None => true,
            FileUse::Read => action == FileAction::Write,
        };
        if beyond {
            let what = if action == FileAction::Write { "writes" } else { "reads" };
            let message = format!("`{}` {what} files, which the tool did not declare", call.name);
            self.find(call.node, "undeclared-file", Medium, message);
        }
    }

    fn address_called(&mut self, call: &Call<'tree>) {
        if let Some(position) = tables::address_of(&call.path) {
            if let Some(address) = call.argument(position, "url") {
                self.address(call, address);
            }
        } else if let Some(position) = tables::host_of(&call.path) {
            let host = call.argument(position, "host").map(|host| host.entry("0").unwrap_or(host));
            if let Some(host) = host {
                if host.origin() == Origin::Argument {
                    self.goes_to_argument(call);
                }
                if let Some(host) = host.constant() {
                    self.host(call, &host);
                }
            }
        } else if let Some(address) = call.keyword("base_url") {
            self.address(call, address);
        }
    }

    fn address(&mut self, call: &Call<'tree>, address: &Value) {
        // What decides the host is everything before the path.
        let mut host_open = None;
        let mut known = String::new();
        for part in &address.parts {
            match part {
                Part::Text(text) => known.push_str(text),
                Part::Hole(origin) => {
                    if !has_whole_host(&known) {
                        host_open =
                            Some(host_open.map_or(*origin, |worst: Origin| worst.max(*origin)));
                        // A base from elsewhere ends where the path begins.
                        "\0".clone_into(&mut known);
                        continue;
                    }
                    break;
                }
            }
            if has_whole_host(&known) {
                break;
            }
        }
        match host_open {
            Some(Origin::Argument) => self.goes_to_argument(call),
            Some(_) => {}
            None => {
                if let Some(host) = host_of(&known) {
                    self.host(call, &host);
                }
            }
        }
    }

    fn goes_to_argument(&mut self, call: &Call<'tree>) {
        let message = "the arguments decide which machine is called; keep the host fixed, or check it against a list";
        self.find(call.node, "request-to-argument", Medium, message.to_owned());
    }

    fn host(&mut self, call: &Call<'tree>, host: &str) {
        let Some(hosts) = &self.declared.hosts else { return };
        let allowed = hosts.iter().any(|allowed| {
            allowed == "*"
                || allowed.eq_ignore_ascii_case(host)
                || allowed.strip_prefix("*.").is_some_and(|domain| {
                    host.to_lowercase().ends_with(&format!(".{}", domain.to_lowercase()))
                })
        });
        if !allowed {
            let message = format!("`{host}` is called, which the tool did not declare");
            self.find(call.node, "undeclared-network", High, message);
        }
    }

    /// `os.environ[key]`.
    pub(super) fn environment(&mut self, node: &Expr, key: &Value) -> Value {
        let mut value = Value::of(Origin::Unknown);
        let Some(name) = key.constant() else { return value };
        if let Some(declared) = &self.declared.environment
            && !declared.contains(&name)
        {
            let message = format!(
                "the environment variable `{name}` is read, which the tool did not declare"
            );
            self.find(node, "undeclared-environment", Medium, message);
        }
        value.secret = super::names::is_secret(&name).then(|| name.as_str().into());
        value
    }

    /// `os.environ.get(key, default)`.
    pub(super) fn environment_of(&mut self, call: &Call<'tree>, key: Option<&Value>) -> Value {
        let Some(key) = key else { return Value::of(Origin::Unknown) };
        let value = self.environment(&call.node.func, key);
        if let (Some(name), Some(default)) = (key.constant(), call.argument(1, "default"))
            && let Some(node) = call.node.arguments.find_argument_value("default", 1)
        {
            self.keep_out_of_code(node, &name, default);
        }
        value
    }
}

/// Whether an address so far says which host it is, whatever follows.
fn has_whole_host(known: &str) -> bool {
    // Relative to a base that is not an argument's.
    if known.starts_with('/') && !known.starts_with("//") {
        return true;
    }
    if let Some(rest) = known.strip_prefix('\0') {
        return rest.starts_with(['/', '?', '#']);
    }
    known.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']))
}

fn host_of(address: &str) -> Option<String> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    (!host.is_empty()).then(|| host.to_owned())
}
