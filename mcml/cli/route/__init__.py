"""`mcml route`: one endpoint over all targets."""

from mcml.cli.lazy import group
from mcml.cli.route import drain, drill, explain, export, keys, logs, pin, serve, set_, shadow, split, status, stop, top, undrain, unpin

app = group(
    "route",
    "One endpoint over all targets: weights by latency, cost and reliability, failover with no lost request.",
    examples=(
        "mcml route serve --detach      # Envoy in front of every route of mcml.toml",
        "mcml route status              # weight, health, traffic and price of every backend",
        "mcml route explain fraud       # why each backend has its weight",
        "mcml route drain eu-1 --for 30m # no new request to a target; those under way end",
        "mcml route drill fraud --kill aws-use1 --requests 5000",
        "mcml route stop",
    ),
)
for verb in (serve, stop, status, top, explain, set_, drain, undrain, pin, unpin, split, drill, shadow, export, keys, logs):
    verb.register(app)
