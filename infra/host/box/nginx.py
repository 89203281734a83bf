"""The only place for Nginx on the box: its configuration, and the certificate that it starts with.

The upstream files are terrace-deploy's. HTTPS works from the first minute: until a certificate authority has given
one, the certificate is the box's own.

Of two boxes the backend's answers on one port what its frontend and the load balancer ask, in clear inside the VPC;
who asked is what they say. The frontend's serves the load balancer on port 80, and sends everybody else to HTTPS.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

from infra.core.memory import BoxRole

from . import tls, upstream
from .system import Facts, directory, own_subnet, run, write

ETC = Path("/etc/nginx")
ACME_ROOT = Path("/var/lib/terrace/acme")
UPLOAD_MEGABYTES = 20
SELF_SIGNED_DAYS = 825

_MAIN = """\
# Written by terrace-host.
user www-data;
worker_processes auto;
worker_rlimit_nofile 8192;
# WebSockets of an old worker are ended by terrace-deploy, not cut by a reload.
worker_shutdown_timeout 1h;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 2048; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    server_tokens off;
    types_hash_max_size 2048;
    include /etc/nginx/terrace/*.conf;
    include /etc/nginx/conf.d/*.conf;
}
"""

_COMMON = """\
# Written by terrace-host.
log_format terrace escape=json
    '{{"time":"$time_iso8601","method":"$request_method","path":"$terrace_path","status":$status,"rt":$request_time,'
    '"bytes":$body_bytes_sent,"llm":$terrace_llm,"user":"$terrace_user",'
    '"upstream":"$upstream_addr","upstream_time":"$upstream_response_time","http":"$server_protocol"}}';
access_log /var/log/nginx/access.json terrace{logged};
# Without the query, which may hold what is nobody's business; $uri is the error page's where one is shown.
map $request_uri $terrace_path {{ "~^(?<path_alone>[^?]*)" $path_alone; }}
map $terrace_path $terrace_llm {{ default 0; ~^/api/(llm|ocr)(/|$) 1; }}
# The service sends a keyed hash of its user; what is none is not logged.
map $upstream_http_x_terrace_user $terrace_user {{
    default "";
    "~^[0-9a-f]{{16,64}}$" $upstream_http_x_terrace_user;
}}
map $http_upgrade $terrace_connection {{ default upgrade; "" ""; }}
# Whoever connects from the VPC is the load balancer or the frontend; the world never has such an address.
geo $realip_remote_addr $terrace_inside {{ default 0; {inside} 1; }}
map "$terrace_inside:$http_x_forwarded_proto" $terrace_proto {{ default $scheme; "1:https" https; }}
# What a frontend asks for itself is not counted: it comes for all its users from one address.
map $remote_addr $terrace_counted {{ default $binary_remote_addr; 127.0.0.1 ""; }}
limit_req_zone $terrace_counted zone=terrace:10m rate={rate}r/s;
limit_req_status 429;
client_max_body_size {upload}m;
gzip on;
gzip_types text/css application/javascript application/json image/svg+xml;
proxy_http_version 1.1;
proxy_set_header Host $host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $terrace_proto;
proxy_set_header X-Forwarded-Host $host;
proxy_set_header Connection $terrace_connection;
proxy_set_header Upgrade $http_upgrade;
proxy_hide_header X-Terrace-User;
{real_ip}
"""

# The frontend logs what it hands on, and by whom; a load balancer logs nothing of that.
_BEHIND = """\
geo $realip_remote_addr $terrace_frontend {{ default 0; {frontend_from} 1; }}
map $terrace_frontend $terrace_first {{ default 1; 1 0; }}
map $terrace_frontend $terrace_told_user {{ default ""; 1 $upstream_http_x_terrace_user; }}
add_header X-Terrace-User $terrace_told_user always;
"""

_PLAIN = """\
server {{
    listen 80 default_server;
    listen [::]:80 default_server;
    # A connection that is kept could be closed by a reload while the balancer sends its next request on it.
    keepalive_timeout 0;
    location = /healthz {{ access_log off; default_type text/plain; return 200 "ok\\n"; }}
    location /.well-known/acme-challenge/ {{ root {acme}; default_type text/plain; }}
{plain}}}
"""
_REDIRECT = "    location / { return 301 https://$host$request_uri; }\n"
_BALANCED = """\
    error_page 502 503 504 /terrace-unavailable.html;
    location = /terrace-unavailable.html {{ internal; root /var/lib/terrace/pages; }}
    location / {{
        if ($terrace_inside = 0) {{ return 301 https://$host$request_uri; }}
        add_header Strict-Transport-Security "max-age={hsts}" always;
        add_header X-Content-Type-Options nosniff always;
        proxy_pass http://frontend;
    }}
"""
_WORLD = """\
server {{
    listen 443 ssl default_server;
    listen [::]:443 ssl default_server;
    http2 on;
    server_name {name};
    ssl_certificate {tls}/fullchain.pem;
    ssl_certificate_key {tls}/privkey.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;
    add_header Strict-Transport-Security "max-age={hsts}" always;
    add_header X-Content-Type-Options nosniff always;
    error_page 502 503 504 /terrace-unavailable.html;
    location = /terrace-unavailable.html {{ internal; root /var/lib/terrace/pages; }}
    location = /healthz {{ access_log off; default_type text/plain; return 200 "ok\\n"; }}
    location /api/ {{ limit_req zone=terrace burst=400 nodelay; proxy_pass http://backend; }}
    location /ws/ {{ proxy_pass http://backend; proxy_read_timeout 3600s; proxy_send_timeout 3600s; }}
    location / {{ proxy_pass http://frontend; }}
}}
"""
_ASKED = """\
server {{
    listen {port} default_server;
    keepalive_timeout 0;
    location = /healthz {{ access_log off; default_type text/plain; return 200 "ok\\n"; }}
    location /api/ {{ limit_req zone=terrace burst=400 nodelay; proxy_pass http://backend; }}
    location /ws/ {{ proxy_pass http://backend; proxy_read_timeout 3600s; proxy_send_timeout 3600s; }}
    location / {{ proxy_pass http://backend; }}
}}
"""

# The frontend's own calls go through Nginx, so that a switch of the backend moves them too.
_LOOPBACK = """\
server {{
    listen 127.0.0.1:{port};
    access_log off;
    keepalive_timeout 0;
    location / {{ proxy_pass http://backend; }}
}}
"""
_PAGE = """\
<!doctype html><html lang=en><meta charset=utf-8><title>Back in a moment</title>
<p>The service is not answering just now. Please try again in a moment.</p></html>
"""


def site(
    role: BoxRole,
    name: str,
    *,
    real_ip_from: str = "",
    frontend_from: str = "",
    rate: int = 200,
    hsts_seconds: int = 31536000,
) -> str:
    """The site's configuration; `name` is the domain or "".

    On one box of two `real_ip_from` is the VPC's CIDR block. `frontend_from` is the backend's own subnet: its
    frontend stands there, and a load balancer does not.
    """
    servers = {
        "single": _PLAIN + _WORLD + _LOOPBACK,
        "frontend": _PLAIN + _WORLD + _LOOPBACK,
        "backend": _BEHIND + _ASKED,
    }
    # A browser would remember it for an address, or refuse a certificate that nobody vouches for.
    hsts = hsts_seconds if name else 0
    return (_COMMON + servers[role]).format(
        rate=rate,
        upload=UPLOAD_MEGABYTES,
        inside=real_ip_from or "127.0.0.1",
        real_ip=f"set_real_ip_from {real_ip_from};\nreal_ip_header X-Forwarded-For;" if real_ip_from else "",
        logged=" if=$terrace_first" if role == "backend" else "",
        frontend_from=frontend_from or "127.0.0.1",
        acme=ACME_ROOT,
        name=name or "_",
        tls=tls.TLS,
        hsts=hsts,
        plain=_BALANCED.format(hsts=hsts) if role == "frontend" else _REDIRECT,
        port=upstream.PORT,
    )


def configure(found: Facts, role: BoxRole) -> bool:
    """Writes everything but the upstream files; whether something changed."""
    directory(ACME_ROOT)
    directory(Path("/var/log/nginx"), owner="www-data", group="adm")
    default = ETC / "sites-enabled" / "default"
    default.unlink(missing_ok=True)
    made = role != "backend" and certificate(found)
    text = site(
        role,
        found["domain"],
        real_ip_from="" if role == "single" else found["vpc_cidr"],
        frontend_from=own_subnet() if role == "backend" else "",
    )
    changed = [
        write(ETC / "nginx.conf", _MAIN),
        write(ETC / "terrace" / "site.conf", text),
        write(Path("/var/lib/terrace/pages/terrace-unavailable.html"), _PAGE),
        role == "frontend" and upstream.write_known(),
    ]
    return made or any(changed)


def certificate(found: Facts) -> bool:
    """Makes the box's own certificate where there is none; whether it did."""
    names = [found["domain"], found["address"]]
    alternative = ",".join(f"{_kind(name)}:{name}" for name in names if name) or "DNS:localhost"
    if tls.held() and not _outlived(tls.TLS / tls.CHAIN, alternative):
        return False
    directory(tls.TLS, mode=0o700)
    part = tls.TLS / ".part"
    run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", str(SELF_SIGNED_DAYS), "-subj", "/CN=terrace", "-addext", f"subjectAltName={alternative}",
            "-keyout", f"{part}.key", "-out", f"{part}.pem",
        ]
    )  # fmt: skip
    made = [Path(f"{part}.{kind}") for kind in ("pem", "key")]
    chain, key = (each.read_text(encoding="ascii") for each in made)
    tls.show(chain, key)
    for each in made:
        each.unlink()
    return True


def _outlived(chain: Path, alternative: str) -> bool:
    """Whether it is the box's own, and ends within a month or names another address."""
    told = run(
        ["openssl", "x509", "-in", str(chain), "-noout", "-issuer", "-ext", "subjectAltName"], check=False
    )
    if not re.search(r"^issuer=CN ?= ?terrace$", told, re.MULTILINE):
        return False
    named = told.rpartition("Alternative Name")[2].replace("IP Address:", "IP:").replace(" ", "")
    ends = run(["openssl", "x509", "-in", str(chain), "-noout", "-checkend", str(30 * 86_400)], check=False)
    return "will expire" in ends or alternative not in named.splitlines()


def _kind(name: str) -> str:
    try:
        ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"
