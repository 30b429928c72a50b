"""Artifacts of SageMaker's lineage in memory, checked by the SDK's service model.

    with AwsModel("sagemaker") as aws:
        stub = ArtifactsStub(aws)

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateArtifact.html. A name is taken once in an account and region. Listings
give `page` items at a time, and each artifact is a second younger than the one before.
"""

import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.aws_sagemaker import ACCOUNT, REGION, invalid

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}")


class ArtifactsStub:
    """Registers its handlers at an `AwsModel` that serves "sagemaker". Thread-safe; `artifacts` are what was asked, by ARN."""

    def __init__(self, aws: AwsModel, *, page: int = 2) -> None:
        self.page = page
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.lock = threading.RLock()
        for name in ("CreateArtifact", "ListArtifacts", "DeleteArtifact", "ListTags"):
            aws.on("sagemaker", name, self._locked(getattr(self, name)))

    def CreateArtifact(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - the operations' own names, here and below
        """Store it."""
        if not _NAME.fullmatch(asked["ArtifactName"]):
            raise invalid(f"1 validation error detected: Value '{asked['ArtifactName']}' failed to satisfy constraint")
        if any(one["ArtifactName"] == asked["ArtifactName"] for one in self.artifacts.values()):
            raise invalid(f"Artifact with name {asked['ArtifactName']} already exists.")
        self.made += 1
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:artifact/{self.made:032x}"
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.made)
        self.artifacts[arn] = {**asked, "ArtifactArn": arn, "CreationTime": created}
        return {"ArtifactArn": arn}

    def ListArtifacts(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page, the newest first."""
        found = [one for one in reversed(self.artifacts.values()) if asked.get("ArtifactType") in (None, one["ArtifactType"])]
        found = [one for one in found if asked.get("SourceUri") in (None, one["Source"]["SourceUri"])]
        start = int(asked.get("NextToken", "0"))
        kept = ("ArtifactArn", "ArtifactName", "ArtifactType", "Source", "CreationTime")
        page = [{name: one[name] for name in kept} for one in found[start : start + self.page]]
        return {"ArtifactSummaries": page, **({"NextToken": str(start + self.page)} if start + self.page < len(found) else {})}

    def DeleteArtifact(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Forget it."""
        if asked["ArtifactArn"] not in self.artifacts:
            raise AwsError("ResourceNotFound", f"Artifact {asked['ArtifactArn']} does not exist.")
        del self.artifacts[asked["ArtifactArn"]]
        return {"ArtifactArn": asked["ArtifactArn"]}

    def ListTags(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """All of them."""
        if asked["ResourceArn"] not in self.artifacts:
            raise invalid(f"Could not find resource {asked['ResourceArn']}")
        return {"Tags": self.artifacts[asked["ResourceArn"]].get("Tags", [])}

    def _locked(self, handler: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
        def handle(asked: dict[str, Any]) -> Mapping[str, Any]:
            with self.lock:
                return handler(asked)

        return handle
