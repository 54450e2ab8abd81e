"""An audit export by an independent reading of its format: every hash, every signature, every gap.

    verify_audit.py FILE --trust KEY…   exit code 0 when the audit holds, 1 with findings, 2 when FILE is no export
    verify_audit.py FILE --trust KEY… --attack   tampers with every line in turn and expects a finding each time
    verify_audit.py FILE --vectors      the hashes that the Rust tests keep

KEY is the public key as one line of base64url (SubjectPublicKeyInfo), or a PEM file. --known FILE is a replica's audit-heads.
"""

import argparse
import base64
import copy
import hashlib
import json
import re
import struct
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

FIELDS = {"header", "key", "chain", "row", "checkpoint", "head", "end"}
PURPOSES = {"checkpoint": 1, "anchor": 2}


class NotAnExport(Exception):
    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--trust", action="append", default=[], help="a key whose signatures count")
    parser.add_argument("--known", action="append", default=[], type=Path, help="a replica's audit-heads")
    parser.add_argument("--attack", action="store_true", help="tamper with every line and expect a finding")
    parser.add_argument("--vectors", action="store_true", help="print the first hashes")
    arguments = parser.parse_args()
    text = arguments.file.read_bytes()
    trusted = dict(key(given) for given in arguments.trust)
    known = [strict(path.read_text()) for path in arguments.known]
    try:
        found, counted = verify(text, trusted, known)
        if arguments.vectors:
            return vectors(text)
        if arguments.attack and not found:
            return attack(text, trusted)
    except NotAnExport as problem:
        print(f"FAILED {arguments.file.name}: {problem}")
        return 2
    for finding in found:
        print(f"FOUND {finding}")
    print(f"audit: {counted['row']} rows, {counted['checkpoint']} checkpoints, {len(found)} findings")
    return 1 if found else 0


def verify(text, trusted, known=()):
    """The findings as sentences, and how many lines of each kind there are."""
    lines, whole = text.split(b"\n"), text.endswith(b"\n")
    cut = lines.pop() if lines else b""
    found, chains, counted = [], {}, dict.fromkeys(FIELDS, 0)
    if cut or not whole:
        found.append(f"cut off behind line {len(lines)}")
    epochs = [each["epoch"] for each in known]
    for number, line in enumerate(lines, 1):
        kind, value = parse(number, line)
        counted[kind] += 1
        if (kind == "header") != (number == 1) or counted["end"] > (kind == "end"):
            raise NotAnExport(f"line {number}: {kind} stands where it may not")
        if kind == "header":
            if (value["format"], value["version"]) != ("countersign-audit", 1):
                raise NotAnExport("another format")
            stored_epoch = value["epoch"]
        elif kind == "chain":
            name = value["chain"]
            chains[name] = begin(name, value.get("anchor"), trusted, found, epochs)
        elif kind == "row":
            row(chains[value["chain"]], value, found, epochs)
        elif kind == "checkpoint":
            chain = chains[value["chain"]]
            if signed(value, trusted, found):
                chain["said"].append(("a checkpoint", value["seq"], value["hash"]))
                epochs.append(value["epoch"])
        elif kind == "head":
            chains[value["chain"]]["head"] = value
        elif kind == "end" and value["lines"] != number - 1:
            found.append(f"{number - 1} lines, expected {value['lines']}")
    if not counted["end"] and not (cut or not whole):
        found.append(f"cut off behind line {len(lines)}")
    for each in known:
        for head in each["heads"]:
            if head["chain"] in chains:
                said = ("a known head", head["head"]["seq"], head["head"]["hash"])
                chains[head["chain"]]["said"].append(said)
            else:
                found.append(f"{head['chain']}: nothing is left of the chain")
    for name, chain in chains.items():
        finish(name, chain, found)
    if epochs and max(epochs) > stored_epoch:
        found.append(f"epoch {stored_epoch}, and {max(epochs)} was in force")
    return found, counted


def begin(name, anchor, trusted, found, epochs):
    seq, digest = 0, genesis(name)
    if anchor is not None:
        if anchor["chain"] != name or anchor["purpose"] != "anchor":
            found.append(f"{name} {anchor['seq']}: this is no anchor of the chain")
        elif signed(anchor, trusted, found):
            epochs.append(anchor["epoch"])
        seq, digest = anchor["seq"], anchor["hash"]
    return {"base": seq, "seq": seq, "hash": digest, "hashes": {seq: digest}, "said": [], "head": None}


def row(chain, value, found, epochs):
    seq = value["seq"]
    where = f"{value['chain']} {seq}"
    if seq != chain["seq"] + 1:
        found.append(f"{where}: expected row {chain['seq'] + 1}")
    elif row_hash(value, chain["hash"]) != value["hash"]:
        found.append(f"{where}: the row or the hash before it was changed")
    else:
        epochs.append(value["epoch"])
    chain["seq"], chain["hash"] = seq, value["hash"]
    chain["hashes"][seq] = value["hash"]


def finish(name, chain, found):
    said = list(chain["said"])
    if chain["head"] is not None:
        said.append(("the head", chain["head"]["seq"], chain["head"]["hash"]))
        if chain["head"]["seq"] < chain["seq"]:
            found.append(f"{name} {chain['seq']}: the head lies before the last row")
    elif chain["seq"]:
        found.append(f"{name}: no head")
    for who, seq, digest in said:
        if seq > chain["seq"]:
            found.append(f"{name} {chain['seq']}: cut off; {who} speaks of row {seq}")
        elif seq >= chain["base"] and chain["hashes"].get(seq, digest) != digest:
            found.append(f"{name} {seq}: {who} speaks of another hash")


def genesis(chain):
    return hashlib.sha256(b"countersign-audit-genesis-v1\0" + name_bytes(chain)).hexdigest()


def row_hash(value, before):
    out = [
        b"countersign-audit-row-v1\0",
        name_bytes(value["chain"]),
        struct.pack(">Q", value["seq"]),
        bytes.fromhex(before),
        struct.pack(">q", value["at_ms"]),
        text_bytes(value["kind"]),
        text_bytes(value["code"]),
        struct.pack(">Q", value["epoch"]),
    ]
    for field in ("workload", "measurement"):
        out.append(optional(value.get(field), text_bytes))
    out.append(optional(value.get("session"), bytes.fromhex))
    for field in ("request_id", "actor", "before", "after"):
        out.append(optional(value.get(field), text_bytes))
    out.append(optional(value.get("evidence"), bytes.fromhex))
    out.append(optional(value.get("detail"), text_bytes))
    return hashlib.sha256(b"".join(out)).hexdigest()


def signed(value, trusted, found):
    where = f"{value['chain']} {value['seq']}: the {value['purpose']}"
    public = trusted.get(value["key_id"])
    if public is None:
        found.append(f"{where} is signed by {value['key_id']}, which is not trusted")
        return False
    message = b"".join(
        [
            b"countersign-audit-checkpoint-v1\0",
            bytes([PURPOSES[value["purpose"]]]),
            name_bytes(value["chain"]),
            struct.pack(">Q", value["seq"]),
            bytes.fromhex(value["hash"]),
            struct.pack(">q", value["at_ms"]),
            struct.pack(">Q", value["epoch"]),
            bytes.fromhex(value["key_id"]),
        ]
    )
    try:
        public.verify(unbase64(value["signature"]), message)
    except InvalidSignature:
        found.append(f"{where} has a bad signature")
        return False
    return True


def name_bytes(chain):
    if not re.fullmatch(r"policy|replica/[0-9a-f]{32}", chain):
        raise NotAnExport(f"{chain!r} names no chain")
    return bytes([len(chain)]) + chain.encode()


def text_bytes(text):
    return struct.pack(">Q", len(text.encode())) + text.encode()


def optional(value, encode):
    return b"\0" if value is None else b"\1" + encode(value)


def parse(number, line):
    try:
        ((kind, value),) = strict(line).items()
        if kind not in FIELDS:
            raise ValueError(f"unknown kind {kind!r}")
    except (AttributeError, ValueError) as problem:
        raise NotAnExport(f"line {number}: {problem}") from problem
    return kind, value


def strict(text):
    """JSON that means the same to every reader: no name twice, no NaN."""

    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def key(given):
    path = Path(given)
    if path.suffix == ".pem":
        public = load_pem_public_key(path.read_bytes())
    else:
        public = load_der_public_key(unbase64(given))
    assert isinstance(public, Ed25519PublicKey), "no key of Ed25519"
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()[:16], public


def unbase64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def attack(text, trusted):
    """Every line removed, every value of every line changed: none may pass."""
    lines = text.decode().splitlines()
    tried = passed = 0
    for at, line in enumerate(lines):
        variants = [None, *changed(json.loads(line))]
        for variant in variants:
            tampered = lines[:at] + ([] if variant is None else [json.dumps(variant)]) + lines[at + 1 :]
            tried += 1
            if not refused("\n".join(tampered).encode() + b"\n", trusted):
                passed += 1
                print(f"FAILED line {at + 1} may be {'removed' if variant is None else variant}")
    print(f"attacks on the audit: {tried - passed} found, {passed} not found")
    return 1 if passed or not tried else 0


def changed(line):
    """The line with one value changed. What an export says of itself, and keys, prove nothing and are left alone."""
    ((kind, value),) = line.items()
    if kind in ("header", "key"):
        return
    for field in value:
        if field == "anchor":
            for anchor in changed({"checkpoint": value["anchor"]}):
                yield {kind: {**value, "anchor": anchor["checkpoint"]}}
            continue
        variant = copy.deepcopy(line)
        old = value[field]
        if isinstance(old, int):
            variant[kind][field] = old + 1
        elif re.fullmatch(r"[0-9a-f]+", old):
            variant[kind][field] = ("0" if old[0] != "0" else "1") + old[1:]
        elif field == "signature":
            variant[kind][field] = ("A" if old[0] != "A" else "B") + old[1:]
        else:
            variant[kind][field] = old + "x"
        yield variant


def refused(text, trusted):
    try:
        return bool(verify(text, trusted)[0])
    except (NotAnExport, KeyError):
        return True


def vectors(text):
    rows = [value for kind, value in (parse(1, line) for line in text.splitlines()) if kind == "row"]
    replica = next(row["chain"] for row in rows if row["chain"] != "policy")
    digest = genesis("policy")
    print(digest)
    print(genesis(replica))
    for value in [row for row in rows if row["chain"] == "policy"][:2]:
        digest = row_hash(value, digest)
        print(digest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
