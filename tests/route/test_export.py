"""Exported routes: what Kubernetes, Gateway API and Istio call valid, with the right shares, and every loss said."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcml.core.backend import Backend
from mcml.core.errors import Usage
from mcml.core.process import free_port
from mcml.core.schema_routes import Limit, Route, Router, Shadow, Tls
from mcml.core.secret import Secret
from mcml.route.config.values import Front
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate
from mcml.route.export.envoy import envoy
from mcml.route.export.gateway_api import gateway_api
from mcml.route.export.istio import istio, shares
from mcml.route.export.replicas import Replicas, manifests
from mcml.route.export.values import Exported, duration, lost, object_name
from mcml.route.front.keys import KeyFile, digest
from mcml.testing.cli import run
from tests.pinned_environment import CannotInstall, installed
from tests.route.rig import Upstream, ask, until

HERE = Path(__file__).with_name("manifests")
EU = Backend("eu-1", "fraud", "10.0.0.7", 8080, "local", "eu", version="3")
US = Backend("us-1", "fraud", "2001:db8::7", 8080, "local", "us", version="3")
CLOUD = Backend("aws-use1", "fraud", "runtime.sagemaker.us-east-1.amazonaws.com", 443, "aws", "us-east-1", tls=True, auth="sigv4")
PLAIN = Exported("fraud", "fraud", Route(), (EU, US, CLOUD), {"fraud@eu-1": 60, "fraud@us-1": 30, "fraud@aws-use1": 10})
STICKY = Route(model="fraud", idempotent=False, timeout=1.5, sticky="x-user-id", limit=Limit(requests=5))
ALIAS = Exported("public", "fraud", STICKY, (EU, US), {})
RESIDENT = Route(model="fraud", pattern="residency", regions={"eu": ("eu-1",), "us": ("us-1", "aws-use1")}, home="eu")
HOME = Exported("kept", "fraud", RESIDENT, PLAIN.backends, {})
ALL = (PLAIN, ALIAS, HOME)
STORE = "postgresql+psycopg://mcml@db/mcml"
MUTUAL = Tls(certificate="tls/router.pem", key="tls/router.key", client_ca="tls/clients.pem")
ROUTER = Replicas("registry.example/mcml:1", 3, 'name = "acme"\n', STORE, 8080, secret="router", annotations={"a": "b"})


def of(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


@pytest.mark.slow
def test_kubernetes_and_istio_take_every_manifest(tmp_path: Path) -> None:
    try:
        python = installed("manifests", HERE / "requirements.txt") / "python"
    except CannotInstall as why:
        pytest.skip(str(why))
    good = [*gateway_api(ALL, namespace="ml", gateway="mcml"), *istio(ALL, namespace="ml", gateway="mesh/public"), *manifests(ROUTER)]
    good += manifests(replace(ROUTER, tls=MUTUAL, certificates="router-tls", name="other"))
    broken = json.loads(json.dumps(good))
    of(broken, "Deployment", "mcml-router")["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    of(broken, "VirtualService", "fraud")["spec"]["http"][0]["retrys"] = {}
    said = [
        subprocess.run([python, HERE / "check.py"], input=json.dumps(objects), capture_output=True, text=True, check=True, timeout=120)
        for objects in (good, broken)
    ]
    assert said[0].stdout == ""
    assert ("imagePullPolice" in said[1].stdout, "spec.http[0].retrys" in said[1].stdout) == (True, True)


def test_gateway_api_is_of_its_standard_channel() -> None:
    schemas = json.loads((HERE / "gateway_api.json").read_text())
    objects = [one for one in gateway_api(ALL, namespace="ml", gateway="mcml") if one["apiVersion"] == "gateway.networking.k8s.io/v1"]
    assert [one["kind"] for one in objects] == ["BackendTLSPolicy", "HTTPRoute", "HTTPRoute", "HTTPRoute"]
    for one in objects:
        assert [error.message for error in Draft202012Validator(schemas[one["kind"]]).iter_errors(one["spec"])] == []


def test_weights_are_those_of_now_or_equal() -> None:
    objects = gateway_api(ALL, namespace="ml", gateway="mcml")
    (rule,) = of(objects, "HTTPRoute", "fraud")["spec"]["rules"]
    assert {one["name"]: one["weight"] for one in rule["backendRefs"]} == {"fraud-eu-1": 60, "fraud-us-1": 30, "fraud-aws-use1": 10}
    (alias,) = of(objects, "HTTPRoute", "public")["spec"]["rules"]
    assert [one["weight"] for one in alias["backendRefs"]] == [1, 1]
    assert alias["filters"][0]["urlRewrite"]["path"]["replacePrefixMatch"] == "/v2/models/fraud"
    assert alias["timeouts"] == {"request": "1500ms"}


@pytest.mark.parametrize("form", ["gateway-api", "istio"])
def test_residency_never_leaves_its_region(form: str) -> None:
    write = gateway_api if form == "gateway-api" else istio
    objects = write(ALL, namespace="ml", gateway="mcml")
    if form == "gateway-api":
        rules = of(objects, "HTTPRoute", "kept")["spec"]["rules"]
        found = [([h["value"] for h in r["matches"][0].get("headers", [])], [b["name"] for b in r["backendRefs"]]) for r in rules]
    else:
        rules = of(objects, "VirtualService", "kept")["spec"]["http"]
        found = [
            (
                [h["exact"] for h in r["match"][0].get("headers", {}).values()],
                [one["destination"]["host"].removesuffix(".mcml.internal") for one in r["route"]],
            )
            for r in rules
        ]
    assert found == [(["eu"], ["fraud-eu-1"]), (["us"], ["fraud-us-1", "fraud-aws-use1"]), ([], ["fraud-eu-1"])]


def test_a_request_that_must_not_be_repeated_is_not() -> None:
    objects = istio(ALL, namespace="ml", gateway="mcml")
    assert of(objects, "VirtualService", "public")["spec"]["http"][0]["retries"] == {"attempts": 0}
    assert of(objects, "VirtualService", "fraud")["spec"]["http"][0]["retries"]["attempts"] == 2


def test_istio_gives_an_attempt_the_time_that_the_router_begins_with() -> None:
    """Nobody measures there: what is guessed too low loses every request of a slow model."""
    named = replace(PLAIN, name="named", route=Route(model="fraud", per_try_timeout=0.4))
    objects = istio([PLAIN, named], namespace="ml", gateway="mcml")
    found = {name: of(objects, "VirtualService", name)["spec"]["http"][0]["retries"]["perTryTimeout"] for name in ("fraud", "named")}
    assert found == {"fraud": "15s", "named": "400ms"}


@pytest.mark.parametrize("form", ["gateway-api", "istio", "envoy"])
def test_an_attempt_that_may_take_long_is_said_of_routes_that_do_not_say_how_long(form: str) -> None:
    limited = replace(PLAIN, name="limited", route=Route(model="fraud", per_try_timeout=0.4))
    said = [one for one in lost([*ALL, limited], form) if "nobody measures" in one]
    assert [one.partition("; ")[2] for one in said] == ["set per_try_timeout of fraud, kept"] * (form != "gateway-api")
    assert not any("nobody measures" in one for one in lost([limited, ALIAS], form))


def test_what_gets_lost_is_said() -> None:
    said = lost(ALL, "gateway-api")
    assert "nobody signs requests: fraud@aws-use1 will refuse them until the gateway authenticates itself" in said
    assert "public: requests of one x-user-id are not kept together" in said
    assert "public: clients have no limit" in said
    assert any("weights stay as they are now" in sentence for sentence in said)
    assert not any("this machine" in sentence for sentence in said)


@pytest.mark.parametrize("form", ["gateway-api", "istio"])
def test_what_no_gateway_does_is_said_of_every_route(form: str) -> None:
    tiers = Route(pattern="active-passive", tiers=(("eu-1",), ("us-1",)), sticky="x-user-id", validate_requests=True, protocol="both")
    split = Route(split={"fraud": 90, "next": 10}, shadow=Shadow(model="third"))
    routes = [
        Exported("fraud", "fraud", tiers, (EU, US), {}),
        Exported("mixed", "fraud", split, (EU, replace(US, model="next")), {}),
    ]
    router = Router(keys=True, tls=Tls(certificate="c", key="k", client_ca="a"))
    said = lost(routes, form, router)
    for sentence in (
        "nobody asks for API keys: whoever reaches the gateway reaches the models",
        "the listener is the gateway's: its TLS, client certificates too",
        "fraud: active-passive becomes fixed weights: when the tier that serves now fails, nothing goes to the next",
        "fraud: requests of one x-user-id are not kept together",
        "fraud: no request is checked against the model's signature",
        "fraud: no gRPC, HTTP alone",
        "mixed: next is asked for by the name fraud, which it may not know",
        "mixed: third is given no copies",
    ):
        assert sentence in said
    assert [one for one in said if one.startswith("a request that fails")] == [
        "a request that fails is not sent to another backend: retries are not in the standard channel"
        if form == "gateway-api"
        else "a request that fails is tried again at the same backend, not at another"
    ]
    assert not [one for one in lost([PLAIN], form) if "keys" in one or "TLS" in one or one.startswith("fraud: ")]


@pytest.mark.parametrize("form", ["gateway-api", "istio"])
def test_a_region_that_is_out_now_is_not_left_out_for_good(form: str) -> None:
    one = replace(HOME, weights={"fraud@eu-1": 0, "fraud@us-1": 3, "fraud@aws-use1": 1})
    if form == "gateway-api":
        rules = of(gateway_api([one], namespace="ml", gateway="mcml"), "HTTPRoute", "kept")["spec"]["rules"]
        assert [[ref["weight"] for ref in rule["backendRefs"]] for rule in rules] == [[1], [3, 1], [1]]
    else:
        http = of(istio([one], namespace="ml", gateway="mcml"), "VirtualService", "kept")["spec"]["http"]
        assert [[to["weight"] for to in rule["route"]] for rule in http] == [[100], [75, 25], [100]]


def test_istio_is_given_no_rule_without_a_destination() -> None:
    """Istio refuses one with neither a route nor a direct response (https://istio.io/latest/docs/reference/config/networking/)."""
    (rule,) = of(istio([replace(PLAIN, backends=())], namespace="ml", gateway="mcml"), "VirtualService", "fraud")["spec"]["http"]
    assert sorted(rule) == ["directResponse", "match"]
    assert rule["directResponse"] == {"status": 503}


@pytest.mark.parametrize(
    ("host", "here"),
    [(name, True) for name in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST.", "gpu.localhost")]
    + [(name, False) for name in ("gpu-localhost", "localhost.example.com", "10.0.0.1")],
)
def test_a_backend_that_only_this_machine_reaches_is_named(host: str, here: bool) -> None:
    route = replace(PLAIN, backends=(EU, replace(US, host=host)))
    sentence = "nobody but this machine reaches fraud@us-1: deploy to a target that the gateway reaches"
    assert [sentence in lost([route], form) for form in ("gateway-api", "istio", "envoy")] == [here, here, False]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 1000), min_size=1, max_size=9))
def test_shares_add_up_to_a_hundred_and_keep_their_order(weights: dict[str, int]) -> None:
    found = shares(weights)
    assert sum(found.values()) == 100
    assert all(abs(found[name] - weights[name] * 100 / sum(weights.values())) < 1 for name in weights)


@given(st.text(min_size=1, max_size=100))
def test_names_are_such_that_kubernetes_takes_them(text: str) -> None:
    name = object_name(text)
    assert len(name) <= 63
    assert not name or (name[0].isalnum() and name[-1].isalnum())


def test_durations() -> None:
    assert [duration(seconds) for seconds in (30.0, 1.5, 0.25, 2)] == ["30s", "1500ms", "250ms", "2s"]


def test_a_certificate_comes_as_a_secret_and_lies_where_the_settings_say(tmp_path: Path) -> None:
    wanted = replace(ROUTER, tls=MUTUAL, certificates="router-tls", profile="a b")
    pod = _pod(wanted)
    assert {"name": "certificates", "secret": {"secretName": "router-tls", "defaultMode": 0o440}} in pod["volumes"]
    (container,) = pod["containers"]
    assert {"name": "certificates", "mountPath": "/certificates", "readOnly": True} in container["volumeMounts"]
    setting_up, serves = container["command"][2].split("exec ")
    assert serves.endswith("--port 8080 --profile 'a b'")
    for name in ("project", "certificates", "config"):
        (tmp_path / name).mkdir()
        setting_up = setting_up.replace(f"/{name}", f"{tmp_path}/{name}")
    for name in ("router.pem", "router.key", "clients.pem"):
        (tmp_path / "certificates" / name).write_text(name)
    subprocess.run(["/bin/sh", "-c", setting_up + "true"], check=True)
    for path in (MUTUAL.certificate, MUTUAL.key, MUTUAL.client_ca):
        assert (tmp_path / "project" / path).read_text() == Path(path).name
    service = next(one for one in manifests(wanted) if one["kind"] == "Service")
    assert service["spec"]["ports"] == [{"name": "https", "port": 443, "targetPort": "http", "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("tls", "asks"),
    [
        (None, {"httpGet": {"path": "/v2/health/ready", "port": "http"}}),
        (MUTUAL.model_copy(update={"client_ca": ""}), {"httpGet": {"path": "/v2/health/ready", "port": "http", "scheme": "HTTPS"}}),
        (MUTUAL, {"tcpSocket": {"port": "http"}}),
    ],
    ids=["plain", "tls", "mutual"],
)
def test_the_kubelet_asks_over_what_the_listener_speaks(tls: Tls | None, asks: dict[str, Any]) -> None:
    (container,) = _pod(replace(ROUTER, tls=tls, certificates="s" if tls else ""))["containers"]
    assert {key: value for key, value in container["readinessProbe"].items() if key in ("httpGet", "tcpSocket")} == asks


@pytest.mark.parametrize(
    ("path", "secret", "says"),
    [
        ("tls/router.pem", "", "does not find its certificate"),
        ("/etc/router.pem", "s", "outside of the project"),
        ("../router.pem", "s", "outside of the project"),
    ],
)
def test_a_certificate_that_the_container_would_not_find_is_refused(path: str, secret: str, says: str) -> None:
    with pytest.raises(Usage) as refused:
        manifests(replace(ROUTER, tls=Tls(certificate=path, key="tls/router.key"), certificates=secret))
    assert says in refused.value.message
    assert secret or "--from-file=tls/router.pem --from-file=tls/router.key" in refused.value.next_step


@pytest.mark.parametrize("secret", ["", "s"])
def test_two_files_of_one_name_are_refused_for_a_secret_holds_one_of_them(secret: str) -> None:
    tls = Tls(certificate="tls/server/cert.pem", key="tls/server/key.pem", client_ca="tls/ca/cert.pem")
    with pytest.raises(Usage) as refused:
        manifests(replace(ROUTER, tls=tls, certificates=secret))
    assert refused.value.message == "two files of router.tls have one name: tls/server/cert.pem, tls/ca/cert.pem"
    one_file = Tls(certificate="tls/router.pem", key="tls/router.pem")
    assert manifests(replace(ROUTER, tls=one_file, certificates="s"))


@pytest.mark.parametrize(("url", "says"), [("", "a store that they share"), ("postgresql://u:secret@db/x", "a password in it")])
def test_routers_that_cannot_share_a_store_are_refused(url: str, says: str) -> None:
    with pytest.raises(Usage) as refused:
        manifests(Replicas("i", 2, "", url, 8080))
    assert says in refused.value.message
    assert "secret@" not in str(refused.value) + refused.value.why + refused.value.next_step


def _pod(wanted: Replicas) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in manifests(wanted) if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    return found


def test_api_keys_come_as_a_secret_and_a_new_one_arrives_without_a_restart(tmp_path: Path) -> None:
    assert "keys" not in json.dumps(_pod(ROUTER))
    pod = _pod(replace(ROUTER, keys="router-keys"))
    assert {"name": "keys", "secret": {"secretName": "router-keys", "defaultMode": 0o440}} in pod["volumes"]
    (container,) = pod["containers"]
    assert {"name": "keys", "mountPath": "/keys", "readOnly": True} in container["volumeMounts"]
    project, mounted = tmp_path / "project", tmp_path / "keys"
    for folder in (project, mounted, tmp_path / "config"):
        folder.mkdir()
    (tmp_path / "config" / "mcml.toml").write_text("")
    (mounted / "keys.json").write_text(json.dumps({digest("mcml_one"): "mcml_one"}))
    setting_up, serves = container["command"][2].split("exec ")
    assert serves.startswith("mcml route serve ")
    for name in ("project", "keys/", "config"):
        setting_up = setting_up.replace(f"/{name}", f"{tmp_path}/{name}")
    subprocess.run(["/bin/sh", "-c", setting_up + "true"], check=True)
    file = KeyFile(project / ".mcml" / "route")
    assert file.read() == {digest("mcml_one"): Secret("mcml_one")}
    (mounted / "keys.json").write_text(json.dumps({digest("mcml_two"): "mcml_two"}))
    assert file.read() == {digest("mcml_two"): Secret("mcml_two")}


TIERED = Route(model="fraud", pattern="active-passive", tiers=(("eu-1",), ("us-1",)))


def test_envoy_takes_every_pattern(tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    every = (*ALL, Exported("tiered", "fraud", TIERED, (EU, US), {}))
    front = Front("127.0.0.1", 8080, "")
    open_ = [replace(one, backends=tuple(replace(backend, auth="none") for backend in one.backends)) for one in every]
    path.write_text(json.dumps(envoy(open_, front, software="1", now=datetime.now(UTC))))
    validate(find_envoy(), path)
    assert "/etc/mcml/credentials" in json.dumps(envoy(every, front, software="1", now=datetime.now(UTC)))  # files that are not here
    assert "put the credentials of fraud@aws-use1 into /etc/mcml/credentials: nobody renews them" in lost(every, "envoy")


def test_an_envoy_of_ones_own_serves_by_it(tmp_path: Path) -> None:
    upstreams = [Upstream(target) for target in ("eu-1", "us-1")]
    mine = tuple(one.backend for one in upstreams)
    port = free_port()
    whole = envoy([Exported("fraud", "fraud", Route(), mine, {})], Front("127.0.0.1", port, ""), software="1", now=datetime.now(UTC))
    whole["admin"]["address"]["socket_address"]["port_value"] = free_port()
    (tmp_path / "envoy.json").write_text(json.dumps(whole))
    with (tmp_path / "log").open("w") as log:
        argv = [str(find_envoy()), "-c", str(tmp_path / "envoy.json"), "--disable-hot-restart", "--log-level", "error"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        until(lambda: _answers(port), 20, "Envoy does not serve")
        assert {ask(port, "/v2/models/fraud/infer", b"{}").backend for _ in range(40)} == {"fraud@eu-1", "fraud@us-1"}
        upstreams[0].kill()
        assert [ask(port, "/v2/models/fraud/infer", b"{}").status for _ in range(40)] == [200] * 40
    finally:
        process.kill()
        process.wait()
        for upstream in upstreams:
            upstream.close()


def _answers(port: int) -> bool:
    try:
        return ask(port, "/v2/models/fraud/infer", b"{}").status == 200
    except OSError:
        return False


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(
        'name = "acme"\n[targets.eu-1]\nprovider = "local"\n[models.fraud]\nsource = "m"\ntargets = ["eu-1"]\n'
        f'[routes.fraud]\nsticky = "x-user-id"\n[store]\nurl = "{STORE}"\n'
    )
    shown = run(["route", "export", "--to", "gateway-api"], cwd=tmp_path)
    assert shown.code == 0, shown.err
    assert [one["kind"] for one in yaml.safe_load_all(shown.out)] == ["HTTPRoute"]
    assert "not exported: fraud: requests of one x-user-id are not kept together" in shown.err
    plain = run(["route", "export", "--to", "envoy"], cwd=tmp_path)
    assert json.loads(plain.out)["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] == 8080
    router = run(["route", "export", "--to", "kubernetes", "--image", "i:1", "-o", "json"], cwd=tmp_path)
    kinds = [one["kind"] for one in json.loads(router.out)["items"]]
    assert kinds == ["ServiceAccount", "ConfigMap", "Deployment", "Service", "PodDisruptionBudget"]
    keyed = run(["route", "export", "--to", "kubernetes", "--image", "i:1", "--keys-secret", "k", "-o", "json"], cwd=tmp_path)
    assert '"secretName": "k"' in keyed.out
    for wrong, says in ((["--to", "helm"], "gateway-api, istio, envoy, kubernetes"), (["--to", "kubernetes"], "--image IMAGE")):
        refused = run(["route", "export", *wrong], cwd=tmp_path)
        assert (refused.code, says in refused.err) == (2, True), refused.err
