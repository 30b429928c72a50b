"""What happens to a request on its way into one backend, in every attempt: credentials off and on, path, host, TLS.

A retry carries the headers that the attempt before it left behind. So every chain, also that of a backend that asks for nothing, takes off
whatever could be a credential (the client's or another cloud's) before it adds its own, and none relies on what another one did. Where any
backend needs a path or a host of its own, every backend sets both anew; the route table keeps the client's path in `x-mcml-path` for that.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcml.core.backend import Backend
from mcml.route.config.values import CLUSTER_HEADER, HTTP, TYPE, Json, header, named, seconds, watched

ORIGINAL_PATH = "x-mcml-path"
"""The request header that holds the path which the client asked for."""

STRIPPED = (
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "ocp-apim-subscription-key", "x-mcml-client", CLUSTER_HEADER,
    "x-http-method-override", "knative-serving-tag",
)  # fmt: skip
"""Request headers that no backend ever gets: what it needs for itself is its own credential and its `headers`. The last two make another
method of the request, or choose a revision past its rollout."""

STRIPPED_PREFIXES = ("x-amz", "x-goog-", "azureml-", "x-vertex-ai-")
"""All headers of a signature, those that choose a variant of an endpoint past its rollout (`x-amzn-sagemaker-`, `azureml-model-deployment`)
or another path behind it (`x-vertex-ai-triton-redirect`: Triton's Vertex AI front end serves that in place of the model), and those that
name a key, or whom the router's own identity is billed to (`x-goog-user-project`)."""

SIGNED = ("host", "content-type")
"""Headers under a signature, besides those of AWS: all others may change on the way."""

BEARER_FILE = "bearer.json"
KEYS_FILE = "keys"

POOLED_SECONDS = 50.0
"""How long a connection to a backend is kept for the next request: less than the 60 s after which load balancers close a quiet one, for a
request that meets that moment is lost where it may not be sent again."""

_PLAIN = """\
  local asked = headers:get("{original}") or headers:get(":path")
  local rest = string.match(asked, "^/v2/models/[^/?]+(.*)$")
  headers:replace(":path", rest and {base} .. {model} .. rest or {base} .. asked)
"""

_KEPT = """\
  handle:streamInfo():dynamicMetadata():set("mcml", "request_id", headers:get("x-request-id") or "")
"""

_REFUSED = """\
function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  if status == "401" or status == "403" then
    handle:headers():remove("www-authenticate")
    handle:headers():replace(":status", "502")
    handle:headers():replace("content-type", "application/json")
    local asked = handle:streamInfo():dynamicMetadata():get("mcml")
    local id = string.gsub(asked and asked["request_id"] or "", '[^%w._:-]', '')
    handle:body(true):setBytes(
      '{"error": "the backend refused the credentials of the router", "code": 502, "request_id": "' .. id .. '"}')
  elseif status == "424" then
    local body = handle:body()
    local original = body and string.match(body:getBytes(0, body:length()), '"OriginalStatusCode"%s*:%s*([45]%d%d)')
    if original then handle:headers():replace(":status", original) end
  end
end
"""


@dataclass(frozen=True)
class Upstream:
    """What the chains of all backends share: the folder of their credentials, and the system's certificate authorities (a PEM
    file)."""

    credentials: str = ""
    authorities: str = ""


ALONE = Upstream()
"""For backends that need neither credentials nor TLS."""


def rewrites(backends: Iterable[Backend]) -> bool:
    """Tell whether one of these backends needs a path or a host of its own: then all of them set both."""
    return any(one.tls or one.path or one.infer_path or one.auth != "none" for one in backends)


def protocol(members: Sequence[Backend], own_headers: Iterable[str], upstream: Upstream, *, rewriting: bool) -> Json:
    """Return `typed_extension_protocol_options` of a cluster: how it speaks HTTP, and its chain of filters.

    `own_headers` are the names of the `headers` of all backends: they too are left over from an earlier attempt.
    """
    one = members[0]
    http1: Json = {"http_protocol_options": {}}
    # over TLS the backend itself says whether it speaks HTTP/2
    speaks: Json = {"auto_config": {**http1, "http2_protocol_options": {}}} if one.tls else {"explicit_http_config": http1}
    kept = {"common_http_protocol_options": {"idle_timeout": seconds(POOLED_SECONDS)}}
    options = {"@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", **kept, **speaks}
    filters = [_headers(members, own_headers)]
    if rewriting:
        filters.append(_script(one))
    filters += _authentication(one, upstream)
    filters.append(named(f"{_F}.upstream_codec", {"@type": TYPE + f"{HTTP}.upstream_codec.v3.UpstreamCodec"}))
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {**options, "http_filters": filters}}


_F = "envoy.filters.http"


def _headers(members: Sequence[Backend], own_headers: Iterable[str]) -> Json:
    """Take off what is not this backend's, then add what is."""
    names = sorted({*STRIPPED, *(name.lower() for name in own_headers)})
    request: list[Json] = [{"remove": name} for name in names]
    request += [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in STRIPPED_PREFIXES]
    request += [{"append": header(name.lower(), value, replace=True)} for name, value in members[0].headers]
    mutation = {"@type": TYPE + f"{HTTP}.header_mutation.v3.HeaderMutation", "mutations": {"request_mutations": request}}
    return named(f"{_F}.header_mutation", mutation)


def _script(backend: Backend) -> Json:
    """Set path and host. What a backend says about credentials is for the router and not for the client: 401 and 403 of a backend that
    the router authenticates at become 502, which is tried elsewhere and counts against it. SageMaker answers 424 where the model itself
    failed or refused; then the model's own status counts."""
    if backend.infer_path:
        path = f'  headers:replace(":path", {_quoted(backend.infer_path)})\n'
    else:
        path = _PLAIN.format(original=ORIGINAL_PATH, base=_quoted(backend.path), model=_quoted(f"/v2/models/{backend.model}"))
    host = f'  headers:replace(":authority", {_quoted(_authority(backend))})\n'
    known = _KEPT if backend.auth != "none" else ""
    source = f"function envoy_on_request(handle)\n  local headers = handle:headers()\n{path}{host}{known}end\n"
    source += _REFUSED if backend.auth != "none" else ""
    return named(f"{_F}.lua", {"@type": TYPE + f"{HTTP}.lua.v3.Lua", "default_source_code": {"inline_string": source}})


def _authority(backend: Backend) -> str:
    host = f"[{backend.host}]" if ":" in backend.host else backend.host
    return host if backend.port == (443 if backend.tls else 80) else f"{host}:{backend.port}"


def _quoted(text: str) -> str:
    """Return a string as Lua writes it. Raises ValueError for control characters."""
    if not text.isprintable():
        raise ValueError(f"{text!r} is no part of a path or host")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _authentication(backend: Backend, upstream: Upstream) -> list[Json]:
    folder = f"{upstream.credentials}/{backend.name}"
    if backend.auth == "bearer":
        return [_bearer(folder)]
    return [_signature(backend, folder)] if backend.auth == "sigv4" else []


def _bearer(folder: str) -> Json:
    generic = {
        "@type": TYPE + "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "header": "authorization",
        "credential": {"name": "bearer", "sds_config": watched(folder, BEARER_FILE)},
    }
    credential = named("envoy.http.injected_credentials.generic", generic)
    injector = {"@type": TYPE + f"{HTTP}.credential_injector.v3.CredentialInjector", "overwrite": True, "credential": credential}
    return named(f"{_F}.credential_injector", injector)


def _signature(backend: Backend, folder: str) -> Json:
    source = {"filename": f"{folder}/{KEYS_FILE}", "watched_directory": {"path": folder}}
    # only this file: Envoy's own chain would also ask the machine's environment and metadata service
    provider = {"custom_credential_provider_chain": True, "credentials_file_provider": {"credentials_data_source": source}}
    signing = {
        "@type": TYPE + f"{HTTP}.aws_request_signing.v3.AwsRequestSigning",
        "service_name": backend.service,
        "region": backend.signing_region,
        "match_included_headers": [{"prefix": "x-amz"}, *({"exact": name} for name in SIGNED)],
        "credential_provider": provider,
    }
    return named(f"{_F}.aws_request_signing", signing)


def transport(backend: Backend, upstream: Upstream) -> Json:
    """Return the TLS socket of a cluster: the certificate must be of its host, and from an authority that the system (or the backend's own
    file) names."""
    literal = _is_address(backend.host)
    names = [{"san_type": "IP_ADDRESS" if literal else "DNS", "matcher": {"exact": backend.host}}]
    context = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **({} if literal else {"sni": backend.host}),
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": {
                "trusted_ca": {"filename": backend.authorities or upstream.authorities},
                "match_typed_subject_alt_names": names,
            },
        },
    }
    return named("envoy.transport_sockets.tls", context)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
