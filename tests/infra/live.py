"""Deploys a stack for real, but into an emulated account: each resource that the program registers becomes the requests
that the AWS provider would send, and is answered with what the account says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pulumi.runtime import mocks as runtime

from tests.engines.aws import Aws, Credentials, code_of
from tests.infra.conftest import Variant
from tests.infra.graph import Graph, record
from tests.infra.live_handlers.asked import Asked, Made
from tests.infra.live_handlers.table import CANNOT, HANDLERS
from tests.infra.monitor import Mutate
from tests.infra.stacks import values
from tests.infra.strict import watch

PROVIDERS = "pulumi:providers:"
# What tells Pulumi or its provider how to go about it, and never reaches AWS.
OF_THE_PROVIDER = {
    "forceDestroy", "region", "skipDestroy", "tagsAll", "timeouts", "triggers", "waitForSteadyState", "publish",
    "waitForFulfillment", "bypassPolicyLockoutSafetyCheck", "forceDetachPolicies", "skipFinalBackup", "forceDelete",
}  # fmt: skip

TOKENS = {"authorizer": "jwt", "issuer": "https://issuer.example.org", "audience": ["podium"]}


class Unmapped(Exception):
    """Nothing here knows which requests a resource is."""


class Refused(Exception):
    """The account took a resource not at all."""


@dataclass
class LiveMocks(runtime.Mocks):
    """
    Args:
        account: its number; a new one is an empty account.
        faults: what AWS would have said against the requests, whether or not the emulator minded.
        calls: how many requests of which service were sent.
    """

    aws: Aws
    account: str
    region: str
    faults: list[str] = field(default_factory=list[str])
    calls: Counter[str] = field(default_factory=Counter[str])
    handled: set[str] = field(default_factory=set[str])
    missing: set[str] = field(default_factory=set[str])
    _watched: dict[str, Any] = field(default_factory=dict[str, Any])
    _default_tags: dict[str, str] = field(default_factory=dict[str, str])

    def new_resource(self, args: runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.startswith(PROVIDERS):
            self._default_tags |= (args.inputs.get("defaultTags") or {}).get("tags", {})
            return f"{args.name}-id", dict(args.inputs)
        handler = HANDLERS.get(args.typ)
        if handler is None:
            raise Unmapped(f"{args.typ} ({args.name}) has no handler in tests/infra/live_handlers/table.py")
        self.handled.add(args.typ)
        asked = Asked(args.typ, args.name, args.inputs, self.account, self.region, self.client, self._default_tags)
        made = self._made(asked, handler)
        unsent = asked.unread() - OF_THE_PROVIDER
        self.faults.extend(f"{args.typ} {args.name}: {each} is in no request" for each in sorted(unsent))
        return made.id, {**args.inputs, **made.outputs}

    def call(self, args: runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        functions = {
            "aws:index/getAvailabilityZones:getAvailabilityZones": self._zones,
            "aws:index/getCallerIdentity:getCallerIdentity": self._caller,
            "aws:index/getRegion:getRegion": lambda: {"id": self.region, "name": self.region, "region": self.region},
            "aws:ec2/getPrefixList:getPrefixList": lambda: self._prefix_list(args.args["name"]),
            "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": self._oidc,
        }  # fmt: skip
        if args.token not in functions:
            raise Unmapped(f"the function {args.token} has no answer in tests/infra/live.py")
        return {**args.args, **functions[args.token]()}, None

    def client(self, service: str) -> Any:
        """A client of the account's owner, each of whose requests is checked first."""
        if service not in self._watched:
            # Not one of the shared clients: these are watched, for this run.
            made = self.aws.new_client(service, self.aws.root(self.account), self.region)
            watch(made, self.faults)
            made.meta.events.register("before-send", lambda **_: self.calls.update([service]))
            self._watched[service] = made
        return self._watched[service]

    def close(self) -> None:
        for each in self._watched.values():
            each.close()

    def _made(self, asked: Asked, handler: Callable[[Asked], Made]) -> Made:
        try:
            return handler(asked)
        except (BotoCoreError, ClientError, KeyError) as error:
            cannot = CANNOT.get(asked.type)
            if cannot is None or not isinstance(error, ClientError) or code_of(error) not in cannot.codes:
                raise Refused(f"{asked.type} {asked.name}: {error!r}") from error
            self.missing.add(asked.type)
            return cannot.made_up(asked)

    def _zones(self) -> dict[str, Any]:
        zones = self.client("ec2").describe_availability_zones()["AvailabilityZones"]
        return {"id": self.region, "names": [each["ZoneName"] for each in zones][:3],
                "zoneIds": [each["ZoneId"] for each in zones][:3]}  # fmt: skip

    def _caller(self) -> dict[str, Any]:
        caller = self.client("sts").get_caller_identity()
        return {"id": caller["Account"], "accountId": caller["Account"], "arn": caller["Arn"],
                "userId": caller["UserId"]}  # fmt: skip

    def _prefix_list(self, name: str) -> dict[str, Any]:
        found = self.client("ec2").describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [name]}])
        one = found["PrefixLists"][0]
        return {"id": one["PrefixListId"], "prefixListId": one["PrefixListId"], "cidrBlocks": one["Cidrs"]}

    def _oidc(self) -> dict[str, Any]:
        arn = f"arn:aws:iam::{self.account}:oidc-provider/token.actions.githubusercontent.com"
        found = self.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        return {"id": arn, "arn": arn, "url": found["Url"], "clientIdLists": found["ClientIDList"]}


@dataclass(frozen=True)
class Deployed:
    """A stack in an account of its own."""

    aws: Aws
    account: str
    region: str
    graph: Graph
    faults: tuple[str, ...]
    calls: Mapping[str, int]
    handled: frozenset[str]
    missing: frozenset[str]

    def root(self, service: str) -> Any:
        return self.aws.client(service, self.aws.root(self.account), self.region)

    def held(self, role: str) -> Credentials:
        """Credentials of a role, as its service would be given them: whom it trusts is not asked here."""
        name = role.rpartition("/")[2]
        iam, sts = self.root("iam"), self.root("sts")
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        anybody = {"Effect": "Allow", "Principal": {"AWS": self.account}, "Action": "sts:AssumeRole"}
        iam.update_assume_role_policy(
            RoleName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
        )
        try:
            arn = f"arn:aws:iam::{self.account}:role/{name}"
            return Credentials.answered(sts.assume_role(RoleArn=arn, RoleSessionName="test"))
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))


_accounts: Iterator[int] = iter(range(100_000_000_001, 999_999_999_999))


def deploy(aws: Aws, stack: str, variant: Variant = "released", *, mutate: Mutate | None = None) -> Deployed:
    """Deploys into an account that nobody has used yet.

    Raises:
        Exception: it cannot be deployed; the message names the resource.
    """
    account = str(next(_accounts))
    chosen = _moved(values(stack, everything=variant == "everything"), values(stack)["account"], account)
    if variant == "everything" and stack == "production":
        # The API has two ways to know its callers: staging has the other.
        chosen["http"] = {**chosen["http"], **TOKENS}
    region = chosen.get("region", "eu-central-1")
    if (domain := chosen.get("domain", {})).get("zone"):
        chosen["domain"] = {**domain, "zone": _zone(aws, account, region, domain["name"])}
    mocks = LiveMocks(aws, account, region)
    try:
        graph = record(stack, values=chosen, released=variant != "day 0", mocks=mocks, mutate=mutate)
    finally:
        mocks.close()
    return Deployed(
        aws,
        account,
        region,
        graph,
        tuple(mocks.faults),
        dict(mocks.calls),
        frozenset(mocks.handled),
        frozenset(mocks.missing),
    )


def findings(aws: Aws, stack: str, variant: Variant = "released", *, mutate: Mutate | None = None) -> list[str]:
    """What keeps a stack from being deployed, or AWS would refuse though the emulator does not; empty if nothing."""
    try:
        return list(deploy(aws, stack, variant, mutate=mutate).faults)
    except Exception as error:  # noqa: BLE001 - whatever it is, the stack is not deployed
        return [f"{stack} is not deployed: {error!r:.500}"]


def _zone(aws: Aws, account: str, region: str, domain: str) -> str:
    """What is there before the stack: the zone of its domain, whose id is the account's to choose."""
    route53 = aws.client("route53", aws.root(account), region)
    made = route53.create_hosted_zone(Name=domain.partition(".")[2], CallerReference=account)
    return made["HostedZone"]["Id"].rpartition("/")[2]


def _moved(value: Any, old: str, new: str) -> Any:
    """Settings with another account in all their ARNs."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, Mapping):
        return {key: _moved(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, old, new) for each in value]
    return value
