#!/bin/sh
# Makes a box of the contract between host and deploys, with nothing of the host's own programs: what a deploy needs.
# Variables: FACTS (JSON), LIB (a tar.gz in base64), REGION, BUCKET.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends nginx postgresql-common openjdk-21-jre-headless nodejs python3-boto3 >/dev/null
id terrace >/dev/null 2>&1 || useradd --system --uid 651 --home-dir /nonexistent --shell /usr/sbin/nologin terrace

blkid /dev/sdf >/dev/null || mkfs.ext4 -q -L terrace-data /dev/sdf
mkdir -p /data
mountpoint -q /data || mount /dev/sdf /data
mkdir -p /data/releases /data/state /run/terrace /etc/terrace /etc/nginx/terrace /opt/terrace/lib
chmod 0755 /data

echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
apt-get install -y --no-install-recommends postgresql-17 postgresql-17-pgvector >/dev/null
[ -d /data/pgdata ] || pg_createcluster 17 main --datadir /data/pgdata -- --auth-host=scram-sha-256 --auth-local=peer >/dev/null
mkdir -p /etc/postgresql/17/main/conf.d
cat > /etc/postgresql/17/main/conf.d/10-terrace.conf <<EOF
shared_buffers = 512MB
max_connections = 60
EOF
systemctl restart postgresql@17-main
su postgres -c psql >/dev/null 2>&1 <<'EOF' || true
create role app login password 'only-for-tests';
EOF
su postgres -c "createdb --owner app app" 2>/dev/null || true
su postgres -c "psql --quiet app -c 'create extension if not exists vector'"

printf '%s' "$FACTS" > /etc/terrace/box.json
cat > /run/terrace/app.env <<EOF
SPRING_DATASOURCE_URL=jdbc:postgresql://127.0.0.1:5432/app
SPRING_DATASOURCE_USERNAME=app
SPRING_DATASOURCE_PASSWORD=only-for-tests
UPLOADS_BUCKET=$BUCKET
AWS_REGION=$REGION
AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL:-}
BACKEND_URL=http://127.0.0.1:8090
EOF
chown root:terrace /run/terrace/app.env
chmod 0640 /run/terrace/app.env

printf '%s' "$LIB" | base64 -d | tar -xz -C /opt/terrace/lib
cat > /usr/local/sbin/terrace-deploy <<'EOF'
#!/bin/sh
PYTHONPATH=/opt/terrace/lib exec python3 -m infra.host.box.deploy "$@"
EOF
chmod 0755 /usr/local/sbin/terrace-deploy

unit() {
    cat > "/etc/systemd/system/terrace-$1@.service" <<EOF
[Unit]
After=network.target postgresql@17-main.service
[Service]
User=terrace
EnvironmentFile=/run/terrace/app.env
EnvironmentFile=/run/terrace/$1@%i.env
ExecStart=$2
SuccessExitStatus=143
TimeoutStopSec=60
KillMode=mixed
Restart=on-failure
RestartSec=2
EOF
}
unit backend '/usr/bin/java -Xmx1g -XX:+ExitOnOutOfMemoryError -jar ${TERRACE_JAR}'
unit frontend '/usr/bin/node --max-old-space-size=640 ${TERRACE_ENTRY}'
systemctl daemon-reload

rm -f /etc/nginx/sites-enabled/default
cat > /etc/nginx/conf.d/terrace.conf <<'EOF'
include /etc/nginx/terrace/upstream-*.conf;
map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
server {
    listen 80;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_hide_header X-Terrace-User;
    location = /healthz { return 200; }
    location / { proxy_pass http://frontend; }
    location /api/ { proxy_pass http://backend; }
    location /ws/ {
        proxy_pass http://backend;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 3600s;
    }
}
server {
    listen 127.0.0.1:8090;
    keepalive_timeout 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / { proxy_pass http://backend; }
}
EOF
grep -q worker_shutdown_timeout /etc/nginx/nginx.conf || sed -i '1i worker_shutdown_timeout 1h;' /etc/nginx/nginx.conf
terrace-deploy boot
systemctl restart nginx
