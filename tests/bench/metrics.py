"""What metrics cost: a look-up that hits with them against one without, and a scrape of a server with many repositories."""

import http.client
import re
import statistics
import time

from cache import Cache, mint_token
from processes import start_larder

REPOSITORIES = 200
# Of each repository; a server keeps 32.
TOOLS = 8
# What a scrape reads of the database is kept for so long.
SNAPSHOT_S = 5
SCRAPES = 200
SCRAPE_BOUND_MS = 20


def measure_metrics(options, directory, secret, random_file, cpu_per_request, row):
    """Both, in turns with a server that counts nothing."""
    return [*lookup_rows(options, directory, secret, random_file, cpu_per_request, row), *scrape_rows(options, directory, secret, random_file, row)]


def lookup_rows(options, directory, secret, random_file, cpu_per_request, row):
    servers = []
    try:
        for name in ("true", "false"):
            servers.append(start_larder(options.larder, directory / name, secret, {"LARDER_METRICS": name}))
        caches = [Cache(server, mint_token(secret)) for server in servers]
        with random_file(directory, 1024) as file:
            keys = [cache.store(file, 1024) for cache in caches]
        rounds = [[cpu_per_request(*each, options.seconds) for each in zip(servers, caches, keys)] for _ in range(options.rounds)]
    finally:
        for server in servers:
            server.stop()
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*rounds))
    ratio = statistics.median(a / b for a, b in rounds)
    return [row("look-up hit with metrics", f"{ours:.1f} µs", f"{theirs:.1f} µs (LARDER_METRICS=false)", ratio, at_most=1.1)]


def scrape_rows(options, directory, secret, random_file, row):
    larder = start_larder(options.larder, directory / "scraped", secret, {"LARDER_MANAGEMENT_LISTEN": "127.0.0.1:0"})
    try:
        fill(larder, secret, random_file, directory)
        port = int(re.search(r"the management API listens.*address=\S+:(\d+)", larder.log.read_text())[1])
        fresh = []
        for _ in range(options.rounds):
            # A scrape soon after another one has what that one knew.
            time.sleep(SNAPSHOT_S + 0.2)
            fresh.append(scrape(port))
        before = larder.cpu_seconds()
        size = [scrape(port) for _ in range(SCRAPES)][-1][1]
        cpu_ms = (larder.cpu_seconds() - before) / SCRAPES * 1e3
    finally:
        larder.stop()
    ms = statistics.median(took for took, _ in fresh) * 1e3
    label = f"scrape, {REPOSITORIES} repositories with {TOOLS} tools"
    return [
        row(f"{label} ({size / 1024:.0f} KiB)", f"{ms:.1f} ms", f"{SCRAPE_BOUND_MS} ms (bound)", ms / SCRAPE_BOUND_MS, at_most=1),
        row("  CPU of one that asks the database nothing", f"{cpu_ms:.1f} ms", f"{SCRAPE_BOUND_MS} ms (bound)", cpu_ms / SCRAPE_BOUND_MS, at_most=1),
    ]


def fill(larder, secret, random_file, directory):
    """A repository has an entry, and look-ups of all its tools."""
    with random_file(directory, 1024) as file:
        for number in range(REPOSITORIES):
            claims = {"repository_id": str(number), "repository": f"octo/app-{number}"}
            cache = Cache(larder, mint_token(secret, claims))
            cache.store(file, 1024)
            for tool in range(TOOLS):
                cache.call_raw("GetCacheEntryDownloadURL", key=f"linux-tool{chr(ord('a') + tool)}-{number}")


def scrape(port):
    """Returns how long it took, and how many bytes came."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200 or b"larder_lookups_total{" not in body:
        raise RuntimeError(f"no metrics: {answer.status} {body[:200]}")
    return time.monotonic() - began, len(body)
