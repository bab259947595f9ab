"""A whole AWS account on this machine: MiniStack, which evaluates IAM's policies for every request."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from tests.engines.emulator import free_port
from tests.engines.environments import python_for, requirement

SECRET = "test"  # noqa: S105 - the emulator knows it as everybody's
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}

# The emulator as its own command starts it, but that it listens without TLS as well, so that a policy can refuse that,
# and not on port 443, which is for the emulator of a whole machine.
_START = """
import sys
from hypercorn.config import Config
from ministack import app
Config._insecure_bind = ["127.0.0.1:" + sys.argv.pop()]
app._port_is_bindable = lambda *_: False
app.main()
"""


class NotEnforced(Exception):
    """The emulator lets everybody do everything, so nothing that it allows proves anything."""


@dataclass(frozen=True)
class Credentials:
    key: str
    secret: str = SECRET
    token: str | None = None

    @classmethod
    def answered(cls, answer: Mapping[str, Any]) -> Credentials:
        """Those that STS answers with."""
        given = answer["Credentials"]
        return cls(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


@dataclass(frozen=True)
class Aws:
    """
    Args:
        https: where it listens.
        http: where it listens without TLS.
        certificate: the file of the certificate to trust.
    """

    https: str
    http: str
    certificate: Path
    _clients: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def root(self, account: str) -> Credentials:
        """The owner of an account, whom nothing is refused. Every account number is one."""
        return Credentials(account)

    def client(self, service: str, who: Credentials, region: str, *, tls: bool = True) -> Any:
        key = (service, who, region, tls)
        if key not in self._clients:
            self._clients[key] = self.new_client(service, who, region, tls=tls)
        return self._clients[key]

    def close(self) -> None:
        for each in self._clients.values():
            each.close()

    def new_client(self, service: str, who: Credentials, region: str, *, tls: bool = True) -> Any:
        """One that nobody else has, and that its owner closes."""
        endpoint = self.https if tls else self.http
        session: Any = boto3.session.Session(
            who.key, who.secret, who.token, region_name=region, botocore_session=_botocore()
        )
        config = Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60
        )
        return session.client(service, endpoint_url=endpoint, verify=str(self.certificate), config=config)


@contextmanager
def running(folder: Path) -> Generator[Aws]:
    """Runs the emulator and yields it once it has denied what it must. `folder` takes its log and certificate.

    Raises:
        NotEnforced: it denies nothing.
    """
    secure, plain = free_port(), free_port()
    environ = {name: each for name, each in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(secure), "AUTH": "true", "USE_SSL": "1"}
    environ |= {"HOME": str(folder), "TMPDIR": str(folder), "LOG_LEVEL": "WARNING"}
    with (folder / "aws.log").open("wb") as log:
        command = [python_for(requirement("emulator")), "-c", _START, str(plain)]
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        aws = Aws(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", folder / "ministack-tls" / "server.crt")
        try:
            _wait(aws, process, folder / "aws.log")
            believe(aws)
            yield aws
        finally:
            aws.close()
            # It keeps nothing that it would have to put away, and takes its time to go.
            process.kill()
            process.wait()


def believe(aws: Aws) -> None:
    """Asks for what must be denied: as a user who may nothing, and with a key that nobody has.

    Raises:
        NotEnforced: it was granted.
    """
    region = "eu-central-1"
    root = aws.client("iam", aws.root("999999999999"), region)
    root.create_user(UserName="nobody")
    made = root.create_access_key(UserName="nobody")["AccessKey"]
    nobody = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    for who, codes in ((nobody, DENIED), (Credentials("AKIAIOSFODNN7EXAMPLE"), {"InvalidAccessKeyId"})):
        try:
            aws.client("s3", who, region).list_buckets()
        except ClientError as error:
            if code_of(error) not in codes:
                raise
        else:
            raise NotEnforced(f"{aws.https} answers {who.key}, who may nothing: its log says whether it knows AUTH")
    root.delete_access_key(UserName="nobody", AccessKeyId=made["AccessKeyId"])
    root.delete_user(UserName="nobody")


def code_of(error: ClientError) -> str:
    """The service's word for what went wrong."""
    return error.response.get("Error", {}).get("Code", "")


@cache
def _loader() -> Any:
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH])


def _botocore() -> Any:
    """A session for every client alike, but its loader: a service's model takes longer to read than to ask."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return session


def _wait(aws: Aws, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        try:
            trusted = ssl.create_default_context(cafile=str(aws.certificate))
            with urllib.request.urlopen(f"{aws.https}/_ministack/health", timeout=5, context=trusted):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the emulator did not start: {log.read_text()[-2000:]}")
