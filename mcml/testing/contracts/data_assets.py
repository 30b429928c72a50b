"""What every DataAssets promises."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.data_assets import DataAssets


class DataAssetsContract:
    """Give `assets`, where nothing is registered yet, and `place`: the address of a folder of the provider's own, with '/' at its end."""

    @pytest.fixture
    def assets(self) -> DataAssets:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def place(self) -> str:
        """Return the address of a folder ("s3://bucket/folder/")."""
        raise NotImplementedError

    def test_registered_and_described(self, assets: DataAssets, place: str) -> None:
        """With its name, address and tags, whether it is a folder or one object."""
        for name, uri in (("fraud-train", place), ("fraud_test", f"{place}part-0.csv")):
            made = assets.register(name, uri, token="t1", tags={"team": "risk"})  # noqa: S106
            assert (made.name, made.uri, dict(made.tags)) == (name, uri, {"team": "risk"})
            assert made.version
            assert made.created.tzinfo is not None
            assert assets.describe(name, made.version) == assets.describe(name) == made

    def test_the_same_token_is_the_same_version(self, assets: DataAssets, place: str) -> None:
        """Asked one after the other and at once; for another address it is refused, and nothing changes."""
        with ThreadPoolExecutor(4) as pool:
            versions = {made.version for made in pool.map(lambda _: assets.register("fraud", place, token="t1"), range(4))}  # noqa: S106
        (version,) = versions
        made = assets.describe("fraud")
        assert assets.register("fraud", place, token="t1") == made  # noqa: S106
        with pytest.raises(InvalidRequest):
            assets.register("fraud", f"{place}other/", token="t1")  # noqa: S106
        assert assets.list("fraud") == [made]
        assert made.version == version

    def test_versions_are_listed_newest_first(self, assets: DataAssets, place: str) -> None:
        """Also when they point to the same place; of a name only its own; the newest is what the name alone stands for."""
        made = [assets.register("fraud", place, token=f"t{number}") for number in range(5)]
        other = assets.register("fraud-2", place, token="t0")  # noqa: S106
        assert len({one.version for one in made}) == 5
        assert assets.list("fraud") == made[::-1]
        assert assets.list() == [other, *made[::-1]]
        assert assets.describe("fraud") == made[-1]
        assert assets.describe("fraud", made[1].version) == made[1]

    def test_deleted(self, assets: DataAssets, place: str) -> None:
        """Twice; the other versions stay, and the token makes it anew."""
        first, second = (assets.register("fraud", place, token=token) for token in ("t1", "t2"))
        assert assets.delete("fraud", second.version) is True
        assert assets.delete("fraud", second.version) is False
        assert assets.list("fraud") == [first]
        assert assets.describe("fraud") == first
        with pytest.raises(NotFound):
            assets.describe("fraud", second.version)
        assert assets.register("fraud", place, token="t2").version == second.version  # noqa: S106
        assert len(assets.list("fraud")) == 2

    def test_what_never_was_is_not_found(self, assets: DataAssets, place: str) -> None:
        """A name, a version, and what can be neither; a listing of it is empty."""
        assets.register("fraud", place, token="t1")  # noqa: S106
        for name, version in (("nobody", ""), ("nobody", "0" * 16), ("fraud", "0" * 16), ("fraud", "../x"), ("a/b", ""), ("..", "1")):
            with pytest.raises(NotFound):
                assets.describe(name, version)
            if version:
                assert assets.delete(name, version) is False
        assert assets.list("nobody") == assets.list("a/b") == []

    @pytest.mark.parametrize(("name", "uri", "token"), [("", "", "t"), ("a/b", "", "t"), ("fraud", "here", "t"), ("fraud", "", "")])
    def test_what_is_wrong_is_refused(self, assets: DataAssets, place: str, name: str, uri: str, token: str) -> None:
        """An odd name, what is no address, no token; nothing is registered."""
        with pytest.raises(InvalidRequest) as refused:
            assets.register(name, uri or place, token=token)
        assert refused.value.why
        assert assets.list() == []
