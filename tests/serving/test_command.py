"""The command line: one clear line and an exit code for whatever keeps the server from starting."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.core import exits
from tests.serving import models


def run(*argv: str) -> tuple[int, str]:
    """Run the command to its end; return the exit code and what it said on stderr."""
    done = subprocess.run([sys.executable, "-m", "mcml.serving", *argv], capture_output=True, timeout=60, check=False)
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    code, said = run("--model", str(tmp_path / "nowhere"))
    assert code == exits.NOT_FOUND
    assert said.startswith(f"mcml.serving: {tmp_path / 'nowhere'} is not a model package; it holds no model.onnx; try: ")
    assert said.count("\n") == 1


def test_a_broken_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"garbage")
    code, said = run("--model", str(tmp_path), "--port", "0")
    assert code == exits.FAILED
    cause = "7 : INVALID_PROTOBUF : Protobuf parsing failed."
    assert said == f"mcml.serving: cannot load {tmp_path / 'model.onnx'}; {cause}; try: export the model to ONNX again\n"


def test_a_tensor_for_tokens_that_is_not_there(tmp_path: Path) -> None:
    folder = models.words(tmp_path / "words", {"input": {"mask": "attention"}})
    code, said = run("--model", str(folder), "--port", "0")
    assert code == exits.FAILED
    why = "tokens.input.mask: the network has no input 'attention'; did you mean 'attention_mask'?"
    assert said.startswith(f"mcml.serving: cannot count tokens as {folder / 'model.json'} says; {why}; try: mend 'tokens' there")


def test_a_taken_port_is_named_and_its_holder_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = run("--model", str(models.double(tmp_path / "m")), "--port", str(port))
        assert code == exits.FAILED
        assert said.startswith(f"mcml.serving: cannot listen on 127.0.0.1:{port}; another program listens there; try: choose another")
        assert said.count("\n") == 1
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            other.accept()[0].close()


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    code, said = run("--model", str(models.double(tmp_path / "m")), "--host", "203.0.113.1", "--port", "0")
    assert code == exits.FAILED
    assert said == "mcml.serving: cannot listen on 203.0.113.1:0; Cannot assign requested address; try: choose another --host or --port\n"


@pytest.mark.parametrize("argv", ["", "--model m --port 70000", "--model m --port x", "--model m --threads 0", "--model m --drain -1"])
def test_wrong_usage(argv: str) -> None:
    code, said = run(*argv.split())
    assert code == exits.USAGE
    assert said.startswith("usage: python -m mcml.serving")
