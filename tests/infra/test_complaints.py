"""What providers, backends and Terraform complain of, each text a file with its source, and what is made of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core import errors
from mcml.infra.terraform.complaints import Place, readable, recognise
from mcml.infra.terraform.events import Diagnostic, to_error

FILES = sorted((Path(__file__).parent / "complaints").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_complaint_is_said_in_our_words(path: Path) -> None:
    told = json.loads(path.read_text())
    assert told["source"]
    error = to_error(
        [Diagnostic(**one) for one in told["diagnostics"]], "planning aws-data", next_step="again", place=Place("aws-data", "risk")
    )
    assert type(error) is getattr(errors, told["kind"])
    assert error.message == f"{told['message']}: planning aws-data failed"
    assert error.next_step == told["next_step"]
    assert error.why
    assert len(error.why.splitlines()) == len(told["diagnostics"]), "one line each"


def test_without_a_profile_the_login_is_that_of_the_shell() -> None:
    found = recognise("No valid credential sources found", "", Place())
    assert found
    assert found.next_step == "aws sso login    # or: aws configure"


def test_what_may_be_secret_is_not_said() -> None:
    said = readable("Get https://s3/x?X-Amz-Signature=abc: AKIAABCDEF12 no.\nEncoded authorization failure message: qFtT1nW8")
    assert said == "Get https://s3/x [hidden] no."


def test_an_unknown_complaint_beside_a_known_one_is_told_too() -> None:
    known = Diagnostic("error", "api error VpcLimitExceeded: The maximum number of VPCs has been reached.", "", "aws_vpc.it")
    other = Diagnostic("error", "Odd", "nobody knows", "a.b")
    error = to_error([known, other], "applying", next_step="again")
    assert isinstance(error, errors.QuotaExceeded)
    assert error.message == "a limit of the AWS account is reached: VpcLimitExceeded: applying failed"
    assert error.why.splitlines()[1] == "a.b: Odd: nobody knows"
    assert to_error([other, known], "applying").message == "Odd"


def test_a_faulty_file_is_named_without_noise() -> None:
    faulty = Diagnostic("error", "Invalid expression", "Expected the start of an expression.", where="main.tf:2")
    noise = Diagnostic("error", "Terraform encountered problems during initialisation, including problems\nwith the configuration")
    error = to_error([faulty, noise], "preparing")
    assert (error.message, error.why) == ("Invalid expression (main.tf:2)", "Expected the start of an expression.")


@given(st.text(), st.text())
def test_no_text_breaks_it(text: str, address: str) -> None:
    found = recognise(text, address, Place())
    assert found is None or found.message
