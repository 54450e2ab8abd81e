#!/usr/bin/env bash
# Every stable code of the verifier and of the admin API stands in docs/refusals.md, and every code there exists; the
# codes of the enclave's local proxy stand in docs/http-proxy.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
verifier=$(grep -ohE '"[a-z0-9]+(-[a-z0-9]+)+"|"truncated"|Row::new\("[a-z-]+"' verifier/src/refusal.rs verifier/src/refusal/*.rs | sed 's/Row::new(//' | tr -d '"' | sort -u)
admin=$({
    grep -ohE '^    [A-Z][A-Za-z]+ = "[a-z-]+"' proxy-server/src/admin/code.rs | cut -d'"' -f2
    grep -ohE '=> "[a-z-]+"' proxy-server/src/admin/identity/{error,oidc/error,oidc/sign_in/error,certificate/rules}.rs | cut -d'"' -f2
} | sort -u)
# The verifier's part of the page ends where the API's begins.
part() { awk -v part="$1" '/^# Why the admin API/ { seen = 1 } seen == part' docs/refusals.md; }
on_page() { part "$1" | grep -E '^\| `' | cut -d'|' -f2 | grep -oE '`[a-z0-9-]+`' | tr -d '`' | sort -u; }
compare() {
    if ! diff <(echo "$1") <(echo "$2"); then
        echo "docs/refusals.md (>) and $3 (<) differ" >&2
        exit 1
    fi
}
# Some of the proxy's own codes stand beside the verifier's, where a reader looks for them.
of_proxy=$(grep -ohE ' = "[a-z0-9-]+", [0-9]+;' protocol/src/problem.rs | grep -oE '"[a-z0-9-]+"' | tr -d '"' | sort -u)
documents=$(comm -23 <(on_page 0) <(comm -23 <(echo "$of_proxy") <(echo "$verifier")))
compare "$verifier" "$documents" verifier/src/refusal
compare "$admin" "$(on_page 1)" "proxy-server/src/admin"
# The codes that only the enclave's own proxy has, and those that it takes from `protocol`, stand in docs/http-proxy.md.
local=$({
    grep -ohE 'local\([0-9]{3}, "[a-z-]+"' enclave-client/src/local/answer.rs
    grep -ohE '^ +\("origin-[a-z-]+"' enclave-client/src/local/answer.rs
} | cut -d'"' -f2 | sort -u)
for code in $local; do
    grep -qE "^\|.*\`$code\`" docs/http-proxy.md || { echo "docs/http-proxy.md lacks $code" >&2; exit 1; }
done
echo "refusals-documented: $(printf '%s\n%s\n' "$verifier" "$admin" | wc -l) passed, 0 failed"
