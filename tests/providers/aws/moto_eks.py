"""moto's EKS, corrected.

The CA of a cluster is a certificate (cluster_ca.pem, made for tests, nobody has its key) and not random text; listing the node groups of
a cluster that is not there is a ResourceNotFoundException, as by the API's reference, and not a 500.
"""

import base64
from pathlib import Path
from typing import Any

from moto.eks import models

CA = Path(__file__).with_name("cluster_ca.pem")


def install() -> None:
    made, data = models.Cluster.__init__, base64.b64encode(CA.read_bytes()).decode()

    def make(self: Any, *values: Any, **named: Any) -> None:
        made(self, *values, **named)
        self.certificate_authority = {"data": data}

    listed = models.EKSBackend.list_nodegroups

    def list_nodegroups(self: Any, cluster_name: str, max_results: int, next_token: str | None) -> Any:
        self.describe_cluster(cluster_name)
        return listed(self, cluster_name, max_results, next_token)

    models.Cluster.__init__ = make
    models.EKSBackend.list_nodegroups = list_nodegroups
