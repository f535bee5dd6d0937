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
