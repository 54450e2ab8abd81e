#!/usr/bin/env python3
"""Runs schemathesis against the admin API: real TLS, a real store, requests that the OpenAPI document allows and such as it does not.

    admin_api.py --server target/debug/e2e-admin [--examples 25] [--seed 7]
"""

import argparse
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

from admin_api_hooks import SEEDS

HERE = pathlib.Path(__file__).resolve().parent


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--server", type=pathlib.Path, required=True, help="the program e2e-admin")
    arguments.add_argument("--examples", type=int, default=25, help="requests of each kind for each operation")
    arguments.add_argument("--seed", type=int, help="for the same requests again")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="countersign-admin-api-") as directory:
        directory = pathlib.Path(directory)
        with open(directory / "log", "wb") as log:
            # It ends when its standard input does, and so with this program, however that ends.
            server = subprocess.Popen([arguments.server, directory / "state"], stdin=subprocess.PIPE, stderr=log)
        try:
            ready = wait_for(directory / "state" / "ready.json", server)
            url = f"https://localhost:{ready['address'].rsplit(':', 1)[1]}"
            spare = seed(url, ready)
            code = schemathesis(url, ready, spare, arguments, directory)
        finally:
            server.stdin.close()
            server.wait(timeout=30)
        if code != 0:
            sys.stderr.write((directory / "log").read_text(errors="replace")[-4000:])
        return code


def wait_for(file, server):
    """What the server says once it listens."""
    deadline = time.monotonic() + 60
    while not file.exists():
        if server.poll() is not None:
            sys.exit(f"{server.args[0]} ended with {server.returncode}")
        if time.monotonic() > deadline:
            sys.exit(f"{server.args[0]} was not ready within a minute")
        time.sleep(0.05)
    return json.loads(file.read_text())


def seed(url, ready):
    """Something to show, change and revoke: workloads with one measurement each, and a token, whose id is given back."""
    trust = ssl.create_default_context(cafile=ready["ca"])
    headers = {"Authorization": f"Bearer {ready['token']}", "Content-Type": "application/json"}

    def post(path, body):
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            assert answer.status == 201, answer.status
            return json.load(answer)

    for number in range(SEEDS):
        name = f"seed-{number}"
        post("/v1/workloads", {"name": name, "destinations": ["kms.example:443"]})
        pcr = f"{number + 1:02x}" * 48
        post(f"/v1/workloads/{name}/measurements", {"name": "v1", "pcrs": {"0": pcr, "1": pcr, "2": pcr}})
    return post("/v1/tokens", {"name": "spare", "roles": ["viewer"], "lives_seconds": 86400})["token"]["id"]


def schemathesis(url, ready, spare, arguments, directory):
    command = [
        pathlib.Path(sys.executable).parent / "schemathesis",
        "--config-file", HERE / "schemathesis.toml",
        "run", f"{url}/openapi.json",
        "--tls-verify", ready["ca"],
        "--header", f"Authorization: Bearer {ready['token']}",
        # One address for each request, so one connection too.
        "--header", "Connection: close",
        "--checks", "all",
        # To revoke is not to delete: what was revoked stays to be seen, as revoked, for good.
        "--exclude-checks", "use_after_free",
        "--max-examples", str(arguments.examples),
        # A stream without an end; tests of the API listen to it.
        "--exclude-path", "/v1/events",
        "--request-timeout", "30",
        "--no-color",
    ]  # fmt: skip
    if arguments.seed is not None:
        command += ["--seed", str(arguments.seed)]
    hints = {"ADMIN_API_TOKEN_ID": ready["token_id"], "ADMIN_API_SPARE_TOKEN_ID": spare}
    environment = {**os.environ, **hints, "SCHEMATHESIS_HOOKS": "admin_api_hooks", "PYTHONPATH": str(HERE)}
    # What it keeps for a next run goes with the directory: each run is by itself.
    return subprocess.run(command, env=environment, cwd=directory, timeout=1200).returncode


if __name__ == "__main__":
    sys.exit(main())
