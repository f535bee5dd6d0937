//! Sign-in, renewal, retries and refusals of the runtime, against a token server that checks them.

use std::process::Command;

use crate::support::factory_python::interpreter;

#[test]
fn the_runtime_signs_in_renews_and_repeats_only_what_is_safe() {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(interpreter())
        .arg(format!("{root}/tests/fixtures/factory/sign_in.py"))
        .arg(format!("{root}/src/factory/runtime/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "{\"ok\": true}");
}
