//! Packages: loaded before runs where they are installed, installed from wheels where code asks.

use std::path::{Path, PathBuf};

use atelier::sandbox::local::{
    DependencySettings, InterpreterProfile, LocalSandbox, LocalSettings,
};
use atelier::sandbox::{RunSpec, Sandbox as _, Tier};
use serde_json::json;

use super::support::{PYTHON, finished, run, settings, spec, value};

/// `tests/clients/setup.sh` installs it.
fn uv() -> PathBuf {
    let clients = std::env::var_os("ATELIER_TEST_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"),
        PathBuf::from,
    );
    let uv = clients.join("venv/bin/uv");
    assert!(uv.exists(), "{} is missing: run tests/clients/setup.sh", uv.display());
    uv
}

/// Makes a wheel, or a source package, with one module.
const MAKE: &str = r#"
import io, sys, tarfile, zipfile
folder, name, version, kind = sys.argv[1:]
module = f"VERSION = {version!r}\ndef greet(who): return f'hello {{who}}'\n"
meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
if kind == 'wheel':
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", module)
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", meta)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*wheel.namelist(), f"{info}/RECORD"]))
else:
    with tarfile.open(f"{folder}/{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in (("PKG-INFO", meta), ("setup.py", "open('/tmp/built-by-setup', 'w')")):
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
"#;

async fn make(folder: &Path, name: &str, version: &str, kind: &str) {
    let made = tokio::process::Command::new(PYTHON)
        .args(["-c", MAKE, folder.to_str().unwrap(), name, version, kind])
        .status()
        .await
        .unwrap();
    assert!(made.success());
}

fn script(dependencies: &str, code: &str) -> RunSpec {
    spec(&format!("# /// script\n# dependencies = {dependencies}\n# ///\n{code}"), 60)
}

fn with(dependencies: Option<DependencySettings>) -> LocalSandbox {
    LocalSandbox::new(LocalSettings { dependencies, ..settings() })
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_come_from_wheels_and_only_when_allowed() {
    let wheels = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    make(wheels.path(), "greeter", "1.0", "wheel").await;
    make(wheels.path(), "greeter", "2.0", "wheel").await;
    make(wheels.path(), "sourceonly", "1.0", "source").await;
    let code = "import greeter\n[greeter.VERSION, greeter.greet('you')]";

    let sandbox = with(None);
    let error = sandbox.start(script("['greeter']", code)).await.unwrap_err();
    assert_eq!(error.code(), "dependencies_not_allowed");
    assert!(error.hint().contains("python.allow_dependencies"), "{}", error.hint());
    // A header that names none is a comment.
    assert_eq!(value(&run(&sandbox, script("[]", "3")).await), &json!(3));
    sandbox.close().await;

    let allowed = DependencySettings {
        uv: uv(),
        find_links: vec![wheels.path().to_owned()],
        offline: true,
        kept: 2,
        ..DependencySettings::new(cache.path().join("python"))
    };
    let sandbox = with(Some(allowed.clone()));
    let outcome = run(&sandbox, script("['greeter<2']", code)).await;
    assert_eq!(value(&outcome), &json!(["1.0", "hello you"]));
    // Two scripts, two sets of packages, at the same time; and code without any sees neither.
    let outcome = run(&sandbox, script("['greeter']", code)).await;
    assert_eq!(value(&outcome), &json!(["2.0", "hello you"]));
    let missing =
        "try:\n    import greeter\nexcept ModuleNotFoundError:\n    found = 'none'\nfound";
    assert_eq!(value(&run(&sandbox, RunSpec::new(missing)).await), &json!("none"));
    // Kept: it works again with nothing to install from; read-only: nobody changes it for others.
    make(wheels.path(), "greeter", "3.0", "wheel").await;
    let poison = "import greeter, os, errno\ntry:\n    open(os.path.dirname(greeter.__file__) + '/new.py', 'w')\nexcept OSError as error:\n    code = errno.errorcode[error.errno]\n[greeter.VERSION, code]";
    let outcome = run(&sandbox, script("['greeter']", poison)).await;
    assert_eq!(value(&outcome), &json!(["2.0", "EROFS"]));
    assert!(outcome.isolation.tier >= Tier::NoCgroup, "{:?}", outcome.isolation);
    // What is not there, and what would have to be built.
    for (dependency, told) in [("nosuchthing", "nosuchthing"), ("sourceonly", "sourceonly")] {
        let error = sandbox.start(script(&format!("['{dependency}']"), "1")).await.unwrap_err();
        assert_eq!(error.code(), "dependencies_failed");
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(!Path::new("/tmp/built-by-setup").exists(), "code of a source package ran");
    let wanting = spec("# /// script\n# requires-python = '>=3.99'\n# ///\n1", 30);
    let error = sandbox.start(wanting).await.unwrap_err();
    assert!(error.to_string().contains("3.99"), "{error}");
    sandbox.close().await;

    let sandbox = with(Some(DependencySettings { uv: "/no/such/uv".into(), ..allowed }));
    let error = sandbox.start(script("['greeter>2']", "1")).await.unwrap_err();
    assert_eq!(error.code(), "dependencies_not_allowed");
    assert!(error.to_string().contains("/no/such/uv"), "{error}");
    sandbox.close().await;
}

/// An interpreter with the packages that Debian offers; `scripts/install-packages.sh` installs them.
fn analysis() -> LocalSandbox {
    LocalSandbox::new(LocalSettings {
        profiles: vec![InterpreterProfile::new("default", PYTHON)],
        ..settings()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_figures_come_back() {
    let sandbox = analysis();
    let report = sandbox.report().await;
    let profile = &report.profiles[0];
    for name in ["numpy", "pandas", "matplotlib.pyplot"] {
        assert!(profile.preloaded.iter().any(|loaded| loaded == name), "{profile:?}");
    }
    let code = "
import sys
loaded = 'pandas' in sys.modules
import matplotlib.pyplot as plt, numpy as np, pandas as pd
table = pd.DataFrame({'x': np.arange(3), 'y': [1.5, None, 2.0]})
table.plot(x='x', y='y')
plt.figure()
plt.imshow(np.eye(4))
plt.savefig('eye.png')
[loaded, table.to_dict('records')[0], np.float64(2.5), np.arange(3)]";
    let outcome = run(&sandbox, spec(code, 100)).await;
    assert_eq!(value(&outcome), &json!([true, {"x": 0, "y": 1.5}, 2.5, [0, 1, 2]]));
    assert_eq!(outcome.images, ["figure_1.png", "eye.png"], "{:?}", finished(&outcome).notes);
    for name in &outcome.images {
        let file = outcome.files.iter().find(|file| file.name == *name).unwrap();
        assert!(file.bytes.starts_with(b"\x89PNG\r\n\x1a\n") && file.bytes.len() > 500, "{name}");
    }
    let table = "import pandas as pd\npd.DataFrame({'a': range(60)})";
    let outcome = run(&sandbox, spec(table, 100)).await;
    assert_eq!(value(&outcome)["shape"], json!([60, 1]));
    assert_eq!(value(&outcome)["rows"].as_array().unwrap().len(), 50);
    // Two runs do not draw the same numbers, though they are forks of one process.
    let draw = "import numpy, random\n[random.random(), float(numpy.random.rand())]";
    let (first, second) =
        (run(&sandbox, spec(draw, 60)).await, run(&sandbox, spec(draw, 60)).await);
    assert_ne!(value(&first)[0], value(&second)[0]);
    assert_ne!(value(&first)[1], value(&second)[1]);
    // Code that imports no package runs in a fork that is not burdened with them.
    let plain = run(&sandbox, RunSpec::new("import sys\n'pandas' in sys.modules")).await;
    assert_eq!(value(&plain), &json!(false));
    sandbox.close().await;
}
