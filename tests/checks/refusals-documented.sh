#!/usr/bin/env bash
# Every stable code of the verifier stands in docs/refusals.md, and every code there exists, there or among the proxy's own.
set -euo pipefail
cd "$(dirname "$0")/../.."
in_code=$(grep -ohE '"[a-z0-9]+(-[a-z0-9]+)+"|"truncated"|Row::new\("[a-z-]+"' verifier/src/refusal.rs verifier/src/refusal/*.rs | sed 's/Row::new(//' | tr -d '"' | sort -u)
in_page=$(grep -E '^\| `' docs/refusals.md | cut -d'|' -f2 | grep -oE '`[a-z0-9-]+`' | tr -d '`' | sort -u)
of_proxy=$(grep -ohE ' = "[a-z0-9-]+", [0-9]+;' protocol/src/problem.rs | grep -oE '"[a-z0-9-]+"' | tr -d '"' | sort -u)
in_page=$(comm -23 <(echo "$in_page") <(comm -23 <(echo "$of_proxy") <(echo "$in_code")))
if ! diff <(echo "$in_code") <(echo "$in_page"); then
    echo "docs/refusals.md (>) and verifier/src/refusal (<) differ" >&2
    exit 1
fi
echo "refusals-documented: $(wc -l <<<"$in_code") passed, 0 failed"
