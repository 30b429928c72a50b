"""Settings, names and texts: pure functions, no server."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcml.core.errors import InvalidRequest
from mcml.providers.gcp.checksums import Crc32c, in_hex
from mcml.providers.gcp.error_table import Clue, retry_after
from mcml.providers.gcp.names import check_bucket, check_key
from mcml.providers.gcp.settings import Settings


@pytest.mark.parametrize("endpoint", ["", "https://storage.example.com", "http://127.0.0.1:4443", "http://localhost:1", "http://[::1]:1/"])
def test_an_endpoint(endpoint: str) -> None:
    assert Settings(endpoint=endpoint).endpoint == endpoint.rstrip("/")


@pytest.mark.parametrize(
    "endpoint", ["storage.example.com", "http://storage.example.com", "http://10.0.0.1", "https://u:p@h", "https://h/path", "ftp://h", "https://"]
)
def test_no_endpoint_that_a_token_may_not_go_to(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        Settings(endpoint=endpoint)


@pytest.mark.parametrize("key", ["credentials", "token", "key_file", "Project"])
def test_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({key: "x"})


def test_the_account_to_act_as_is_an_email() -> None:
    assert Settings(impersonate_service_account="a@b.iam.gserviceaccount.com").impersonate_service_account
    with pytest.raises(ValidationError):
        Settings(impersonate_service_account="robot")


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", ["abc", "a-b_c", "1a2", "a.b.c", "x" * 63, ".".join(["x" * 63] * 3)])
def test_good_bucket_names(name: str) -> None:
    assert check_bucket(name) == name


@pytest.mark.parametrize(
    "name", ["", "ab", "Abc", "a" * 64, "-ab", "ab-", "a..b", "a/b", "10.0.0.1", "goog-x", "my-google", "a\nb", ".".join(["x" * 63] * 4)]
)
def test_bad_bucket_names(name: str) -> None:
    with pytest.raises(InvalidRequest) as bad:
        check_bucket(name)
    assert bad.value.why


@pytest.mark.parametrize("key", ["", ".", "..", "a\rb", "a\nb", "a\0b", "\udc80", "x" * 1025, ".well-known/acme-challenge/x"])
def test_bad_keys(key: str) -> None:
    with pytest.raises(InvalidRequest):
        check_key(key)


@pytest.mark.parametrize("key", ["/", "a/../b", "x" * 1024, "ä", " ", ".hidden"])
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_checksum_in_two_steps_is_that_of_the_whole(data: bytes, cut: int) -> None:
    whole, halves = Crc32c(), Crc32c()
    whole.update(data)
    halves.update(data[:cut])
    halves.update(data[cut:])
    assert whole.base64 == halves.base64


def test_a_known_checksum() -> None:
    """The check value of CRC-32C is e3069283."""
    running = Crc32c()
    running.update(b"123456789")
    assert in_hex(running.base64, None) == "crc32c:e3069283"
    assert in_hex(None, "1B2M2Y8AsgTpgAmY7PhCfg==") == "md5:d41d8cd98f00b204e9800998ecf8427e"
    assert in_hex(None, None) == ""


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, {}, None),
        ({"Retry-After": "3"}, {}, 3.0),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": "-1"}, {}, None),
        ({"Retry-After": "Sat, 01 Jan 2028 00:00:00 GMT", "Date": "Sat, 01 Jan 2028 00:01:00 GMT"}, {}, 0.0),
        ({"Retry-After": "Sat, 01 Jan 2028 00:00:00 GMT"}, {}, None),
        ({}, {"details": [{"retryDelay": "0.5s"}]}, 0.5),
        ({}, {"details": [{"retryDelay": "long"}, "text"]}, None),
        ({}, {"details": "text"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: dict[str, object], seconds: float | None) -> None:
    assert retry_after(headers, body) == seconds


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Bearer abc.def is bad", "Bearer [hidden] is bad"),
        ("token ya29.a0-x_y refused", "token [hidden] refused"),
        ("the token opaque-1 is refused", "the token [hidden] is refused"),
        ("PUT https://h/upload?upload_id=xyz&a=b: no", "PUT [url] no"),
        ("upload_id=xyz&a=b", "upload_id=[hidden]&a=b"),
        ("key -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- bad", "key [hidden] bad"),
        ("x" * 1000, "x" * 300),
        ("a\n  b\r\nc", "a b c"),
    ],
)
def test_texts_are_cleaned(text: str, clean: str) -> None:
    assert Clue(credentials=SimpleNamespace(token="opaque-1")).clean(text) == clean


@pytest.mark.parametrize(
    ("minutes", "said"), [(0, ""), (4, ""), (6, "clock is 6 minutes ahead of Google's"), (-90, "clock is 90 minutes behind Google's")]
)
def test_the_clock(minutes: int, said: str) -> None:
    clue, now = Clue(), datetime(2028, 1, 1, tzinfo=UTC)
    clue.note_date("Sat, 01 Jan 2028 00:00:00 GMT", now + timedelta(minutes=minutes))
    clue.note_date("nonsense", now)
    clue.note_date("", now)
    assert clue.skew.endswith(said)
    assert bool(clue.skew) == bool(said)
