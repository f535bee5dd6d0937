//! Reads a project.

use std::collections::BTreeMap;

use super::config::Settings;
use super::locate::{Mix, locate, source};
use super::migrations::{Defaults, Migrations, file_of};
use super::modules::schemas;
use super::{Adapter, Fixture, Generators, Project, Repo, Takes, Version, Web, scopes};
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::files::Root;
use crate::elixir::names;
use crate::elixir::syntax::{Expr, parse};

/// Width of lines that the formatter allows by itself.
const LINE_LENGTH: usize = 98;

/// What the definition says about the project.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) app: Option<&'a str>,
    pub(crate) repo: Option<&'a str>,
}

/// Reads everything that generation needs to know.
///
/// # Errors
/// When the folder holds no project, or leaves a choice open.
pub(crate) fn read(root: &Root, wanted: Wanted<'_>) -> Result<Project, ElixirError> {
    let (mix, apps) = locate(root, wanted.app)?;
    let has = |name: &str| mix.deps.iter().any(|dep| dep == name);
    if !has("ecto_sql") && !has("phoenix_ecto") {
        return Err(ElixirError::refused(
            Refusal::NotAProject,
            format!("the app `{}` depends on neither ecto_sql nor phoenix_ecto", mix.app),
            "add `{:ecto_sql, \"~> 3.10\"}` and an adapter to its deps, or name another project",
        ));
    }
    let settings = settings(root, &mix)?;
    let sources = sources(root, &mix);
    let module = repo_module(&mix, &settings, &sources, wanted.repo)?;
    let base = base_module(&mix, &settings, &module);
    let repo = repo(&mix, &settings, module);
    let lock = root.read("mix.lock")?.unwrap_or_default();
    let adapter = adapter(&mix, &lock);
    let mut notes = Vec::new();
    let mut modules = BTreeMap::new();
    let mut found = Vec::new();
    let mut fixtures = Vec::new();
    for (path, text) in &sources {
        for name in module_names(text) {
            modules.entry(name).or_insert_with(|| path.clone());
        }
        fixtures.extend(fixture_functions(text));
        if text.contains("schema \"") {
            match parse(text) {
                Some(parsed) if parsed.broken_line.is_none() => {
                    found.extend(schemas(&parsed, path));
                }
                _ => notes.push(format!("`{path}` does not parse and was left aside")),
            }
        }
    }
    let mut migrations = read_migrations(root, &repo)?;
    notes.append(&mut migrations.notes);
    notes.truncate(10);
    Ok(Project {
        web: web(root, &mix, &apps, &base),
        phoenix: locked(&lock, "phoenix"),
        ecto: locked(&lock, "ecto"),
        elixir: mix.elixir.as_deref().and_then(version),
        generators: generators(&settings, &mix.app),
        scopes: settings.get(&mix.app, None, "scopes").map(scopes::read).unwrap_or_default(),
        line_length: line_length(root, &mix),
        app: mix.app,
        folder: mix.folder,
        base,
        repo,
        adapter,
        schemas: found,
        modules,
        migrations,
        fixtures,
        notes,
    })
}

fn settings(root: &Root, mix: &Mix) -> Result<Settings, ElixirError> {
    let mut settings = Settings::default();
    for folder in ["config", &format!("{}config", mix.folder)] {
        let path = format!("{folder}/config.exs");
        if let Some(text) = root.read(&path)? {
            settings.add(&source(&path, &text)?);
        }
        if mix.folder.is_empty() {
            break;
        }
    }
    Ok(settings)
}

fn sources(root: &Root, mix: &Mix) -> Vec<(String, String)> {
    ["lib", "test/support"]
        .iter()
        .flat_map(|folder| root.list(&format!("{}{folder}", mix.folder), &[".ex"]))
        .filter_map(|path| {
            let text = root.read(&path).ok().flatten()?;
            Some((path, text))
        })
        .collect()
}

/// Names behind `defmodule` at the start of lines; enough to know what is taken.
fn module_names(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("defmodule ")?;
        let name = rest.split([' ', ',', '(']).next()?;
        name.split('.').all(names::is_module_segment).then(|| name.to_owned())
    })
}

/// Functions such as `def user_fixture(attrs \\\\ %{})`.
fn fixture_functions(text: &str) -> Vec<Fixture> {
    if !text.contains("_fixture(") {
        return Vec::new();
    }
    let Some(module) = module_names(text).next() else { return Vec::new() };
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.trim_start().strip_prefix("def ")?.split_once('(')?;
            let known = name.ends_with("_fixture") && names::is_identifier(name);
            let takes = if rest.trim_start().starts_with("scope") {
                Takes::Scope
            } else {
                Takes::Attributes
            };
            known.then(|| Fixture { name: name.to_owned(), module: module.clone(), takes })
        })
        .collect()
}

fn repo_module(
    mix: &Mix,
    settings: &Settings,
    sources: &[(String, String)],
    wanted: Option<&str>,
) -> Result<String, ElixirError> {
    let configured: Vec<String> = settings
        .get(&mix.app, None, "ecto_repos")
        .and_then(Expr::list)
        .map(|repos| repos.iter().filter_map(Expr::alias).map(str::to_owned).collect())
        .unwrap_or_default();
    let in_sources = || {
        sources
            .iter()
            .filter(|(_, text)| text.contains("use Ecto.Repo"))
            .filter_map(|(_, text)| module_names(text).next())
            .collect::<Vec<_>>()
    };
    let known = if configured.is_empty() { in_sources() } else { configured };
    if let Some(wanted) = wanted {
        return match known
            .iter()
            .find(|repo| *repo == wanted || repo.ends_with(&format!(".{wanted}")))
        {
            Some(repo) => Ok(repo.clone()),
            None => Err(ElixirError::refused(
                Refusal::ProjectUnclear,
                format!("the app `{}` has no repo `{wanted}`", mix.app),
                format!("name one in `repo`: {}", known.join(", ")),
            )),
        };
    }
    known.first().cloned().ok_or_else(|| {
        ElixirError::refused(
            Refusal::ProjectUnclear,
            format!("the app `{}` has no repo", mix.app),
            format!(
                "run `mix ecto.gen.repo -r {}.Repo`, and add `config :{}, ecto_repos: [{0}.Repo]`",
                names::camel(&mix.app),
                mix.app
            ),
        )
    })
}

fn base_module(mix: &Mix, settings: &Settings, repo: &str) -> String {
    let parent = |module: &str| module.rsplit_once('.').map(|(parent, _)| parent.to_owned());
    settings
        .word(&mix.app, None, "namespace")
        .or_else(|| parent(repo))
        .or_else(|| mix.application.as_deref().and_then(parent))
        .unwrap_or_else(|| names::camel(&mix.app))
}

fn repo(mix: &Mix, settings: &Settings, module: String) -> Repo {
    let get = |key: &str| settings.get(&mix.app, Some(&module), key);
    let last = module.rsplit('.').next().unwrap_or("Repo");
    let folder = get("priv")
        .and_then(Expr::text)
        .map_or_else(|| format!("priv/{}", names::snake(last)), str::to_owned);
    let primary_key = get("migration_primary_key").map(|value| {
        let name = value.get("name").and_then(Expr::atom).unwrap_or("id");
        let kind = value.get("type").map_or_else(|| ":bigserial".to_owned(), Expr::flat);
        (name.to_owned(), kind)
    });
    Repo {
        migrations: format!("{}{}/migrations", mix.folder, folder.trim_matches('/')),
        defaults: Defaults {
            primary_key,
            timestamps: get("migration_timestamps")
                .and_then(|value| value.get("type"))
                .map(Expr::flat),
        },
        foreign_key: get("migration_foreign_key")
            .and_then(|value| value.get("type"))
            .map(Expr::flat),
        migration_module: settings
            .word("ecto_sql", None, "migration_module")
            .unwrap_or_else(|| "Ecto.Migration".to_owned()),
        module,
    }
}

fn adapter(mix: &Mix, lock: &str) -> Adapter {
    let has = |name: &str| {
        mix.deps.iter().any(|dep| dep == name) || lock.contains(&format!("\"{name}\": {{"))
    };
    if has("postgrex") {
        Adapter::Postgres
    } else if has("myxql") {
        Adapter::MySql
    } else if has("ecto_sqlite3") {
        Adapter::Sqlite
    } else {
        Adapter::Other
    }
}

fn locked(lock: &str, name: &str) -> Option<Version> {
    let start = format!("\"{name}\": {{:hex, :{name}, \"");
    let line = lock.lines().find_map(|line| line.trim_start().strip_prefix(&start))?;
    version(line)
}

/// The first two numbers of a version or requirement.
fn version(text: &str) -> Option<Version> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let mut numbers = text.get(start..)?.split(|letter: char| !letter.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    Some(Version(major, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

fn generators(settings: &Settings, app: &str) -> Generators {
    let Some(value) = settings.get(app, None, "generators") else { return Generators::default() };
    let word = |key: &str| value.get(key).and_then(super::config::word);
    Generators {
        timestamp_type: word("timestamp_type"),
        binary_id: word("binary_id").as_deref() == Some("true"),
        api_prefix: word("api_prefix"),
    }
}

fn line_length(root: &Root, mix: &Mix) -> usize {
    let text = root.read(&format!("{}.formatter.exs", mix.folder)).ok().flatten();
    let parsed = text.as_deref().and_then(parse);
    let written = parsed.and_then(|parsed| {
        parsed.body.iter().find_map(|expr| expr.get("line_length").map(Expr::flat))
    });
    written
        .and_then(|text| text.parse().ok())
        .filter(|width| (40..=400).contains(width))
        .unwrap_or(LINE_LENGTH)
}

fn web(root: &Root, mix: &Mix, apps: &[Mix], base: &str) -> Option<Web> {
    let in_umbrella = apps.iter().find(|app| app.app == format!("{}_web", mix.app));
    let (folder, app) = match in_umbrella {
        Some(web) => (web.folder.clone(), web.app.clone()),
        None => (mix.folder.clone(), format!("{}_web", mix.app)),
    };
    let lib = format!("{folder}lib/{app}");
    let router = format!("{lib}/router.ex");
    let text = root.read(&router).ok().flatten()?;
    let module = module_names(&text)
        .find_map(|name| name.strip_suffix(".Router").map(str::to_owned))
        .unwrap_or_else(|| format!("{base}Web"));
    Some(Web { module, folder: lib, test_folder: format!("{folder}test/{app}"), router })
}

fn read_migrations(root: &Root, repo: &Repo) -> Result<Migrations, ElixirError> {
    let mut migrations = Migrations::default();
    migrations.files =
        root.list(&repo.migrations, &[".exs"]).iter().filter_map(|path| file_of(path)).collect();
    migrations.files.sort_by_key(|file| file.version);
    for file in migrations.files.clone() {
        let Some(text) = root.read(&file.path)? else { continue };
        if let Some(parsed) = parse(&text) {
            migrations.fold(&file, &parsed, &repo.defaults);
        }
    }
    Ok(migrations)
}
