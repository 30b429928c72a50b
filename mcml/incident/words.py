"""One sentence for each kind of fact, as it stands in a timeline; a kind we do not know is shown as it is."""

from collections.abc import Callable, Mapping, Sequence

from mcml.core.when import span
from mcml.incident.names import name
from mcml.store.journal import Entry

_VERBS = {"opened": "opened", "reopened": "opened again", "acked": "acknowledged", "recovered": "recovered", "resolved": "resolved"}

MOST_REASONS = 2
"""Successive shifts with more reasons than that are told without them."""


def say(entry: Entry) -> str:
    """Return the sentence for a fact."""
    teller = _TELLERS.get(entry.kind)
    if teller:
        return teller(entry)
    if entry.kind.startswith("incident."):
        return _incident(entry)
    known = [f"{key}={value}" for key, value in entry.facts.items() if isinstance(value, str | int | float) and value != ""]
    return " ".join(filter(None, [entry.kind, entry.target, *known]))


def shifts(entries: Sequence[Entry]) -> str:
    """Return the sentence for successive `route.weights` of one route: where traffic was before the first and after the last of them."""
    first, last = entries[0], entries[-1]
    before, after = _weights(first, "previous"), _weights(last, "weights")
    names = dict.fromkeys([*before, *after])
    moved = [backend for backend in names if before.get(backend, 0) != after.get(backend, 0)]
    steps = [
        f"{_place(backend, names)}{f' {before[backend]}% ->' if backend in before else ''} {after.get(backend, 0)}%" for backend in moved
    ]
    reasons = list(dict.fromkeys(reason for entry in entries if (reason := _fact(entry, "reason"))))
    said = reasons if len(reasons) <= MOST_REASONS else []
    if len(entries) > 1:
        said = [f"{len(entries)} shifts in {span((last.at - first.at).total_seconds())}", *said]
    why = f" ({'; '.join(said)})" if said else ""
    return f"traffic of {_fact(first, 'route') or '?'}: {', '.join(steps) or 'as it was'}{why}"


def _weights(entry: Entry, key: str) -> Mapping[str, int]:
    value = entry.facts.get(key)
    shares = value if isinstance(value, Mapping) else {}
    return {str(backend): round(share) for backend, share in shares.items() if isinstance(share, int | float)}


def _place(backend: str, names: Mapping[str, None]) -> str:
    """Shorten `model@target` to the target where every backend is of the same model."""
    models = {each.partition("@")[0] for each in names}
    return backend.partition("@")[2] or backend if len(models) == 1 else backend


def _fact(entry: Entry, key: str, shape: str = "{}") -> str:
    """Return one value of a fact in a shape like ` (was {})`; nothing when the fact does not have it."""
    value = entry.facts.get(key)
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
    return shape.format(text) if text else ""


def _what(entry: Entry) -> str:
    return f"{_fact(entry, 'model') or 'a model'}{_fact(entry, 'version', ' version {}')}"


def _where(entry: Entry) -> str:
    return _fact(entry, "targets", " ({})")


def _infra_applied(entry: Entry) -> str:
    counts = [f"{number} {action}d" for action in ("create", "update", "delete") if (number := entry.facts.get(action))]
    part = "" if entry.facts.get("complete", True) else " in part"
    return f"infra applied{_fact(entry, 'environment', ' to {}')}{part}: {', '.join(counts) or 'no change'}{_where(entry)}"


def _backend(entry: Entry) -> str:
    return _fact(entry, "backend") or f"{_fact(entry, 'model') or '?'}@{entry.target or '?'}"


def _backend_up(entry: Entry) -> str:
    return f"{_backend(entry)} answers again{_lasted(entry)}"


def _lasted(entry: Entry) -> str:
    down = entry.facts.get("down_s")
    return f" after {span(down)}" if isinstance(down, int | float) else ""


def _drill(entry: Entry, verb: str) -> str:
    """Name a drill: one that kills a backend has its target, one that is only load has none."""
    return f"drill on {entry.target} {verb}" if entry.target else f"drill with load alone {verb}"


def _shadow(entry: Entry) -> str:
    """Name a shadow: mcml.toml's own, or one that a person switched."""
    value = entry.facts.get("value")
    switched = value.get("shadow") if isinstance(value, Mapping) else None
    about = switched if isinstance(switched, Mapping) else {"model": entry.facts.get("shadow"), "percent": entry.facts.get("percent")}
    percent = about.get("percent")
    return f" {about.get('model') or 'a shadow'}" + (f" ({percent}%)" if percent else "") + _fact(entry, "reason", ": {}")


def _reloaded(entry: Entry) -> str:
    parts = (_fact(entry, what, f"{what} {{}}") for what in ("added", "removed", "changed"))
    return f"the router read mcml.toml again; routes {', '.join(filter(None, parts)) or 'as before'}"


def _victim(entry: Entry) -> str:
    return _fact(entry, "backend") or f"the backend on {entry.target}"


def _broken(entry: Entry) -> str:
    mode = str(entry.facts.get("mode", "kill"))
    return "was killed" if mode == "kill" else f"was made to fail ({mode})"


def _turned(entry: Entry) -> str:
    word, sizes = entry.kind.partition("_")[2], [entry.facts.get("from"), entry.facts.get("to")]
    size = f" ({sizes[0]} -> {sizes[1]})" if entry.facts.get("kind") == "group" and None not in sizes else ""
    by = _fact(entry, "by", " by {}").replace(":", " ") or _fact(entry, "schedule", " by the schedule {}")
    return f"{_fact(entry, 'id') or 'something'} on {entry.target} turned {word}{size}{by}{_fact(entry, 'reason', ': {}')}"


def _budget(entry: Entry) -> str:
    over = "has an alert" if entry.kind.endswith("alerted") else "is well again"
    return f"the budget {_fact(entry, 'budget') or '?'} {over}{_fact(entry, 'text', ': {}')}"


_BUDGET_DOES = {
    "cost.budget_acted": "acts",
    "cost.budget_would_act": "would act",
    "cost.budget_action_ended": "acts no more",
    "cost.budget_lifted": "was told to let go",
}


def _budget_does(entry: Entry) -> str:
    what = _fact(entry, "action", ", {}") + _fact(entry, "text", ": {}") + _fact(entry, "undo", " (back: {})")
    return f"the budget {_fact(entry, 'budget') or '?'} {_BUDGET_DOES[entry.kind]}{what}"


def _money(entry: Entry, key: str, shape: str = "{}") -> str:
    return _fact(entry, key, shape.format("{} " + _fact(entry, "currency"))).rstrip()


def _ingested(entry: Entry) -> str:
    refused = entry.facts.get("quarantined")
    aside = f", {refused} in quarantine" if refused else ""
    rows = f"{_fact(entry, 'rows') or 'no'} rows of cost{_fact(entry, 'provider', ' of {}')} read{_fact(entry, 'source', ' from {}')}"
    return f"{rows}{aside}{_money(entry, 'billed', ', {} billed')}"


def _anomaly(entry: Entry) -> str:
    what = _fact(entry, "key") or _fact(entry, "id") or "something"
    if entry.kind == "cost.anomaly_marked":
        verdict = _fact(entry, "verdict")
        said = f"was called {verdict}" if verdict else "is judged again"
        return f"the anomaly of {what} {said}{_fact(entry, 'note', ': {}')}"
    days = _fact(entry, "first", " from {}") + _fact(entry, "last", " to {}")
    return f"the cost of {what} is unusual{days}{_money(entry, 'actual', ': {}')}{_money(entry, 'expected', ', expected were {}')}"


def _kept_on(entry: Entry) -> str:
    key, until = _fact(entry, "key"), _fact(entry, "until", " until {}")
    what = key or _fact(entry, "schedule", "all of {}") or entry.target or "something"
    if entry.kind == "cost.released":
        return f"{what} is left to its schedule again{_fact(entry, 'schedule', ', {}') if key else ''}"
    return f"{what} is kept on{until}{_fact(entry, 'who', ' by {}')}{_fact(entry, 'reason', ': {}')}"


_SPOT = {
    "cost.spot_started": "begins",
    "cost.spot_moved": "moved",
    "cost.spot_interrupted": "lost its machine",
    "cost.spot_noticed": "is about to lose its machine",
    "cost.spot_late": "missed its deadline",
    "cost.spot_ended": "has ended",
    "cost.spot_deleted": "is rid of a machine and its disks",
}


def _spot(entry: Entry) -> str:
    place = _fact(entry, "place", " {}") or (f" {entry.facts['target']}" if entry.facts.get("target") else "")
    machine = _fact(entry, "market", " {}") + place + (_fact(entry, "instance", " {}") or _fact(entry, "id", " {}"))
    moved = {"cost.spot_moved": " to", "cost.spot_deleted": ":"}.get(entry.kind, "") if machine else ""
    about = _fact(entry, "until", ", at {}") + _fact(entry, "deadline", ", due {}") + _fact(entry, "state", ": {}")
    spent = ""
    if entry.kind == "cost.spot_ended":
        spent = _money(entry, "cost", ", cost {}") + _money(entry, "saved", ", saved {}") + (", late" if entry.facts.get("late") else "")
    return f"the spot job {_fact(entry, 'job') or entry.target or '?'} {_SPOT[entry.kind]}{moved}{machine}{about}{spent}"


def _resize(entry: Entry) -> str:
    types, why = _fact(entry, "from", " from {}") + _fact(entry, "to", " to {}"), _fact(entry, "reason", ": {}")
    sentences = {
        "cost.rightsize_planned": f"{entry.target} is to be resized{types}{_money(entry, 'saving', ', which saves {} a month')}",
        "cost.rightsize_snapshot": f"{_fact(entry, 'source') or 'a disk'} of {entry.target} was copied{_fact(entry, 'snapshot', ' to {}')}",
        "cost.rightsize_snapshot_deleted": f"the copy{_fact(entry, 'snapshot', ' {}')} of a disk of {entry.target} was deleted",
        "cost.rightsize_watched": f"{entry.target} is {'well' if entry.facts.get('well') else 'not well'}{types}{why}",
        "cost.rightsize_failed": f"the resize of {entry.target}{types} was given up{why}",
    }
    return sentences[entry.kind]


_RESIZES = ("planned", "snapshot", "snapshot_deleted", "watched", "failed")


def _drill_started(entry: Entry) -> str:
    return f"{_drill(entry, 'started')}{_fact(entry, 'route', ': route {}')}{_fact(entry, 'requests', ', {} requests')}"


def _drill_finished(entry: Entry) -> str:
    zero = entry.facts.get("seconds_to_zero")
    counts = [_fact(entry, "requests", "{} requests"), _fact(entry, "failed", "{} failed")]
    counts += [f"no traffic to it after {span(zero)}"] if isinstance(zero, int | float) else []
    return f"{_drill(entry, 'finished')}: {', '.join(filter(None, counts)) or 'no numbers'}"


def _about(entry: Entry) -> str:
    return f"{entry.target}{_fact(entry, 'route', ' of {}')}"


def _reason(entry: Entry) -> str:
    until = _fact(entry, "until", " until {}")
    return f"{until}{_fact(entry, 'reason', ': {}')}"


def _values(entry: Entry) -> str:
    """Say what was set: ` (latency=0.5, timeout=10)`."""
    value = entry.facts.get("value")
    parts = []
    for key, one in (value if isinstance(value, Mapping) else {}).items():
        inner = one.items() if isinstance(one, Mapping) else [(key, one)]
        parts += [f"{name}={text}" for name, text in inner]
    return f" ({', '.join(parts)})" if parts else ""


def _incident(entry: Entry) -> str:
    identifier, verb = entry.facts.get("incident"), entry.kind.partition(".")[2]
    called = name(identifier) if isinstance(identifier, int) else "an incident"
    text = _fact(entry, "text")
    if verb == "noted":
        return f"{called} note: {text}"
    if verb in ("opened", "reopened"):  # the fact that caused it stands beside it and says why
        return f"{called} {_VERBS[verb]}{_fact(entry, 'severity', ' ({})')}{_fact(entry, 'title', ': {}')}"
    who = f" by {entry.actor}" if verb in ("acked", "resolved") and not text.startswith("by itself") else ""
    return f"{called} {_VERBS.get(verb, verb)}{who}" + (f": {text}" if text else "")


_TELLERS: Mapping[str, Callable[[Entry], str]] = {
    "infra.applied": _infra_applied,
    "infra.destroyed": lambda entry: f"infra destroyed{_fact(entry, 'environment', ' in {}')}{_where(entry)}",
    "infra.drift_found": lambda entry: f"drift found{_fact(entry, 'environment', ' in {}')}{_where(entry)}",
    "infra.imported": lambda entry: f"{_fact(entry, 'address', '{}') or 'a resource'} adopted{_fact(entry, 'unit', ' into {}')}",
    "infra.swept": lambda entry: f"looked for what is left{_fact(entry, 'environment', ' of {}')}",
    "infra.state_restored": lambda entry: (
        f"state{_fact(entry, 'unit', ' of {}')}{_fact(entry, 'environment', ' in {}')} restored{_fact(entry, 'version', ' from {}')}"
    ),
    "infra.unlocked": lambda entry: f"lock{_fact(entry, 'unit', ' of {}')} broken{_fact(entry, 'holder', ', held by {}')}",
    "infra.store_made": lambda entry: f"store of states{_fact(entry, 'store', ' {}')} made",
    "pipeline.trained": lambda entry: f"trained {_what(entry)}",
    "deploy.started": lambda entry: f"deploy of {_what(entry)} to {entry.target} started",
    "deploy.finished": lambda entry: f"deployed {_what(entry)} to {entry.target}{_fact(entry, 'previous', ' (was {})')}",
    "deploy.failed": lambda entry: f"deploy of {_what(entry)} to {entry.target} failed{_fact(entry, 'reason', ': {}')}",
    "deploy.deleted": lambda entry: f"{_what(entry)} deleted from {entry.target}",
    "cost.turned_off": _turned,
    "cost.turned_on": _turned,
    "cost.budget_alerted": _budget,
    "cost.budget_recovered": _budget,
    **dict.fromkeys(_BUDGET_DOES, _budget_does),
    "cost.ingested": _ingested,
    **dict.fromkeys(("cost.anomaly_found", "cost.anomaly_marked"), _anomaly),
    **dict.fromkeys(("cost.kept_on", "cost.released"), _kept_on),
    **dict.fromkeys(_SPOT, _spot),
    **dict.fromkeys((f"cost.rightsize_{event}" for event in _RESIZES), _resize),
    "cost.rightsize_resized": lambda entry: (
        f"{entry.target} resized{_fact(entry, 'from', ' from {}')}{_fact(entry, 'to', ' to {}')}{_fact(entry, 'reason', ', back: {}')}"
    ),
    "cost.rightsize_done": lambda entry: f"{entry.target} stays {_fact(entry, 'to') or 'as it was made'}",
    "cost.rightsize_rolled_back": lambda entry: (
        f"{entry.target} is {_fact(entry, 'from') or 'as before'} again{_fact(entry, 'reason', ': {}')}"
    ),
    "cost.rightsize_stuck": lambda entry: f"{entry.target} is stuck in its resize{_fact(entry, 'problem', ': {}')}",
    "route.started": lambda entry: f"router started{_fact(entry, 'listen', ' on {}')}",
    "route.stopped": lambda entry: f"router stopped{_fact(entry, 'listen', ' on {}')}",
    "route.engine_restarted": lambda entry: f"the router's proxy was started again{_lasted(entry)}",
    "route.reloaded": _reloaded,
    "route.settings_refused": lambda entry: f"the router keeps its settings: {_fact(entry, 'reason') or 'mcml.toml is broken'}",
    "route.config_refused": lambda entry: f"the router's proxy refused a configuration{_fact(entry, 'reason', ': {}')}",
    "route.key_added": lambda entry: f"API key{_fact(entry, 'key', ' {}')} added by {entry.actor}",
    "route.key_rotated": lambda entry: (
        f"API key{_fact(entry, 'key', ' {}')} rotated by {entry.actor}{_fact(entry, 'old_until', ', the old one holds until {}')}"
    ),
    "route.key_revoked": lambda entry: f"API key{_fact(entry, 'key', ' {}')} revoked by {entry.actor}",
    "route.certificate_renewed": lambda entry: f"the router's certificate was renewed{_fact(entry, 'ends', '; it ends {}')}",
    "route.certificate_refused": lambda entry: f"the router keeps its certificate{_fact(entry, 'reason', ': {}')}",
    "route.certificate_ends": lambda entry: f"the router's certificate is about to end{_fact(entry, 'ends', ': {}')}",
    "route.log_lost": lambda _: "the router's access log cannot be written; lines are lost, requests are not",
    "route.credential_failed": lambda entry: f"no new credential for {_backend(entry)}{_fact(entry, 'reason', ': {}')}",
    "route.credential_renewed": lambda entry: f"{_backend(entry)} has a new credential{_fact(entry, 'expires', ' until {}')}",
    "route.shadow_started": lambda entry: f"copies of {_fact(entry, 'route') or 'a route'}'s requests go to{_shadow(entry)}",
    "route.shadow_ended": lambda entry: f"{_fact(entry, 'route') or 'a route'} has no shadow any more{_fact(entry, 'reason', ': {}')}",
    "route.shadow_compared": lambda entry: (
        f"{_fact(entry, 'shadow') or 'the shadow'} was compared{_fact(entry, 'route', ' on {}')}: "
        f"{_fact(entry, 'same') or 0} of {_fact(entry, 'compared') or 0} answers the same"
    ),
    "route.weights": lambda entry: shifts([entry]),
    "route.backend_down": lambda entry: f"{_backend(entry)} is down{_fact(entry, 'reason', ': {}')}",
    "route.backend_up": _backend_up,
    "route.drained": lambda entry: f"{_about(entry)} drained{_reason(entry)}",
    "route.undrained": lambda entry: f"{_about(entry)} no longer drained{_reason(entry)}",
    "route.pinned": lambda entry: f"{_fact(entry, 'route')} pinned to {entry.target}{_reason(entry)}",
    "route.unpinned": lambda entry: f"{_fact(entry, 'route')} no longer pinned to {entry.target}{_reason(entry)}",
    "route.settings_changed": lambda entry: f"settings of {_fact(entry, 'route')} changed{_values(entry)}{_reason(entry)}",
    "route.settings_reset": lambda entry: f"settings of {_fact(entry, 'route')} are those of mcml.toml again{_reason(entry)}",
    "route.split_changed": lambda entry: f"{_fact(entry, 'route')} split{_values(entry)}{_reason(entry)}",
    "route.split_reset": lambda entry: f"the split of {_fact(entry, 'route')} is that of mcml.toml again{_reason(entry)}",
    "route.burst_ceiling": lambda entry: f"{_fact(entry, 'route')}: {_fact(entry, 'reason')}",
    "route.drill_started": _drill_started,
    "route.drill_killed": lambda entry: f"{_victim(entry)} {_broken(entry)} on purpose, in a drill",
    "route.drill_finished": _drill_finished,
}
