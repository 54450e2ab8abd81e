#!/usr/bin/env python3
"""Process 1 of an enclave and the host half of a parent instance, each in a virtual machine of its own, over vsock.

    virtual_enclave.py --parts target/virtual-enclave --enclave target/release/countersign-enclave --target target/debug

    this process                    machine "parent", CID 3            machine "enclave", CID 16
    web, last word, gated  <-TCP-   countersign-enclave host  <=vsock= countersign-enclave init (process 1)
    countersign-proxy      <-TCP-          |      ^                      |   /dev/nsm: virtual-guest
    callers                -TCP-> ingress -+      +- heartbeat, log      +-> application: a shell, wget, nc

The proxy has the simulator's feature; the program in the two machines has not.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from machine import Failed, Image, Machine, Switch, end, until
from outside import WHOLE, Breaks, Gated, LastWord, Web, call, free_port, get, serve

HERE = pathlib.Path(__file__).parent
PARENT, ENCLAVE = 3, 16

# In the order in which they need each other.
VSOCK = ["vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"]
MODULES = {"parent": [*VSOCK, "vsock_loopback", "failover", "net_failover", "virtio_net"], "enclave": [*VSOCK, "cuse"]}


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


class World:
    """All that the machines are made of, and all they reach."""

    def __init__(self, arguments, folder):
        self.parts, self.enclave, self.target = arguments.parts, arguments.enclave, arguments.target
        self.folder, self.running = folder, []
        self.ports = {name: serve(kind) for name, kind in
                      {"WEB": Web, "LAST_WORD": LastWord, "BREAKS": Breaks, "GATED": Gated}.items()}
        self.outside = {port: free_port() for port in (7001, 7002, 7003, 9100)}

    def start(self):
        self.proxy()
        self.switch = self.keep(Switch(self.parts / "vhost-device-vsock", self.folder, [PARENT, ENCLAVE]))

    def keep(self, running):
        self.running.append(running)
        return running

    def end(self):
        for running in reversed(self.running):
            running.end()

    def proxy(self):
        """The public proxy, which allows the one image."""
        run(self.target / "countersign-simulator", "root", "--dir", self.folder / "root")
        (self.folder / "payments.json").write_text(run(self.target / "countersign-simulator", "measure", "--image", "payments"))
        run(self.target / "countersign-proxy", "dev-certificate", "--dir", self.folder / "tls", "--name", "proxy.test")
        (self.folder / "countersign.toml").write_text(f"""
deployment = "virtual"
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
danger_simulated_root = "root/root.der"
[hosts]
"gated.test" = ["127.0.0.1"]
[[workload]]
name = "payments"
destinations = ["gated.test:{self.ports["GATED"]}"]
addresses = ["127.0.0.1/32"]
[[workload.measurement]]
name = "1"
file = "payments.json"
""")
        ready, log = self.folder / "ready.json", self.folder / "proxy.log"
        process = subprocess.Popen([self.target / "countersign-proxy", "serve", "--config", self.folder / "countersign.toml",
                                    "--ready-file", ready], stderr=log.open("w"))
        self.keep(Process(process))
        until("the proxy's ports", lambda: ready.exists() or None, lambda: process.poll() is None)
        for name, address in json.loads(ready.read_text()).items():
            self.ports[name] = str(address).rpartition(":")[2]

    def image(self, role):
        image = Image()
        image.file("/init", HERE / "guest/init")
        image.file("/bin/busybox", self.parts / "busybox")
        image.program("/countersign-enclave", self.enclave)
        image.program("/virtual-guest", self.target / "countersign-virtual-guest")
        image.add(f"/modules/{role}", "\n".join(MODULES[role]))
        for module in MODULES[role]:
            image.file(f"/modules/{module}.ko", self.parts / f"modules/{module}.ko")
        return image

    def boot(self, role, cid, image, words, devices=()):
        command_line = f"role={role} image=payments -- {words}"
        return self.keep(Machine(role, self.switch, cid, self.parts / "vmlinuz", image, command_line, devices))

    def boot_parent(self):
        image, port = self.image("parent"), self.ports
        allowed = [f"open.test:{port[name]}" for name in ("WEB", "LAST_WORD", "BREAKS")]
        allowed += [f"proxy.test:{port[name]}" for name in ("attestation", "gateway")]
        image.add("/rules.yaml", json.dumps({
            "apiVersion": "zalando.org/v1", "kind": "EgressRuleSet", "metadata": {"name": "virtual"},
            "spec": {"targets": allowed}}))
        # What QEMU calls 10.0.2.2 is this machine's loopback.
        image.add("/etc/hosts", "10.0.2.2 open.test closed.test outside.test proxy.test\n")
        forward = "".join(f",hostfwd=tcp:127.0.0.1:{at}-10.0.2.15:{to}" for to, at in self.outside.items())
        return self.boot("parent", PARENT, image,
                         f"host --log json --cid {ENCLAVE} --egress-rules /rules.yaml --drain 1 --health 0.0.0.0:9100 "
                         "--ingress 7001 --ingress 7002 --ingress 7003",
                         ["-netdev", f"user,id=net{forward}", "-device", "virtio-net-pci,netdev=net,romfile="])

    def boot_enclave(self):
        image, port = self.image("enclave"), self.ports
        # JSON is YAML.
        image.add("/countersign.yaml", json.dumps({
            "version": "v1",
            "outboundConnections": [{
                "type": "proxy", "fqdn": "gated.test", "port": port["GATED"], "proxyAnchorFile": "/proxy.pem",
                "proxyUrl": f"https://proxy.test:{port['gateway']}", "attestationPort": int(port["attestation"])}],
            "egress": {"allow": [f"open.test:{port[name]}" for name in ("WEB", "LAST_WORD", "BREAKS")]
                       + [f"outside.test:{port['WEB']}"]},
            "ingress": [{"listen_port": number} for number in (7001, 7002, 7003)]}))
        image.file("/proxy.pem", self.folder / "tls/ca.pem")
        for file in (self.folder / "root").iterdir():
            image.file(f"/root-of-trust/{file.name}", file)
        image.add("/ports", "".join(f"{name}={number}\n" for name, number in port.items()))
        image.file("/application", HERE / "guest/application")
        return self.boot("enclave", ENCLAVE, image,
                         "init --log json --manifest /countersign.yaml --logs host --application-output log "
                         "--health vsock:12282 /application")


class Process:
    def __init__(self, process):
        self.process = process

    def end(self):
        end(self.process)


def check(what, found, expected):
    if found != expected:
        raise Failed(f"{what}: expected {expected!r}, found {found!r}")
    print(f"  ok  {what}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("parts", "enclave", "target"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cs-virtual-") as folder:
        world = World(arguments, pathlib.Path(folder))
        try:
            world.start()
            show(world)
        finally:
            world.end()


def show(world):
    parent = world.boot_parent()
    parent.wait("host half", lambda line: "host half serves" in line or None)
    parent.wait("heartbeat", lambda line: line == "parent awaits a heartbeat" or None)
    enclave = world.boot_enclave()
    parent.wait("application", lambda line: record(line).get("message") == "app serves" or None)
    print(f"  the application serves {time.monotonic() - enclave.started:.1f} s after the enclave was switched on")
    records = [record(line) for line in parent.lines]
    started(parent.lines, records)
    went_out(world.ports, records)
    check("health of the enclave, asked of the parent", told_health(world), (200, "ok", "ok"))
    came_in(world.outside)
    ended(world, parent, enclave)


def record(line):
    """A line of the log that came out of the enclave; nothing of any other line."""
    return json.loads(line.removeprefix("enclave ")) if line.startswith("enclave {") else {}


def started(lines, records):
    steps = [(line["step"], line["message"]) for line in records if line.get("code") == "init-step"]
    check("every step of init, in its order", steps, STEPS)
    check("heartbeat", [line for line in lines if "took heartbeat" in line], ["parent took heartbeat b7 of CID 16"])
    attested = [line for line in records if line.get("message") == "attested"]
    check("attested with documents of /dev/nsm", [line["lease_seconds"] for line in attested], [30] * len(attested))
    check("attested before the application started", bool(attested) and records.index(attested[0])
          < min(at for at, line in enumerate(records) if line.get("target") == "application"), True)
    check("only what was provoked is warned of", sorted(line["code"] for line in records if line.get("level") in ("WARN", "ERROR")),
          ["destination-denied", "egress-rule-set"])


def went_out(ports, records):
    said = [line["message"].removeprefix("app ") for line in records if line.get("target") == "application"]
    digest, word, forbidden = hashlib.sha256(WHOLE).hexdigest(), "word from outside", "wget: server returned error: HTTP/1.1 403 Forbidden"
    for expected in [
        "pid1=countersign-enc host=enclave lo=0x9 devices=lo ",
        f"transparent status=0 said={word} error=",
        f"transparent-whole status=0 said={digest} error=",
        f"proxied status=0 said={word} error=",
        f"proxied-whole status=0 said={digest} error=",
        f"denied-name status=1 said= error=wget: bad address 'closed.test:{ports['WEB']}'",
        f"denied status=1 said= error={forbidden}",
        f"outside status=1 said= error={forbidden}",
        "half-close status=0 said=heard: to the very end error=",
        "reset status=0 said=half of , then Err(ConnectionReset) error=",
        "gated status=0 said=word behind the gate error=",
        "serves",
    ]:
        check(expected.split("=")[0].removesuffix(" status"), said.pop(0), expected)
    check("nothing else said", said, [])
    by_code = {line.get("code"): line for line in records}
    check("log of the name", by_code["name-denied"]["message"], "name not answered: no rule allows it")
    check("log of the destination", (by_code["destination-denied"]["message"], by_code["destination-denied"]["status"]),
          (f"refused: closed.test:{ports['WEB']}: no rule allows it", 403))
    check("log of the outer limit", by_code["egress-rule-set"]["message"],
          "refused: the host half says: the parent's EgressRuleSets: no rule allows it")


def told_health(world):
    status, body = get(world.outside[9100], "/healthz")
    told = json.loads(body)
    return status, told["status"], told["enclave"]


def came_in(outside):
    check("ingress", call(outside[7001], b""), b"word from inside\n")
    digest = hashlib.sha256(WHOLE).hexdigest()
    check("ingress, half-closed after 4 MiB", call(outside[7002], WHOLE), f"{digest}  -\n".encode())


def ended(world, parent, enclave):
    # The application exits with the number that it is sent.
    check("the last word to the application", call(world.outside[7003], b"7"), b"")
    check("QEMU after the enclave", enclave.ended(), 0)
    check("the enclave switched itself off", any("reboot: Restarting system" in line for line in enclave.lines), True)
    parent.wait("exit code", lambda line: record(line).get("code") == "run-ended" or None)
    last = [record(line) for line in parent.lines if record(line)][-1]
    check("exit code, the last line out of the enclave", (last["code"], last["exit_code"]), ("run-ended", 7))
    check("health of an enclave that has gone", told_health(world), (503, "enclave-unhealthy", "unreachable"))
    # A reset, which QEMU's network makes an end of.
    check("a caller of an enclave that has gone", call(world.outside[7001], b""), b"")
    unreachable = parent.wait("refused ingress", lambda line: json.loads(line) if "ingress-unreachable" in line else None)
    check("ingress to an enclave that has gone", unreachable["to"], f"vsock:{ENCLAVE}:7001")
    parent.type("stranger")
    parent.wait("stranger", lambda line: line == "parent stranger was told 0 bytes" or None)
    foreign = parent.wait("foreign CID", lambda line: json.loads(line) if "foreign-cid" in line else None)
    check("a caller of another CID", (foreign["expected"], foreign["found"]), (ENCLAVE, 1))
    parent.type("stop")
    parent.wait("end", lambda line: line == "host half ended with 0" or None)
    check("QEMU after the parent", parent.ended(), 0)


# What process 1 finds to do in a machine that has nothing.
STEPS = [
    ("/proc", "proc mounted"),
    ("/sys", "sysfs mounted"),
    ("/dev", "devtmpfs mounted"),
    ("/dev/pts", "devpts mounted"),
    ("/dev/shm", "tmpfs mounted"),
    ("/tmp", "tmpfs mounted"),
    ("/run", "tmpfs mounted"),
    ("links in /dev", "4 made"),
    ("host name", "enclave"),
    ("heartbeat", "the parent knows that the enclave has booted"),
    ("open-files", "131072 open files instead of 1024"),
    ("loopback", "lo is up"),
    ("entropy", "256 random bytes of the NSM credited to the kernel"),
]


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"FAILED: {why}")
