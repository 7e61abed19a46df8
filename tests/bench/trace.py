#!/usr/bin/env python3
"""Writes a trace as a server would leave it, always the same: trace.py EVENTS > trace.jsonl

For `larder rules replay`: 200 repositories with pull requests, keys that change now and then, entries of 1 to 64 MiB. A job looks a key
up, and saves it where it is not found.
"""

import json
import random
import sys

BEGIN_MS = 1_800_000_000_000
REPOSITORIES = 200
PER_SECOND = 4


def events(count):
    chosen = random.Random(7)
    saved, number, entry = {}, 0, 0
    while number < count:
        repository = min(int(chosen.paretovariate(1.1)), REPOSITORIES)
        pull = chosen.random() < 0.6
        scope = f"refs/pull/{chosen.randrange(40)}/merge" if pull else "refs/heads/main"
        # A lock file changes about once a thousand jobs.
        key = f"npm-linux-{chosen.randrange(6)}-{number // 1000 // (1 + repository % 7)}"
        about = {
            "tenant": "default",
            "repository": str(repository),
            "key": key,
            "version": f"{repository % 3:064x}",
            "scopes": [f"{scope}=rw", *(["refs/heads/main=r"] if pull else [])],
            "client": "@actions/cache-5.0.3",
            "facts": {"event_name": "pull_request" if pull else "push", "run_id": str(number // 5), "workflow": "ci"},
        }
        found = saved.get((repository, scope, key)) or saved.get((repository, "refs/heads/main", key))
        time_ms = BEGIN_MS + number * 1000 // PER_SECOND
        lookup = {"time_ms": time_ms, "kind": "lookup", "status": 200, "outcome": "hit" if found else "miss", **about,
                  "restore_keys": [key.rsplit("-", 1)[0] + "-"]}
        yield {**lookup, **({"entry": found[0], "size": found[1], "scope": found[2]} if found else {})}
        number += 1
        if not found and number < count:
            entry += 1
            size = chosen.randrange(1 << 20, 64 << 20)
            saved[repository, scope, key] = (entry, size, scope)
            yield {"time_ms": time_ms + 100, "kind": "finalize", "status": 200, "outcome": "finalized", **about, "scope": scope,
                   "entry": entry, "size": size}
            number += 1


if __name__ == "__main__":
    for event in events(int(sys.argv[1])):
        print(json.dumps(event, separators=(",", ":")))
