"""nginx: the keys in a ``map``, unbuffered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.cloud import free_port

from benchmarks.machine import SERVER_CORE, started
from benchmarks.provider import REAL_KEY, Provider, nginx_argv
from benchmarks.stage import PATH, Server, Stage

NAME = "nginx"
_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000;
  map_hash_max_size 32768; map_hash_bucket_size 256;
  map $http_authorization $real {{ default ""; include {folder}/keys.map; }}
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($real = "") {{ return 401; }}
      rewrite ^/api/gateway/openai(/.*)$ $1 break;
      proxy_pass {scheme}://provider; proxy_http_version 1.1; proxy_buffering off;
      {trust}
      proxy_set_header Connection ""; proxy_set_header Authorization $real;
    }}
  }}
}}
"""
_TRUST = (
    "proxy_ssl_trusted_certificate {authority}; proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;"
    " proxy_ssl_name localhost; proxy_ssl_server_name on;"
)


@contextlib.contextmanager
def serve(here: Stage, provider: Provider) -> Iterator[Server]:
    lines = [f'"Bearer {key}" "Bearer {REAL_KEY}";' for key in here.keys]
    (here.folder / "keys.map").write_text("\n".join(lines))
    port = free_port()
    own = "" if provider.certificates is None else _TRUST.format(authority=provider.certificates.authority)
    text = _CONF.format(
        folder=here.folder,
        port=port,
        provider=provider.port,
        scheme="https" if provider.tls else "http",
        trust=own,
    )
    (here.folder / "nginx.conf").write_text(text)
    log = here.folder / "nginx.log"
    with started(nginx_argv(here.folder, "nginx"), log, core=SERVER_CORE, port=port) as process:
        yield Server(NAME, port, process, here.in_use, path=PATH)
