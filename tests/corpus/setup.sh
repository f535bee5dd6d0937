#!/bin/sh
# Installs the public API descriptions that made servers are proven with, pinned, into target/corpus
# (or $ATELIER_TEST_CORPUS), and what the judge reads them with. Does nothing when that is done
# already; afterwards the tests need no network.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${ATELIER_TEST_CORPUS:-$here/../../target/corpus}
mkdir -p "$target"
target=$(cd "$target" && pwd)

examples=@readme/oas-examples@8.2.2
github=@octokit/openapi@23.0.2
python="PyYAML==6.0.3 jsonschema==4.26.0"

wanted="$examples $github $python"
if [ -f "$target/ready" ] && [ "$(cat "$target/ready")" = "$wanted" ]; then
    exit 0
fi
rm -f "$target/ready"

for tool in npm python3; do
    command -v "$tool" >/dev/null || {
        echo "\`$tool\` is missing" >&2
        echo "hint: apt-get install -y npm python3 python3-venv" >&2
        exit 1
    }
done

npm install --prefix "$target" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "$examples" "$github"
[ -x "$target/venv/bin/python" ] || python3 -m venv "$target/venv"
# shellcheck disable=SC2086 # Several packages, none with a space in it.
"$target/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: $python

printf '%s' "$wanted" >"$target/ready"
