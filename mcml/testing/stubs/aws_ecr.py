"""ECR: its API, checked by the SDK's service model, in front of an OCI registry (`oci_registry`) that asks for the login which it gives.

    with AwsModel("ecr") as aws, EcrStub(aws) as ecr:
        client = boto3.client("ecr", endpoint_url=aws.url)

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html. Listings give `page` items at a time. Repositories are made by
CreateRepository alone: a push into another one is refused.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.oci_holdings import Repository
from mcml.testing.stubs.oci_registry import OciRegistryStub

REGISTRY_ID = "123456789012"
HOLDS = timedelta(hours=12)


class EcrStub:
    """Registers its handlers at an `AwsModel` that serves "ecr"."""

    def __init__(self, aws: AwsModel, *, page: int = 2, clock: Clock = utc_now) -> None:
        self.page, self.clock = page, clock
        self.password = secrets.token_hex(24)
        self.oci = OciRegistryStub(login=("AWS", self.password), challenge="basic", known=set(), clock=clock)
        for name in vars(EcrStub):
            if name[0].isupper():
                aws.on("ecr", name, getattr(self, name))

    def __enter__(self) -> "EcrStub":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the registry."""
        self.oci.close()

    def GetAuthorizationToken(self, _: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - the operations' own names, here and below
        """Give the login."""
        token = base64.b64encode(f"AWS:{self.password}".encode()).decode()
        given = {"authorizationToken": token, "expiresAt": self.clock() + HOLDS, "proxyEndpoint": self.oci.url}
        return {"authorizationData": [given]}

    def CreateRepository(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Make one."""
        name = asked["repositoryName"]
        with self.oci.lock:
            assert self.oci.known is not None
            if name in self.oci.known:
                raise AwsError("RepositoryAlreadyExistsException", f"The repository with name '{name}' already exists in the registry")
            self.oci.known.add(name)
        return {"repository": self._about(name)}

    def DescribeRepositories(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        with self.oci.lock:
            page, more = self._page(sorted(self.oci.known or ()), asked)
        return {"repositories": [self._about(name) for name in page], **more}

    def DescribeImages(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page, or the images that are asked for."""
        name = asked["repositoryName"]
        with self.oci.lock:
            if name not in (self.oci.known or ()):
                text = f"The repository with name '{name}' does not exist in the registry with id '{REGISTRY_ID}'"
                raise AwsError("RepositoryNotFoundException", text)
            held = self.oci.repositories.get(name, Repository())
            if wanted := asked.get("imageIds"):
                digests = [one.get("imageDigest") or held.tags.get(one["imageTag"], "") for one in wanted]
                if missing := [one for one, digest in zip(wanted, digests, strict=True) if digest not in held.manifests]:
                    raise AwsError("ImageNotFoundException", f"The image with imageId {missing[0]} does not exist within the repository")
                return {"imageDetails": [self._image(name, held, digest) for digest in digests]}
            page, more = self._page(sorted(held.manifests), asked)
            return {"imageDetails": [self._image(name, held, digest) for digest in page], **more}

    def _about(self, name: str) -> dict[str, Any]:
        return {"repositoryName": name, "registryId": REGISTRY_ID, "repositoryUri": f"{self.oci.url.partition('//')[2]}/{name}"}

    def _image(self, name: str, held: Repository, digest: str) -> dict[str, Any]:
        media, body = held.manifests[digest]
        size = sum(int(part["size"]) for part in json.loads(body)["layers"])
        about = {"registryId": REGISTRY_ID, "repositoryName": name, "imageDigest": digest, "imageManifestMediaType": media}
        tags = [tag for tag, at in held.tags.items() if at == digest]
        return {**about, "imageSizeInBytes": size, "imagePushedAt": held.pushed[digest], **({"imageTags": tags} if tags else {})}

    def _page(self, names: list[str], asked: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        rest = [name for name in names if name > asked.get("nextToken", "")]
        page = rest[: min(asked.get("maxResults", self.page), self.page)]
        return page, {"nextToken": page[-1]} if len(rest) > len(page) else {}
