//! Reads associations and embeds.

use serde_json::Value;

use super::object::{Object, shown};
use super::{Association, Embed, Inverse, Relation};
use crate::elixir::names;

/// What the database does with rows that point to a row that goes or changes.
const ACTIONS: [&str; 5] = ["nothing", "delete_all", "nilify_all", "restrict", "default_all"];

/// Reads one of `on_delete` and `on_update`.
pub(super) fn action(object: &Object<'_>, key: &'static str) -> Option<String> {
    let given = object.text(key)?;
    let lower = given.trim_start_matches(':').to_ascii_lowercase();
    let name = match lower.as_str() {
        "cascade" | "delete" => "delete_all",
        "nilify" | "set_null" | "nullify" => "nilify_all",
        "no_action" => "nothing",
        "update" | "cascade_update" => "update_all",
        other => other,
    };
    let known = ACTIONS.contains(&name) || (key == "on_update" && name == "update_all");
    if !known || (key == "on_update" && name == "delete_all") {
        object.problem(
            format!("`{key}` is {}", shown(&given)),
            format!(
                "write one of {}",
                if key == "on_update" {
                    "nothing, update_all, nilify_all, restrict".to_owned()
                } else {
                    ACTIONS.join(", ")
                }
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

pub(super) fn inverse(object: &Object<'_>) -> Inverse {
    match object.value("inverse") {
        None | Some(Value::Bool(true)) => Inverse::Default,
        Some(Value::Bool(false)) => Inverse::Off,
        Some(Value::String(text)) if text == "false" => Inverse::Off,
        Some(Value::String(text)) if names::is_identifier(text) && !names::is_reserved(text) => {
            Inverse::Named(text.clone())
        }
        Some(other) => {
            object.wrong(&["inverse"], other, "the association's name on the other side, or false");
            Inverse::Off
        }
    }
}

/// Reads an association.
pub(super) fn read_association(object: Object<'_>) -> Option<Association> {
    let kind = object.any_text(&["kind", "type", "relation"]).unwrap_or_default();
    let lower = names::snake(kind.trim_start_matches(':'));
    let Some((_, relation)) = Relation::NAMES.iter().find(|(name, _)| *name == lower) else {
        object.problem(
            format!("the association's kind is {}", shown(&kind)),
            "write belongs_to, has_many, has_one or many_to_many",
        );
        return None;
    };
    let target = object.any_text(&[
        "target",
        "module",
        "schema",
        "to",
        "related",
        "table",
        "references",
        "with",
    ]);
    if let Some(target) = &target
        && !is_target(target)
    {
        object.problem(
            format!("the target {} is neither a module nor a table", shown(target)),
            "write `Accounts.User` or `users`",
        );
        return None;
    }
    let given = object.text("name").or_else(|| {
        let last = names::snake(target.as_deref()?.rsplit('.').next()?);
        Some(match relation {
            Relation::BelongsTo | Relation::HasOne => names::singular(&last),
            Relation::HasMany | Relation::ManyToMany => names::plural(&last),
        })
    });
    let Some(name) = given else {
        object.problem("the association has no `name`", "write `name`, or `target`");
        return None;
    };
    let (name, from_key) = match name.strip_suffix("_id") {
        Some(base) if *relation == Relation::BelongsTo => (base.to_owned(), Some(name.clone())),
        _ => (name, None),
    };
    if !names::is_identifier(&name) || names::is_reserved(&name) {
        object.problem(
            format!("{} is no name of an association", shown(&name)),
            format!("write `{}`", names::proposed_identifier(&name)),
        );
        return None;
    }
    let association = Association {
        relation: *relation,
        name,
        target,
        foreign_key: object.identifier("foreign_key").or(from_key),
        required: object.flag("required").or_else(|| object.flag("null").map(|null| !null)),
        on_delete: action(&object, "on_delete"),
        on_update: action(&object, "on_update"),
        unique: object.flag("unique").unwrap_or(false),
        join_table: object.identifier("join_table").or_else(|| object.identifier("join_through")),
        through: object.texts("through"),
        inverse: inverse(&object),
    };
    object.finish();
    Some(association)
}

fn is_target(target: &str) -> bool {
    names::is_identifier(target) || target.split('.').all(names::is_module_segment)
}

/// Reads an embedded schema without its fields.
pub(super) fn read_embed(object: &Object<'_>) -> Option<Embed> {
    let name = object.identifier("name").filter(|name| !names::is_reserved(name));
    let Some(name) = name else {
        object.problem("the embed has no usable `name`", "write `name` and `fields`");
        return None;
    };
    let kind =
        object.any_text(&["cardinality", "kind", "type"]).unwrap_or_else(|| "one".to_owned());
    let many = match names::snake(&kind).trim_start_matches("embeds_") {
        "one" => false,
        "many" => true,
        _ => {
            object.problem(format!("`cardinality` is {}", shown(&kind)), "write `one` or `many`");
            return None;
        }
    };
    Some(Embed {
        name,
        many,
        required: object.flag("required").unwrap_or(false),
        fields: Vec::new(),
    })
}
