#!/usr/bin/env bash
# Installs the system packages that are missing, on Debian and Ubuntu; elsewhere says which.
# Usage: scripts/install-packages.sh build|test
set -euo pipefail

missing=()

# need PACKAGE COMMAND...: the package is missing when none of the commands is there.
need() {
    local package=$1 command
    shift
    for command in "$@"; do
        if command -v "$command" >/dev/null; then return; fi
    done
    missing+=("$package")
}

need build-essential cc
# Prints PDF documents and looks at pages.
need chromium chromium chromium-browser google-chrome-stable
# Runs code in the sandbox.
need python3 python3
if [ "${1:?build or test}" = test ]; then
    # Reads the PDFs that tests make.
    need poppler-utils pdftotext
    need elixir elixir
    # Servers that are made from databases are tested on a real one. Debian keeps its programs out
    # of the path, by version.
    if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then need postgresql postgres; fi
    # Code of others runs in the system's interpreter, with these packages loaded before.
    for package in numpy pandas matplotlib; do
        if ! /usr/bin/python3 -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('$package'))" 2>/dev/null; then
            missing+=("python3-$package")
        fi
    done
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then missing+=(python3-venv); fi
fi
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "error: these programs are missing, by the names of their Debian packages: ${missing[*]}" >&2
    echo "hint: install them with this system's package manager, then run make again" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "error: these packages are missing, and there is no sudo to install them: ${missing[*]}" >&2
        echo "hint: run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "installing system packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
