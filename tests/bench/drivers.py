"""Each storage driver against its storage driven directly: speed both ways, bytes written, CPU and memory of the server.

Runs beside the servers that tests/scripts/with-services.sh starts. The client's side is the same for Larder and for the storage: as
many connections, as large pieces, bytes dropped when they come.
"""

import os
import statistics
import time
import urllib.parse
import uuid

from cache import Cache, block_target, mint_token
from counting import CountingProxy
from processes import start_larder, start_nginx
from storages import STORAGES, prepare_clients
from transfers import MIB, Connection, at_once, timed

BYTES = 256 * MIB
WHOLE_BYTES = 128 * MIB
CONNECTIONS = 4
SMALL_BLOCKS = 1024
MANY_BLOCKS = 5000
MANY_AT_ONCE = 8


def missing_services():
    """The variables of servers that are not there."""
    return [storage.variable for storage in STORAGES if not os.environ.get(storage.variable)]


class Side:
    """Larder on one storage, seen as a client of the protocol."""

    def __init__(self, options, directory, storage, secret, endpoint=None):
        self.storage, self.prefix = storage, f"bench/{uuid.uuid4()}"
        self.larder = start_larder(options.larder, directory, secret, storage.environment(self.prefix, endpoint))
        self.cache = Cache(self.larder, mint_token(secret))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.larder.stop()
        self.forget(())

    def forget(self, kept):
        """Takes away what was stored, behind the server's back, for space."""
        for key in self.storage.keys(self.prefix + "/").keys() - set(kept):
            self.storage.delete(key)

    def upload(self, file, size, connections):
        if connections == 1:
            return self.cache.store(file, size)
        key, target = self.cache.begin()
        share = size // connections

        def put(number):
            with self.cache.connect() as connection:
                connection.put(block_target(target, number), file, number * share, share)

        at_once([lambda n=n: put(n) for n in range(connections)])
        self.cache.commit_blocks(target, connections)
        self.cache.finish(key, size)
        return key

    def read(self, target, start, length):
        with self.cache.connect() as connection:
            return connection.drain(target, [("range", f"bytes={start}-{start + length - 1}")])


def measure_drivers(options, directory, secret, random_file, row):
    prepare_clients()
    directory.mkdir(parents=True)
    with random_file(directory, BYTES) as file:
        rows = []
        for storage in (kind() for kind in STORAGES if kind.name.lower() in options.storages):
            home = directory / storage.name.lower()
            rows += compare(options, home / "timed", storage, secret, file, row)
            rows += count_bytes(options, home / "counted", storage, secret, file, row)
    return rows


def compare(options, directory, storage, secret, file, row):
    """Uploads and downloads in turns; then CPU and memory of the server over all of them."""
    with Side(options, directory, storage, secret) as side:
        download = side.cache.download_target(side.upload(file, BYTES, CONNECTIONS))
        kept = set(storage.keys(side.prefix + "/"))
        source = f"{side.prefix}-direct/source"
        storage.upload(source, file, BYTES, CONNECTIONS)
        at = urllib.parse.urlsplit(storage.endpoint)
        nginx = start_nginx(options.nginx, directory / "nginx", options.nginx_body_buffer, f"{at.scheme}://{at.netloc}")
        proxied = f"/proxied{storage.target(source)}"
        rows = []
        try:
            for label, size, ours, *others in (
                (f"up, {CONNECTIONS} blocks at once", BYTES, lambda: side.upload(file, BYTES, CONNECTIONS),
                 lambda: storage.upload(f"{side.prefix}-direct/{uuid.uuid4()}", file, BYTES, CONNECTIONS)),
                ("up, one request of 128 MiB", WHOLE_BYTES, lambda: side.upload(file, WHOLE_BYTES, 1),
                 lambda: storage.upload(f"{side.prefix}-direct/{uuid.uuid4()}", file, WHOLE_BYTES, 1)),
                (f"down, {CONNECTIONS} ranges at once", BYTES, lambda: ranges(lambda *at: side.read(download, *at), CONNECTIONS),
                 lambda: ranges(lambda *at: storage.read(source, *at), CONNECTIONS),
                 lambda: ranges(lambda *at: read_proxied(nginx, proxied, *at), CONNECTIONS)),
                ("down, 1 connection", BYTES, lambda: ranges(lambda *at: side.read(download, *at), 1),
                 lambda: ranges(lambda *at: storage.read(source, *at), 1),
                 lambda: ranges(lambda *at: read_proxied(nginx, proxied, *at), 1)),
            ):
                rounds = []
                # The first round warms up and does not count. The sides change places from round to round.
                for number in range(options.rounds + 1):
                    order = (ours, *others) if number % 2 else (*reversed(others), ours)
                    done = {work: timed(side.larder, work) for work in order}
                    side.forget(kept)
                    forget_direct(storage, side.prefix, source)
                    if number:
                        rounds.append([done[work] for work in (ours, *others)])
                speed = [statistics.median(size / 1e6 / one[0] for one in column) for column in zip(*rounds)]
                ratios = [b[0] / a[0] for a, b, *_ in rounds]
                used = statistics.median(a[1] / (size / 1e9) for a, *_ in rounds)
                rows.append(row(f"{storage.name} {label}", f"{speed[0]:.0f} MB/s", f"{speed[1]:.0f} MB/s ({storage.server})",
                                statistics.median(ratios), at_least=0.8))
                rows.append(row("  lowest and highest ratio", f"{min(ratios):.2f}", f"{max(ratios):.2f}", None))
                rows.append(row("  CPU per GB", f"{used:.2f} s", "", None))
                if len(others) > 1:
                    beside = statistics.median(c[0] / a[0] for a, _, c in rounds)
                    rows.append(row("  beside nginx as a proxy", f"{speed[0]:.0f} MB/s", f"{speed[2]:.0f} MB/s (nginx)", beside))
            peak = side.larder.memory("VmHWM")
        finally:
            nginx.stop()
            forget_direct(storage, side.prefix, None)
    return [*rows, row(f"{storage.name} peak resident", f"{peak / MIB:.1f} MiB", "", None)]


def read_proxied(nginx, target, start, length):
    with Connection(nginx.port) as connection:
        return connection.drain(target, [("range", f"bytes={start}-{start + length - 1}")])


def forget_direct(storage, prefix, kept):
    for key in storage.keys(f"{prefix}-direct/"):
        if key != kept:
            storage.delete(key)


def ranges(read, connections):
    share = BYTES // connections
    taken = []
    at_once([lambda n=n: taken.append(read(n * share, share)) for n in range(connections)])
    if sum(taken) != BYTES:
        raise RuntimeError(f"{sum(taken)} bytes came, {BYTES} were asked for")


def count_bytes(options, directory, storage, secret, file, row):
    """All bytes that go to the storage for one upload, at a proxy; and what lies in the storage then, by its own listing."""
    proxy = CountingProxy(urllib.parse.urlsplit(storage.endpoint).port)
    rows = []
    try:
        with Side(options, directory, storage, secret, proxy.url) as side:
            for label, size, connections in (("blocks", BYTES, CONNECTIONS), ("one request", WHOLE_BYTES, 1)):
                side.forget(())
                before = proxy.sent
                side.upload(file, size, connections)
                sent = proxy.sent - before
                listed = sum(storage.keys(side.prefix + "/").values())
                if sent < size or listed < size:
                    raise RuntimeError(f"{sent} bytes went by the proxy and {listed} are stored, of {size}")
                rows.append(row(f"{storage.name} bytes sent, {label}", f"{sent}", f"{size} (the object)", sent / size, at_most=1.01))
                rows.append(row("  stored, by listing", f"{listed}", "", listed / size, at_most=1.01))
    finally:
        proxy.close()
    return rows


def measure_s3_blocks(options, directory, secret, row, memory_of):
    """Small blocks on S3: in sequence against one upload, the commit of very many, and memory with many transfers."""
    prepare_clients()
    storage = STORAGES[0]()
    directory.mkdir(parents=True)
    size = SMALL_BLOCKS * MIB
    with open(directory / "zeroes", "w+b") as file:
        file.truncate(size)
        with Side(options, directory / "larder", storage, secret) as side:
            rounds = []
            for _ in range(options.rounds):
                rounds.append((timed(side.larder, lambda: in_sequence(side.cache, file)),
                               timed(side.larder, lambda: side.upload(file, size, 1))))
                side.forget(())
            blocks, whole = (statistics.median(size / 1e6 / one[0] for one in column) for column in zip(*rounds))
            ratio = statistics.median(b[0] / a[0] for a, b in rounds)
        with Side(options, directory / "many", storage, secret) as side:
            seconds, peak = commit_many(side, file)
    return [
        row("S3 1,024 blocks of 1 MiB, one by one", f"{blocks:.0f} MB/s", f"{whole:.0f} MB/s (one upload)", ratio, at_least=0.7),
        row("S3 commit of 5,000 blocks of 1 MiB", f"{seconds:.2f} s", f"peak {peak / MIB:.1f} MiB", None),
        *memory_of(storage),
    ]


def in_sequence(cache, file):
    key, target = cache.begin()
    with cache.connect() as connection:
        for number in range(SMALL_BLOCKS):
            connection.put(block_target(target, number), file, number * MIB, MIB)
    cache.commit_blocks(target, SMALL_BLOCKS)
    cache.finish(key, SMALL_BLOCKS * MIB)


def commit_many(side, file):
    """Uploads 5,000 blocks of zeroes; returns the seconds of their commit, and the server's peak over all of it."""
    key, target = side.cache.begin()

    def put(first):
        with side.cache.connect() as connection:
            for number in range(first, MANY_BLOCKS, MANY_AT_ONCE):
                connection.put(block_target(target, number), file, 0, MIB)

    at_once([lambda n=n: put(n) for n in range(MANY_AT_ONCE)])
    start = time.perf_counter()
    side.cache.commit_blocks(target, MANY_BLOCKS)
    side.cache.finish(key, MANY_BLOCKS * MIB)
    return time.perf_counter() - start, side.larder.memory("VmHWM")
