#!/usr/bin/env bash
# What a running proxy tells Prometheus: `promtool check metrics` finds nothing, a real Prometheus scrapes it, and the
# alert rules do what they say. `metrics.sh PROXY`: a build with the simulator.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! { command -v promtool && command -v prometheus; } >/dev/null; then
    echo "metrics: SKIPPED: prometheus is not installed (tests/setup/test.sh installs it)"
    exit 0
fi
proxy=$(realpath "$1")
promtool check rules deploy/prometheus/countersign.rules.yaml >/dev/null
promtool test rules deploy/prometheus/countersign.test.yaml >/dev/null
promtool check config --syntax-only deploy/prometheus/prometheus.yaml >/dev/null

folder=$(mktemp -d)
pids=()
finish() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
(
    cd "$folder"
    "$proxy" dev-certificate --dir tls --name localhost --name 127.0.0.1 >/dev/null
    cat > countersign.toml <<TOML
deployment = "metrics"
state_directory = "state"
[listen]
attestation = "127.0.0.1:0"
gateway = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[tls]
certificate = "tls/server.pem"
key = "tls/server.key"
[trust]
root = "aws"
TOML
)
"$proxy" serve --config "$folder/countersign.toml" --ready-file "$folder/ready.json" 2>"$folder/log" &
pids+=($!)
# within SECONDS COMMAND...: tries until it succeeds.
within() {
    local over=$((SECONDS + $1)); shift
    until "$@"; do
        [ $SECONDS -lt $over ] || { echo "metrics: not within the time: $*" >&2; tail -5 "$folder/log" >&2; exit 1; }
        sleep 0.1
    done
}
within 30 test -f "$folder/ready.json"
"$proxy" token create prometheus --role viewer --expires 1h --config "$folder/countersign.toml" > "$folder/token"
admin=$(grep -oE '"admin":"[^"]+"' "$folder/ready.json" | cut -d'"' -f4)
ask() { curl -sS --fail --cacert "$folder/tls/ca.pem" -H "Authorization: Bearer $(cat "$folder/token")" "https://$admin$1"; }
ask /metrics > "$folder/metrics"
promtool check metrics < "$folder/metrics"
# Every figure that rules, dashboard and page speak of is told.
told=$(grep -oE '^# TYPE [a-z_]+' "$folder/metrics" | cut -d' ' -f3 | sort -u)
for file in deploy/prometheus/countersign.rules.yaml deploy/grafana/countersign.json docs/observability.md; do
    for name in $(grep -ohE '\b(countersign|process)_[a-z_]+' "$file" | sed -E 's/_(bucket|sum|count)$//' | sort -u); do
        [[ "$name" == *_ ]] && continue
        grep -qx "$name" <<<"$told" || { echo "metrics: $file speaks of $name, which nobody tells" >&2; exit 1; }
    done
done
COUNTERSIGN_TOKEN_FILE="$folder/token" "$proxy" status --server "https://$admin" --ca "$folder/tls/ca.pem" > "$folder/status"
grep -qE '^state +ready' "$folder/status" || { cat "$folder/status" >&2; exit 1; }

# A real Prometheus, by the configuration that deploy/ shows.
sed -e "s|/etc/prometheus/countersign.token|$folder/token|" -e "s|/etc/prometheus/countersign-ca.pem|$folder/tls/ca.pem|" \
    -e "s|\[\"proxy-0.*|[\"$admin\"]|" -e 's|scrape_interval: 5s|scrape_interval: 1s|' \
    -e "s|- countersign.rules.yaml|- $PWD/deploy/prometheus/countersign.rules.yaml|" deploy/prometheus/prometheus.yaml > "$folder/prometheus.yaml"
listen=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$folder/prometheus.yaml" --storage.tsdb.path="$folder/tsdb" --web.listen-address="$listen" 2>"$folder/prometheus.log" &
pids+=($!)
up() { promtool query instant "http://$listen" "$1" 2>/dev/null | grep -q "$2"; }
within 30 up 'up{job="countersign"}' '=> 1 '
within 10 up 'countersign_state{state="ready"}' '=> 1 '
echo "metrics: $(wc -l <<<"$told") figures, all passed"
