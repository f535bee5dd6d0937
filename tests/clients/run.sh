#!/bin/sh
# Other people's MCP clients against Atelier: SDKs of Python and TypeScript, and the Inspector.
set -eu
cd "$(dirname "$0")/../.."
tests/clients/setup.sh
exec cargo test --locked --features conformance-fixtures --test it transport::clients
