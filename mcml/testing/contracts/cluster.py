"""What every Cluster promises."""

import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.secret import Secret
from mcml.providers.api.cluster import Cluster, Pool

NOBODY = "mcml-never-existed"


class ClusterContract:
    """Give `cluster`, the capability, and `name`: a cluster that exists, with at least one pool whose limits leave room to scale."""

    @pytest.fixture
    def cluster(self) -> Cluster:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def name(self) -> str:
        """Return the name of a cluster that exists."""
        raise NotImplementedError

    def test_access_needs_no_kubeconfig(self, cluster: Cluster, name: str) -> None:
        """An https endpoint, the CA as PEM, and a token that holds for some time yet."""
        access = cluster.access(name)
        parts = urlsplit(access.endpoint)
        assert parts.scheme == "https"
        assert parts.hostname
        assert not parts.username
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=access.ca)
        assert isinstance(access.token, Secret)
        assert access.token.reveal()
        if access.expires is not None:
            assert access.expires > datetime.now(UTC)

    def test_the_token_is_not_shown(self, cluster: Cluster, name: str) -> None:
        """Neither by the value that holds it nor in the command that fetches another one."""
        access = cluster.access(name)
        assert access.token.reveal() not in repr(access)
        if access.exec is not None:
            assert access.exec.argv
            assert access.token.reveal() not in " ".join(access.exec.argv)

    def test_traits_are_data(self, cluster: Cluster, name: str) -> None:
        """Labels, a storage class and annotations: texts that go into a manifest as they are."""
        traits = cluster.traits(name)
        assert traits.storage_class == traits.storage_class.strip().lower()
        for texts in (traits.gpu_labels, traits.load_balancer_annotations):
            assert all(key == key.strip() != "" for key in texts)
            assert {type(value) for value in texts.values()} <= {str}
        assert cluster.traits(name) == traits

    def test_pools_are_within_their_limits(self, cluster: Cluster, name: str) -> None:
        """Each has a name of its own and a machine type."""
        pools = cluster.pools(name)
        assert len({pool.name for pool in pools}) == len(pools) > 0
        for pool in pools:
            assert pool.name
            assert pool.machine
            assert 0 <= pool.minimum <= pool.size <= pool.maximum

    def test_scales_within_the_limits(self, cluster: Cluster, name: str) -> None:
        """To the smallest, to the largest, and twice to the same; the other pools stay as they are."""
        pool, others = self.room(cluster, name)
        for size in (pool.minimum, pool.maximum, pool.maximum):
            scaled = cluster.scale_pool(name, pool.name, size)
            assert (scaled.name, scaled.machine, scaled.size) == (pool.name, pool.machine, size)
            assert (scaled.minimum, scaled.maximum) == (pool.minimum, pool.maximum)
            assert scaled in cluster.pools(name)
        assert [other for other in cluster.pools(name) if other.name != pool.name] == others

    def test_does_not_scale_outside_the_limits(self, cluster: Cluster, name: str) -> None:
        """It is refused with the limits in the reason, and the pool stays as it is."""
        pool, _ = self.room(cluster, name)
        for size in (pool.minimum - 1, pool.maximum + 1, -1):
            with pytest.raises(InvalidRequest) as refused:
                cluster.scale_pool(name, pool.name, size)
            assert str(pool.minimum) in refused.value.why
            assert str(pool.maximum) in refused.value.why
        assert pool in cluster.pools(name)

    def test_a_cluster_that_is_not_there_is_not_found(self, cluster: Cluster) -> None:
        """By access, pools and scale_pool."""
        with pytest.raises(NotFound):
            cluster.access(NOBODY)
        with pytest.raises(NotFound):
            cluster.pools(NOBODY)
        with pytest.raises(NotFound):
            cluster.scale_pool(NOBODY, "pool", 1)

    def test_a_pool_that_is_not_there_is_not_found(self, cluster: Cluster, name: str) -> None:
        """And the error names it."""
        with pytest.raises(NotFound) as missing:
            cluster.scale_pool(name, NOBODY, 1)
        assert NOBODY in missing.value.message

    def room(self, cluster: Cluster, name: str) -> tuple[Pool, list[Pool]]:
        """Return a pool that can be scaled, and the others."""
        pools = cluster.pools(name)
        pool = next(pool for pool in pools if pool.minimum < pool.maximum)
        return pool, [other for other in pools if other.name != pool.name]
