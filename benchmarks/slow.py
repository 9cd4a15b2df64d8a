"""``python -m benchmarks.slow URL CLIENTS``: that many clients that ask for the URL and then read 2 KiB
a second each, as slow as a server has to bear. Prints a line when all have asked; runs until killed.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

PORTION = 2048


def main(url: str, count: int) -> None:
    split = urlsplit(url)
    request = f"GET {split.path}?{split.query} HTTP/1.1\r\nHost: {split.netloc}\r\n\r\n".encode()
    assert split.hostname is not None
    assert split.port is not None
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((split.hostname, split.port))
        client.sendall(request)
        clients.append(client)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
            client.setblocking(False)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select(0.1):
                try:
                    alive = key.fileobj.recv(PORTION)  # type: ignore[union-attr]
                except OSError:
                    alive = b""
                if not alive:
                    selector.unregister(key.fileobj)
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
