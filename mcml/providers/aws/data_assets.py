"""Data assets on SageMaker: lineage artifacts of the type DataSet. https://docs.aws.amazon.com/sagemaker/latest/dg/lineage-tracking.html

SageMaker has no data set that is a thing of its own: a feature group is a table with a schema, a hub's content is a document. An artifact
is a name and the address of its data, and is what SageMaker itself makes of a job's input; name and version are its source's id
(`mcml/NAME/VERSION`, of the type Custom), for a listing tells these without a call for each. SageMaker lists artifacts by type or address
only, so a name is looked for among all data sets of the account in the region. One that a job is linked to is not deleted.
"""

import builtins
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers import assets as rules
from mcml.providers.api.data_assets import DataAsset, DataAssets
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.sagemaker import SageMaker, digest_of, slug
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, tag_list
from mcml.providers.resilience import Policy

TYPE = "DataSet"
SOURCE = "mcml"
PAGE = 100
LOOKS, LOOK_SECONDS = 5, 1.0
"""How often, and how far apart, something is looked for that SageMaker says is there: a listing may be a moment behind."""


def open_data_assets(ctx: ProviderContext) -> DataAssets:
    """Return the data assets of the account in the region."""
    return SageMakerDataAssets(Session(ctx, policy=Policy(budget=ctx.budget)))


class SageMakerDataAssets:
    """Data assets of one account and region."""

    def __init__(self, session: Session) -> None:
        self._sagemaker = SageMaker(session)

    def register(self, name: str, uri: str, *, token: str, tags: Mapping[str, str] | None = None) -> DataAsset:
        """Make a version; the same token gives the one that is there. Raises InvalidRequest, QuotaExceeded."""
        rules.check_asset(name, uri, token)
        doing, version = f"cannot register the data set {name!r}", rules.version_of(token)
        source = {"SourceUri": uri, "SourceTypes": [{"SourceIdType": "Custom", "Value": f"{SOURCE}/{name}/{version}"}]}
        asked = {"Source": source, "ArtifactType": TYPE, "Tags": tag_list(tags or {}, OURS)}
        refused: Exception | None = None
        try:  # a name is taken once
            self._sagemaker.ask(doing, "create_artifact", ArtifactName=_name(name, version), **asked)
        except (Conflict, InvalidRequest) as failed:
            refused = failed
        for look in range(1 if isinstance(refused, InvalidRequest) else LOOKS):
            if look:
                self._sagemaker.wait(LOOK_SECONDS)
            found = self._find(name, version)
            if found is not None:
                return rules.same_asset(self._told(found), uri)
        raise refused or self._no_version(name, version)

    def list(self, name: str = "") -> list[DataAsset]:
        """Return the versions of a data set, or of all, newest first."""
        return rules.newest_first(self._told(one) for one in self._ours(name))

    def describe(self, name: str, version: str = "") -> DataAsset:
        """Return a version, or the newest. Raises NotFound."""
        if not version:
            return rules.newest(name, self.list(name))
        found = self._find(name, version)
        if found is None:
            raise self._no_version(name, version)
        return self._told(found)

    def delete(self, name: str, version: str) -> bool:
        """Forget a version; its data stays. False when it was gone."""
        found = self._find(name, version)
        if found is None:
            return False
        self._sagemaker.find(f"cannot delete the data set {name!r}", "delete_artifact", ArtifactArn=found["ArtifactArn"])
        return True

    def _find(self, name: str, version: str) -> Any:
        return next((one for one in self._ours(name) if _id(one)[1] == version), None)

    def _ours(self, name: str) -> Iterator[Any]:
        """Yield the artifacts that were registered here, of a name or of all, newest first."""
        asked = {"ArtifactType": TYPE, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": PAGE}
        for one in self._sagemaker.pages("cannot list the data sets", "list_artifacts", "ArtifactSummaries", **asked):
            if _id(one)[0] and name in ("", _id(one)[0]):
                yield one

    def _no_version(self, name: str, version: str) -> NotFound:
        return rules.no_version(name, version, self.list(name))

    def _told(self, found: Any) -> DataAsset:
        name, version = _id(found)
        tags = self._sagemaker.tags(f"cannot read the tags of the data set {name!r}", found["ArtifactArn"])
        own = {key: value for key, value in tags.items() if key not in OURS}
        return DataAsset(name, version, found["Source"]["SourceUri"], found["CreationTime"].astimezone(UTC), own)


def _id(found: Any) -> builtins.list[str]:
    """Return name and version of an artifact, two empty texts for one that was not registered here."""
    ids = (one["Value"].split("/") for one in found["Source"].get("SourceTypes", ()) if one["SourceIdType"] == "Custom")
    return next((parts[1:] for parts in ids if len(parts) == 3 and parts[0] == SOURCE), ["", ""])


def _name(name: str, version: str) -> str:
    return f"mcml-{slug(name, 60)}-{digest_of(name, version)[:32]}"
