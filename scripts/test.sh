#!/usr/bin/env bash
# The README's command two: installs what the tests need, runs all of them, says what took how long.
set -euo pipefail
cd "$(dirname "$0")/.."

features=conformance-fixtures
# A snapshot that changed is a failure, not a file to be looked at later.
export INSTA_UPDATE=no
timings=()
# Tests make their own environment: keys and settings of the person who runs them must not leak in.
for name in $(compgen -e | grep -E '^ATELIER_|_API_KEY$|_BASE_URL$|^OLLAMA_HOST$' || true); do
    case $name in ATELIER_TEST_*) ;; *) unset "$name" ;; esac
done

# step NAME COMMAND...: runs a command and remembers its time.
step() {
    local name=$1 begin=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@"
    timings+=("$(printf '%6d s  %s' $((SECONDS - begin)) "$name")")
}

# optional COMMAND-NAME TOOL COMMAND...: runs a check whose tool is there, and says so when not.
optional() {
    local tool=$1
    shift
    if command -v "$tool" >/dev/null; then
        step "$tool" "$@"
    else
        timings+=("  skipped  $tool: not installed")
    fi
}

rust_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --features "$features"
    else
        echo "cargo-nextest is not installed: cargo test runs the same tests, more slowly"
        cargo test --workspace --locked --features "$features" --lib --bins --tests
    fi
}

components() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    rustup component add rustfmt clippy
}

step 'system packages' scripts/install-packages.sh test
step 'toolchain' components
step 'format' cargo fmt --all --check
step 'clippy' cargo clippy --workspace --all-targets --locked --features "$features" -- -D warnings
step 'build' cargo build --workspace --all-targets --locked --features "$features"
step 'clients of others' tests/clients/setup.sh
step 'Python of made servers' scripts/factory-python.sh
step 'servers of others' tests/clients/setup_servers.sh
step 'public API descriptions' tests/corpus/setup.sh
step 'packages in fresh environments' scripts/fresh-install.sh
step 'tests' rust_tests
step 'generated documents' target/debug/xtask docs --check
step 'documentation' env RUSTDOCFLAGS='-D warnings' \
    cargo doc --workspace --no-deps --locked --features "$features" --quiet
optional cargo-deny cargo deny --offline check licenses bans sources
optional cargo-machete cargo machete
optional typos typos
optional shellcheck shellcheck scripts/*.sh tests/clients/*.sh tests/corpus/*.sh .ci/run

printf '\n== all passed\n'
printf '%s\n' "${timings[@]}"
