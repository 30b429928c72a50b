"""A secret is not shown by anything that prints, logs, writes or copies it."""

import copy
import json
import logging
import pickle
import pprint
import traceback
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.secret import Secret, hide_password

TEXT = "open sesame"


@dataclass(frozen=True)
class Access:
    user: str
    token: Secret


def test_only_reveal_gives_it_back() -> None:
    assert Secret(TEXT).reveal() == TEXT


def test_every_way_to_print_it_hides_it() -> None:
    secret = Secret(TEXT)
    access = Access("mira", secret)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        "{}".format(secret),  # noqa: UP032 - the old ways must hide it too
        "%s %r" % (secret, secret),  # noqa: UP031
        repr(access),
        repr([secret]),
        repr({secret: secret}),
        pprint.pformat(access),
        json.dumps({"token": secret}, default=str),
        json.dumps(asdict(access), default=str),
        str(vars(access)),
    ]
    assert all("[hidden]" in text for text in shown)
    assert not any(TEXT in text for text in shown)


def test_logs_and_tracebacks_hide_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    try:
        raise RuntimeError("refused", secret)
    except RuntimeError as failed:
        logging.getLogger("test").exception("with %s and %r", secret, secret)
        told = "".join(traceback.TracebackException.from_exception(failed, capture_locals=True).format())
    assert "[hidden]" in told
    assert TEXT not in told
    assert TEXT not in caplog.text


def test_it_cannot_be_pickled_or_formatted_apart() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="a secret is not pickled"):
            pickle.dumps(Secret(TEXT), protocol)
    with pytest.raises(TypeError):
        json.dumps(Secret(TEXT))
    with pytest.raises(TypeError):
        f"{Secret(TEXT):>20}"
    assert not hasattr(Secret(TEXT), "__dict__")


def test_a_copy_in_this_process_is_the_secret_itself() -> None:
    secret = Secret(TEXT)
    assert copy.deepcopy({"token": secret})["token"] is secret
    assert copy.copy(secret) is secret


def test_it_compares_by_its_text() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT)}) == 1


HIDDEN = {
    "postgresql://u:sesame@host/db": "postgresql://u:[hidden]@host/db",
    "postgresql://u:se/sa#me?@host:5432/db": "postgresql://u:[hidden]@host:5432/db",
    "postgresql://u:ses@me@host/db": "postgresql://u:[hidden]@host/db",
    "postgresql://u@corp:sesame@host/db": "postgresql://u@corp:[hidden]@host/db",
    "postgresql://:sesame@/db": "postgresql://:[hidden]@/db",
    "postgresql://u@h/db?password=sesame&sslmode=require": "postgresql://u@h/db?password=[hidden]&sslmode=require",
    "https://h/x?a=1&X-Amz-Security-Token=sesame": "https://h/x?a=1&X-Amz-Security-Token=[hidden]",
    "postgresql://u:@host/db": "postgresql://u:[hidden]@host/db",
}


@pytest.mark.parametrize("url", HIDDEN)
def test_a_password_in_a_url_is_hidden(url: str) -> None:
    assert hide_password(url) == HIDDEN[url]


@pytest.mark.parametrize("url", ["", "rubbish", "sqlite:////a/b@c/d.db", "postgresql://u@h:5432/db?sslmode=require", "https://h:80/a/b"])
def test_a_url_without_a_password_stays(url: str) -> None:
    assert hide_password(url) == url


@given(st.text(min_size=3).filter(lambda text: "sesame" not in text), st.text(max_size=5))
def test_whatever_stands_around_it_the_password_is_hidden(user: str, host: str) -> None:
    assert "sesame" not in hide_password(f"postgresql://{user}:sesame@{host}/db")
