"""`mcml cost`: bills and measured use in, answers out."""

from mcml.cli.cost import ingest, prices, quarantine, report, schedule
from mcml.cli.lazy import group

app = group(
    "cost",
    "What it costs: bills of every cloud and the measured use of this machine in one ledger, to the last digit.",
    examples=(
        "mcml cost ingest export.csv.gz          # FOCUS 1.0 to 1.4: CSV, gzip or Parquet",
        "mcml cost ingest --provider local       # what the models on this machine used",
        "mcml cost report --by team --by service",
        "mcml cost prices",
    ),
)
for verb in (ingest, report, prices, quarantine, schedule):
    verb.register(app)
