"""The cache protocol as far as the bench needs it: tokens, look-ups, uploads."""

import base64
import hashlib
import hmac
import json
import time
import urllib.parse
import uuid

from transfers import Connection

SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"
VERSION = "5f" * 32


def mint_token(secret, more=None):
    """A token of a push to the main branch, signed with HS256, with `more` claims."""
    now = int(time.time())
    scopes = [{"Scope": "refs/heads/main", "Permission": 3}]
    claims = {"ac": json.dumps(scopes), "repository_id": "1", "nbf": now - 60, "exp": now + 24 * 3600, **(more or {})}
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{_base64url(signature)}"


def _encoded(value):
    return _base64url(json.dumps(value).encode())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Cache:
    """A Larder server seen as a client of the protocol."""

    def __init__(self, server, token):
        self.server = server
        self.token = token

    def connect(self):
        return Connection(self.server.port)

    def call_headers(self):
        return [("authorization", f"Bearer {self.token}"), ("content-type", "application/json")]

    def call_raw(self, method, **message):
        body = json.dumps({"version": VERSION, **message}).encode()
        with self.connect() as connection:
            return connection.post(SERVICE + method, body, self.call_headers())

    def call(self, method, **message):
        answer = json.loads(self.call_raw(method, **message))
        if answer.get("ok") is not True:
            raise RuntimeError(f"{method}: {answer}")
        return answer

    def begin(self):
        """Reserves a new key; returns it and the target of its uploads."""
        key = f"bench-{uuid.uuid4()}"
        return key, _target(self.call("CreateCacheEntry", key=key)["signed_upload_url"])

    def finish(self, key, size):
        self.call("FinalizeCacheEntryUpload", key=key, size_bytes=str(size))

    def download_target(self, key):
        return _target(self.call("GetCacheEntryDownloadURL", key=key)["signed_download_url"])

    def store(self, file, size):
        """Saves the first `size` bytes of a file by one request; returns the key."""
        key, target = self.begin()
        with self.connect() as connection:
            connection.put(target, file, 0, size, [("x-ms-blob-type", "BlockBlob")])
        self.finish(key, size)
        return key

    def commit_blocks(self, target, count):
        listed = "".join(f"<Latest>{block_id(n)}</Latest>" for n in range(count))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        with self.connect() as connection:
            connection.put_bytes(f"{target}&comp=blocklist", body)


def block_target(target, number):
    return f"{target}&comp=block&blockid={urllib.parse.quote(block_id(number), safe='')}"


def block_id(number):
    return base64.b64encode(f"{number:012}".encode()).decode()


def _target(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"
