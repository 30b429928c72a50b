"""The journal: what is appended comes back, by every field of a query, on both databases."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, McmlError
from mcml.core.fact import Fact
from mcml.core.secret import Secret
from mcml.store import journal
from mcml.store.db import Store
from mcml.store.journal import GENESIS, Query
from tests.store.vandal import vandalise

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def fact(kind: str = "deploy.finished", minute: int = 0, target: str = "", **facts: object) -> Fact:
    return Fact(kind, kind.split(".")[0], target, facts, NOON + timedelta(minutes=minute), "mira@laptop")


def test_an_entry_is_the_fact_with_its_place_in_the_chain(store: Store) -> None:
    first, second = store.append(fact(target="eu-1", model="fraud", digest="ab"), fact("route.started", 1))
    assert (first.seq, first.at, first.actor) == (1, NOON, "mira@laptop")
    assert (first.room, first.target, first.kind) == ("deploy", "eu-1", "deploy.finished")
    assert first.facts == {"model": "fraud", "digest": "ab"}
    assert (first.prev_hash, second.prev_hash) == (GENESIS, first.hash)
    assert store.entries() == [first, second]


def test_the_hash_is_the_documented_one(store: Store) -> None:
    import hashlib

    (entry,) = store.append(fact(target="eu-1", b=[1, None], a="é"))
    row = [1, "2026-11-21T12:00:00.000000Z", "mira@laptop", "deploy", "eu-1", "deploy.finished", '{"a":"é","b":[1,null]}', GENESIS]
    text = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
    assert entry.hash == hashlib.sha256(text.encode()).hexdigest()


def test_a_new_journal_is_empty_and_holds(store: Store) -> None:
    assert store.entries() == []
    assert store.verify() == journal.Verdict(0, GENESIS)


def test_it_stays_when_the_store_is_opened_again(store_url: str) -> None:
    with Store(store_url) as first:
        (entry,) = first.append(fact())
    with Store(store_url) as second:
        assert second.entries() == [entry]
        (following,) = second.append(fact())
        assert second.verify() == journal.Verdict(2, following.hash)


def test_a_failed_block_keeps_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="half"), store.writing() as connection:
        journal.append(connection, fact())
        raise RuntimeError("half")
    with pytest.raises(InvalidRequest):
        store.append(fact(), fact(broken=float("nan")))
    assert store.verify().rows == 0


QUERIES: list[tuple[Query, list[int]]] = [
    (Query(), [1, 2, 3, 4, 5, 6]),
    (Query(since=NOON + timedelta(minutes=2)), [3, 4, 5, 6]),
    (Query(until=NOON + timedelta(minutes=2)), [1, 2]),
    (Query(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3)), [2, 3]),
    (Query(since=(NOON + timedelta(minutes=4)).astimezone(timezone(timedelta(hours=5)))), [5, 6]),
    (Query(kinds=("deploy.finished",)), [1, 4]),
    (Query(kinds=("route.",)), [2, 5]),
    (Query(kinds=("route.", "deploy.finished")), [1, 2, 4, 5]),
    (Query(kinds=("route",)), []),
    (Query(kinds=("rout%.",)), []),
    (Query(kinds=("nothing.of.the.kind",)), []),
    (Query(target="eu-1"), [1, 3]),
    (Query(target="eu"), []),
    (Query(after_seq=4), [5, 6]),
    (Query(after_seq=99), []),
    (Query(limit=2), [5, 6]),
    (Query(limit=0), []),
    (Query(limit=1, kinds=("deploy.",)), [4]),
    (Query(limit=9, after_seq=3, target="us-1", kinds=("deploy.", "route."), since=NOON), [4]),
]


@pytest.fixture
def six(store: Store) -> Store:
    store.append(
        fact("deploy.finished", 0, "eu-1"),
        fact("route.started", 1),
        fact("deploy.started", 2, "eu-1"),
        fact("deploy.finished", 3, "us-1"),
        fact("route.weights", 4),
        fact("ROUTE.weights", 5),
    )
    return store


def test_every_field_of_a_query(six: Store) -> None:
    for query, expected in QUERIES:
        assert [entry.seq for entry in six.entries(query)] == expected, query


def test_times_are_kept_to_the_microsecond_and_in_utc(store: Store) -> None:
    odd = datetime(2026, 3, 29, 2, 30, 0, 123456, timezone(-timedelta(hours=9, minutes=30)))
    (entry,) = store.append(replace(fact(), at=odd))
    assert entry.at == odd
    assert entry.at.tzinfo is UTC
    assert store.entries(Query(since=odd, until=odd + timedelta(microseconds=1))) == [entry]


def test_values_with_one_plain_text_are_written_as_it(store: Store) -> None:
    facts: Mapping[str, object] = {"cost": Decimal("1.10"), "at": NOON, "path": Path("a/b"), "password": Secret("sesame"), "pair": (1, 2)}
    (entry,) = store.append(replace(fact(), facts=facts))
    assert entry.facts == {"cost": "1.10", "at": "2026-11-21T12:00:00.000000Z", "path": "a/b", "password": "[hidden]", "pair": [1, 2]}


BROKEN: dict[str, Fact] = {
    "nan": fact(accuracy=float("nan")),
    "infinity": fact(deep=[{"cost": float("-inf")}]),
    "set": fact(targets={"a", "b"}),
    "object": fact(what=object()),
    "bytes": fact(what=b"raw"),
    "naive time in it": fact(at=datetime(2026, 1, 1)),
    "naive time of it": replace(fact(), at=datetime(2026, 1, 1)),
    "too big an integer": fact(n=10**5000),
    "mixed keys": replace(fact(), facts={"a": {1: "one", "2": "two"}}),
    "nul": replace(fact(), target="eu\0"),
    "half a pair": replace(fact(), actor="mira\udc80"),
}


def test_what_is_no_json_is_refused_with_its_reason(store: Store) -> None:
    for name, broken in BROKEN.items():
        with pytest.raises(InvalidRequest, match=r"the journal cannot keep a 'deploy\.finished' fact") as refused:
            store.append(broken)
        assert refused.value.why, name
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidRequest, match="cannot keep"):
        store.append(fact(circle=circle))
    assert store.verify().rows == 0


def test_a_file_name_that_is_no_utf8_is_kept(store: Store) -> None:
    (entry,) = store.append(fact(path="models/\udcff\udc80/f"))
    assert entry.facts == {"path": "models/\udcff\udc80/f"}
    assert store.entries() == [entry]
    assert store.verify().broken_at == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.dictionaries(st.text(), JSON, max_size=5),
    texts=st.tuples(TEXT, TEXT, TEXT, TEXT),
    at=st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()),
)
def test_any_fact_comes_back_and_the_chain_holds(store: Store, facts: dict[str, object], texts: tuple[str, ...], at: datetime) -> None:
    actor, room, target, kind = texts
    (entry,) = store.append(Fact(kind, room, target, facts, at, actor))
    (read,) = store.entries(Query(after_seq=entry.seq - 1))
    assert read == entry
    # in UTC, because a local time that the clock shows twice equals no time of another zone
    assert (read.actor, read.room, read.target, read.kind, read.at) == (actor, room, target, kind, at.astimezone(UTC))
    assert read.facts == facts
    verdict = store.verify()
    assert (verdict.rows, verdict.head, verdict.broken_at) == (entry.seq, entry.hash, 0)


def test_a_row_that_cannot_be_read_says_so(six: Store) -> None:
    with six.writing() as connection:
        vandalise(connection, "UPDATE journal SET facts = 'not json' WHERE seq = 4")
    with pytest.raises(McmlError, match="row 4 of the journal cannot be read") as broken:
        six.entries()
    assert broken.value.next_step == "mcml journal verify"
    assert six.verify().broken_at == 4
