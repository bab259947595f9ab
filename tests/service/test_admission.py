from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.admission import (
    MAX_RETRY_AFTER,
    PATIENCE,
    PROMISE_SECONDS,
    REASONS,
    Admission,
    Cost,
    Expired,
    Refusal,
    Ticket,
)

NEVER = 1e9


def let_in(admission: Admission, size: int, now: float = 0.0, deadline: float = NEVER) -> Ticket:
    ticket = admission.enter("rank", size, now, deadline)
    admission.queue(ticket, size, now)
    return ticket


def test_requests_of_one_size_go_in_the_order_they_came():
    admission = Admission(10, 100.0)
    tickets = [let_in(admission, 1000, now) for now in (0.0, 0.1, 0.1, 0.2)]
    served: list[Ticket] = []
    while (ticket := admission.next()) is not None:
        served.append(ticket)
        admission.done(ticket)
    assert served == tickets


def test_a_short_request_passes_a_long_one_that_came_first_even_half_way():
    admission = Admission(10, 100.0)
    long = let_in(admission, 1_000_000)
    assert admission.next() is long
    admission.spend(long, long.cost / 2)
    short = let_in(admission, 1000, 0.01)
    assert admission.next() is short
    admission.done(short)
    assert admission.next() is long


def test_a_long_request_is_passed_for_a_bounded_time_only():
    admission = Admission(10, 100.0)
    long = let_in(admission, 1_000_000)
    let_in(admission, 1000, PATIENCE * long.cost + 0.001)
    assert admission.next() is long


def test_no_more_than_so_many_are_in_flight_read_or_not():
    admission = Admission(2, 100.0)
    first, _ = admission.enter("rank", 0, 0.0, NEVER), let_in(admission, 1000)
    with pytest.raises(Refusal) as refusal:
        admission.enter("rank", 0, 0.0, NEVER)
    assert refusal.value.reason == "in-flight"
    admission.leave(first)
    admission.enter("rank", 0, 0.0, NEVER)
    assert admission.in_flight == 2


def test_who_was_let_in_keeps_its_place_while_its_body_comes():
    admission = Admission(1000, 0.1)
    tickets: list[Ticket] = []
    with pytest.raises(Refusal):
        while True:
            tickets.append(admission.enter("rank", 1_000_000, 0.0, NEVER))
    # None is refused that was let in: its body came in time, and is no larger than was said.
    for ticket in tickets:
        admission.queue(ticket, 1_000_000, PROMISE_SECONDS * 0.99)
    assert 0.1 < admission.backlog < 0.1 + 2 * tickets[0].cost


@pytest.mark.parametrize(("said", "size", "now"), [(1000, 1_000_000, 0.0), (1_000_000, 1_000_000, PROMISE_SECONDS)])
def test_a_body_that_is_larger_or_later_than_promised_is_judged_again(said: int, size: int, now: float):
    admission = Admission(1000, 0.1)
    ticket = admission.enter("rank", said, 0.0, NEVER)
    with pytest.raises(Refusal):
        while True:
            let_in(admission, 1_000_000, now)
    with pytest.raises(Refusal):
        admission.queue(ticket, size, now)


def test_who_sends_slowly_keeps_nobody_out():
    admission = Admission(1000, 0.1)
    with pytest.raises(Refusal):
        while True:
            admission.enter("rank", 1_000_000, 0.0, NEVER)
    let_in(admission, 1_000_000, PROMISE_SECONDS)


def test_who_leaves_before_its_body_came_gives_its_place_back():
    admission = Admission(1000, 0.1)
    tickets: list[Ticket] = []
    with pytest.raises(Refusal):
        while True:
            tickets.append(admission.enter("rank", 1_000_000, 0.0, NEVER))
    for ticket in tickets:
        admission.leave(ticket)
    assert admission.in_flight == 0
    let_in(admission, 1_000_000)


def test_no_one_waits_for_more_work_than_allowed():
    admission = Admission(1000, 0.1)
    tickets: list[Ticket] = []
    with pytest.raises(Refusal) as refusal:
        while True:
            tickets.append(let_in(admission, 100_000))
    assert refusal.value.reason == "queue"
    assert 0.1 < admission.backlog <= 0.1 + tickets[0].cost * 1.001
    assert admission.in_flight == len(tickets)
    admission.done(tickets[0])
    let_in(admission, 100_000)


def test_where_long_ones_wait_a_short_one_may_still_enter():
    admission = Admission(1000, 0.1)
    with pytest.raises(Refusal):
        while True:
            let_in(admission, 1_000_000)
    assert admission.next() is not let_in(admission, 1000)
    assert admission.in_flight > 2


def test_a_late_body_may_come_when_the_queue_is_full():
    admission = Admission(1000, 0.1)
    early = admission.enter("rank", 100_000, 0.0, NEVER)
    with pytest.raises(Refusal):
        while True:
            let_in(admission, 100_000, PROMISE_SECONDS)
    with pytest.raises(Refusal):
        admission.queue(early, 100_000, PROMISE_SECONDS)
    in_flight = admission.in_flight
    admission.leave(early)
    assert admission.in_flight == in_flight - 1


def test_who_would_wait_beyond_its_deadline_is_sent_away_at_once():
    admission = Admission(1000, 10.0)
    while admission.backlog < 0.05:
        let_in(admission, 100_000)
    with pytest.raises(Refusal) as refusal:
        let_in(admission, 100_000, 0.0, 0.04)
    assert refusal.value.reason == "deadline"
    let_in(admission, 100_000, 0.0, 0.1)


def test_a_deadline_that_has_passed_is_no_matter_of_room():
    admission = Admission(10, 1.0)
    with pytest.raises(Expired):
        admission.enter("rank", 0, 5.0, 5.0)
    ticket = admission.enter("rank", 0, 4.0, 5.0)
    with pytest.raises(Expired):
        admission.queue(ticket, 10, 5.0)
    assert admission.in_flight == 1


def test_who_has_left_has_no_turn():
    admission = Admission(10, 100.0)
    first, second, third = (let_in(admission, 1000, now) for now in (0.0, 0.1, 0.2))
    admission.leave(first)
    admission.drop(second)
    assert admission.next() is third
    assert admission.backlog == third.cost


def refused(admission: Admission, now: float) -> int:
    with pytest.raises(Refusal) as refusal:
        admission.enter("rank", 100_000, now, NEVER)
    return refusal.value.retry_after


def test_retry_after_grows_with_what_was_sent_away_and_shrinks_again():
    admission = Admission(1, 0.25)
    let_in(admission, 100_000)
    assert refused(admission, 0.0) == 1
    few, many = (
        max(refused(admission, at + n / 10_000) for n in range(count)) for at, count in ((1.0, 600), (2.0, 6000))
    )
    assert 1 < few < many <= MAX_RETRY_AFTER
    assert refused(admission, 30.0) == 1
    assert max(refused(admission, 31.0) for _ in range(100_000)) == MAX_RETRY_AFTER


def test_costs_are_learned_by_size_and_forgotten():
    cost = Cost()
    for _ in range(500):
        cost.measured(100_000, 0.002)
    assert cost.expected(100_000) == pytest.approx(0.002, rel=0.01)
    assert cost.expected(1_000_000) == pytest.approx(0.0175, rel=0.01)
    for _ in range(500):
        cost.measured(100_000, 0.008)
    assert cost.expected(100_000) == pytest.approx(0.008, rel=0.01)


def test_kinds_of_requests_are_measured_apart():
    admission = Admission(10, 100.0)
    for _ in range(100):
        ticket = let_in(admission, 50_000)
        admission.spend(ticket, 0.5)
        admission.done(ticket)
        admission.leave(ticket)
    other = admission.enter("infer", 50_000, 0.0, NEVER)
    admission.queue(other, 50_000, 0.0)
    assert other.cost < 0.01


class Requests(RuleBasedStateMachine):
    """Whatever order requests come, wait, fail and leave in: places are counted, and turns are kept."""

    @initialize(max_in_flight=st.integers(1, 6), max_queue=st.floats(0.001, 0.1))
    def start(self, max_in_flight: int, max_queue: float) -> None:
        self.admission = Admission(max_in_flight, max_queue)
        self.limits = max_in_flight, max_queue
        self.reading: list[tuple[Ticket, int]] = []
        self.queued: list[Ticket] = []
        self.finished: list[Ticket] = []
        self.now = 0.0

    @rule(size=st.integers(0, 2_000_000), patience=st.sampled_from([0.0, 0.001, 0.05, 10.0]))
    def come(self, size: int, patience: float) -> None:
        try:
            self.reading.append((self.admission.enter("rank", size, self.now, self.now + patience), size))
        except Expired:
            assert patience == 0.0
        except Refusal as refusal:
            assert refusal.reason in REASONS
            assert 1 <= refusal.retry_after <= MAX_RETRY_AFTER
            assert self.queued or self.reading or len(self.finished) == self.limits[0]

    @precondition(lambda self: self.reading)
    @rule()
    def body(self) -> None:
        ticket, size = self.reading.pop(0)
        try:
            self.admission.queue(ticket, size, self.now)
            self.queued.append(ticket)
        except Expired:
            self.admission.leave(ticket)
        except Refusal:
            assert ticket.until <= self.now
            self.admission.leave(ticket)

    @rule(seconds=st.floats(0.0001, 0.01), ends=st.booleans())
    def work(self, seconds: float, ends: bool) -> None:
        self.now += seconds
        ticket = self.admission.next()
        assert (ticket is None) == (not self.queued)
        if ticket is None:
            return
        assert ticket.turn == min(other.turn for other in self.queued)
        self.admission.spend(ticket, seconds)
        if ends:
            self.admission.done(ticket)
            self.queued.remove(ticket)
            self.finished.append(ticket)

    @precondition(lambda self: self.queued)
    @rule(number=st.integers(0, 5))
    def give_up(self, number: int) -> None:
        ticket = self.queued.pop(number % len(self.queued))
        self.admission.drop(ticket)
        self.finished.append(ticket)

    @precondition(lambda self: self.finished)
    @rule()
    def leave(self) -> None:
        self.admission.leave(self.finished.pop())

    @invariant()
    def places_are_counted(self) -> None:
        assert self.admission.in_flight == len(self.reading) + len(self.queued) + len(self.finished)
        assert self.admission.in_flight <= self.limits[0]

    @invariant()
    def work_is_counted(self) -> None:
        assert self.admission.backlog == pytest.approx(sum(ticket.remaining for ticket in self.queued))
        assert self.admission._promised == pytest.approx(sum(ticket.promised for ticket, _ in self.reading), abs=1e-12)


Requests.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestRequests = Requests.TestCase
