"""The manifest's JSON Schema against the reader: whatever the reader takes the schema takes, and of the broken ones it
refuses those whose defect a schema can see.

    manifest_schema.py --program target/debug/countersign-enclave

Exit code 0 when both agree.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "enclave-client/src/manifest/fixtures"
SCHEMA = ROOT / "docs/manifest.schema.json"
CONFIG_MAP = ("fluentbitConfigMap/fluent-bit.yaml", "pipeline: { outputs: [ { host: logs.example } ] }\n")

ENTRY = {"type": "proxy", "fqdn": "a.example", "port": 443, "proxyUrl": "https://p.example"}
BROKEN = {
    "an unknown word": {"version": "v1", "nmae": "x"},
    "another version": {"version": "v2"},
    "no version": {"egress": {"allow": []}},
    "nothing": {},
    "a version with OBLV's words and Enclaver's": {"outboundConnections": [], "name": "x"},
    "a text for a list": {"version": "v1", "egress": {"allow": "x"}},
    "a number for a text": {"version": "v1", "egress": {"allow": [5]}},
    "a port of 0": [{**ENTRY, "port": 0}],
    "a port of 65536": {"version": "v1", "egress": {"proxy_port": 65536}},
    "an interval of 14": [{**ENTRY, "proxyAttestationIntervalSeconds": 14}],
    "an interval of 301": [{**ENTRY, "proxyAttestationIntervalSeconds": 301}],
    "another type": [{**ENTRY, "type": "prox"}],
    "no proxyUrl": [{"type": "proxy", "fqdn": "a.example", "port": 443}],
    "a proxyUrl without a type": [{"fqdn": "a.example", "port": 443, "proxyUrl": "https://p.example"}],
    "a proxyUrl of type default": [{**ENTRY, "type": "default"}],
    "a configMap of type proxy": [{**ENTRY, "configMap": "m"}],
    "no configMap": [{"type": "enclave", "fqdn": "a.example", "port": 443}],
    "a fqdn of both forms": [{**ENTRY, "fqdn": {"value": "a.example", "configMap": {}}}],
    "an empty fqdn": [{**ENTRY, "fqdn": {}}],
    "an empty anchor": [{**ENTRY, "proxyAnchor": None}],
    "another transport": [{**ENTRY, "transport": "udp"}],
    "a key without a certificate": {"version": "v1", "ingress": [{"listen_port": 1, "tls": {"key_file": "k"}}]},
    "two ends of TLS": {
        "version": "v1",
        "ingress": [{"listen_port": 1, "tls": {"key_file": "k", "cert_file": "c", "attested": ["a.example"]}}],
    },
    "no listen_port": {"version": "v1", "kms_proxy": {}},
    "no processors": {"version": "v1", "defaults": {"cpu_count": 0}},
    "another resource": {"kind": "Deployment"},
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", type=Path, required=True)
    program = arguments.parse_args().program.resolve()
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        mounted = directory / CONFIG_MAP[0]
        mounted.parent.mkdir()
        mounted.write_text(CONFIG_MAP[1])

        def reads(document):
            manifest = directory / "m.yaml"
            manifest.write_text(document if isinstance(document, str) else json.dumps(document))
            command = [program, "check", "--manifest", manifest, "--config-maps", directory]
            return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

        fixtures = sorted(FIXTURES.glob("*.yaml"))
        for fixture in fixtures:
            text = fixture.read_text()
            if not reads(text):
                wrong.append(f"{fixture.name}: the reader refuses it")
            # kms.*.amazonaws.com and the like are plain texts to both; no fixture has an unquoted leading star.
            for error in validator.iter_errors(yaml.safe_load(text)):
                wrong.append(f"{fixture.name}: the schema refuses it: {error.message}")
        for name, document in BROKEN.items():
            if reads(copy.deepcopy(document)):
                wrong.append(f"{name}: the reader takes it")
            if validator.is_valid(document):
                wrong.append(f"{name}: the schema takes it")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"manifest schema: {len(fixtures)} manifests taken, {len(BROKEN)} refused, {len(wrong)} disagreements")
    return 1 if wrong or not fixtures else 0


if __name__ == "__main__":
    sys.exit(main())
