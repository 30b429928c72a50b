"""The chain: whatever somebody with the database's own rights does to the journal, `verify` names the first row that does not hold."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from mcml.core.errors import McmlError
from mcml.core.fact import Fact
from mcml.store import journal
from mcml.store.db import Store
from mcml.store.journal import GENESIS, Verdict
from tests.store.vandal import disarm, vandalise

ROWS = 8
COLUMNS = ("at", "actor", "room", "target", "kind", "facts", "prev_hash", "hash")
START = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)
HYPOTHESIS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def chain(store: Store) -> Store:
    """A journal of eight rows."""
    store.append(*(Fact("deploy.finished", "deploy", f"eu-{n}", {"n": n}, START + timedelta(hours=n), "mira") for n in range(ROWS)))
    return store


class _Undo(Exception):
    pass


@contextmanager
def undone(store: Store) -> Iterator[Connection]:
    """Yield a connection to an unprotected journal; everything is taken back at the end."""
    with suppress(_Undo), store.writing() as connection:
        disarm(connection)
        yield connection
        raise _Undo


def verify_after(store: Store, *statements: str, **values: object) -> Verdict:
    with undone(store) as connection:
        for statement in statements:
            connection.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})
        verdict = journal.verify(connection)
    assert store.verify().broken_at == 0
    return verdict


@HYPOTHESIS
@given(seq=st.integers(1, ROWS), column=st.sampled_from(COLUMNS), value=TEXT)
def test_any_edit_is_found_at_its_row(chain: Store, seq: int, column: str, value: str) -> None:
    verdict = verify_after(chain, f"UPDATE journal SET {column} = :value WHERE seq = :seq", value=value, seq=seq)
    reason = "does not follow the row before it" if column == "prev_hash" else "was changed after it was written"
    assert (verdict.broken_at, verdict.reason) == (seq, f"row {seq} {reason}")


@HYPOTHESIS
@given(seq=st.integers(1, ROWS - 1))
def test_an_edit_with_its_hash_made_anew_is_found_at_the_next_row(chain: Store, seq: int) -> None:
    with undone(chain) as connection:
        row = dict(connection.execute(text("SELECT * FROM journal WHERE seq = :seq"), {"seq": seq}).mappings().one())
        forged = journal.digest(row | {"actor": "nobody"})
        connection.execute(text("UPDATE journal SET actor = 'nobody', hash = :hash WHERE seq = :seq"), {"hash": forged, "seq": seq})
        verdict = journal.verify(connection)
    assert verdict.broken_at == seq + 1


@HYPOTHESIS
@given(first=st.integers(1, ROWS - 1), count=st.integers(1, 3))
def test_a_missing_row_is_found(chain: Store, first: int, count: int) -> None:
    last = min(first + count, ROWS) - 1
    verdict = verify_after(chain, "DELETE FROM journal WHERE seq BETWEEN :first AND :last", first=first, last=last)
    assert (verdict.broken_at, verdict.reason) == (first, f"row {first} was expected, the next one is {last + 1}")


@HYPOTHESIS
@given(first=st.integers(1, ROWS - 1), count=st.integers(1, 3))
def test_a_missing_row_is_found_when_the_rest_is_numbered_anew(chain: Store, first: int, count: int) -> None:
    last = min(first + count, ROWS) - 1
    verdict = verify_after(
        chain,
        "DELETE FROM journal WHERE seq BETWEEN :first AND :last",
        "UPDATE journal SET seq = -seq WHERE seq > :last",
        "UPDATE journal SET seq = -seq - :gap WHERE seq < 0",
        first=first,
        last=last,
        gap=last - first + 1,
    )
    assert verdict.broken_at == first


@HYPOTHESIS
@given(place=st.integers(1, ROWS + 1), copied=st.integers(1, ROWS))
def test_an_inserted_row_is_found(chain: Store, place: int, copied: int) -> None:
    source = copied if copied < place else copied + 1
    verdict = verify_after(
        chain,
        "UPDATE journal SET seq = -seq WHERE seq >= :place",
        "UPDATE journal SET seq = -seq + 1 WHERE seq < 0",
        "INSERT INTO journal SELECT :place, at, actor, room, target, kind, facts, prev_hash, hash FROM journal WHERE seq = :source",
        place=place,
        source=source,
    )
    assert verdict.broken_at == (place if copied != place else place + 1)  # which of two equal rows is the copy, nobody can tell


@HYPOTHESIS
@given(pair=st.lists(st.integers(1, ROWS), min_size=2, max_size=2, unique=True))
def test_two_rows_in_each_others_place_are_found(chain: Store, pair: list[int]) -> None:
    one, other = sorted(pair)
    verdict = verify_after(
        chain,
        "UPDATE journal SET seq = -:one WHERE seq = :one",
        "UPDATE journal SET seq = :one WHERE seq = :other",
        "UPDATE journal SET seq = :other WHERE seq = -:one",
        one=one,
        other=other,
    )
    assert verdict.broken_at == one


def test_a_row_before_the_first_is_found(chain: Store) -> None:
    copy = "INSERT INTO journal SELECT 0, at, actor, room, target, kind, facts, prev_hash, hash FROM journal WHERE seq = 1"
    assert verify_after(chain, copy) == Verdict(1, GENESIS, 1, "row 1 was expected, the next one is 0")


def test_rows_cut_off_at_the_end_show_in_the_head_alone(chain: Store) -> None:
    whole = chain.verify()
    cut = verify_after(chain, "DELETE FROM journal WHERE seq = :last", last=ROWS)
    assert (cut.rows, cut.broken_at) == (ROWS - 1, 0)
    assert cut.head != whole.head


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damage", ["X'00ff'", "CAST(X'ff' AS TEXT)", "CAST(facts AS BLOB)", "facts || char(0)", "42", "1.5"])
def test_damage_that_only_sqlite_allows_is_found_too(chain: Store, damage: str) -> None:
    verdict = verify_after(chain, f"UPDATE journal SET facts = {damage} WHERE seq = 3")
    assert (verdict.broken_at, verdict.reason) == (3, "row 3 was changed after it was written")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET actor = 'nobody' WHERE seq = 2",
        "UPDATE journal SET seq = 99 WHERE seq = 2",
        "DELETE FROM journal WHERE seq = 2",
        "DELETE FROM journal",
    ],
)
def test_the_database_itself_refuses_to_change_a_row(chain: Store, statement: str) -> None:
    with pytest.raises(McmlError, match="refused") as refused, chain.writing() as connection:
        connection.execute(text(statement))
    assert "the journal is append-only" in refused.value.why
    assert chain.verify().rows == ROWS


def test_a_row_cannot_be_replaced_on_sqlite(sqlite_url: str) -> None:
    with Store(sqlite_url) as store:
        (entry,) = store.append(Fact("deploy.finished", "deploy"))
        replace = "INSERT OR REPLACE INTO journal SELECT seq, at, 'x', room, target, kind, facts, prev_hash, hash FROM journal"
        with pytest.raises(McmlError, match="refused") as refused, store.writing() as connection:
            connection.execute(text(replace))
        assert "the journal is append-only" in refused.value.why
        assert store.entries() == [entry]


def test_the_journal_cannot_be_emptied_on_postgresql(postgres_url: str) -> None:
    with Store(postgres_url) as store:
        store.append(Fact("deploy.finished", "deploy"))
        upsert = "INSERT INTO journal SELECT * FROM journal ON CONFLICT (seq) DO UPDATE SET actor = 'x'"
        for statement in ("TRUNCATE journal", upsert):
            with pytest.raises(McmlError, match="refused") as refused, store.writing() as connection:
                connection.execute(text(statement))
            assert "the journal is append-only" in refused.value.why
        assert store.verify().rows == 1


def test_damage_is_found_by_a_store_that_is_opened_later(store_url: str) -> None:
    with Store(store_url) as store:
        store.append(*(Fact("deploy.finished", "deploy", facts={"n": n}) for n in range(3)))
        with store.writing() as connection:
            vandalise(connection, "UPDATE journal SET target = 'elsewhere' WHERE seq = 2")
    with Store(store_url) as store:
        assert store.verify().broken_at == 2


def test_a_long_chain_is_read_in_parts(store: Store) -> None:
    store.append(*(Fact("route.weights", "route", facts={"n": n}) for n in range(1100)))
    assert store.verify().rows == 1100
