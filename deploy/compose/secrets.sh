#!/bin/sh
# Make the secrets of compose.yaml that can be made, each in a file of its own, and name those that only you have.
# Run it again at any time: what is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { head -c "$1" /dev/urandom | base64 -w0; }

[ -s secrets/POSTGRES_PASSWORD ] || random 24 | tr '+/' '-_' >secrets/POSTGRES_PASSWORD
[ -s secrets/DATABASE_URL ] ||
    printf 'postgresql://shmastra:%s@postgres:5432/shmastra' "$(cat secrets/POSTGRES_PASSWORD)" >secrets/DATABASE_URL
[ -s secrets/SHMASTRA_MASTER_KEY ] || random 32 >secrets/SHMASTRA_MASTER_KEY
for name in E2B_API_KEY OPENAI_API_KEY WORKOS_API_KEY WORKOS_WEBHOOK_SECRET; do
    [ -e "secrets/$name" ] || : >"secrets/$name"
    [ -s "secrets/$name" ] || echo "put yours into $(pwd)/secrets/$name (empty: it is not used), and run this again"
done
[ -e secrets/WORKOS_COOKIE_PASSWORD ] || : >secrets/WORKOS_COOKIE_PASSWORD
[ -s secrets/WORKOS_COOKIE_PASSWORD ] || [ ! -s secrets/WORKOS_API_KEY ] || random 32 >secrets/WORKOS_COOKIE_PASSWORD
# Compose mounts the files as they are, and the cloud is uid 10001 in its containers.
[ "$(id -u)" -ne 0 ] || chown -R 10001:10001 secrets
[ "$(id -u)" -eq 0 ] || echo "run this as root: the files must belong to uid 10001"
