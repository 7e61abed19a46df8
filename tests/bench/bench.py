#!/usr/bin/env python3
"""Measures Larder against a bare hyper server and against nginx, and prints one table of ratios.

Everything is measured in the same run, the two sides in turns, and the median of the rounds counts, so that a busy machine disturbs
both sides alike. Called by `make bench`; README.md in this directory says what the figures mean.
"""

import argparse
import http.server
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cache import SERVICE, VERSION, Cache, block_target, mint_token
from drivers import measure_drivers, measure_s3_blocks, missing_services
from metrics import measure_metrics
from processes import start_bare, start_larder, start_nginx
from rules import measure_rules
from transfers import MIB, Connection, at_once, timed

SECRET = "bench-secret-of-at-least-thirty-two-bytes"
WRK_SCRIPT = Path(__file__).with_name("lookup.lua")
WRK_CONNECTIONS = 16
TRANSFER_BYTES = 512 * MIB
BLOCKS = 1024
MEMORY_TRANSFERS = 16
MEMORY_BYTES = 256 * MIB
MEMORY_BLOCK_BYTES = 64 * MIB
SAMPLE_S = 0.02


def main():
    options = parse_options()
    options.dir.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="larder-bench-", dir=options.dir))
    # Readable for nginx's workers.
    directory.chmod(0o755)
    rows = []
    try:
        for name in options.only:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows += MEASUREMENTS[name](options, directory / name)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print_table(rows)
    return 0 if all(row["holds"] for row in rows) or not options.strict else 1


def parse_options():
    root = Path(__file__).resolve().parents[2]
    target = root / os.environ.get("CARGO_TARGET_DIR", "target")
    parser = argparse.ArgumentParser(description="Measures Larder; see README.md beside this file.")
    parser.add_argument("--larder", default=target / "release/larder", help="the server's binary")
    parser.add_argument("--bare", default=target / "release/larder-bench-bare", help="the bare hyper server's binary")
    parser.add_argument("--nginx", default="nginx", help="nginx's binary")
    parser.add_argument("--nginx-body-buffer", default="16k", help="its client_body_buffer_size; 16k is its default")
    parser.add_argument("--dir", type=Path, default=target / "bench", help="where data goes while it runs (6 GiB)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--seconds", type=int, default=4, help="length of each round of look-ups")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), help="default: all that the servers are there for")
    parser.add_argument("--storages", nargs="+", choices=["s3", "gcs", "azure"], default=["s3", "gcs", "azure"],
                        help="those that `drivers` measures")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where a ratio misses its bound")
    options = parser.parse_args()
    missing = missing_services()
    options.only = options.only or [name for name in MEASUREMENTS if not missing or name not in ON_STORAGES]
    if missing and ON_STORAGES & set(options.only):
        parser.error(f"not set: {', '.join(missing)}; run this by tests/scripts/with-services.sh seaweedfs fake-gcs azurite -- …")
    return options


def measure_lookup(options, directory):
    """CPU of a look-up that hits, with a verified token, against a bare server that answers the same bytes."""
    larder = start_larder(options.larder, directory / "larder", SECRET)
    bare = None
    try:
        cache = Cache(larder, mint_token(SECRET))
        with random_file(directory, 1024) as file:
            key = cache.store(file, 1024)
        answer = cache.call_raw("GetCacheEntryDownloadURL", key=key)
        bare = start_bare(options.bare, directory / "bare", answer)
        rounds = [[cpu_per_request(server, cache, key, options.seconds) for server in (larder, bare)]
                  for _ in range(options.rounds)]
    finally:
        stop_all(larder, bare)
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*rounds))
    ratio = statistics.median(a / b for a, b in rounds)
    return [row("look-up hit, CPU per request", f"{ours:.1f} µs", f"{theirs:.1f} µs (bare hyper)", ratio, at_most=3)]


def measure_traces(options, directory):
    """CPU of a look-up that hits, with a collector and none or all requests sampled, against a server without one."""
    collector = start_collector()
    servers = []
    try:
        for name, ratio in (("off", None), ("none", "0"), ("all", "1")):
            more = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}", "OTEL_METRICS_EXPORTER": "none",
                    "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
            servers.append(start_larder(options.larder, directory / name, SECRET, more if ratio else None))
        caches = [Cache(server, mint_token(SECRET)) for server in servers]
        with random_file(directory, 1024) as file:
            keys = [cache.store(file, 1024) for cache in caches]
        rounds = [[cpu_per_request(*each, options.seconds) for each in zip(servers, caches, keys)] for _ in range(options.rounds)]
    finally:
        stop_all(*servers)
        collector.shutdown()
    off, none, every = (statistics.median(column) * 1e6 for column in zip(*rounds))
    ratios = [statistics.median(row[at] / row[0] for row in rounds) for at in (1, 2)]
    return [row(f"look-up hit with traces, {sampled}", f"{ours:.1f} µs", f"{off:.1f} µs (no collector)", ratio, at_most=bound)
            for sampled, ours, ratio, bound in (("none sampled", none, ratios[0], 1.05), ("all sampled", every, ratios[1], 1.5))]


def start_collector():
    """A collector of OpenTelemetry that takes everything and keeps nothing. Its CPU is this process's."""
    class Taken(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taken)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    return collector


def cpu_per_request(server, cache, key, seconds):
    environment = {
        **os.environ,
        "LOOKUP_TARGET": SERVICE + "GetCacheEntryDownloadURL",
        "LOOKUP_TOKEN": cache.token,
        "LOOKUP_BODY": json.dumps({"key": key, "version": VERSION}),
    }
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds}s", "-s", str(WRK_SCRIPT), server.url]
    before = server.cpu_seconds()
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
    used = server.cpu_seconds() - before
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise RuntimeError(f"look-ups failed:\n{printed}")
    return used / int(re.search(r"(\d+) requests in", printed)[1])


def measure_with_rules(options, directory):
    """What rules cost a look-up; rules.py."""
    return measure_rules(options, directory, SECRET, random_file, cpu_per_request, row)


def measure_with_metrics(options, directory):
    """What metrics cost a look-up, and what a scrape costs; metrics.py."""
    return measure_metrics(options, directory, SECRET, random_file, cpu_per_request, row)


def measure_transfers(options, directory):
    """Download and upload over 1 and 4 connections, against nginx on the same directory."""
    larder = start_larder(options.larder, directory / "larder", SECRET)
    nginx = None
    try:
        nginx = start_nginx(options.nginx, directory / "nginx", options.nginx_body_buffer)
        cache = Cache(larder, mint_token(SECRET))
        with random_file(directory, TRANSFER_BYTES) as file:
            shutil.copyfile(file.name, directory / "nginx/files/source")
            key = cache.store(file, TRANSFER_BYTES)
            sides = {
                "down": (lambda n: download(larder, cache.download_target(key), n), lambda n: download(nginx, "/source", n)),
                "down, discarded by the kernel": (lambda n: download(larder, cache.download_target(key), n, discard=True),
                                                  lambda n: download(nginx, "/source", n, discard=True)),
                "up": (lambda n: upload_to_larder(cache, file, n), lambda n: upload_to_nginx(nginx, file, n)),
            }
            rows = []
            for direction, (ours, theirs) in sides.items():
                for connections in (1, 4):
                    rows += transfer_rows(options, direction, connections, ours, theirs, larder, nginx)
    finally:
        stop_all(larder, nginx)
    return rows


def transfer_rows(options, direction, connections, ours, theirs, larder, nginx):
    kept = set(stored_objects(larder))
    rounds = []
    # The first round warms the page cache and does not count.
    for number in range(options.rounds + 1):
        pair = timed(larder, lambda: ours(connections)), timed(nginx, lambda: theirs(connections))
        forget_uploads(larder, kept, nginx)
        if number:
            rounds.append(pair)
    mb, gb = TRANSFER_BYTES / 1e6, TRANSFER_BYTES / 1e9
    speed = [statistics.median(mb / side[0] for side in column) for column in zip(*rounds)]
    cpu = [statistics.median(side[1] / gb for side in column) for column in zip(*rounds)]
    label = f"512 MiB {direction}, {connections} connection{'s' * (connections > 1)}"
    return [
        row(label, f"{speed[0]:.0f} MB/s", f"{speed[1]:.0f} MB/s (nginx)",
            statistics.median(b[0] / a[0] for a, b in rounds), at_least=None if "discarded" in direction else 1.2),
        row("  CPU per GB", f"{cpu[0]:.2f} s", f"{cpu[1]:.2f} s (nginx)", statistics.median(a[1] / b[1] for a, b in rounds)),
    ]


def download(server, target, connections, discard=False):
    share = TRANSFER_BYTES // connections

    def part(number):
        with Connection(server.port) as connection:
            start = number * share
            ranged = [("range", f"bytes={start}-{start + share - 1}")] if connections > 1 else []
            if connection.drain(target, ranged, discard) != share:
                raise RuntimeError("the range is not as long as asked for")

    at_once([lambda number=number: part(number) for number in range(connections)])


def upload_to_larder(cache, file, connections):
    """One request with everything, or one block for each connection."""
    if connections == 1:
        cache.store(file, TRANSFER_BYTES)
        return
    key, target = cache.begin()
    at_once([lambda n=n: put_share(cache.server, block_target(target, n), file, n, connections) for n in range(connections)])
    cache.commit_blocks(target, connections)
    cache.finish(key, TRANSFER_BYTES)


def upload_to_nginx(nginx, file, connections):
    at_once([lambda n=n: put_share(nginx, f"/uploaded-{n}", file, n, connections) for n in range(connections)])


def put_share(server, target, file, number, connections):
    share = TRANSFER_BYTES // connections
    with Connection(server.port) as connection:
        connection.put(target, file, number * share, share)


def measure_digests(options, directory):
    """Uploads with the SHA-256 of all bytes, and without."""
    with_them = without = None
    rows = []
    try:
        with_them = start_larder(options.larder, directory / "on", SECRET, {"LARDER_STORAGE_DIGESTS": "on"})
        without = start_larder(options.larder, directory / "off", SECRET, {"LARDER_STORAGE_DIGESTS": "off"})
        caches = [Cache(server, mint_token(SECRET)) for server in (with_them, without)]
        with random_file(directory, TRANSFER_BYTES) as file:
            for connections in (1, 4):
                rounds = []
                # The first round warms the page cache and does not count.
                for number in range(options.rounds + 1):
                    pair = [timed(cache.server, lambda: upload_to_larder(cache, file, connections)) for cache in caches]
                    for server in (with_them, without):
                        forget_uploads(server, set())
                    if number:
                        rounds.append(pair)
                rows += digest_rows(connections, rounds)
    finally:
        stop_all(with_them, without)
    return rows


def digest_rows(connections, rounds):
    mb, gb = TRANSFER_BYTES / 1e6, TRANSFER_BYTES / 1e9
    speed = [statistics.median(mb / side[0] for side in column) for column in zip(*rounds)]
    cpu = [statistics.median(side[1] / gb for side in column) for column in zip(*rounds)]
    label = f"512 MiB up with digests, {connections} connection{'s' * (connections > 1)}"
    return [
        row(label, f"{speed[0]:.0f} MB/s", f"{speed[1]:.0f} MB/s (without)", statistics.median(b[0] / a[0] for a, b in rounds),
            at_least=0.9),
        row("  CPU per GB", f"{cpu[0]:.2f} s", f"{cpu[1]:.2f} s (without)", statistics.median(a[1] / b[1] for a, b in rounds)),
    ]


def measure_blocks(options, directory):
    """1,024 blocks of 1 MiB, one after the other (as BuildKit uploads), against one large upload."""
    size = BLOCKS * MIB
    larder = start_larder(options.larder, directory / "larder", SECRET)
    try:
        cache = Cache(larder, mint_token(SECRET))
        with random_file(directory, size) as file:
            rounds = []
            for _ in range(options.rounds):
                rounds.append((timed(larder, lambda: upload_blocks(cache, file)), timed(larder, lambda: cache.store(file, size))))
                forget_uploads(larder, set())
    finally:
        stop_all(larder)
    blocks, whole = (statistics.median(size / 1e6 / side[0] for side in column) for column in zip(*rounds))
    ratio = statistics.median(b[0] / a[0] for a, b in rounds)
    return [row("1,024 blocks of 1 MiB, one by one", f"{blocks:.0f} MB/s", f"{whole:.0f} MB/s (one upload)", ratio, at_least=0.7)]


def upload_blocks(cache, file):
    key, target = cache.begin()
    with cache.connect() as connection:
        for number in range(BLOCKS):
            connection.put(block_target(target, number), file, number * MIB, MIB)
    cache.commit_blocks(target, BLOCKS)
    cache.finish(key, BLOCKS * MIB)


def measure_memory(options, directory):
    """Resident memory after start, and the peak during 16 uploads and 16 downloads of 256 MiB at once."""
    started, peak, anonymous = memory_figures(options, directory)
    return [
        row("resident after start", f"{started / MIB:.1f} MiB", "60 MiB (bound)", started / (60 * MIB), at_most=1),
        *peak_rows("peak, 16 up + 16 down of 256 MiB", peak, anonymous),
    ]


def peak_rows(label, peak, anonymous):
    return [
        row(label, f"{peak / MIB:.1f} MiB", "128 MiB (bound)", peak / (128 * MIB), at_most=1),
        row("  of it anonymous", f"{anonymous / MIB:.1f} MiB", "", None),
    ]


def memory_figures(options, directory, more=None):
    """Resident memory after start, its peak in the transfers, and the peak of what is anonymous."""
    larder = start_larder(options.larder, directory / "larder", SECRET, more)
    try:
        cache = Cache(larder, mint_token(SECRET))
        started = larder.memory("VmRSS")
        with random_file(directory, MEMORY_BYTES) as file:
            target = cache.download_target(cache.store(file, MEMORY_BYTES))
            uploads = [lambda: upload_in_blocks(cache, file)] * MEMORY_TRANSFERS
            downloads = [lambda: drain_once(cache, target)] * MEMORY_TRANSFERS
            with Sampler(larder, "RssAnon") as anonymous:
                at_once(uploads + downloads)
        peak = larder.memory("VmHWM")
    finally:
        stop_all(larder)
    return started, peak, anonymous.peak


def measure_on_drivers(options, directory):
    """Each storage driver against the storage itself; drivers.py."""
    return measure_drivers(options, directory, SECRET, random_file, row)


def measure_on_s3(options, directory):
    """Small blocks and many transfers on S3; drivers.py."""

    def memory_of(storage):
        prefix = f"bench/{directory.parent.name}"
        try:
            _, peak, anonymous = memory_figures(options, directory / "memory", storage.environment(prefix))
        finally:
            for key in storage.keys(prefix):
                storage.delete(key)
        return peak_rows("S3 peak, 16 up + 16 down of 256 MiB", peak, anonymous)

    return measure_s3_blocks(options, directory, SECRET, row, memory_of)


def upload_in_blocks(cache, file):
    key, target = cache.begin()
    count = MEMORY_BYTES // MEMORY_BLOCK_BYTES
    with cache.connect() as connection:
        for number in range(count):
            connection.put(block_target(target, number), file, number * MEMORY_BLOCK_BYTES, MEMORY_BLOCK_BYTES)
    cache.commit_blocks(target, count)
    cache.finish(key, MEMORY_BYTES)


def drain_once(cache, target):
    with cache.connect() as connection:
        connection.drain(target)


class Sampler:
    """Watches a memory figure while a `with` block runs; `peak` is the highest value seen."""

    def __init__(self, server, field):
        self.server, self.field, self.peak = server, field, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _watch(self):
        while not self.over.wait(SAMPLE_S):
            self.peak = max(self.peak, self.server.memory(self.field))


def random_file(directory, size):
    """An open file of random bytes that is in the page cache and on disk."""
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:
        for _ in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size)))
    os.sync()
    return open(file.name, "rb")


def stored_objects(larder):
    return [path for path in (larder.directory / "data/storage/objects").rglob("*") if path.is_file()]


def forget_uploads(larder, kept, nginx=None):
    """Takes the files of finished uploads away, for space; what is written is on disk before the next measurement."""
    uploaded = [path for path in stored_objects(larder) if path not in kept]
    if nginx:
        uploaded += (nginx.directory / "files").glob("uploaded-*")
    for path in uploaded:
        path.unlink()


def stop_all(*servers):
    for server in servers:
        if server:
            server.stop()


def row(what, larder, other, ratio, at_most=None, at_least=None):
    bound = f"≤ {at_most}" if at_most else f"≥ {at_least}" if at_least else ""
    holds = not (at_most and ratio > at_most or at_least and ratio < at_least)
    cells = [what, larder, other, "" if ratio is None else f"{ratio:.2f}", bound, "" if holds else "MISSED"]
    # Seen at once, too: the measurements take minutes.
    print("  ".join(cells).rstrip(), file=sys.stderr, flush=True)
    return {"cells": cells, "holds": holds}


def print_table(rows):
    table = [["", "larder", "compared with", "ratio", "bound", ""], *(row["cells"] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


MEASUREMENTS = {
    "lookup": measure_lookup,
    "rules": measure_with_rules,
    "metrics": measure_with_metrics,
    "traces": measure_traces,
    "transfers": measure_transfers,
    "digests": measure_digests,
    "blocks": measure_blocks,
    "memory": measure_memory,
    "drivers": measure_on_drivers,
    "s3-blocks": measure_on_s3,
}
# Those that need the servers of tests/scripts/services.
ON_STORAGES = {"drivers", "s3-blocks"}

if __name__ == "__main__":
    sys.exit(main())
