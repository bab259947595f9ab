"""The whole way on one machine: real queries, a trained and published model, a service, ranked results over HTTP."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from service.client import Client, Ranked
from training import commands, console
from training.mslr import HOW_TO_GET
from training.ndcg import ndcg, random_order
from training.publish import first_queries
from training.queries import Queries
from training.runs import Run
from training.server import serving

QUERIES = 3
SHOWN = 8
CUTOFF = 10
LOG = Path(".podium/service.log")


@dataclass(frozen=True)
class Answered:
    """One query as it was sent, and what came back."""

    qid: int
    queries: Queries
    answer: Ranked

    @property
    def scores(self) -> NDArray[np.float32]:
        """[documents], in the order of the data."""
        by_id = {item.id: item.score for item in self.answer.items}
        return np.array([by_id[document_id(row)] for row in range(self.queries.rows)], np.float32)


def run(args: argparse.Namespace) -> int:
    """Runs the demo and returns 0. Raises what its steps raise, `ServerError` among them."""
    say = console.messages().print
    show = console.results().print
    if args.data == commands.SAMPLE:
        folder, real = commands.sample_or_synthetic()
        args.data = str(folder)
        # A model of made-up queries must not pass for one of MSLR.
        args.name = args.name or (None if real else "synthetic")
    chain = commands.chained(args)
    model = chain.published
    say(commands.published_line(model))
    for found in chain.evaluations:
        show(found.table())
    say(f"starting the service on {model.uri}")
    with serving(model.uri, LOG) as address:
        answers = rank_over_http(address, first_queries(chain.fold.test, QUERIES))
    for answered in answers:
        show(headline(answered), result_table(answered), sep="\n")
    show(_agreement(chain.run, answers))
    closing = [f"Model {chain.run.about['name']}, version {model.version}.", *(f.summary() for f in chain.evaluations)]
    show(*closing, _next_steps(chain), sep="\n", soft_wrap=True)
    return 0


def rank_over_http(address: str, queries: Queries) -> list[Answered]:
    """Sends each query to `/v1/rank`. Raises ClientError when one is not answered."""
    answers: list[Answered] = []
    with Client(address, timeout=30) as client:
        for number, qid in enumerate(queries.qids.tolist()):
            one = queries.select(np.arange(queries.count) == number)
            items = {document_id(row): features for row, features in enumerate(one.features)}
            answers.append(Answered(qid, one, client.rank(items, query=str(qid))))
    return answers


def document_id(row: int) -> str:
    """MSLR's documents have no names; their place in the file is one."""
    return f"doc-{row + 1}"


def headline(answered: Answered) -> str:
    queries = answered.queries
    ours = ndcg(answered.scores, queries.relevance, queries.offsets, [CUTOFF]).mean(CUTOFF)
    random = random_order(queries.relevance, queries.offsets, [CUTOFF]).mean(CUTOFF)
    return f"\nQuery {answered.qid}: {queries.rows} documents, NDCG@{CUTOFF} {ours:.3f}, in random order {random:.3f}"


def result_table(answered: Answered) -> Table:
    """The best documents as the service ordered them, with the relevance that people gave them."""
    queries = answered.queries
    table = Table()
    for column in ("rank", "item", "score", "true relevance"):
        table.add_column(column, justify="left" if column == "item" else "right")
    for item in answered.answer.items[:SHOWN]:
        relevance = int(queries.relevance[int(item.id.removeprefix("doc-")) - 1])
        table.add_row(str(item.rank), item.id, f"{item.score:.4f}", f"{relevance} {'*' * relevance}")
    if queries.rows > SHOWN:
        table.add_row("...", f"{queries.rows - SHOWN} more", "", "")
    return table


def _agreement(run: Run, answers: list[Answered]) -> str:
    ranker = run.ranker()
    for answered in answers:
        if not np.array_equal(ranker.score(answered.queries.features), answered.scores):
            raise AssertionError(f"query {answered.qid}: the service and offline evaluation give different scores")
    documents = sum(answered.queries.rows for answered in answers)
    return f"All {documents} scores over HTTP equal those of offline evaluation, bit for bit."


def _next_steps(chain: commands.Chain) -> str:
    name = chain.run.about["name"]
    steps = {
        "make serve": "serve this model; the README shows the API by curl",
        f".venv/bin/python -m service show {name}": "what the model was made of",
        f".venv/bin/python -m service verify {name}": "check every byte, replay its golden queries",
        f".venv/bin/python -m training show {chain.run.folder}": "the run that it came from",
        "make demo DATA=<folder>": "your own train.txt, vali.txt and test.txt",
    }
    width = max(map(len, steps))
    lines = "\n".join(f"  {command:<{width}}  {text}" for command, text in steps.items())
    return f"\nWhere to look next:\n{lines}\n\n{HOW_TO_GET}"
