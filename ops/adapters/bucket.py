"""The objects port on S3: conditional writes (S3 User Guide, "Conditional requests")."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.core.errors import Fault
from ops.climb.store import BucketUnreachableError, Stored

QUICK = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})
REFUSED = (409, 412)
"""409 is a conflicting write at the same time, 412 the condition (same page)."""


class S3Objects:
    """One bucket."""

    def __init__(self, bucket: str, region: str) -> None:
        self._bucket = bucket
        # A session of its own: boto3's default one must not be used by two threads.
        session: Any = boto3.Session(region_name=region)
        self._s3: Any = session.client("s3", config=QUICK)

    @property
    def name(self) -> str:
        """For people."""
        return f"s3://{self._bucket}"

    def get(self, key: str) -> Stored | None:
        """The object, or None where there is none."""
        with self._reaching():
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=key)
            except self._s3.exceptions.NoSuchKey:
                return None
            asked = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
            age = (asked - found["LastModified"]).total_seconds()
            return Stored(bytes(found["Body"].read()), found["ETag"], max(age, 0.0))

    def create(self, key: str, content: bytes) -> str | None:
        """Writes an object that is not there yet; its ETag, or None where it is."""
        return self._put(key, content, IfNoneMatch="*")

    def replace(self, key: str, content: bytes, etag: str) -> str | None:
        """Writes over exactly that one; the new ETag, or None where it is another by now."""
        return self._put(key, content, IfMatch=etag)

    def delete(self, key: str) -> None:
        """Takes it away; the bucket keeps its versions."""
        with self._reaching():
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def keys(self, prefix: str) -> Sequence[str]:
        """Every key that begins so, in order."""
        with self._reaching():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return sorted(each["Key"] for page in pages for each in page.get("Contents") or [])

    def _put(self, key: str, content: bytes, **condition: str) -> str | None:
        with self._reaching():
            try:
                done = self._s3.put_object(
                    Bucket=self._bucket, Key=key, Body=content, ContentType="application/json", **condition
                )
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status in REFUSED or (status == 404 and "IfMatch" in condition):
                    return None
                raise
            return str(done["ETag"])

    @contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except ClientError as error:
            details = error.response.get("Error", {})
            raise BucketUnreachableError(
                Fault(
                    self.name, f"{details.get('Code')}: {details.get('Message')}", "Look at the permissions"
                )
            ) from error
        except BotoCoreError as error:
            raise BucketUnreachableError(Fault(self.name, str(error), "Look at the network")) from error
