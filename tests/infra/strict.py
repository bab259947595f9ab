"""Checks each request that a client is about to send against AWS's own model of it, before the emulator, which takes
nearly anything, has it."""

from __future__ import annotations

import json
from typing import Any

from tests.engines.aws_requests import faults

POLICIES = {"AssumeRolePolicyDocument", "PolicyDocument", "Policy", "policyText", "lifecyclePolicyText"}


def watch(client: Any, found: list[str]) -> None:
    """From now on `found` gets what is wrong with the client's requests, as `ecr CreateRepository: .x is unknown`."""
    service = client.meta.service_model.service_name

    def check(params: dict[str, Any], model: Any, **_: Any) -> None:
        found.extend(f"{service} {model.name}: {fault}" for fault in problems(model, params))

    client.meta.events.register("provide-client-params", check)


def problems(operation: Any, params: dict[str, Any]) -> list[str]:
    """What AWS would refuse of a request, by botocore's model of the operation."""
    shape = operation.input_shape
    wrong = faults(shape, params) if shape is not None else []
    for name in POLICIES & params.keys():
        try:
            json.loads(params[name])
        except ValueError as error:
            wrong.append(f".{name} is no JSON: {error}")
    return wrong
