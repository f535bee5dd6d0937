//! Which app of a project a resource belongs to, by its `mix.exs`.

use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::files::Root;
use crate::elixir::names;
use crate::elixir::syntax::{Expr, Kind, Parsed, parse, walk};

/// A mix project.
#[derive(Debug, Clone, Default)]
pub(super) struct Mix {
    pub(super) app: String,
    /// `""`, or `apps/my_app/`.
    pub(super) folder: String,
    pub(super) elixir: Option<String>,
    /// Module of `mod: {…}`.
    pub(super) application: Option<String>,
    /// Dependencies by name.
    pub(super) deps: Vec<String>,
    /// `apps_path`, in an umbrella.
    pub(super) apps_path: Option<String>,
}

/// Reads the project's own `mix.exs`, and the apps of an umbrella.
pub(super) fn locate(root: &Root, wanted: Option<&str>) -> Result<(Mix, Vec<Mix>), ElixirError> {
    let top = read_mix(root, "")?;
    let Some(apps_path) = top.apps_path.clone() else {
        return Ok((top.clone(), vec![top]));
    };
    let mut apps = Vec::new();
    for name in root.folders(&apps_path) {
        let folder = format!("{}/{name}/", apps_path.trim_matches('/'));
        if root.read(&format!("{folder}mix.exs"))?.is_some() {
            apps.push(read_mix(root, &folder)?);
        }
    }
    let chosen: Vec<&Mix> = match wanted {
        Some(wanted) => apps.iter().filter(|app| app.app == wanted).collect(),
        None => apps.iter().filter(|app| app.deps.iter().any(|dep| dep == "ecto_sql")).collect(),
    };
    let listed = || apps.iter().map(|app| app.app.as_str()).collect::<Vec<_>>().join(", ");
    match chosen.as_slice() {
        [only] => Ok(((*only).clone(), apps.clone())),
        [] => Err(ElixirError::refused(
            Refusal::ProjectUnclear,
            match wanted {
                Some(wanted) => format!("the umbrella has no app `{wanted}`"),
                None => "no app of the umbrella depends on ecto_sql".to_owned(),
            },
            format!("name one in `app`: {}", listed()),
        )),
        several => Err(ElixirError::refused(
            Refusal::ProjectUnclear,
            "several apps of the umbrella use a database",
            format!(
                "name one in `app`: {}",
                several.iter().map(|app| app.app.as_str()).collect::<Vec<_>>().join(", ")
            ),
        )),
    }
}

fn read_mix(root: &Root, folder: &str) -> Result<Mix, ElixirError> {
    let path = format!("{folder}mix.exs");
    let Some(text) = root.read(&path)? else {
        return Err(ElixirError::refused(
            Refusal::NotAProject,
            format!("`{}` holds no `mix.exs`", root.path().display()),
            "name the folder of an Elixir project",
        ));
    };
    let parsed = source(&path, &text)?;
    let mut mix = Mix { folder: folder.to_owned(), ..Mix::default() };
    walk(&parsed.body, &mut |expr| {
        for pair in expr.pairs() {
            match (pair.key.as_str(), &pair.value.kind) {
                ("app", Kind::Atom(name)) if mix.app.is_empty() => mix.app.clone_from(name),
                ("elixir", Kind::Text(text)) => mix.elixir = Some(text.clone()),
                ("apps_path", Kind::Text(text)) => mix.apps_path = Some(text.clone()),
                ("mod", Kind::Tuple(parts)) => {
                    mix.application = parts.first().and_then(Expr::alias).map(str::to_owned);
                }
                _ => {}
            }
        }
        if let Kind::Tuple(parts) = &expr.kind
            && let Some(dep) = parts.first().and_then(Expr::atom)
        {
            mix.deps.push(dep.to_owned());
        }
    });
    if mix.apps_path.is_none() && !names::is_identifier(&mix.app) {
        return Err(ElixirError::refused(
            Refusal::NotAProject,
            format!("`{path}` names no app"),
            "`app: :my_app` must stand there literally",
        ));
    }
    Ok(mix)
}

/// Reads a source that must be Elixir.
pub(super) fn source(path: &str, text: &str) -> Result<Parsed, ElixirError> {
    let broken = |line: usize| {
        ElixirError::refused(
            Refusal::BrokenSource,
            format!("`{path}` does not parse near line {line}"),
            "correct the file, then repeat the call",
        )
    };
    let parsed = parse(text).ok_or_else(|| broken(1))?;
    match parsed.broken_line {
        Some(line) => Err(broken(line)),
        None => Ok(parsed),
    }
}
