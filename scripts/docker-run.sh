#!/usr/bin/env bash
# lexiseg in a container, on the files of the folder that it is called in.
#   scripts/docker-run.sh build
#   scripts/docker-run.sh segment photo.jpg "red car"
#   scripts/docker-run.sh edit photo.jpg remove dog
#   scripts/docker-run.sh ui | serve
# Switches: IMAGE=lexiseg, DOCKER=docker (or podman), PORT=8008, GPU=1 (image lexiseg:cuda).
set -euo pipefail

home="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
docker="${DOCKER:-docker}"
gpu=()
image="${IMAGE:-lexiseg}"
file=Dockerfile
if [ -n "${GPU:-}" ]; then
  image="${IMAGE:-lexiseg:cuda}"
  file=Dockerfile.cuda
  gpu=(--gpus all)
fi
port="${PORT:-8008}"

usage() {
  sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

command -v "$docker" >/dev/null || {
  echo "docker-run.sh: $docker is not installed; install it, or name another: DOCKER=podman" >&2
  exit 4
}
[ $# -gt 0 ] || usage
what="$1"
shift
case "$what" in
  build)
    exec "$docker" build -t "$image" -f "$home/$file" "$@" "$home"
    ;;
  ui | serve)
    # Inside, the server listens for the container's own network; outside, for this machine alone.
    token="$(mktemp)"
    trap 'rm -f "$token"' EXIT
    head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$token"
    chmod 644 "$token"
    page=()
    if [ "$what" = ui ]; then
      page=(--page)
      echo "Open http://127.0.0.1:$port/login?token=$(cat "$token")"
    else
      echo "Send: Authorization: Bearer $(cat "$token")"
    fi
    "$docker" run --rm --init "${gpu[@]}" -p "127.0.0.1:$port:8008" -v "$token:/run/token:ro" \
      "$image" serve "${page[@]}" --host 0.0.0.0 --token-file /run/token "$@"
    ;;
  segment | edit | video | convert | batch | info | methods | models)
    exec "$docker" run --rm --init --network none "${gpu[@]}" --user "$(id -u):$(id -g)" \
      -e HOME=/tmp -e LEXISEG_CACHE=/tmp/lexiseg -v "$PWD:/work" "$image" "$what" "$@"
    ;;
  *)
    usage
    ;;
esac
