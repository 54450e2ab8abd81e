"""What is outside of both machines: destinations, and callers."""

import hashlib
import http.client
import http.server
import socket
import socketserver
import struct
import threading

from machine import PATIENCE

# Many packets of vsock, and more than its buffers hold. No two stretches of it are alike.
WHOLE = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(1 << 17))


class Web(http.server.BaseHTTPRequestHandler):
    word = b"word from outside\n"

    def do_GET(self):
        body = WHOLE if self.path == "/whole" else self.word
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Gated(Web):
    word = b"word behind the gate\n"


class LastWord(socketserver.StreamRequestHandler):
    """Answers when it has read to the end."""

    def handle(self):
        heard = self.rfile.read()
        self.wfile.write(b"heard: " + heard)


class Breaks(socketserver.BaseRequestHandler):
    """Sends half an answer and resets the connection."""

    def handle(self):
        self.request.recv(100)
        self.request.sendall(b"half of ")
        # The caller says that it has this half, so that the reset does not overtake it.
        self.request.recv(100)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Here, since the server would end its side in order first.
        self.request.close()


def serve(handler):
    """Its port on this machine's loopback, for as long as this process lives."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(port, everything):
    """Says everything, ends its side, and listens to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        stream.sendall(everything)
        stream.shutdown(socket.SHUT_WR)
        answer = b""
        while part := stream.recv(65536):
            answer += part
        return answer


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()
