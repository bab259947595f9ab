"""What went wrong with S3: whether it may pass by itself, and what a person can do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name
    ConnectTimeoutError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from service.location import ClockSkewed, RegistryDenied, RegistryMissing, RegistryUnavailable

_DENIED = frozenset(
    {"AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
)
_ELSEWHERE = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"})
# A 400 that means the request was damaged or slow on its way; and what a restarted upload puts right.
_PASSING = frozenset({"BadDigest", "NoSuchUpload", "RequestTimeout", "XAmzContentChecksumMismatch"})
_NO_CREDENTIALS = (
    CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError
)  # fmt: skip
_BROKEN_OFF = (ConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError, ResponseParserError)


def status(error: Exception) -> int:
    """The HTTP status of an answer, 0 where there was none."""
    return cast(int, _about(error).get("HTTPStatusCode", 0))


def passes(error: ClientError | BotoCoreError) -> bool:
    """Whether the same request may succeed within seconds. A 409 is two writers of one key at once."""
    if isinstance(error, ClientError):
        return status(error) in (409, 429) or status(error) >= 500 or _code(error) in _PASSING
    return isinstance(error, _BROKEN_OFF) and not isinstance(error, SSLError)


def explain(error: Exception, where: str) -> RegistryUnavailable:
    """The error to raise, with what to do."""
    if isinstance(error, _NO_CREDENTIALS):
        return RegistryDenied(f"no credentials for {where}: {error}; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or a role")
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return RegistryUnavailable(
            f"{where} is silent: check the network and PODIUM_S3_ENDPOINT, or wait longer by PODIUM_S3_TIMEOUT_SECONDS"
        )
    if not isinstance(error, ClientError):
        return RegistryUnavailable(
            f"{where} cannot be reached: {error}; check the network, PODIUM_S3_ENDPOINT and PODIUM_S3_REGION"
        )
    return _explain_answer(error, where)


def _explain_answer(error: ClientError, where: str) -> RegistryUnavailable:
    code = _code(error)
    said = f"{code}: {error.response.get('Error', {}).get('Message', 'no reason given')}"
    if code == "RequestTimeTooSkewed":
        return ClockSkewed(f"{where} refuses this machine's clock, which is {_skew(error)} its own: set the clock")
    if code == "NoSuchBucket":
        return RegistryMissing(
            f"{where} does not exist: check the name, PODIUM_S3_ENDPOINT and the account, or make it"
        )
    if code in _ELSEWHERE:
        return RegistryUnavailable(f"{where} is in another region ({said}): set PODIUM_S3_REGION")
    if code in _DENIED or status(error) in (401, 403):
        return RegistryDenied(
            f"{where} denies access ({said}): check the credentials, and that they allow to list, get and put there"
        )
    return RegistryUnavailable(f"{where} is not able to answer ({said}): try again in a while")


def _skew(error: ClientError) -> str:
    try:
        there = parsedate_to_datetime(_about(error)["HTTPHeaders"]["date"])
        minutes = (datetime.now(UTC) - there).total_seconds() / 60
    except (KeyError, ValueError, TypeError):
        return "too far from"
    return f"{abs(minutes):.0f} minutes {'ahead of' if minutes > 0 else 'behind'}"


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _about(error: Exception) -> dict[str, Any]:
    response = cast(dict[str, Any], getattr(error, "response", None) or {})
    return response.get("ResponseMetadata", {})
