"""Local jobs: the contract, and what becomes of a job when something is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from mcml.core.errors import InvalidRequest, QuotaExceeded
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState
from mcml.providers.local import runner
from mcml.providers.local.jobs import open_jobs, state_of
from mcml.providers.local.worker import Run
from mcml.testing.contracts.jobs import OVER, JobsContract, Kind
from tests.providers.local.conftest import MakeContext, Processes

SCRIPTS: dict[Kind, str] = {"talks": "echo one; echo two", "fails": "exit 3", "sleeps": "echo asleep; exec sleep 300"}
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def shell(script: str, token: str, **environment: str) -> JobRequest:
    return JobRequest("job", token, ("sh", "-c", script), environment=environment)


@pytest.fixture
def jobs(make_context: MakeContext, runs: Processes) -> Jobs:
    return open_jobs(make_context("eu-1"))


class TestLocalJobs(JobsContract):
    @pytest.fixture
    def jobs(self, make_context: MakeContext, runs: Processes) -> Jobs:
        return open_jobs(make_context("eu-1"))

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        return lambda kind, token: shell(SCRIPTS[kind], token)


def wait(jobs: Jobs, job: Job) -> Job:
    return JobsContract().wait(jobs, job.id, OVER)


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def runner_of(root: Path, job: Job) -> int:
    return int(json.loads((root / "jobs" / job.id / "process.json").read_text())["pid"])


def test_the_exit_code_outlives_the_command_that_submitted(jobs: Jobs, root: Path) -> None:
    code = """
import sys
from pathlib import Path
from mcml.providers.api.jobs import JobRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import runner
from mcml.providers.local.jobs import open_jobs
from mcml.providers.local.settings import Settings
jobs = open_jobs(ProviderContext(Settings(), Path(sys.argv[1]), "eu-1"))
until_told = f"while [ ! -e {sys.argv[2]} ]; do sleep 0.05; done; echo done; exit 7"
print(jobs.submit(JobRequest("job", "t", ("sh", "-c", until_told))).id)
"""
    go = root / "go"
    argv = [sys.executable, "-c", code, str(root), str(go)]
    submitted = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    job = jobs.status(submitted.stdout.strip())
    assert job.state == "running"
    go.touch()
    done = wait(jobs, job)
    assert (done.state, done.exit_code) == ("failed", 7)
    assert list(jobs.logs(job.id)) == ["done"]


def test_a_job_killed_with_kill_9_has_failed_and_says_so(jobs: Jobs, root: Path, runs: Processes) -> None:
    job = jobs.submit(shell("exec sleep 300", "t"))
    wait_until(lambda: any(process.name() == "sleep" for process in runs()))
    (sleeper,) = (process for process in runs() if process.name() == "sleep")
    sleeper.kill()
    done = wait(jobs, job)
    assert (done.state, done.exit_code, done.detail) == ("failed", 137, "killed by signal 9 (SIGKILL)")
    wait_until(lambda: runs() == [])


def test_a_killed_runner_takes_its_command_along(jobs: Jobs, root: Path, runs: Processes) -> None:
    job = jobs.submit(shell("exec sleep 300", "t"))
    wait_until(lambda: any(process.name() == "sleep" for process in runs()))
    os.kill(runner_of(root, job), signal.SIGKILL)
    done = wait(jobs, job)
    assert (done.state, done.exit_code) == ("failed", None)
    assert "killed from outside" in done.detail
    wait_until(lambda: runs() == [])
    assert jobs.submit(shell("exec sleep 300", "t")) == done


def test_a_job_leaves_nothing_behind(jobs: Jobs, runs: Processes) -> None:
    done = wait(jobs, jobs.submit(shell("sleep 300 & echo started", "t")))
    assert done.state == "succeeded"
    wait_until(lambda: runs() == [])


def test_cancel_kills_exactly_the_group(jobs: Jobs, runs: Processes) -> None:
    """Children and grandchildren go, the job beside it stays."""
    other = jobs.submit(shell("exec sleep 300", "other"))
    job = jobs.submit(shell("sleep 301 & sh -c 'sleep 302; true' & wait", "t"))
    wait_until(lambda: len([process for process in runs() if process.name() == "sleep"]) == 3)
    assert jobs.cancel(job.id).state == "cancelled"
    wait_until(lambda: [process.cmdline()[-1] for process in runs() if process.name() == "sleep"] == ["300"])
    assert jobs.status(other.id).state == "running"


def test_cancel_right_after_submit(jobs: Jobs, runs: Processes) -> None:
    """A signal that comes before the command is there is not lost."""
    began = time.monotonic()
    for number in range(3):
        assert jobs.cancel(jobs.submit(shell("exec sleep 300", f"t{number}")).id).state == "cancelled"
    assert time.monotonic() - began < 29  # three times 10 s would pass before it is killed
    wait_until(lambda: runs() == [])


def test_cancel_after_the_runner_was_killed_ends_the_orphans(jobs: Jobs, root: Path, runs: Processes) -> None:
    job = jobs.submit(shell("sleep 300 & wait", "t"))
    wait_until(lambda: any(process.name() == "sleep" for process in runs()))
    os.kill(runner_of(root, job), signal.SIGKILL)
    wait(jobs, job)
    assert [process.name() for process in runs()] == ["sleep"]
    assert jobs.cancel(job.id).state == "failed"
    wait_until(lambda: runs() == [])


def test_a_reused_pid_is_not_ours(jobs: Jobs, root: Path) -> None:
    """The record says a pid that now belongs to another program: it lives on, and the job counts as lost."""
    job = wait(jobs, jobs.submit(shell("true", "t")))
    folder = root / "jobs" / job.id
    (folder / "result.json").unlink()
    with subprocess.Popen(["sleep", "30"]) as stranger:
        (folder / "process.json").write_text(json.dumps({"pid": stranger.pid, "started": time.time() - 1000}))
        assert jobs.status(job.id).state == "failed"
        assert jobs.cancel(job.id).state == "failed"
        assert stranger.poll() is None
        stranger.kill()


def test_a_job_whose_start_was_cut_off_starts_with_the_same_token(jobs: Jobs, root: Path, runs: Processes) -> None:
    """Killed between writing the job down and starting it: `queued`; asked again, it runs, once."""
    code = """
import os, sys
from pathlib import Path
from mcml.providers.api.jobs import JobRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import jobs, worker
from mcml.providers.local.settings import Settings
worker.start = lambda folder: os.kill(os.getpid(), 9)
jobs.open_jobs(ProviderContext(Settings(), Path(sys.argv[1]), "eu-1")).submit(JobRequest("job", "t", ("sh", "-c", "echo once")))
"""
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False, timeout=30).returncode == -signal.SIGKILL
    (folder,) = (root / "jobs").glob("job-*")
    assert jobs.status(folder.name).state == "queued"
    assert list(jobs.logs(folder.name)) == []
    job = jobs.submit(shell("echo once", "t"))
    assert job.id == folder.name
    assert wait(jobs, job).state == "succeeded"
    assert list(jobs.logs(job.id)) == ["once"]


def test_a_queued_job_can_be_cancelled_and_never_starts(jobs: Jobs, root: Path) -> None:
    job = wait(jobs, jobs.submit(shell("echo once", "t")))
    folder = root / "jobs" / job.id
    for name in ("process.json", "result.json"):
        (folder / name).unlink()
    assert jobs.cancel(job.id).state == "cancelled"
    assert list(jobs.logs(job.id, follow=True)) == ["once"]
    second = [sys.executable, "-I", runner.__file__, str(folder)]
    subprocess.run(second, check=True, timeout=30)
    assert list(jobs.logs(job.id)) == ["once"]
    assert jobs.submit(shell("echo once", "t")).state == "cancelled"


def test_the_second_of_two_runners_does_nothing(jobs: Jobs, root: Path) -> None:
    job = wait(jobs, jobs.submit(shell("echo once", "t")))
    subprocess.run([sys.executable, "-I", runner.__file__, str(root / "jobs" / job.id)], check=True, timeout=30)
    assert list(jobs.logs(job.id)) == ["once"]


def test_logs_follow_while_the_job_writes(jobs: Jobs) -> None:
    job = jobs.submit(shell("echo first; printf 'half '; sleep 0.4; echo line; printf '\\377 no end'", "t"))
    assert list(jobs.logs(job.id, follow=True)) == ["first", "half line", "\ufffd no end"]


def test_the_environment_is_small_and_what_was_asked(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_CLOUD_TOKEN", "hunter2")
    job = wait(jobs, jobs.submit(shell("env", "t", GREETING="hello")))
    lines = set(jobs.logs(job.id))
    assert "GREETING=hello" in lines
    assert not any("hunter2" in line for line in lines)
    assert any(line.startswith("PATH=") for line in lines)


def test_private_files_are_for_the_owner_only(jobs: Jobs, root: Path) -> None:
    job = wait(jobs, jobs.submit(shell("true", "t", PASSWORD="x")))
    for name in ("job.json", "run.json"):
        assert (root / "jobs" / job.id / name).stat().st_mode & 0o777 == 0o600


def test_limits_are_enforced(jobs: Jobs) -> None:
    code = """
import os
print(len(os.sched_getaffinity(0)))
try:
    bytearray(700 * 2**20)
except MemoryError:
    print("too much")
"""
    request = JobRequest("limited", "t", (sys.executable, "-c", code), resources={"cpu": "500m", "memory": "512Mi"})
    job = wait(jobs, jobs.submit(request))
    assert list(jobs.logs(job.id)) == ["1", "too much"]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (JobRequest("j", "t", ("true",), image="python:3.11"), "no containers"),
        (JobRequest("j", "t", ("no-such-program-here",)), "no program"),
        (JobRequest("j", "t", ("true",), resources={"nvidia.com/gpu": "1"}), "cpu and memory"),
        (JobRequest("j", "t", ("true",), resources={"cpu": "many"}), "2"),
        (JobRequest("j", "t", ("true",), resources={"memory": "0"}), "4Gi"),
        (JobRequest("j", "", ("true",)), "retry"),
    ],
)
def test_wrong_requests_are_refused_and_leave_nothing(jobs: Jobs, root: Path, request_: JobRequest, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        jobs.submit(request_)
    assert why in caught.value.why
    assert list(root.glob("jobs/*")) == []


@pytest.mark.parametrize("resources", [{"cpu": "100000"}, {"memory": "1000Ti"}])
def test_more_than_the_machine_has_is_over_quota(jobs: Jobs, resources: dict[str, str]) -> None:
    with pytest.raises(QuotaExceeded, match="fit"):
        jobs.submit(JobRequest("j", "t", ("true",), resources=resources))


def test_a_token_stands_for_one_request_of_one_target(jobs: Jobs, make_context: MakeContext) -> None:
    first = jobs.submit(shell("echo 1", "t"))
    with pytest.raises(InvalidRequest, match="cannot submit"):
        jobs.submit(shell("echo 2", "t"))
    elsewhere = open_jobs(make_context("us-1"))
    second = elsewhere.submit(shell("echo 2", "t"))
    assert second.id != first.id
    wait(jobs, first)
    wait(elsewhere, second)


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (Run("waiting"), "queued"),
        (Run("waiting", halted=NOW), "cancelled"),
        (Run("running"), "running"),
        (Run("running", halted=NOW), "running"),
        (Run("ended", 0, ended=NOW), "succeeded"),
        (Run("ended", 1, ended=NOW), "failed"),
        (Run("ended", 143, ended=NOW, halted=NOW - timedelta(seconds=1)), "cancelled"),
        (Run("ended", 0, ended=NOW, halted=NOW - timedelta(seconds=1)), "cancelled"),
        (Run("ended", 0, ended=NOW, halted=NOW + timedelta(seconds=1)), "succeeded"),
        (Run("lost"), "failed"),
        (Run("lost", halted=NOW), "cancelled"),
    ],
)
def test_state_of(run: Run, state: JobState) -> None:
    assert state_of(run) == state


def test_a_job_that_cannot_be_executed_has_failed(jobs: Jobs, tmp_path: Path) -> None:
    """It is there and executable when it is submitted, and is no program."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF but not really")
    broken.chmod(0o755)
    done = wait(jobs, jobs.submit(JobRequest("j", "t", (str(broken),))))
    assert (done.state, done.exit_code) == ("failed", 126)
    assert "could not be started" in done.detail


def test_status_is_one_look(jobs: Jobs) -> None:
    """Nobody polls behind the caller's back: no thread, no child of ours but the runner."""
    before = psutil.Process().num_threads()
    job = jobs.submit(shell("true", "t"))
    assert psutil.Process().num_threads() <= before  # one of a test before may just be ending
    wait(jobs, job)
