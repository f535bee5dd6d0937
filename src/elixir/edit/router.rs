//! The router: the route of a JSON API.

use super::{Edits, indent_of, line_end, line_start, read_source};
use crate::elixir::error::ElixirError;
use crate::elixir::literal;
use crate::elixir::project::modules::modules;
use crate::elixir::syntax::{Block, Call, Expr};

/// A route.
#[derive(Debug, Clone)]
pub(crate) struct RouteChange<'a> {
    /// `MyAppWeb`
    pub(crate) web: &'a str,
    /// `/api`
    pub(crate) prefix: &'a str,
    /// `/users`
    pub(crate) path: &'a str,
    /// `UserController`
    pub(crate) controller: &'a str,
}

/// Puts `resources` into the scope of the API, which is made when there is none. A route to the
/// controller that is there already stays.
pub(crate) fn add_route(
    path: &str,
    text: &str,
    route: &RouteChange<'_>,
) -> Result<String, ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let wanted = format!("{}.Router", route.web);
    let Some(module) = found.iter().find(|module| module.name == wanted) else {
        return Ok(text.to_owned());
    };
    if mentions(&module.block.body, route.controller) {
        return Ok(text.to_owned());
    }
    let line = format!(
        "resources {}, {}, except: [:new, :edit]",
        literal::text(route.path),
        route.controller
    );
    let mut edits = Edits::default();
    let scope =
        module.block.body.iter().filter_map(Expr::call).find_map(|call| api_scope(call, route));
    if let Some(block) = scope {
        let indent = indent_of(text, block.end);
        let only_pipe = block.body.len() <= 1;
        let gap = if only_pipe { "\n" } else { "" };
        edits.insert(line_start(text, block.end), &format!("{gap}{indent}  {line}\n"));
        return Ok(edits.apply(text));
    }
    let calls = || module.block.body.iter().filter(|expr| expr.call().is_some());
    let after = calls()
        .rfind(|expr| {
            expr.call().is_some_and(|call| matches!(call.target.as_str(), "scope" | "pipeline"))
        })
        .or_else(|| calls().next_back());
    let has_pipeline = module
        .block
        .body
        .iter()
        .filter_map(Expr::call)
        .any(|call| call.target == "pipeline" && call.atom(0) == Some("api"));
    let pipeline = if has_pipeline {
        ""
    } else {
        "\n  pipeline :api do\n    plug :accepts, [\"json\"]\n  end\n"
    };
    let code = format!(
        "{pipeline}\n  scope {}, {} do\n    pipe_through :api\n\n    {line}\n  end\n",
        literal::text(route.prefix),
        route.web
    );
    let at = after
        .map_or_else(|| line_start(text, module.block.end), |expr| line_end(text, expr.span.end));
    edits.insert(at, &code);
    Ok(edits.apply(text))
}

fn api_scope<'a>(call: &'a Call, route: &RouteChange<'_>) -> Option<&'a Block> {
    let is_scope = call.target == "scope"
        && call.arg(0).and_then(Expr::text) == Some(route.prefix)
        && call.arg(1).and_then(Expr::alias) == Some(route.web);
    call.block.as_ref().filter(|_| is_scope)
}

fn mentions(body: &[Expr], controller: &str) -> bool {
    let mut found = false;
    crate::elixir::syntax::walk(body, &mut |expr| {
        found |= expr
            .alias()
            .is_some_and(|name| name == controller || name.ends_with(&format!(".{controller}")));
    });
    found
}
