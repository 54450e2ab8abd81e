"""Virtual machines without a disk, whose consoles are read line by line, and the vsock between them."""

import pathlib
import subprocess
import tempfile
import threading
import time

# Two processors that emulate two machines take their time, more so beside other work.
PATIENCE = 180


class Failed(Exception):
    pass


def until(what, found, alive=lambda: True):
    """Waits until `found` gives something."""
    deadline = time.monotonic() + PATIENCE
    while (value := found()) is None:
        if not alive():
            raise Failed(f"ended without {what}")
        if time.monotonic() > deadline:
            raise Failed(f"no {what} within {PATIENCE} s")
        time.sleep(0.02)
    return value


def end(process):
    """In order, or by force."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Image:
    """The file system that a machine boots with: a cpio archive ("newc", Linux: early-userspace/buffer-format.rst)."""

    def __init__(self):
        self.archive = bytearray()
        self.there = set()

    def add(self, path, content, mode=0o100755):
        parent = path.rpartition("/")[0]
        if parent and parent not in self.there:
            self.add(parent, b"", 0o040755)
        self.there.add(path)
        self._entry(path.lstrip("/"), mode, content.encode() if isinstance(content, str) else content)

    def file(self, path, source):
        self.add(path, pathlib.Path(source).read_bytes())

    def program(self, path, source):
        """A program without its symbols, and the libraries that it is linked with."""
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(["strip", "-o", stripped.name, source], check=True)
            self.file(path, stripped.name)
        # "name => /path (address)", or "/path (address)" for the loader.
        for word in subprocess.run(["ldd", source], check=True, capture_output=True, text=True).stdout.split():
            if word.startswith("/") and word not in self.there:
                self.file(word, word)

    def bytes(self):
        self._entry("TRAILER!!!", 0, b"")
        return bytes(self.archive)

    def _entry(self, name, mode, content):
        # Inode, mode, user, group, links, time, size, device (2), the node's own (2), name's size, checksum.
        fields = (len(self.archive), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        self.archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self.archive += content
        self._pad()

    def _pad(self):
        self.archive += b"\0" * (-len(self.archive) % 4)


class Switch:
    """The device that carries vsock between machines, a process of its own."""

    def __init__(self, program, folder, cids):
        self.folder = folder
        machines = []
        for cid in cids:
            # uds-path is for processes outside of any machine; nobody uses it here.
            machines += ["--vm", f"guest-cid={cid},socket={self.socket(cid)},uds-path={folder / f'uds{cid}'}"]
        self.process = subprocess.Popen([program, *machines], env={"RUST_LOG": "warn"})
        alive = lambda: self.process.poll() is None
        until("the sockets of vsock", lambda: all(self.socket(cid).exists() for cid in cids) or None, alive)

    def socket(self, cid):
        return self.folder / f"vhost{cid}"

    def end(self):
        end(self.process)


class Machine:
    """Boots at once. Its lines are printed as they come."""

    def __init__(self, name, switch, cid, kernel, image, command_line, devices=()):
        self.name, self.lines, self.started = name, [], time.monotonic()
        initrd = switch.folder / f"{name}.cpio"
        initrd.write_bytes(image.bytes())
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "pc,accel=tcg,memory-backend=memory", "-cpu", "max", "-m", "512M",
             # Shared: the process that carries vsock reads and writes the machine's memory.
             "-object", "memory-backend-memfd,id=memory,size=512M,share=on",
             "-chardev", f"socket,id=vsock,path={switch.socket(cid)}", "-device", "vhost-user-vsock-pci,chardev=vsock",
             "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", *devices,
             "-kernel", kernel, "-initrd", initrd,
             "-append", f"console=ttyS0 quiet panic=-1 rdinit=/init {command_line}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            line = line.decode(errors="replace").strip()
            print(f"{time.monotonic() - self.started:6.1f} {self.name:7} | {line}", flush=True)
            self.lines.append(line)

    def wait(self, what, make):
        """The first line that `make` makes something of."""
        seen = 0

        def found():
            nonlocal seen
            while seen < len(self.lines):
                seen += 1
                if (value := make(self.lines[seen - 1])) is not None:
                    return value
            return None

        return until(f"{what} of {self.name}", found, self.reader.is_alive)

    def type(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def ended(self):
        """The exit code of QEMU once the machine has switched itself off."""
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code

    def end(self):
        self.process.kill()
        self.process.wait()
