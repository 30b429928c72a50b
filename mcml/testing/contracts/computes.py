"""What every Computes promises, and that a job runs on what it made."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.computes import Compute, ComputeRequest, Computes
from mcml.providers.api.jobs import JobRequest, Jobs

TAGS = {"team": "risk"}


class ComputesContract:
    """Give `computes`, where there is none yet, `machine`: a type that it has, `jobs` of the same provider, and `job_on`: makes the request
    of a short job that succeeds, on a compute by its name, under a token.

    `least` is the smallest minimum that the provider has, and the only one unless it `keeps` machines that no job uses; `has_spot` tells
    whether it has spot machines; `patience` is how many seconds a job may take.
    """

    least = 0
    keeps = True
    has_spot = True
    patience = 30.0

    @pytest.fixture
    def computes(self) -> Computes:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def machine(self) -> str:
        """Return the name of a machine type."""
        raise NotImplementedError

    @pytest.fixture
    def jobs(self) -> Jobs:
        """Return the provider's jobs."""
        raise NotImplementedError

    @pytest.fixture
    def job_on(self) -> Callable[[str, str], JobRequest]:
        """Return a function that makes a job's request from a compute's name and a token."""
        raise NotImplementedError

    @pytest.fixture
    def request_(self, machine: str) -> ComputeRequest:
        """Return the request that the tests begin with."""
        return ComputeRequest("cpu-pool", "t1", machine, self.least, 2, tags=TAGS)

    def low(self, minimum: int) -> int:
        """Return a minimum that the provider has."""
        return minimum if self.keeps else self.least

    def test_made_and_described(self, computes: Computes, request_: ComputeRequest) -> None:
        """Ready, with what was asked for, by its name and among all."""
        assert computes.list() == []
        made = computes.create(request_)
        assert (made.name, made.machine, made.state, made.spot, dict(made.tags)) == ("cpu-pool", request_.machine, "ready", False, TAGS)
        assert (made.minimum, made.maximum, made.busy) == (self.least, 2, 0)
        assert made.minimum <= made.nodes <= made.maximum
        assert computes.describe("cpu-pool") == made
        other = computes.create(replace(request_, name="another-pool"))
        assert computes.list() == [other, made]

    def test_the_same_token_is_the_same_compute(self, computes: Computes, request_: ComputeRequest) -> None:
        """Asked one after the other and at once; it stays as it is meanwhile, and another token cannot have its name."""
        with ThreadPoolExecutor(3) as pool:
            assert len({made.name for made in pool.map(computes.create, [request_] * 3)}) == 1
        scaled = computes.scale("cpu-pool", self.low(2), 3)
        assert limits(computes.create(request_)) == limits(scaled) == (self.low(2), 3)
        with pytest.raises(Conflict):
            computes.create(replace(request_, token="t2"))  # noqa: S106
        assert len(computes.list()) == 1

    def test_scaled(self, computes: Computes, request_: ComputeRequest) -> None:
        """Up and down, to the same limits again, and to one fixed size; limits that make no sense change nothing."""
        computes.create(request_)
        for minimum, maximum in ((2, 3), (2, 3), (self.least, 1), (2, 2), (self.least, 4)):
            wanted = (self.low(minimum), maximum)
            found = computes.scale("cpu-pool", *wanted)
            assert (limits(found), found.state, found.machine, dict(found.tags)) == (wanted, "ready", request_.machine, TAGS)
            assert limits(computes.describe("cpu-pool")) == wanted
        for minimum, maximum in ((3, 2), (self.least - 1, 2), (self.least, 0), *(() if self.keeps else ((self.least + 1, 2),))):
            with pytest.raises(InvalidRequest):
                computes.scale("cpu-pool", minimum, maximum)
        assert limits(computes.describe("cpu-pool")) == (self.least, 4)

    def test_deleted(self, computes: Computes, request_: ComputeRequest) -> None:
        """Twice; then the name is free for another token."""
        computes.create(request_)
        assert computes.delete("cpu-pool") is True
        assert computes.delete("cpu-pool") is False
        assert computes.list() == []
        with pytest.raises(NotFound):
            computes.describe("cpu-pool")
        assert limits(computes.create(replace(request_, token="t2", maximum=3))) == (self.least, 3)  # noqa: S106

    def test_what_never_was_is_not_found(self, computes: Computes) -> None:
        """By describe and scale; deleting it is fine. Also for what can be no name."""
        for name in ("mcml-nobody", "../x", ""):
            with pytest.raises(NotFound):
                computes.describe(name)
            with pytest.raises(NotFound):
                computes.scale(name, 1, 2)
            assert computes.delete(name) is False

    @pytest.mark.parametrize(
        "wrong",
        [{"token": ""}, {"machine": ""}, {"name": "no/name"}, {"name": ""}, {"minimum": 3}, {"minimum": -1}, {"maximum": 0}],
        ids=str,
    )
    def test_what_is_wrong_is_refused(self, computes: Computes, request_: ComputeRequest, wrong: dict[str, object]) -> None:
        """Before anything is made."""
        with pytest.raises(InvalidRequest) as refused:
            computes.create(ComputeRequest(**{**vars(request_), **wrong}))
        assert refused.value.why
        assert computes.list() == []

    def test_spot_machines(self, computes: Computes, request_: ComputeRequest) -> None:
        """Or a refusal, where there are none."""
        if self.has_spot:
            assert computes.create(replace(request_, spot=True)).spot is True
            assert computes.describe("cpu-pool").spot is True
            return
        with pytest.raises(InvalidRequest):
            computes.create(replace(request_, spot=True))
        assert computes.list() == []

    def test_a_job_runs_on_it(
        self, computes: Computes, request_: ComputeRequest, jobs: Jobs, job_on: Callable[[str, str], JobRequest]
    ) -> None:
        """And not on one that never was."""
        computes.create(request_)
        job = jobs.submit(job_on("cpu-pool", "t1"))
        end = time.monotonic() + self.patience
        while (found := jobs.status(job.id)).state in ("queued", "running") and time.monotonic() < end:
            time.sleep(0.02)
        assert (found.state, found.exit_code) == ("succeeded", 0)
        with pytest.raises(NotFound):
            jobs.submit(job_on("mcml-nobody", "t2"))


def limits(compute: Compute) -> tuple[int, int]:
    """Return the limits of its size."""
    return compute.minimum, compute.maximum
