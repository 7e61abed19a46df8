"""What rules of the operator cost a look-up that hits: CPU of the server's process, against the same server without rules."""

import shutil
import statistics
import subprocess
from pathlib import Path

from cache import Cache, mint_token
from processes import start_larder

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).with_name("rules")
BUILD_LIMIT_S = 900
# What `make bench` adds to the token: facts that rules look at.
CLAIMS = {"workflow": "ci", "ref_protected": "true", "event_name": "push", "actor": "octocat", "run_id": "7", "sha": "0" * 40}


def measure_rules(options, directory, secret, random_file, cpu_per_request, row):
    """Rows of each language and of a shadow, all in turns with the server without rules."""
    directory.mkdir(parents=True)
    script = str(RULES / "restore.js")
    sides = {
        "": {},
        "Rust rules": {"LARDER_RULES": str(build_rust(directory / "rust"))},
        "JavaScript rules": {"LARDER_RULES": script},
        "JavaScript in the shadow": {"LARDER_RULES_SHADOW": script},
    }
    bounds = {"Rust rules": 4, "JavaScript rules": 15}
    servers, caches = [], []
    try:
        for number, environment in enumerate(sides.values()):
            servers.append(start_larder(options.larder, directory / str(number), secret, environment))
            caches.append(Cache(servers[-1], mint_token(secret, CLAIMS)))
        with random_file(directory, 1024) as file:
            keys = [cache.store(file, 1024) for cache in caches]
        rounds = [
            [cpu_per_request(*asked, options.seconds) for asked in zip(servers, caches, keys)] for _ in range(options.rounds)
        ]
    finally:
        for server in servers:
            server.stop()
    columns = list(zip(*rounds))
    rows = []
    for name, column in list(zip(sides, columns))[1:]:
        ours, theirs = (statistics.median(side) * 1e6 for side in (column, columns[0]))
        # Microseconds more, of each round.
        more = statistics.median(a - b for a, b in zip(column, columns[0])) * 1e6
        label = f"look-up hit, {name}: µs more"
        rows.append(row(label, f"{ours:.1f} µs", f"{theirs:.1f} µs (without)", more, at_most=bounds.get(name)))
    return rows


def build_rust(folder):
    """Builds the rules in Rust as an operator does, with the crates that the server is built with; returns the file."""
    shutil.copytree(RULES / "rust", folder)
    (folder / "wit").mkdir()
    shutil.copyfile(ROOT / "wit/rules/rules.wit", folder / "wit/rules.wit")
    shutil.copyfile(ROOT / "Cargo.lock", folder / "Cargo.lock")
    subprocess.run([ROOT / "tests/scripts/cargo-wasm.sh"], cwd=folder, check=True, timeout=BUILD_LIMIT_S)
    return folder / "target/wasm32-unknown-unknown/release/bench_rules.wasm"
