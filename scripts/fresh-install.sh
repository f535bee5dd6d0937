#!/usr/bin/env bash
# A package of each kind of source, installed as its readers install it: in a new virtual
# environment, by its own pyproject.toml held to its own lock; then its own tests pass there. A step
# of its own and no test, because it asks the package index, which tests never do. Held to the lock,
# since otherwise somebody else's release of today would decide.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
atelier=${ATELIER_BINARY:-$root/target/debug/atelier}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export ATELIER_DATA_DIR="$work/data" ATELIER_LOG=error
export ATELIER_FACTORY__ENVIRONMENT="$root/target/factory-python"
export ATELIER_FACTORY__UNSANDBOXED=true
export ATELIER_FACTORY__ALLOWED_ROOTS="$root/tests/fixtures/factory:$work"

python3 - "$work/shop.db" <<'PYTHON'
import sqlite3
import sys

with sqlite3.connect(sys.argv[1]) as connection:
    connection.executescript(
        "CREATE TABLE maker (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price NUMERIC DEFAULT 0,"
        " maker INTEGER REFERENCES maker (id));"
    )
PYTHON

tools='{"name": "converter", "output_dir": "'"$work/packages"'", "tool_specs": [{
    "name": "celsius", "description": "Degrees Fahrenheit as degrees Celsius.",
    "input_schema": {"type": "object", "properties": {"degrees": {"type": "number"}}, "required": ["degrees"]},
    "implementation": "async def run(args, ctx):\n    return (args[\"degrees\"] - 32) * 5 / 9\n",
    "examples": [{"arguments": {"degrees": 212}, "result": 100.0}]}]}'

# Each prints its result, of which the folder and the proof are wanted.
made() {
    python3 -c '
import json, sys
made = json.load(sys.stdin)
assert made["self_test"]["level"] == "tested" and not made["self_test"]["failed"], made
print(made["output_path"])'
}
mkdir "$work/packages"
folders=(
    "$("$atelier" call create_mcp_server '{"openapi": "'"$root"'/tests/fixtures/factory/requests/styles.json", "output_dir": "'"$work/packages"'"}' | made)"
    "$("$atelier" call create_mcp_server '{"database_url": "'"$work/shop.db"'", "output_dir": "'"$work/packages"'"}' | made)"
    "$("$atelier" call create_mcp_server "$tools" | made)"
)

for folder in "${folders[@]}"; do
    printf '%s: ' "$(basename "$folder")"
    cd "$folder"
    python3 -m venv "$work/venv"
    grep -v '^-r ' requirements-dev.txt >"$work/lock.txt"
    cat requirements.txt >>"$work/lock.txt"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --only-binary :all: --constraint "$work/lock.txt" '.[test]'
    # What pyproject.toml asks for and the lock does not know would be somebody's choice of today.
    "$work/venv/bin/python" -m pip freeze --exclude-editable --disable-pip-version-check |
        grep -v ' @ ' | while read -r line; do
        grep -qix "$line" "$work/lock.txt" || { echo "$line is not in the lock" >&2 && exit 1; }
    done
    env -i PATH="$PATH" HOME="$work" PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" -m pytest -q --no-header -p no:cacheprovider | tail -n 1
    rm -rf "$work/venv"
done
