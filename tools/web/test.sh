#!/usr/bin/env bash
# Drive the built pages in headless Chromium: tools/web/test.sh SITE KILN [arguments of drive.mjs]
#
# As root, a missing Chromium or Node is installed from the distribution; playwright-core comes from npm, once.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { echo "error: $1" >&2; exit 1; }
[ $# -ge 2 ] || fail "usage: tools/web/test.sh SITE KILN [arguments]"

missing=()
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing+=(chromium)
command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || fail "first install ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install ${missing[*]} failed"
fi

export KILN_NODE_MODULES="${CARGO_TARGET_DIR:-$PWD/target}-web/node"
mkdir -p "$KILN_NODE_MODULES"
if [ ! -d "$KILN_NODE_MODULES/node_modules/playwright-core" ]; then
    npm install --silent --no-audit --no-fund --prefix "$KILN_NODE_MODULES" playwright-core@1 || fail "npm install playwright-core failed"
fi
node tools/web/drive.mjs "$@"
