"""The wire format of `/v1/rank`: bytes to a float32 matrix, and a ranking to bytes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from service import decode, mistakes
from service.mistakes import MAX_ID_LENGTH, REQUEST_KEYS

if TYPE_CHECKING:
    from service.mistakes import Limits
    from service.ranker import Floats, Ranker, Ranking
    from service.schema import FeatureSchema

_NUMBERS = {int, float, type(None)}

# A slice of work lets other requests go first. XGBoost works on blocks of 64 rows, so that slices of a multiple of it
# cost next to nothing more; explaining a document costs as much as scoring many.
SLICE = 256
EXPLAINED_SLICE = 4

T = TypeVar("T")
Steps = Generator[None, None, T]


@dataclass(frozen=True)
class RankRequest:
    """`features`: float32 [n, width], C order, NaN for missing. `top_k` is at least 1, and may be beyond n."""

    id: str | None
    item_ids: list[str]
    features: Floats
    top_k: int | None = None
    explain: bool = False


@dataclass(frozen=True)
class Answer:
    """`seconds` is what scoring alone took."""

    body: bytes
    items: int
    seconds: float


def answer(
    body: bytes, ranker: Ranker, limits: Limits, *, model: Mapping[str, str], query: str, started: float | None = None
) -> Answer:
    """The whole of `/v1/rank` but for HTTP: bytes in, bytes out.

    Args:
        model: name and version, as the answer shows them.
        query: the answer's id if the request has none.
        started: when `took_ms` began, by `perf_counter`; now if None.

    Raises:
        Problem, InvalidRequest: as `parse`.
    """
    return whole(answering(body, ranker, limits, model=model, query=query, started=started))


def answering(
    body: bytes, ranker: Ranker, limits: Limits, *, model: Mapping[str, str], query: str, started: float | None = None
) -> Steps[Answer]:
    """`answer` in slices: it yields where other requests may go first."""
    begun = perf_counter() if started is None else started
    request = yield from _parsing(body, ranker.schema, limits)
    scores, seconds = yield from scoring(request.features, ranker)
    ranking = ranker.ranking(scores, request.top_k)
    contributions = None
    if request.explain:
        contributions = yield from _explaining(request, ranking, ranker)
    took_ms = (perf_counter() - begun) * 1000
    text = encode(
        request, ranking, query=request.id or query, model=model, took_ms=took_ms, contributions=contributions
    )
    return Answer(text, len(request.item_ids), seconds)


def scoring(features: Floats, ranker: Ranker) -> Steps[tuple[Floats, float]]:
    """Scores, float32 [n], in slices, and the seconds that they took."""
    scores = np.empty(len(features), np.float32)
    seconds = 0.0
    for part in _parts(len(scores), SLICE):
        yield
        before = perf_counter()
        scores[part] = ranker.score(features[part])
        seconds += perf_counter() - before
    return scores, seconds


def parse(body: bytes, schema: FeatureSchema, limits: Limits) -> RankRequest:
    """Reads a request. Numbers are read as doubles and rounded to float32; null and an absent name are missing.

    Of equal keys in one JSON object the last one counts, as in most JSON readers.

    Raises:
        Problem: 400 if it is not JSON.
        InvalidRequest: 422 naming field, item and feature of up to 10 mistakes.
    """
    return whole(_parsing(body, schema, limits))


def whole(steps: Steps[T]) -> T:
    """Takes all steps at once."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


def _parsing(body: bytes, schema: FeatureSchema, limits: Limits) -> Steps[RankRequest]:
    quick = _quick(body, schema, limits)
    if quick is not None:
        return quick
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as refusal:
        raise mistakes.of_refused(body, refusal, schema, limits) from None
    request = yield from _reading(document, schema, limits)
    if request is None:
        # Reading only sees that something is wrong; saying what and where is slower, and rare.
        raise mistakes.of(document, schema, limits)
    return request


def encode(
    request: RankRequest,
    ranking: Ranking,
    *,
    query: str,
    model: Mapping[str, str],
    took_ms: float,
    contributions: Mapping[int, Mapping[str, Any]] | None = None,
) -> bytes:
    """The answer as JSON. A score is printed as the shortest decimal that gives the float32 back.

    Args:
        query: the id of the answer.
        model: name and version.
        contributions: by item index, what is added to that item's entry.
    """
    items: list[dict[str, Any]] = []
    ids, order = request.item_ids, ranking.order.tolist()
    # orjson prints a numpy float32 by its own digits; as a Python float 0.1 would be 0.10000000149011612.
    scores = list(ranking.scores)
    for rank, index in enumerate(order, 1):
        items.append({"id": ids[index], "score": scores[index], "rank": rank})
    if contributions is not None:
        for item, index in zip(items, order, strict=True):
            item.update(contributions[index])
    answer = {"id": query, "model": model, "items": items, "took_ms": round(took_ms, 3)}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def explained(matrix: Floats, order: NDArray[np.int64], schema: FeatureSchema) -> Mapping[int, Mapping[str, Any]]:
    """Contributions for `encode`, by item index.

    Args:
        matrix: float32 [k, width + 1], row i for item `order[i]`, the last column the bias.
    """
    return {
        index: {"contributions": dict(zip(schema.names, row, strict=False)), "bias": row[-1]}
        for index, row in zip(order.tolist(), matrix, strict=True)
    }


def _quick(body: bytes, schema: FeatureSchema, limits: Limits) -> RankRequest | None:
    found = decode.read(body, schema.width, limits.max_items)
    if found is None:
        return None
    options, ids, features = found
    query, top_k, explain = options.get("id"), options.get("top_k"), options.get("explain")
    if not _valid_options(query, top_k, explain) or not _valid_ids(ids) or explain:
        return None
    return RankRequest(query, ids, features, top_k)


def _reading(document: Any, schema: FeatureSchema, limits: Limits) -> Steps[RankRequest | None]:
    if type(document) is not dict:
        return None
    body = cast(dict[str, Any], document)
    query, top_k, explain = body.get("id"), body.get("top_k"), body.get("explain")
    split = _split(body)
    if split is None or not body.keys() <= REQUEST_KEYS or not _valid_options(query, top_k, explain):
        return None
    ids, rows = split
    if not _valid_ids(ids) or len(ids) > limits.max_items:
        return None
    if explain and (not limits.explain or len(ids) > limits.explain_max_items):
        return None
    features = np.empty((len(rows), schema.width), np.float32)
    for part in _parts(len(rows), SLICE):
        if part.start:
            yield
        read = _matrix(rows[part], schema)
        if read is None:
            return None
        features[part] = read
    return RankRequest(query, ids, features, top_k, bool(explain))


def _explaining(request: RankRequest, ranking: Ranking, ranker: Ranker) -> Steps[dict[int, Mapping[str, Any]]]:
    found: dict[int, Mapping[str, Any]] = {}
    for part in _parts(len(ranking.order), EXPLAINED_SLICE):
        yield
        order = ranking.order[part]
        found |= explained(ranker.contributions(request.features[order]), order, ranker.schema)
    return found


def _parts(size: int, step: int) -> Iterable[slice]:
    return [slice(start, start + step) for start in range(0, size, step)]


def _split(body: dict[str, Any]) -> tuple[list[str], list[Any]] | None:
    if "items" not in body:
        ids, rows = body.get("item_ids"), body.get("features")
        same = type(ids) is list and type(rows) is list and len(cast(list[Any], ids)) == len(cast(list[Any], rows))
        return (cast(list[str], ids), cast(list[Any], rows)) if same else None
    items = body["items"]
    if "item_ids" in body or "features" in body or type(items) is not list:
        return None
    entries = cast(list[dict[str, Any]], items)
    if set(map(type, entries)) != {dict} or set(map(len, entries)) != {2}:
        return None
    try:
        return [item["id"] for item in entries], [item["features"] for item in entries]
    except KeyError:
        return None


def _valid_options(query: Any, top_k: Any, explain: Any) -> bool:
    # bool is an int in Python and not in JSON, so types are compared exactly.
    return (
        (query is None or (type(query) is str and 0 < len(query) <= MAX_ID_LENGTH))
        and (top_k is None or (type(top_k) is int and top_k >= 1))
        and (explain is None or type(explain) is bool)
    )


def _valid_ids(ids: list[str]) -> bool:
    if set(map(type, ids)) != {str} or len(set(ids)) != len(ids):
        return False
    return "" not in ids and max(map(len, ids)) <= MAX_ID_LENGTH


def _matrix(rows: list[Any], schema: FeatureSchema) -> Floats | None:
    values: list[list[Any]] = [row if type(row) is list else _listed(row, schema) for row in rows]
    if set(map(len, values)) != {schema.width}:
        return None
    if not set(map(type, chain.from_iterable(values))) <= _NUMBERS:
        return None
    # numpy reads None as NaN here. No int is beyond a double: orjson reads those over 64 bits as doubles.
    doubles = np.array(values, np.float64)
    with np.errstate(over="ignore"):
        features = doubles.astype(np.float32)
    return None if np.isinf(features).any() else features


def _listed(row: Any, schema: FeatureSchema) -> list[Any]:
    # A schema has at least one feature, so an empty list is refused by its width.
    if type(row) is not dict:
        return []
    named = cast(dict[str, Any], row)
    if not named.keys() <= schema.index.keys():
        return []
    return list(map(named.get, schema.names))
