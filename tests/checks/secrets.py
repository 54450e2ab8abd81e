#!/usr/bin/env python3
"""No secret that the suite used stands in anything that the suite logged.

    secrets.py FOLDER --least-bytes N --kinds KIND...

The folder is what COUNTERSIGN_TEST_LOGS named while the tests ran: logs, and files `planted-*` with a line
`kind hexadecimal` for each secret (tests/support/src/logs.rs). Each secret is looked for as it is, in base64 (both
alphabets, wherever it begins), in hexadecimal, percent-encoded and as bytes in decimal. It fails as well when there is too little to
have looked at, and begins by finding what it hides itself.
"""

import argparse
import base64
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse


def forms(raw):
    """Every spelling in which a log could show it."""
    for cut in range(3):
        # What stands before it shifts it; the first and last characters depend on the neighbours.
        encoded = base64.b64encode(b"\0" * cut + raw).decode().rstrip("=")
        encoded = encoded[(0, 2, 3)[cut]:len(encoded) - ((cut + len(raw)) % 3 != 0)]
        if len(encoded) >= 10:
            yield encoded
            yield encoded.replace("+", "-").replace("/", "_")
    yield raw.hex()
    yield raw.hex().upper()
    yield "".join(f"%{byte:02X}" for byte in raw)
    yield ", ".join(str(byte) for byte in raw)
    if raw.isascii() and raw.decode().isprintable():
        text = raw.decode()
        yield text
        yield urllib.parse.quote(text, safe="")
        # As Rust and JSON write it in quotes.
        yield text.replace("\\", "\\\\").replace('"', '\\"')


def planted(folder):
    secrets = {}
    for path in sorted(folder.glob("planted-*")):
        for line in path.read_text().splitlines():
            kind, _, secret = line.rpartition(" ")
            secrets[bytes.fromhex(secret)] = kind
    return secrets


def found(folder, secrets):
    """Every line of a log that shows a secret: file, number, kind."""
    by_form = {form: kind for secret, kind in secrets.items() for form in forms(secret)}
    with tempfile.NamedTemporaryFile("w", suffix=".forms") as patterns:
        patterns.write("".join(form + "\n" for form in by_form))
        patterns.flush()
        told = subprocess.run(
            ["grep", "--recursive", "--text", "--line-number", "--only-matching", "--fixed-strings", "--null",
             f"--file={patterns.name}", "--exclude=planted-*", str(folder)], capture_output=True, env={"LC_ALL": "C"})
    if told.returncode > 1:
        raise SystemExit(f"grep: {told.stderr.decode()}")
    places = []
    for line in told.stdout.decode(errors="replace").splitlines():
        path, _, rest = line.partition("\0")
        number, _, form = rest.partition(":")
        places.append((path, number, by_form.get(form, "a secret")))
    return places


def logged(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.startswith("planted-"))


def self_test():
    """Every form of a secret is found in a log, and nothing where there is none."""
    secret = 'S3cret/+"of the self-test'
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "planted-1").write_text(f"test {secret.encode().hex()}\n")
        (folder / "clean.log").write_text('{"code":"admitted","secret":"hidden"}\n')
        assert found(folder, planted(folder)) == [], "a secret where there is none"
        hidden = list(forms(secret.encode())) + [base64.b64encode(f"{prefix}{secret}:".encode()).decode() for prefix in ("", "a", "ab", "abc")]
        for number, form in enumerate(hidden):
            log = folder / f"{number}.log"
            log.write_text(f'first\n{{"said":"x {form} y"}}\n')
            places = found(folder, planted(folder))
            assert [(place[0], place[1]) for place in places][:1] == [(str(log), "2")], (form, places)
            log.unlink()
    return len(hidden)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--least-bytes", type=int, required=True)
    parser.add_argument("--kinds", nargs="+", required=True, help="kinds of which at least one secret was planted")
    arguments = parser.parse_args()
    hidden = self_test()
    secrets, bytes_ = planted(arguments.folder), logged(arguments.folder)
    missing = set(arguments.kinds) - set(secrets.values())
    if bytes_ < arguments.least_bytes or missing:
        print(f"secrets: expected {arguments.least_bytes} bytes of logs and every kind of secret; found {bytes_} bytes, "
              f"and none of {', '.join(sorted(missing)) or 'nothing'}", file=sys.stderr)
        return 1
    places = found(arguments.folder, secrets)
    for path, number, kind in places[:50]:
        print(f"{path}:{number}: {kind}", file=sys.stderr)
    if places:
        print(f"secrets: {len(places)} lines show a secret", file=sys.stderr)
        return 1
    print(f"secrets: {len(secrets)} secrets of {len(set(secrets.values()))} kinds in {bytes_} bytes of logs: none found "
          f"({hidden} hidden ones found)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
