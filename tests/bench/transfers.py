"""Loads that cost the client next to nothing, so that the server is what is measured.

Uploads go from the page cache to the socket by sendfile; downloads are counted and thrown away inside of the kernel.
"""

import os
import re
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor

MIB = 1024 * 1024
PIECE_BYTES = 4 * MIB
STALL_LIMIT_S = 60
HEAD_LIMIT_BYTES = 64 * 1024
# Where recv would put bytes that MSG_TRUNC throws away.
_SINK = bytearray(PIECE_BYTES)


class Connection:
    """One HTTP/1.1 connection, kept open between requests."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=STALL_LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def put(self, target, file, offset, size, headers=(), method="PUT"):
        """Sends `size` bytes of an open file as the body of a request; returns the body of the answer."""
        self._send_head(method, target, [("content-length", size), *headers])
        sent = 0
        while sent < size:
            self._wait_writable()
            sent += os.sendfile(self.socket.fileno(), file.fileno(), offset + sent, min(PIECE_BYTES, size - sent))
        return self._answer((200, 201, 204))

    def post(self, target, body, headers=()):
        """Sends a small POST; returns the body of the answer."""
        self._send_head("POST", target, [("content-length", len(body)), *headers])
        self.socket.sendall(body)
        return self._answer((200,))

    def put_bytes(self, target, body):
        """Sends a small PUT; returns the body of the answer."""
        self._send_head("PUT", target, [("content-length", len(body))])
        self.socket.sendall(body)
        return self._answer((200, 201, 204))

    def drain(self, target, headers=()):
        """Downloads and throws away; returns how many bytes came."""
        self._send_head("GET", target, headers)
        status, length, early = self._head()
        self._expect(status, (200, 206), early)
        left = length - len(early)
        while left:
            taken = self.socket.recv_into(_SINK, min(len(_SINK), left), socket.MSG_TRUNC)
            if not taken:
                raise RuntimeError(f"GET {target}: ended {left} bytes early")
            left -= taken
        return length

    def _send_head(self, method, target, headers):
        lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{self.port}", *(f"{n}: {v}" for n, v in headers)]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(HEAD_LIMIT_BYTES)
            if not piece or len(data) > HEAD_LIMIT_BYTES:
                raise RuntimeError(f"no answer: {data[:200]!r}")
            data += piece
        head, _, early = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        return int(head.split(b" ", 2)[1]), int(length[1]) if length else 0, early

    def _answer(self, allowed):
        status, length, body = self._head()
        while len(body) < length:
            piece = self.socket.recv(length - len(body))
            if not piece:
                raise RuntimeError("the answer ended early")
            body += piece
        self._expect(status, allowed, body)
        return body

    @staticmethod
    def _expect(status, allowed, body):
        if status not in allowed:
            raise RuntimeError(f"status {status}: {body[:300]!r}")

    def _wait_writable(self):
        # A socket with a timeout does not block; os.sendfile would fail where the buffer is full.
        if not select.select([], [self.socket], [], STALL_LIMIT_S)[1]:
            raise RuntimeError("the server takes no bytes")


def timed(server, work):
    """Runs `work`; returns its wall seconds and the CPU seconds that the server used for it."""
    os.sync()
    cpu, start = server.cpu_seconds(), time.perf_counter()
    work()
    return time.perf_counter() - start, server.cpu_seconds() - cpu


def at_once(jobs):
    """Runs all jobs at the same time; fails where one of them does."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()
