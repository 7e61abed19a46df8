"""Loads that cost the client little, so that the server is what is measured.

Uploads go from the page cache to the socket by sendfile. Downloads are read into one buffer, as every client has to, or, to see the
server alone, counted and thrown away inside of the kernel.
"""

import os
import re
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

MIB = 1024 * 1024
PIECE_BYTES = 4 * MIB
STALL_LIMIT_S = 60
HEAD_LIMIT_BYTES = 64 * 1024
# What a client reads at once; a buffer of this size stays in the core's cache.
READ_BYTES = 256 * 1024


class Connection:
    """One HTTP/1.1 connection, kept open between requests."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port))
        # Bounds in the kernel: with Python's own the socket would not block, and a thread would wake for every segment.
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", STALL_LIMIT_S, 0))
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

    def drain(self, target, headers=(), discard=False):
        """Downloads, reads the bytes or has the kernel discard them; returns how many came."""
        self._send_head("GET", target, headers)
        status, length, early = self._head()
        self._expect(status, (200, 206), early)
        buffer, left = bytearray(PIECE_BYTES if discard else READ_BYTES), length - len(early)
        how = socket.MSG_TRUNC if discard else socket.MSG_WAITALL
        while left:
            taken = self.socket.recv_into(buffer, min(len(buffer), left), how)
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
