"""`mcml cost dashboard`."""

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost dashboard > mcml-cost.json            # Grafana: Dashboards, New, Import",
    "mcml cost dashboard > /var/lib/grafana/dashboards/mcml-cost.json   # where Grafana provisions from",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "dashboard", examples=EXAMPLES)(dashboard)


def dashboard(session: Session) -> Document:
    """Write a dashboard for Grafana 11 or later: prices, burn and shares of backends, latency, errors, and the model servers.

    It reads what `mcml route serve` and the model servers expose to Prometheus at /metrics; which Prometheus is asked in Grafana.
    """
    import json

    from mcml.core.view import Text
    from mcml.cost.grafana import dashboard as built

    made = built()
    session.note("import it in Grafana, or put it where Grafana provisions dashboards from")
    return Document("GrafanaDashboard", [made], (Text(json.dumps(made, indent=2), verbatim=True),), name_key="uid")
