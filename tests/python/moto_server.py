"""moto's KMS on a free loopback port; prints `ready PORT` and ends when its stdin does.

For tests of the session CA's root in KMS (proxy-server/src/ca/kms).
"""

import os
import sys
import threading

import waitress
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app


def end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    server = waitress.create_server(
        DomainDispatcherApplication(create_backend_app), host="127.0.0.1", port=0, threads=4
    )
    threading.Thread(target=end_with_stdin, daemon=True).start()
    print(f"ready {server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
