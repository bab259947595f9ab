from __future__ import annotations

from itertools import islice

from service.backoff import delays


def test_delays_double_up_to_a_limit_and_are_shortened_at_random() -> None:
    samples = [list(islice(delays(0.5, 3.0), 6)) for _ in range(200)]
    for at, longest in enumerate([0.5, 1.0, 2.0, 3.0, 3.0, 3.0]):
        column = [sample[at] for sample in samples]
        assert all(longest / 2 <= delay <= longest for delay in column)
        assert max(column) - min(column) > longest / 4
