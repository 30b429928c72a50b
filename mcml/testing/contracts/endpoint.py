"""What every ModelEndpoint promises."""

from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from mcml.core.credential import SigningKeys
from mcml.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget, ModelEndpoint
from mcml.providers.api.endpoint_price import Priced
from mcml.providers.api.endpoint_size import Sized


class MakeRequest(Protocol):
    """Makes a request for a model that loads; another `content` is another model with another digest."""

    def __call__(self, name: str, version: str, *, content: int = 1) -> EndpointRequest:
        """Return the request, with at least one tag."""


class EndpointContract:
    """Give `endpoints`, opened for a target where no model runs yet, `make_request`, and `broken_request`; clean up after each test."""

    @pytest.fixture
    def endpoints(self) -> ModelEndpoint:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def make_request(self) -> MakeRequest:
        """Return what makes requests."""
        raise NotImplementedError

    @pytest.fixture
    def broken_request(self) -> EndpointRequest:
        """Return a request for a model that does not load."""
        raise NotImplementedError

    def test_nothing_is_there_at_first(self, endpoints: ModelEndpoint) -> None:
        """No endpoint is an empty list, and deleting it is fine; only asking where to send requests is an error."""
        assert endpoints.describe() == []
        assert endpoints.describe("nobody") == []
        assert endpoints.delete("nobody") is False
        with pytest.raises(NotFound):
            endpoints.invoke_target("nobody")
        with pytest.raises(NotFound):
            endpoints.shift_traffic("nobody", {"1": 100})

    def test_create_returns_when_it_is_ready(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """The first version has all the traffic, answers at once, and is what `describe` finds, by name and among all."""
        request = make_request("fraud", "1")
        made = endpoints.create(request)
        assert (made.name, made.tags) == ("fraud", request.tags)
        (variant,) = made.variants
        assert (variant.version, variant.digest, variant.state, variant.weight) == ("1", request.digest, "ready", 100)
        assert endpoints.describe("fraud") == endpoints.describe() == [made]
        assert healthy(endpoints, "fraud")

    def test_create_twice_is_create_once(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """A version that runs with this digest is kept, where it is."""
        request = make_request("fraud", "1")
        assert endpoints.create(request) == endpoints.create(request)

    def test_a_version_is_one_model_for_good(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """The same version with another digest is refused, and what runs is not disturbed."""
        before = endpoints.create(make_request("fraud", "1"))
        with pytest.raises(Conflict):
            endpoints.create(make_request("fraud", "1", content=2))
        assert endpoints.describe("fraud") == [before]

    def test_versions_share_the_traffic(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """A second version starts with none of it; shares move at once, add up to 100, and a wrong request moves nothing."""
        endpoints.create(make_request("fraud", "1"))
        assert weights(endpoints.create(make_request("fraud", "2", content=2))) == {"1": 100, "2": 0}
        first, second = endpoints.invoke_target("fraud", "1"), endpoints.invoke_target("fraud", "2")
        assert same_place(endpoints.invoke_target("fraud"), first)

        assert weights(endpoints.shift_traffic("fraud", {"1": 30, "2": 70})) == {"1": 30, "2": 70}
        assert same_place(endpoints.invoke_target("fraud"), second)
        for wrong in ({"1": 50, "2": 49}, {"1": 150, "2": -50}, {}):
            with pytest.raises(InvalidRequest):
                endpoints.shift_traffic("fraud", wrong)
        with pytest.raises(NotFound):
            endpoints.shift_traffic("fraud", {"3": 100})
        with pytest.raises(NotFound):
            endpoints.invoke_target("fraud", "3")
        assert weights(endpoints.describe("fraud")[0]) == {"1": 30, "2": 70}

        assert weights(endpoints.shift_traffic("fraud", {"2": 100})) == {"1": 0, "2": 100}
        assert endpoints.delete("fraud", "1") is True
        assert endpoints.delete("fraud", "1") is False
        assert weights(endpoints.describe("fraud")[0]) == {"2": 100}

    def test_delete_takes_all_versions(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """Without a version the whole endpoint goes, the other endpoint stays, and a second delete finds nothing."""
        endpoints.create(make_request("fraud", "1"))
        endpoints.create(make_request("other", "1", content=2))
        assert endpoints.delete("fraud") is True
        assert endpoints.delete("fraud") is False
        assert [found.name for found in endpoints.describe()] == ["other"]
        assert healthy(endpoints, "other")

    def test_deleting_the_last_version_deletes_the_endpoint(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """An endpoint without versions is none; the name is free for another model."""
        endpoints.create(make_request("fraud", "1"))
        assert endpoints.delete("fraud", "1") is True
        assert endpoints.describe() == []
        assert endpoints.create(make_request("fraud", "1", content=2)).variants[0].state == "ready"

    def test_whoever_asks_for_a_credential_gives_one(self, endpoints: ModelEndpoint, make_request: MakeRequest) -> None:
        """A router signs or authenticates every request itself: it is told with what, until when, and never by accident."""
        endpoints.create(make_request("fraud", "1"))
        where = endpoints.invoke_target("fraud")
        credential = where.credential
        assert (credential is None) == (where.auth == "none")
        if credential is None:
            return
        assert credential.expires is None or credential.expires.utcoffset() is not None
        if where.auth == "sigv4":
            assert isinstance(credential.secret, SigningKeys)
            assert where.service
            assert where.region
            assert where.sign is not None
            parts = [credential.secret.access_key, credential.secret.secret_key]
        else:
            assert isinstance(credential.secret, Secret)
            parts = [credential.secret]
        assert not [part for part in parts if part.reveal() in repr(where)]

    def test_a_model_that_does_not_load_leaves_nothing(self, endpoints: ModelEndpoint, broken_request: EndpointRequest) -> None:
        """It is refused with a reason, and there is no endpoint afterwards."""
        with pytest.raises(InvalidRequest) as refused:
            endpoints.create(broken_request)
        assert refused.value.why
        assert endpoints.describe() == []

    def test_sizes_are_read_back(self, endpoints: ModelEndpoint) -> None:
        """Where it is `Sized`: whole replicas, a type for every machine that it takes, and what it does not know is refused."""
        if not isinstance(endpoints, Sized):
            return
        size = endpoints.size({})
        assert 1 <= size.replicas <= size.most_replicas
        assert bool(size.machine) == bool(size.type)
        assert size.machine or size.vcpus
        assert all(endpoints.size({"machine": machine}).type == type for type, machine in endpoints.machines().items())
        assert all(series.times > 0 for series in endpoints.series("fraud", "1").values())
        with pytest.raises(InvalidRequest):
            endpoints.size({"no-such-resource": "1"})

    def test_what_has_no_price_says_why(self, endpoints: ModelEndpoint) -> None:
        """Where it is `Priced`: nothing is free because nobody knows it; only a price list that does not answer is an error."""
        if isinstance(endpoints, Priced):
            with suppress(Unavailable):
                told = endpoints.replica_price("no-such-machine")
                assert told.price is None
                assert told.why


def weights(endpoint: Endpoint) -> dict[str, int]:
    """Return the traffic shares by version."""
    return {variant.version: variant.weight for variant in endpoint.variants}


def same_place(one: InvokeTarget, other: InvokeTarget) -> bool:
    """Tell whether both send a request to the same place. A second login may bring another credential, with another end."""
    return replace(one, token=None, keys=None, expires=None) == replace(other, token=None, keys=None, expires=None)


def healthy(endpoints: ModelEndpoint, name: str) -> bool:
    """Ask the endpoint itself whether it is ready, where that needs no credentials."""
    target = endpoints.invoke_target(name)
    if target.auth != "none":
        return True
    parts = urlsplit(target.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", target.health_path)
        return connection.getresponse().status == 200
    finally:
        connection.close()
