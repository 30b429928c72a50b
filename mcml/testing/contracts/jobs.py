"""What every Jobs promises."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState

Kind = Literal["talks", "fails", "sleeps"]
OVER: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


class JobsContract:
    """Give `jobs` and `make_request`: makes the request of a job that `talks` (prints the lines `one` and `two`, and succeeds), `fails`
    (with exit code 3) or `sleeps` (for at least five minutes, having printed `asleep`), under a token.

    `patience` is how many seconds a job may take to start and to end.
    """

    patience = 30.0

    @pytest.fixture
    def jobs(self) -> Jobs:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        """Return a function that makes a request of a kind, with a token."""
        raise NotImplementedError

    def wait(self, jobs: Jobs, job: str, wanted: frozenset[JobState] = OVER) -> Job:
        """Wait until a job is in one of the wanted states, or over."""
        end = time.monotonic() + self.patience
        while (found := jobs.status(job)).state not in wanted | OVER and time.monotonic() < end:
            time.sleep(0.02)
        assert found.state in wanted, found
        return found

    def test_runs_to_its_end(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """It succeeds with exit code 0, keeps its name, and ends after it was submitted."""
        request = make_request("talks", "t1")
        submitted = jobs.submit(request)
        assert submitted.name == request.name
        assert submitted.id
        done = self.wait(jobs, submitted.id)
        assert (done.state, done.exit_code, done.id, done.submitted) == ("succeeded", 0, submitted.id, submitted.submitted)
        assert done.ended is not None
        assert done.ended >= done.submitted
        assert jobs.status(submitted.id) == done

    def test_a_failure_keeps_its_exit_code(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """And says so in the detail."""
        done = self.wait(jobs, jobs.submit(make_request("fails", "t1")).id)
        assert (done.state, done.exit_code) == ("failed", 3)
        assert done.detail

    def test_the_same_token_is_the_same_job(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """Asked one after the other, at once, and after its end; another token is another job."""
        request = make_request("talks", "t1")
        with ThreadPoolExecutor(4) as pool:
            ids = {job.id for job in pool.map(jobs.submit, [request] * 4)}
        (job,) = ids
        done = self.wait(jobs, job)
        assert jobs.submit(request) == done
        assert list(jobs.logs(job)) == ["one", "two"]
        other = jobs.submit(make_request("talks", "t2")).id
        assert other != job
        self.wait(jobs, other)

    def test_logs_line_by_line(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """With `follow` until the end, and again when it has ended."""
        job = jobs.submit(make_request("talks", "t1")).id
        assert list(jobs.logs(job, follow=True)) == ["one", "two"]
        assert self.wait(jobs, job).state == "succeeded"
        assert list(jobs.logs(job)) == ["one", "two"]

    def test_cancelled(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """It is over soon and stays cancelled; its log is still there, and following it ends."""
        job = jobs.submit(make_request("sleeps", "t1")).id
        self.wait(jobs, job, frozenset({"running"}))
        following = jobs.logs(job, follow=True)
        assert next(following) == "asleep"
        jobs.cancel(job)
        done = self.wait(jobs, job)
        assert done.state == "cancelled"
        assert done.ended is not None
        assert list(following) == []
        assert jobs.cancel(job) == done
        assert jobs.submit(make_request("sleeps", "t1")) == done

    def test_what_has_ended_is_not_cancelled(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """It stays as it is."""
        done = self.wait(jobs, jobs.submit(make_request("fails", "t1")).id)
        assert jobs.cancel(done.id) == done

    def test_a_job_that_never_was_is_not_found(self, jobs: Jobs) -> None:
        """By status, logs and cancel."""
        with pytest.raises(NotFound):
            jobs.status("mcml-never-existed")
        with pytest.raises(NotFound):
            list(jobs.logs("mcml-never-existed"))
        with pytest.raises(NotFound):
            jobs.cancel("mcml-never-existed")

    def test_a_job_without_a_command_or_token_is_refused(self, jobs: Jobs, make_request: Callable[[Kind, str], JobRequest]) -> None:
        """Before anything is started."""
        good = make_request("talks", "t1")
        with pytest.raises(InvalidRequest):
            jobs.submit(JobRequest(good.name, "t1", ()))
        with pytest.raises(InvalidRequest):
            jobs.submit(make_request("talks", ""))
