"""AWS clients of the delayed path: few tries with pauses, and no wait that outlives an invocation."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

from service.settings import Settings

# With its pauses about three seconds: what lasts longer is left to the queue, which tries the message again.
TRIES = 5

CONNECTIONS = 16


def s3(settings: Settings) -> Any:
    # Other makers' endpoints seldom have a host name for each bucket.
    style = {"addressing_style": "path" if settings.s3_endpoint else "auto"}
    return _client("s3", settings, settings.s3_endpoint, s3=style)


def dynamodb(settings: Settings) -> Any:
    """Its address is AWS's, or what AWS_ENDPOINT_URL_DYNAMODB says."""
    return _client("dynamodb", settings, None)


def _client(service: str, settings: Settings, endpoint: str | None, **options: Any) -> Any:
    seconds = settings.s3_timeout_seconds
    config = Config(
        connect_timeout=seconds,
        read_timeout=seconds,
        max_pool_connections=CONNECTIONS,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        **options,
    )
    # A session of its own: the default one is shared by all threads and not made for that.
    session: Any = boto3.session.Session()
    region = settings.s3_region or os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
    return session.client(service, endpoint_url=endpoint, region_name=region, config=config)
