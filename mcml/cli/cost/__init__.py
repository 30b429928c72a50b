"""`mcml cost`: bills and measured use in, answers out."""

from mcml.cli.cost import (
    allocate,
    anomalies,
    ask,
    budgets,
    compare,
    coverage,
    dashboard,
    digest,
    estimate,
    forecast,
    ingest,
    live,
    model,
    prices,
    quarantine,
    rates,
    report,
    restatements,
    rightsize,
    schedule,
    spot,
    validate,
    why,
)
from mcml.cli.lazy import group

app = group(
    "cost",
    "What it costs: bills of every cloud and the measured use of this machine in one ledger, to the last digit.",
    examples=(
        "mcml cost ingest export.csv.gz          # FOCUS 1.0 to 1.4: CSV, gzip or Parquet",
        "mcml cost ingest --provider local       # what the models on this machine used",
        "mcml cost report --by team --by service",
        "mcml cost why 2026-09 2026-10           # volume, mix, rate, commitment, new, gone: to the last digit",
        "mcml cost prices",
    ),
)
_VERBS = (
    ingest, report, prices, quarantine, why, validate, model, spot, schedule, allocate, live, estimate, coverage, forecast,
    anomalies, ask, compare, budgets, rates, restatements, rightsize, digest, dashboard,
)
for verb in _VERBS:
    verb.register(app)
