"""Every attestation document through two implementations, which must agree.

Runs `countersign-verify` and the independent reading in nitro.py over the shared documents
(beside the checkout, or COUNTERSIGN_SHARED) and over the synthetic ones kept with the verifier,
compares the answers with what is expected and with each other, and compares what both read.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nitro
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PROJECT = Path(__file__).resolve().parents[2]
SYNTHETIC = PROJECT / "verifier" / "tests" / "synthetic"
AWS_G1 = "641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help="countersign-verify, built with the simulator feature")
    program = parser.parse_args().program.resolve()
    shared = Path(os.environ.get("COUNTERSIGN_SHARED", PROJECT.parent / "shared")) / "attestation-documents"
    failures, passed, skipped = [], 0, 0

    cases = list(synthetic_cases(SYNTHETIC))
    assert cases, f"{SYNTHETIC} holds no document"
    if shared.is_dir():
        genuine = list(genuine_cases(shared))
        assert genuine, f"{shared} holds no document"
        cases += genuine
    else:
        skipped = 1
        print(f"SKIPPED: genuine documents are missing ({shared}); only the synthetic ones were compared")

    for case in cases:
        problem = compare(program, case)
        if problem:
            failures.append(f"{case['file'].name}: {problem}")
        else:
            passed += 1
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"documents: {passed} passed, {len(failures)} failed, {skipped} skipped")
    return 1 if failures else 0


def synthetic_cases(folder):
    root = folder / "testroot.der"
    with open(folder / "list.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            yield {
                "file": folder / row["file"],
                "at": int(row["unix_ms"]),
                "root": root.read_bytes(),
                "trust": ["--danger-root", str(root)],
                "accept": {"accept": True, "reject": False, "policy": None}[row["expected"]],
            }


def genuine_cases(folder):
    root = x509.load_pem_x509_certificate((folder / "roots" / "aws-g1-root.pem").read_bytes())
    root = root.public_bytes(Encoding.DER)
    assert nitro.fingerprint(root) == AWS_G1
    for entry in json.loads((folder / "index.json").read_text()):
        yield {
            "file": folder / entry["file"],
            "at": entry.get("timestamp_ms", 1),
            "root": root,
            "trust": ["--root", "aws"],
            "accept": entry["kind"] == "real",
        }


def compare(program, case):
    """None when expectation and both implementations agree; otherwise what differs."""
    document = case["file"].read_bytes()
    try:
        fields = nitro.verify(document, case["root"], case["at"])
        reason = "accepted"
    except nitro.Refused as refused:
        fields, reason = None, f"refused ({refused})"
    if case["accept"] is not None and (fields is not None) != case["accept"]:
        return f"Python {reason}, expected accept={case['accept']}"

    command = [program, "verify", case["file"], "--at", str(case["at"]), *case["trust"], "--output", "json"]
    ours = subprocess.run([*command, "--allow-debug"], capture_output=True, text=True, timeout=30)
    if ours.returncode not in (0, 1) or (ours.returncode == 0) != (fields is not None):
        return f"Python {reason}, countersign-verify exit code {ours.returncode}: {ours.stdout}{ours.stderr}"
    if fields is None:
        return None
    if nitro.is_debug(fields):
        strict = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if strict.returncode != 1 or json.loads(strict.stdout)["code"] != "debug-mode":
            return f"a debug document is not refused as such: {strict.stdout}"
    return compare_fields(program, case["file"], fields)


def compare_fields(program, file, fields):
    """None when `inspect` shows what Python read; otherwise the names of the fields that differ."""
    command = [program, "inspect", file, "--output", "json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)
    optional = ("public_key", "user_data", "nonce")
    expected = {key: fields[key].hex() if fields.get(key) is not None else None for key in optional}
    expected["module_id"] = fields["module_id"]
    expected["pcrs"] = {f"PCR{index}": value.hex() for index, value in fields["pcrs"].items()}
    expected["timestamp"] = fields["timestamp"]
    shown["timestamp"] = shown["timestamp"]["unix_ms"]
    different = [key for key, value in expected.items() if shown[key] != value]
    return f"read differently: {', '.join(different)}" if different else None


if __name__ == "__main__":
    sys.exit(main())
