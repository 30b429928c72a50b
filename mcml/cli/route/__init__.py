"""`mcml route`: one endpoint over all targets."""

from mcml.cli.lazy import group
from mcml.cli.route import drill, explain, serve, status, stop

app = group(
    "route",
    "One endpoint over all targets: weights by latency, cost and reliability, failover with no lost request.",
    examples=(
        "mcml route serve --detach      # Envoy in front of every route of mcml.toml",
        "mcml route status              # weight, health, traffic and price of every backend",
        "mcml route explain fraud       # why each backend has its weight",
        "mcml route drill fraud --kill aws-use1 --requests 5000",
        "mcml route stop",
    ),
)
for verb in (serve, stop, status, explain, drill):
    verb.register(app)
