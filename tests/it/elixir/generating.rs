//! What is generated, and where.

use serde_json::json;

use super::{Forge, read, tree, user, with_action};

#[tokio::test]
async fn the_seeds_call_gives_the_files_that_a_developer_would_keep() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let reply = forge.crud(&project, user()).await;
    assert_eq!(reply.text("status"), "success");
    assert_eq!(reply.text("schema_module"), "MyApp.Schemas.User");
    let schema = project.join("lib/my_app/schemas/user.ex");
    assert_eq!(reply.text("file_path"), schema.to_str().unwrap());
    let created = with_action(&reply, "created");
    assert_eq!(created.len(), 5, "{created:?}");
    for path in created {
        let name = path
            .rsplit('/')
            .next()
            .unwrap()
            .trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
        insta::assert_snapshot!(format!("seed_{name}"), read(&project, &path));
    }
}

#[tokio::test]
async fn the_three_tools_make_what_the_one_does() {
    let forge = Forge::new().await;
    let (one, three) = (forge.my_app(), forge.project("my_app", "my_ape", "MyApe"));
    forge.crud(&one, user()).await;
    for tool in ["generate_ecto_schema", "generate_ecto_migration", "generate_phoenix_context"] {
        let arguments =
            json!({"structured_schema_json": user().to_string(), "target_project_path": three});
        let reply = forge.call(tool, arguments).await;
        assert_eq!(reply.text("status"), "success", "{reply:?}");
        let main = reply.text("file_path");
        assert!(std::path::Path::new(main).is_file(), "{tool}: {main}");
    }
    let plain = |root: &std::path::Path| -> Vec<(String, String)> {
        tree(root)
            .into_iter()
            .map(|(path, text)| {
                let name: String = path.chars().filter(|letter| !letter.is_ascii_digit()).collect();
                (
                    name.replace("my_ape", "my_app"),
                    text.replace("my_ape", "my_app").replace("MyApe", "MyApp"),
                )
            })
            .collect()
    };
    assert_eq!(plain(&one), plain(&three));
}

#[tokio::test]
async fn a_named_context_takes_the_layout_of_phoenix() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let mut definition = user();
    definition["context"] = json!("Accounts");
    definition["json"] = json!(true);
    let reply = forge.crud(&project, definition).await;
    let created = with_action(&reply, "created");
    for path in [
        "lib/my_app/accounts/user.ex",
        "lib/my_app/accounts.ex",
        "test/my_app/accounts_test.exs",
        "test/support/fixtures/accounts_fixtures.ex",
        "lib/my_app_web/controllers/user_controller.ex",
        "lib/my_app_web/controllers/user_json.ex",
        "lib/my_app_web/controllers/changeset_json.ex",
        "lib/my_app_web/controllers/fallback_controller.ex",
        "test/my_app_web/controllers/user_controller_test.exs",
    ] {
        assert!(created.contains(&path.to_owned()), "{path} is not in {created:?}");
    }
    assert_eq!(with_action(&reply, "updated"), ["lib/my_app_web/router.ex"]);
    let router = read(&project, "lib/my_app_web/router.ex");
    assert!(
        router.contains("resources \"/users\", UserController, except: [:new, :edit]"),
        "{router}"
    );
    insta::assert_snapshot!("json_router.ex", router);
    let controller = read(&project, "lib/my_app_web/controllers/user_controller.ex");
    insta::assert_snapshot!("json_user_controller.ex", controller);
}

#[tokio::test]
async fn associations_are_put_into_both_schemas() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let author = json!({"module_name": "Accounts.Author", "fields": ["name:string"]});
    forge.crud(&project, author).await;
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string"], "associations": [
        {"kind": "belongs_to", "name": "author", "on_delete": "restrict"},
    ]});
    let reply = forge.crud(&project, post).await;
    let updated = with_action(&reply, "updated");
    assert_eq!(updated, ["lib/my_app/accounts/author.ex", "lib/my_app/accounts.ex"]);
    let author = read(&project, "lib/my_app/accounts/author.ex");
    assert!(author.contains("    has_many :posts, MyApp.Blog.Post\n"), "{author}");
    let accounts = read(&project, "lib/my_app/accounts.ex");
    assert!(accounts.contains("|> Ecto.Changeset.no_assoc_constraint(:posts)"), "{accounts}");
    insta::assert_snapshot!("belongs_to_post.ex", read(&project, "lib/my_app/blog/post.ex"));
}

#[tokio::test]
async fn a_dry_run_shows_everything_and_writes_nothing() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let before = tree(&project);
    let arguments =
        json!({"schema_definition": user(), "target_project_path": project, "dry_run": true});
    let reply = forge.call("create_elixir_crud", arguments).await;
    assert_eq!(reply.text("status"), "success");
    assert!(reply.text("diff").contains("+defmodule MyApp.Schemas.User do"), "{reply:?}");
    assert_eq!(with_action(&reply, "created").len(), 5);
    assert_eq!(before, tree(&project));
    forge.crud(&project, user()).await;
    assert_ne!(before, tree(&project));
}

#[tokio::test]
async fn a_description_becomes_a_definition() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let arguments =
        json!({"description": "a tag with a unique label", "target_project_path": project});
    let asked = forge.call("create_elixir_crud", arguments).await;
    assert!(asked.prompt().contains("a tag with a unique label"), "{asked:?}");
    assert!(asked.prompt().contains("app my_app"), "{asked:?}");
    let hand_in = |handle: &str, text: &str| json!({"handle": handle, "text": text});
    let wrong =
        "{\"module_name\": \"Tag\", \"fields\": [{\"name\": \"label\", \"type\": \"strng\"}]}";
    let repair = forge.call("submit_completion", hand_in(asked.text("handle"), wrong)).await;
    assert_eq!(repair.text("status"), "needs_completion");
    assert!(format!("{repair:?}").contains("did you mean `string`"), "{repair:?}");
    let right = "```json\n{\"module_name\": \"Tag\", \"fields\": [\"label:string:unique\"]}\n```";
    let reply = forge.call("submit_completion", hand_in(repair.text("handle"), right)).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    assert_eq!(reply.text("llm_route"), "host");
    assert_eq!(reply.field("schema_definition")["module_name"], "Tag");
    let schema = read(&project, "lib/my_app/schemas/tag.ex");
    assert!(schema.contains("|> unique_constraint(:label)"), "{schema}");
}

#[tokio::test]
async fn two_calls_at_once_on_one_project_do_not_mix() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let one = json!({"module_name": "Blog.Post", "fields": ["title:string"], "json": true});
    let two = json!({"module_name": "Blog.Page", "fields": ["title:string"], "json": true});
    let (one, two) = tokio::join!(forge.crud(&project, one), forge.crud(&project, two));
    assert_eq!((one.text("status"), two.text("status")), ("success", "success"), "{one:?} {two:?}");
    let blog = read(&project, "lib/my_app/blog.ex");
    assert!(blog.contains("def list_posts do") && blog.contains("def list_pages do"), "{blog}");
    let router = read(&project, "lib/my_app_web/router.ex");
    assert!(router.contains("PostController") && router.contains("PageController,"), "{router}");
    let versions: std::collections::BTreeSet<String> = tree(&project)
        .into_keys()
        .filter_map(|path| {
            Some(path.strip_prefix("priv/repo/migrations/")?.split('_').next()?.to_owned())
        })
        .filter(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert_eq!(versions.len(), 2, "{versions:?}");
}
