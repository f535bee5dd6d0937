#!/usr/bin/env bash
# The Python that tests of made servers run: the versions that packages name, from wheels alone,
# and the driver that packages of PostgreSQL databases name.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="target/factory-python"
wanted="src/factory/runtime/python/requirements-dev.txt"
stamp="$folder/READY"
driver="psycopg[binary]==3.3.4"
sum="$(cat scripts/factory-python.sh "$wanted" src/factory/runtime/python/requirements.txt | sha256sum)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then exit 0; fi
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
    -r "$wanted" "$driver"
printf '%s' "$sum" > "$stamp"
