"""Run by an interpreter that has checkov: answers each line on stdin by one of what it finds, both JSON."""

# pyright: basic, reportMissingImports=false
import json
import logging
import socket
import sys


def refuse(*arguments):
    raise RuntimeError(f"checkov wants to reach {arguments[1:]}")


# Nothing is fetched: what it finds depends on what is locked, alone.
socket.socket.connect = refuse
logging.disable()
answers, sys.stdout = sys.stdout, sys.stderr

from checkov.cloudformation.runner import Runner as CloudFormation  # noqa: E402
from checkov.common.checks_infra.registry import get_graph_checks_registry  # noqa: E402
from checkov.dockerfile.runner import Runner as Dockerfile  # noqa: E402
from checkov.kubernetes.runner import Runner as Kubernetes  # noqa: E402
from checkov.runner_filter import RunnerFilter  # noqa: E402
from checkov.terraform.checks.resource.registry import resource_registry  # noqa: E402
from checkov.terraform.plan_runner import Runner as TerraformPlan  # noqa: E402

RUNNERS = {
    "terraform_plan": TerraformPlan,
    "cloudformation": CloudFormation,
    "dockerfile": Dockerfile,
    "kubernetes": Kubernetes,
}


def found(framework, files):
    report = RUNNERS[framework]().run(root_folder=None, files=files, runner_filter=RunnerFilter(framework=[framework]))
    assert not report.parsing_errors, report.parsing_errors
    records = [*report.passed_checks, *report.failed_checks, *report.skipped_checks]
    return [[each.check_id, each.check_result["result"].value, each.resource, each.check_name] for each in records]


def kinds():
    """The resource types that some check is about."""
    graph_checks = get_graph_checks_registry("terraform")
    graph_checks.load_checks()
    return sorted({*resource_registry.checks, *(kind for each in graph_checks.checks for kind in each.resource_types)})


for line in sys.stdin:
    asked = json.loads(line)
    answer = kinds() if asked == "kinds" else found(asked["framework"], asked["files"])
    print(json.dumps(answer), file=answers, flush=True)
