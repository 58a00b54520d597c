#!/bin/sh
# Builds .venv from requirements.lock.txt. Needs only python 3.11 or 3.12 with venv; a second call costs nothing.
# Index, certificates and wheel folders are those that pip is configured with; uv reads none of pip's settings.
# torch: a wheel folder in pip's own find-links setting wins (a CPU wheel, say); TORCH_INDEX_URL picks another
# build; otherwise Linux without an NVIDIA driver takes the CPU build where its index answers, and the package
# index's default build where it does not.
set -eu
cd "$(dirname "$0")/.."

find_python() {
  for candidate in ${PYTHON:-} python3.11 python3.12 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "groovemark needs python 3.11 or 3.12 with venv (Debian: apt install python3 python3-venv); set PYTHON to name one." >&2
  exit 1
}

stamp=$(cat pyproject.toml requirements.lock.txt env/bootstrap.sh | cksum)
[ "$(cat .venv/.stamp 2>/dev/null || :)" != "$stamp" ] || exit 0

python=$(find_python)
echo "groovemark: building .venv (the first time takes a minute or two)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' 2>&1 | grep -v 'neither a file nor' || :
[ -x .venv/bin/uv ] || { echo "groovemark: pip could not install uv; is a package index reachable?" >&2; exit 1; }

VIRTUAL_ENV=$PWD/.venv
export VIRTUAL_ENV
pip_setting() { .venv/bin/python -m pip config get "global.$1" 2>/dev/null || :; }
find_links=${PIP_FIND_LINKS:-$(pip_setting find-links)}
index_url=${UV_INDEX_URL:-${PIP_INDEX_URL:-$(pip_setting index-url)}}
certificates=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
[ -z "$index_url" ] || export UV_INDEX_URL="$index_url"
[ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"

install() {
  for place in $find_links; do set -- --find-links "$place" "$@"; done
  .venv/bin/uv pip install --quiet "$@"
}

torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock.txt)
python_tag=$(.venv/bin/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
holds_torch() {
  for place in $find_links; do
    case $place in http://*|https://*) return 0 ;; esac  # a page, which uv reads
    for wheel in "${place#file://}/torch-${torch#torch==}"*"-$python_tag-"*.whl; do
      [ ! -e "$wheel" ] || return 0
    done
  done
  return 1
}
if [ -n "$find_links" ] && ! holds_torch; then
  echo "groovemark: no wheel of $torch for $python_tag in $find_links, pip's find-links; looking elsewhere" >&2
fi

if [ -n "${TORCH_INDEX_URL:-}" ]; then
  install --index-url "$TORCH_INDEX_URL" "$torch"
elif ! holds_torch && [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then
  install --torch-backend=cpu "$torch" || echo "groovemark: no CPU build of torch within reach; taking the index's default build" >&2
fi
install -r requirements.lock.txt -e '.[torch,train,s3,transformer,text,openvino,tracking]'
.venv/bin/uv pip check --quiet
printf %s "$stamp" > .venv/.stamp
