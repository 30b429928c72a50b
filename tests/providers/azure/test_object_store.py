"""ObjectStore on Azure, against Azurite: over HTTP with the account's key, over HTTPS with a token."""

import base64
import hashlib
import hmac
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from azure.storage.blob import BlobBlock, ContentSettings
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, Unavailable, Usage
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.azure.blob_write import BLOCKS_OF_A_SIZE, MOST_BLOCK_BYTES, MOST_BLOCKS, blocks_of
from mcml.providers.azure.buckets import AzureBuckets
from mcml.providers.azure.object_store import AzureObjectStore, from_xml, to_stat
from mcml.providers.azure.session import BLOCK_BYTES, Session
from mcml.testing.contracts.object_store import MIB, ObjectStoreContract, content
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import TENANT, GivenToken, MakeSession

PAGE = 40


class AzuriteContract(ObjectStoreContract):
    more_than_a_page = PAGE + 3

    @pytest.fixture
    def session(self) -> Session:
        raise NotImplementedError

    @pytest.fixture
    def object_store(self, session: Session) -> ObjectStore:
        return AzureObjectStore(session, page_objects=PAGE)

    @pytest.fixture
    def bucket(self, session: Session, new_bucket: str) -> str:
        AzureBuckets(session).create(new_bucket)
        return new_bucket


class TestOverHttpWithKey(AzuriteContract):
    @pytest.fixture
    def session(self, key_session: Session) -> Session:
        return key_session


class TestOverHttpsWithToken(AzuriteContract):
    @pytest.fixture
    def session(self, token_session: Session) -> Session:
        return token_session


@pytest.fixture
def store(key_session: Session) -> AzureObjectStore:
    return AzureObjectStore(key_session)


@pytest.fixture
def bucket(key_session: Session, new_bucket: str) -> str:
    AzureBuckets(key_session).create(new_bucket)
    return new_bucket


@given(st.lists(st.integers(0, 40), max_size=30))
def test_blocks_are_full_but_for_the_last(sizes: list[int]) -> None:
    data = bytes(number % 251 for number in range(sum(sizes)))
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    blocks = list(blocks_of((data[start : start + size] for start, size in zip(starts, sizes, strict=True)), 16))
    assert b"".join(blocks) == data
    assert all(len(block) == 16 for block in blocks[:-1])
    assert all(blocks)


def test_blocks_grow_so_that_a_large_object_has_few_enough() -> None:
    sizes = [len(block) for block in blocks_of((bytes(1000) for _ in range(40)), 2)]
    assert sizes[: BLOCKS_OF_A_SIZE + 2] == [2] * BLOCKS_OF_A_SIZE + [4, 4]
    biggest = [min(MOST_BLOCK_BYTES, BLOCK_BYTES << (number // BLOCKS_OF_A_SIZE)) for number in range(MOST_BLOCKS)]
    assert sum(biggest) > 4 << 40  # 4 TiB


@pytest.mark.parametrize("key", ["", "a\0b", "\udc80", "x" * 1025, "a/../b", "..", "./a", "a\\b"])
def test_keys_that_azure_would_take_for_others_are_refused(store: AzureObjectStore, bucket: str, key: str) -> None:
    for call in (lambda: store.write(bucket, key, [b"1"]), lambda: store.stat(bucket, key), lambda: store.delete(bucket, key)):
        with pytest.raises(InvalidRequest, match="cannot be a key"):
            call()
    assert list(store.list(bucket)) == []


STREAM = """
import hashlib, sys
from pathlib import Path
from xml.etree.ElementTree import fromstring
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.object_store import open_object_store
from mcml.providers.azure.settings import Settings
from mcml.testing.memory import peak_bytes

endpoint, bucket = sys.argv[1:]
store = open_object_store(ProviderContext(Settings(storage_account="devstoreaccount1", endpoint=endpoint), Path()))

def copy(key, size):
    stat = store.write(bucket, key, (bytes([number % 251]) * 1048576 for number in range(size)))
    digest = hashlib.md5()
    for piece in store.read(bucket, key):
        digest.update(piece)
    assert (stat.size, stat.checksum) == (size * 1048576, "md5:" + digest.hexdigest())
    return peak_bytes() // 1048576

print(copy("small", 84), copy("large", 148))
"""


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\\ufffe\uffff"), min_size=1, max_size=40)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
def test_any_key_that_is_taken_comes_back(store: AzureObjectStore, bucket: str, key: str) -> None:
    assume(not any(part in (".", "..") for part in key.split("/")))
    written = store.write(bucket, key, [key.encode()])
    assert store.stat(bucket, key) == written
    assert content(store, bucket, key) == key.encode()
    assert [stat.key for stat in store.list(bucket)] == [key]
    store.delete(bucket, key)
    assert list(store.list(bucket)) == []


HALFWAY = STREAM.partition("def copy")[0] + """
def chunks():
    yield bytes(20 * 1048576)
    print("half", flush=True)
    sys.stdin.read()

store.write(bucket, "k", chunks())
"""


def test_a_writer_killed_in_the_middle_leaves_the_old_object(azurite: Server, store: AzureObjectStore, bucket: str) -> None:
    store.write(bucket, "k", [b"old"])
    command = [sys.executable, "-c", HALFWAY, azurite.endpoint, bucket]
    environment = {**os.environ, "AZURE_STORAGE_KEY": WELL_KNOWN_KEY}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.kill()
    assert child.returncode == -9
    assert content(store, bucket, "k") == b"old"
    assert store.write(bucket, "k", [bytes(BLOCK_BYTES), b"new"]).size == BLOCK_BYTES + 3
    assert [stat.key for stat in store.list(bucket)] == ["k"]


@pytest.mark.slow
def test_a_large_object_in_constant_memory(azurite: Server, bucket: str) -> None:
    """148 MiB there and back, in a process of its own: once 84 MiB have warmed it up, 64 MiB more take hardly more memory."""
    command = [sys.executable, "-c", STREAM, azurite.endpoint, bucket]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "AZURE_STORAGE_KEY": WELL_KNOWN_KEY})
    assert done.returncode == 0, done.stderr
    small, large = (int(word) for word in done.stdout.split())
    assert large - small < 24


def test_bytes_that_are_not_those_written_are_told(store: AzureObjectStore, bucket: str) -> None:
    store.write(bucket, "k", [b"some bytes" * MIB])
    other = ContentSettings(content_md5=bytearray(hashlib.md5(b"other bytes").digest()))
    store.session.blob(bucket, "k").set_http_headers(other)
    with pytest.raises(Unavailable, match="are not those written"):
        content(store, bucket, "k")
    assert b"".join(store.read(bucket, "k", start=10 * MIB - 5)) == b"bytes"


def test_a_blob_of_another_tool_may_have_no_checksum(store: AzureObjectStore, bucket: str) -> None:
    blob = store.session.blob(bucket, "k")
    blob.stage_block("0", b"other")
    blob.commit_block_list([BlobBlock("0")])
    blob.set_http_headers(ContentSettings(content_md5=None))
    assert store.stat(bucket, "k").checksum in ("", "md5:795f3202b17cb6bc3d4b771d8c6c9eaf")
    assert content(store, bucket, "k") == b"other"


def test_a_conditional_write_of_many_blocks_takes_no_bytes_in_vain(store: AzureObjectStore, bucket: str) -> None:
    stale = store.write(bucket, "k", [b"1"]).etag
    store.write(bucket, "k", [b"2"])
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(5):
            taken.append(number)
            yield bytes(BLOCK_BYTES)

    for if_match in ("", stale):
        with pytest.raises(Conflict):
            store.write(bucket, "k", chunks(), if_match=if_match)
    assert taken == [0, 1, 0, 1]
    with pytest.raises(Conflict, match="cannot write"):
        store.write(bucket, "absent", chunks(), if_match=stale)
    assert store.write(bucket, "k", chunks(), if_match=store.stat(bucket, "k").etag).size == 5 * BLOCK_BYTES


def test_a_container_in_another_account(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=devstoreaccount1;AccountKey={WELL_KNOWN_KEY}")
    session = make_session(azurite.endpoint, accounts={"elsewhere": "otheraccount"})
    assert session.account("here") == "devstoreaccount1"
    assert session.account("elsewhere") == "otheraccount"
    assert session.key_of("otheraccount") is None
    with pytest.raises(Usage, match="cannot log in to http://"):
        AzureObjectStore(session).stat("elsewhere", "k")


def fetch(url: str, method: str = "GET", data: bytes | None = None, cafile: Path | None = None) -> tuple[int, bytes]:
    headers = {"x-ms-blob-type": "BlockBlob"} if method == "PUT" else {}
    context = ssl.create_default_context(cafile=str(cafile)) if cafile else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, b""


def test_signed_urls_with_the_account_key(store: AzureObjectStore, bucket: str) -> None:
    key = "a b/ü+%2F?.txt"
    put = store.sign(bucket, key, "PUT", timedelta(minutes=5))
    assert fetch(put, "PUT", b"by a stranger") == (201, b"")
    get = store.sign(bucket, key, "GET", timedelta(minutes=5))
    assert fetch(get) == (200, b"by a stranger")
    assert fetch(get, "PUT", b"x")[0] == 403
    assert fetch(put)[0] == 403
    assert fetch(get.partition("&sig=")[0] + "&sig=" + "A" * 43 + "%3D")[0] == 403
    assert fetch(get.replace("a%20b", "other"))[0] == 403
    assert content(store, bucket, key) == b"by a stranger"


def signed_by(url: str, key: str, more: str) -> str:
    """Return the signature that the documentation asks for; `more` are the lines for signed headers and parameters, of 2026 and later."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    one = [query.get(name, "") for name in ("sp", "st", "se")] + [f"/blob{urllib.parse.unquote(parts.path)}"]
    two = [query.get(name, "") for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")]
    three = [query.get(name, "") for name in ("saoid", "suoid", "scid", "skdutid", "sduoid", "sip", "spr", "sv", "sr")]
    text = "\n".join([*one, *two, *three, "", ""]) + more + "\n" * 5
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()


def test_signed_urls_with_a_key_lent_to_the_login_but_azurite_knows_only_the_signature_of_2025(
    azurite_tls: Server, make_session: MakeSession, trusted: None, new_bucket: str, certificate: tuple[Path, Path]
) -> None:
    """The SDK signs two lines more than this Azurite knows: we check them by the documentation, and sign without them for Azurite."""
    now = utc_now().replace(microsecond=0)
    session = make_session(azurite_tls.endpoint, credential=GivenToken(), clock=lambda: now)
    AzureBuckets(session).create(new_bucket)
    store = AzureObjectStore(session)
    url = store.sign(new_bucket, "a b.txt", "PUT", timedelta(hours=1))
    lent = session.service("devstoreaccount1").get_user_delegation_key(now - timedelta(minutes=5), now + timedelta(hours=1))
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert (query["sp"], query["spr"], query["sktid"]) == ("cw", "https", TENANT)
    assert query["sig"] == signed_by(url, lent.value, more="\n\n")
    older = url.replace(f"sv={query['sv']}", "sv=2025-11-05").partition("&sig=")[0]
    resigned = f"{older}&sig={urllib.parse.quote(signed_by(older, lent.value, more=''), safe='')}"
    assert fetch(resigned, "PUT", b"by a stranger", certificate[0]) == (201, b"")
    assert content(store, new_bucket, "a b.txt") == b"by a stranger"


def test_a_lent_key_is_good_for_a_week(token_session: Session, new_bucket: str) -> None:
    AzureBuckets(token_session).create(new_bucket)
    store = AzureObjectStore(token_session)
    assert "skoid=" in store.sign(new_bucket, "k", "GET", timedelta(days=6))
    with pytest.raises(InvalidRequest, match="cannot sign") as caught:
        store.sign(new_bucket, "k", "GET", timedelta(days=7, seconds=1))
    assert "7 days" in caught.value.why


def test_a_signed_url_ends(azurite: Server, make_session: MakeSession, key_session: Session, new_bucket: str) -> None:
    AzureBuckets(key_session).create(new_bucket)
    AzureObjectStore(key_session).write(new_bucket, "k", [b"1"])
    earlier = AzureObjectStore(make_session(azurite.endpoint, clock=lambda: utc_now() - timedelta(hours=1)))
    assert fetch(earlier.sign(new_bucket, "k", "GET", timedelta(minutes=59)))[0] == 403
    assert fetch(earlier.sign(new_bucket, "k", "GET", timedelta(minutes=61)))[0] == 200
    with pytest.raises(InvalidRequest, match="cannot sign"):
        earlier.sign(new_bucket, "k", "GET", timedelta(0))


def test_a_listing_says_what_the_sdk_says_of_a_blob(store: AzureObjectStore, key_session: Session, bucket: str) -> None:
    """Names with what XML escapes, what is empty, a blob without an MD5; in pages of two."""
    client = key_session.container(bucket)
    store.write(bucket, "a & <b>/ä 𝄞+%20", [b"1"])
    store.write(bucket, "folder/", [b"a marker with bytes"])
    store.write(bucket, "folder/empty", [])
    client.get_blob_client("no md5").commit_block_list([])
    there = [to_stat(bucket, found) for found in client.list_blobs()]
    assert list(AzureObjectStore(key_session, page_objects=2).list(bucket)) == there
    assert [(stat.key, bool(stat.checksum)) for stat in there][2:] == [("folder/empty", True), ("no md5", False)]


def test_a_name_that_xml_cannot_hold_is_listed_by_its_own() -> None:
    """As the service's documentation has it: percent-encoded, and marked so."""
    text = (
        '<Blob><Name Encoded="true">a%EF%BF%BE%20b</Name><VersionId>2026-01-02T03:04:05.0000000Z</VersionId><Properties>'
        "<Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>7</Content-Length><Content-MD5 />"
        "</Properties></Blob>"
    )
    stat = from_xml("c", fromstring(text))
    modified = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert stat == ObjectStat("c", "a\ufffe b", 7, "", "0x1", modified, "2026-01-02T03:04:05.0000000Z")
