"""Run by an interpreter that has Prometheus's grammar: a JSON list of expressions in, what each asks for out."""

# pyright: basic, reportMissingImports=false
import json
import sys

import promql_parser


def asked(text):
    """Every [metric, {label: [operator, value]}] of an expression."""
    found = []

    def visit(node):
        # A range holds its selector in a field of its own, and the walk comes by it again.
        node = getattr(node, "vector_selector", node)
        if isinstance(node, promql_parser.VectorSelector):
            matchers = {each.name: [str(each.op).rpartition(".")[2], each.value] for each in node.matchers.matchers}
            if [node.name, matchers] not in found:
                found.append([node.name, matchers])
        return True

    promql_parser.walk(promql_parser.parse(text), visit)
    return found


answers = []
for text in json.load(sys.stdin):
    try:
        answers.append({"asked": asked(text)})
    except Exception as error:  # noqa: BLE001 - the parser raises many kinds
        answers.append({"error": str(error)})
json.dump(answers, sys.stdout)
