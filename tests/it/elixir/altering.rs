//! Projects that have code already: edited by syntax, altered, never clobbered.

use serde_json::json;

use super::{Forge, read, tree, user, with_action};

#[tokio::test]
async fn a_changed_definition_alters_instead_of_creating() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    forge.crud(&project, user()).await;
    let mut wider = user();
    wider["fields"] =
        json!(["name:text", "email:string:unique", "age:integer", "phone:string", "admin:boolean"]);
    let reply = forge.crud(&project, wider).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    let created = with_action(&reply, "created");
    let [migration] = created.as_slice() else { panic!("{created:?}") };
    assert!(migration.contains("alter_users"), "{migration}");
    insta::assert_snapshot!("altered_migration.exs", read(&project, migration));
    insta::assert_snapshot!("altered_user.ex", read(&project, "lib/my_app/schemas/user.ex"));
    // A value for the rows that are there is missing, so it is not demanded.
    assert!(format!("{reply:?}").contains("`phone` is optional"), "{reply:?}");
}

#[tokio::test]
async fn what_people_wrote_stays() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let context = "defmodule MyApp.Blog do\r\n  # ours\r\n  def list_posts, do: :mine\r\nend\r\n# the end\r\n";
    std::fs::write(project.join("lib/my_app/blog.ex"), context).unwrap();
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string"]});
    let reply = forge.crud(&project, post).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    let blog = read(&project, "lib/my_app/blog.ex");
    assert!(blog.contains("  # ours\r\n  def list_posts, do: :mine\r\n"), "{blog}");
    assert!(blog.ends_with("end\r\n# the end\r\n"), "{blog}");
    assert!(blog.contains("def create_post(attrs) do\r\n"), "{blog}");
    assert_eq!(blog.matches("def list_posts").count(), 1, "{blog}");
    assert!(!blog.replace("\r\n", "").contains('\n'), "line ends are mixed: {blog:?}");
    assert!(format!("{reply:?}").contains("list_posts/0"), "{reply:?}");
}

#[tokio::test]
async fn a_file_that_does_not_parse_is_refused() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    std::fs::write(project.join("lib/my_app/blog.ex"), "defmodule MyApp.Blog do\n  def x(\nend\n")
        .unwrap();
    let before = tree(&project);
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string"]});
    let reply = forge.crud(&project, post).await;
    assert_eq!(reply.code(), "elixir_source_broken");
    assert!(reply.text("message").contains("lib/my_app/blog.ex"), "{reply:?}");
    assert_eq!(before, tree(&project));
}

#[tokio::test]
async fn changes_that_could_lose_data_are_refused() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    forge.crud(&project, user()).await;
    let before = tree(&project);
    for (field, reason) in [
        (json!({"name": "age", "type": "string"}), "without losing values"),
        (json!({"name": "phone", "type": "string", "required": true}), "have no value for it"),
    ] {
        let definition =
            json!({"module_name": "User", "fields": ["name:string", "email:string", field]});
        let reply = forge.crud(&project, definition).await;
        assert_eq!(reply.code(), "elixir_unsafe_change", "{reply:?}");
        assert!(reply.text("message").contains(reason), "{reply:?}");
        assert_eq!(before, tree(&project));
    }
    let definition =
        json!({"module_name": "User", "fields": ["name:text", "email:string", "age:bigint"]});
    assert_eq!(forge.crud(&project, definition).await.text("status"), "success");
}

#[tokio::test]
async fn migrations_come_after_all_others_also_after_one_from_the_future() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let future = "priv/repo/migrations/29991231235959_create_things.exs";
    std::fs::write(project.join(future), "defmodule MyApp.Repo.Migrations.CreateThings do\n  use Ecto.Migration\n\n  def change do\n  end\nend\n").unwrap();
    let reply = forge.crud(&project, user()).await;
    let created = with_action(&reply, "created");
    let path = "priv/repo/migrations/30000101000000_create_users.exs".to_owned();
    assert!(created.contains(&path), "{created:?}");
}

#[tokio::test]
async fn limits_of_columns_are_kept_true_and_those_of_people_are_kept() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let price = |precision: i64| json!({"name": "price", "type": "decimal", "precision": precision, "scale": 2});
    let define = |count: &str, precision: i64| json!({"module_name": "Shop.Item", "fields": [count, "age:integer", price(precision)]});
    let path = "lib/my_app/shop/item.ex";
    assert_eq!(forge.crud(&project, define("count:integer", 8)).await.text("status"), "success");
    let schema = read(&project, path);
    assert!(
        schema.contains("validate_inclusion(:count, -2_147_483_648..2_147_483_647)"),
        "{schema}"
    );
    assert!(schema.contains("less_than_or_equal_to: Decimal.new(\"999999.99\")"), "{schema}");
    let by_hand = "validate_inclusion(:age, 18..99)";
    let changed =
        schema.replace("validate_inclusion(:age, -2_147_483_648..2_147_483_647)", by_hand);
    assert!(changed.contains(by_hand), "{changed}");
    std::fs::write(project.join(path), changed).unwrap();
    assert_eq!(forge.crud(&project, define("count:bigint", 10)).await.text("status"), "success");
    let schema = read(&project, path);
    assert!(schema.contains(by_hand) && !schema.contains("2_147_483_647"), "{schema}");
    let wide = "validate_inclusion(:count, -9_223_372_036_854_775_808..9_223_372_036_854_775_807)";
    assert!(schema.contains(wide), "{schema}");
    assert!(schema.contains("less_than_or_equal_to: Decimal.new(\"99999999.99\")"), "{schema}");
    assert!(!schema.contains("\"999999.99\""), "{schema}");
}

#[tokio::test]
async fn deleting_a_parent_within_a_scope_is_an_error_and_no_exception() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    super::copy(&super::fixtures().join("scoped"), &project, "my_app", "MyApp");
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string"]});
    let comment =
        json!({"module_name": "Blog.Comment", "fields": ["body:text", "post_id:references:posts"]});
    for definition in [post, comment] {
        assert_eq!(forge.crud(&project, definition).await.text("status"), "success");
    }
    let context = read(&project, "lib/my_app/blog.ex");
    let deletion = "           post
           |> Ecto.Changeset.change()
           |> Ecto.Changeset.no_assoc_constraint(:comments)
           |> Repo.delete() do
";
    assert!(context.contains(deletion), "{context}");
}

/// The parent's schema knows no association to ask about, the database knows the key.
#[tokio::test]
async fn deleting_a_parent_that_knows_nothing_of_its_children_is_an_error_too() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let author = json!({"module_name": "Accounts.Author", "fields": ["name:string"]});
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string"], "associations": [
        {"kind": "belongs_to", "name": "author", "inverse": false},
    ]});
    for definition in [author, post.clone()] {
        assert_eq!(forge.crud(&project, definition).await.text("status"), "success");
    }
    let context = read(&project, "lib/my_app/accounts.ex");
    let deletion = "    author
    |> Ecto.Changeset.change()
    |> Ecto.Changeset.foreign_key_constraint(:id,
      name: :posts_author_id_fkey,
      message: \"are still associated with this entry\"
    )
    |> Repo.delete()
";
    assert!(context.contains(deletion), "{context}");
    // A second child is added beside the first, and the same call changes nothing.
    let note = json!({"module_name": "Blog.Note", "fields": ["title:string"], "associations": [
        {"kind": "belongs_to", "name": "author", "inverse": false},
    ]});
    for definition in [note.clone(), post, note] {
        assert_eq!(forge.crud(&project, definition).await.text("status"), "success");
    }
    let context = read(&project, "lib/my_app/accounts.ex");
    assert_eq!(context.matches("foreign_key_constraint(").count(), 2, "{context}");
    assert!(context.contains("name: :notes_author_id_fkey"), "{context}");
    assert_eq!(context.matches("Repo.delete()").count(), 1, "{context}");
}

#[tokio::test]
async fn an_index_is_dropped_before_its_column_so_that_both_come_back() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let with = json!({"module_name": "User", "fields": ["name:string", "email:string:unique"]});
    let without = json!({"module_name": "User", "fields": ["name:string"], "allow_drop": true});
    for definition in [with, without] {
        assert_eq!(forge.crud(&project, definition).await.text("status"), "success");
    }
    let (_, migration) = tree(&project)
        .into_iter()
        .find(|(path, _)| path.contains("_alter_users_remove_email"))
        .unwrap();
    let index = migration.find("drop unique_index(:users, [:email])").unwrap_or(usize::MAX);
    assert!(index < migration.find("remove :email").unwrap(), "{migration}");
}
