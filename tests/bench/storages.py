"""The storages under the drivers, each driven directly with a client of its own: what Larder is compared with.

Every class has the same few methods. `environment` is what makes Larder use the storage, by `endpoint` if that is told. Signatures
cover no bodies where the client lets one choose: the direct side is to be as fast as it can be.
"""

import fcntl
import json
import os
import subprocess
import sys
import sysconfig
import urllib.parse
import urllib.request
from pathlib import Path

from transfers import MIB, Connection, at_once

CLIENTS = ("boto3==1.43.11", "azure-storage-blob==12.31.1")
PIECE_BYTES = MIB


def prepare_clients():
    """Installs the clients once beside the other tools, and makes them importable."""
    tools = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "larder/tools"
    tools.mkdir(parents=True, exist_ok=True)
    home = tools / f"bench-clients-{'-'.join(CLIENTS).replace('==', '-')}-{sysconfig.get_python_version()}"
    with open(tools / "bench-clients.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            pip = [str(home / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True, stdout=sys.stderr)
            subprocess.run([*pip, "--target", home / "packages", *CLIENTS], check=True, stdout=sys.stderr)
            (home / "complete").touch()
    sys.path.insert(0, str(home / "packages"))


class S3:
    name, server = "S3", "SeaweedFS, boto3"
    variable = "LARDER_TEST_S3_ENDPOINT"

    def __init__(self):
        import boto3
        from botocore.config import Config

        self.endpoint, self.bucket = os.environ[self.variable], os.environ["LARDER_TEST_S3_BUCKET"]
        self.access, self.secret = os.environ["LARDER_TEST_S3_ACCESS_KEY"], os.environ["LARDER_TEST_S3_SECRET_KEY"]
        config = Config(
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
        )
        self.client = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config,
            aws_access_key_id=self.access, aws_secret_access_key=self.secret,
        )

    def environment(self, prefix, endpoint=None):
        return {
            "STORAGE_DRIVER": "s3", "STORAGE_S3_BUCKET": self.bucket, "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
            "LARDER_STORAGE_PREFIX": prefix,
        }

    def upload(self, key, file, size, connections):
        from boto3.s3.transfer import TransferConfig

        if connections == 1:
            with open(file.name, "rb") as body:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=Limited(body, size), ContentLength=size)
            return
        share = size // connections
        config = TransferConfig(multipart_threshold=share, multipart_chunksize=share, max_concurrency=connections)
        self.client.upload_file(file.name, self.bucket, key, Config=config)

    def read(self, key, start, length):
        body = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")["Body"]
        return sum(map(len, body.iter_chunks(PIECE_BYTES)))

    def target(self, key):
        """Where anyone who asks the server by its own name gets the object."""
        url = self.client.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": key})
        return url.removeprefix(self.endpoint)

    def keys(self, prefix):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def delete(self, key):
        self.client.delete_object(Bucket=self.bucket, Key=key)


class Gcs:
    name, server = "GCS", "fake-gcs-server, JSON API"
    variable = "LARDER_TEST_GCS_ENDPOINT"

    def __init__(self):
        self.endpoint, self.bucket = os.environ[self.variable], os.environ["LARDER_TEST_GCS_BUCKET"]
        self.port = urllib.parse.urlsplit(self.endpoint).port

    def environment(self, prefix, endpoint=None):
        return {
            "STORAGE_DRIVER": "gcs", "STORAGE_GCS_BUCKET": self.bucket, "STORAGE_GCS_ENDPOINT": endpoint or self.endpoint,
            "LARDER_STORAGE_PREFIX": prefix,
        }

    def upload(self, key, file, size, connections):
        """One request, or one object for each connection that the service composes."""
        if connections == 1:
            self._put(key, file, 0, size)
            return
        share, parts = size // connections, [f"{key}.{number}" for number in range(connections)]
        at_once([lambda n=n: self._put(parts[n], file, n * share, share) for n in range(connections)])
        body = json.dumps({"sourceObjects": [{"name": part} for part in parts], "destination": {}}).encode()
        self._call("POST", self._object(key) + "/compose", body)
        for part in parts:
            self.delete(part)

    def _put(self, key, file, start, size):
        target = f"/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={urllib.parse.quote(key, safe='')}"
        with Connection(self.port) as connection:
            connection.put(target, file, start, size, method="POST")

    def _object(self, key):
        return f"/storage/v1/b/{self.bucket}/o/{urllib.parse.quote(key, safe='')}"

    def target(self, key):
        return self._object(key) + "?alt=media"

    def read(self, key, start, length):
        with Connection(self.port) as connection:
            return connection.drain(self.target(key), [("range", f"bytes={start}-{start + length - 1}")])

    def keys(self, prefix):
        found, page = {}, ""
        while True:
            query = urllib.parse.urlencode({"prefix": prefix, "pageToken": page})
            listed = json.loads(self._call("GET", f"/storage/v1/b/{self.bucket}/o?{query}"))
            found |= {item["name"]: int(item["size"]) for item in listed.get("items", ())}
            if not (page := listed.get("nextPageToken", "")):
                return found

    def delete(self, key):
        self._call("DELETE", self._object(key))

    def _call(self, method, target, body=None):
        headers = {"content-type": "application/json"} if body else {}
        request = urllib.request.Request(self.endpoint + target, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()


class Azure:
    name, server = "Azure", "azurite, azure-storage-blob"
    variable = "LARDER_TEST_AZBLOB_CONNECTION_STRING"

    def __init__(self):
        self.settings, self.container = os.environ[self.variable], os.environ["LARDER_TEST_AZBLOB_CONTAINER"]
        fields = dict(field.split("=", 1) for field in self.settings.split(";") if field)
        self.endpoint = fields["BlobEndpoint"]
        self.client = self._client(64 * MIB)

    def _client(self, block):
        from azure.storage.blob import ContainerClient

        return ContainerClient.from_connection_string(
            self.settings, self.container, max_block_size=block, max_single_put_size=block, max_single_get_size=PIECE_BYTES * 1024,
        )

    def environment(self, prefix, endpoint=None):
        at = urllib.parse.urlsplit(self.endpoint)
        settings = self.settings.replace(f"{at.scheme}://{at.netloc}", endpoint) if endpoint else self.settings
        return {
            "STORAGE_DRIVER": "azblob", "STORAGE_AZBLOB_CONTAINER": self.container,
            "STORAGE_AZBLOB_CONNECTION_STRING": settings, "LARDER_STORAGE_PREFIX": prefix,
        }

    def upload(self, key, file, size, connections):
        client = self._client(size // connections) if connections == 1 else self.client
        with open(file.name, "rb") as body:
            client.upload_blob(key, body, length=size, max_concurrency=connections)

    def read(self, key, start, length):
        return sum(map(len, self.client.download_blob(key, offset=start, length=length).chunks()))

    def target(self, key):
        from datetime import datetime, timedelta, timezone

        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        blob = self.client.get_blob_client(key)
        signature = generate_blob_sas(
            blob.account_name, self.container, key, account_key=self.client.credential.account_key,
            permission=BlobSasPermissions(read=True), expiry=datetime.now(timezone.utc) + timedelta(hours=1),
        )
        at = urllib.parse.urlsplit(blob.url)
        return f"{at.path}?{signature}"

    def keys(self, prefix):
        return {blob.name: blob.size for blob in self.client.list_blobs(name_starts_with=prefix)}

    def delete(self, key):
        self.client.delete_blob(key)


class Limited:
    """The first bytes of a file, as a file that can be sought in."""

    def __init__(self, file, size):
        self.file, self.size = file, size

    def read(self, amount=-1):
        left = self.size - self.file.tell()
        return self.file.read(left if amount is None or amount < 0 else min(amount, left))

    def seek(self, offset, whence=0):
        return self.file.seek(self.size + offset) if whence == 2 else self.file.seek(offset, whence)

    def tell(self):
        return self.file.tell()


STORAGES = (S3, Gcs, Azure)
