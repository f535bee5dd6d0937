//! The launcher in the shape that the catalog of servers knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use atelier::app::fenced_launch::FencedLaunch;
use atelier::config::mcp_servers::StdioSpec;
use atelier::config::secret::Secret;
use atelier::factory::host::reach::Reach;
use atelier::mcp_client::Launch as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Names, Workbench, reach};

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_the_catalog_run_behind_the_fences() {
    let bench = Workbench::new(&[], Names::new(&[]));
    let spec = |code: &str| StdioSpec {
        program: bench.python.to_str().unwrap().to_owned(),
        arguments: vec!["-c".to_owned(), code.to_owned()],
        environment: BTreeMap::from([("KEY".to_owned(), Secret::new("given".to_owned()))]),
        folder: Some(bench.package()),
    };
    let declared = reach(&["api.example.com:443".to_owned()]);
    let launch = FencedLaunch::new(Arc::clone(&bench.launcher), "somebody/pets", declared);
    assert_eq!(launch.isolation(), None);
    let code = "import os; print(input(), os.environ['KEY'], os.path.exists('/etc/shadow'))";
    let mut launched = launch.launch(&spec(code)).await.unwrap();
    launched.input.write_all(b"hello\n").await.unwrap();
    let mut said = String::new();
    launched.output.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "hello given False\n");
    assert_eq!(launched.process.ended().await, "exit status: 0");
    let isolation = launch.isolation().unwrap();
    assert!(isolation.ends_with("network to api.example.com:443 alone"), "{isolation}");

    let mut launched = launch.launch(&spec("input()")).await.unwrap();
    launched.process.kill();
    assert_eq!(launched.process.ended().await, "signal: 9");
    let nowhere = FencedLaunch::new(Arc::clone(&bench.launcher), "x", Reach::default());
    let lost = StdioSpec { folder: Some("/nowhere".into()), ..spec("") };
    let Err(refused) = nowhere.launch(&lost).await else { panic!("it runs") };
    assert!(refused.contains("/nowhere"), "{refused}");
    bench.close().await;
}
