"""A listing of AWS comes to an end."""

import pytest

from mcml.core.errors import Unavailable
from mcml.providers.aws.paging import paged
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.conftest import MakeSession


def test_a_page_that_leads_to_itself_is_not_asked_for_for_ever(make_session: MakeSession) -> None:
    with AwsModel("glue") as stub:
        stub.on("glue", "GetDatabases", {"DatabaseList": [{"Name": "a"}], "NextToken": "again"})
        with pytest.raises(Unavailable, match="cannot list") as failed:
            list(paged(make_session(endpoint_url=stub.url), "cannot list", "glue", "get_databases", "DatabaseList"))
        assert (failed.value.why, failed.value.next_step) == ("AWS gives the same page of the listing again and again", "mcml doctor")
        assert len(stub.calls) == 2
