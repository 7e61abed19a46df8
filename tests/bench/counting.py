"""A TCP proxy on the loopback that counts the bytes on their way to a server."""

import socket
import threading

PIECE_BYTES = 256 * 1024


class CountingProxy:
    """`sent` is how many bytes went to the server so far, heads of requests and all."""

    def __init__(self, port):
        self.target, self.sent, self.lock = port, 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for ends, count in (((client, server), True), ((server, client), False)):
                threading.Thread(target=self._carry, args=(*ends, count), daemon=True).start()

    def _carry(self, source, sink, count):
        try:
            while piece := source.recv(PIECE_BYTES):
                if count:
                    with self.lock:
                        self.sent += len(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()
