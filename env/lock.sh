#!/bin/sh
# Brings poetry.lock and requirements.lock.txt up to date with pyproject.toml; --check only says whether they are.
# poetry lives in a venv of its own, made on demand: its dependencies are none of groovemark's.
set -eu
cd "$(dirname "$0")/.."

home=.venv/poetry
if [ ! -x $home/bin/poetry ]; then
  .venv/bin/uv venv --quiet --clear --python .venv/bin/python $home
  .venv/bin/uv pip install --quiet --python $home/bin/python \
    'poetry>=2.5,<2.6' poetry-plugin-export poetry-plugin-pypi-mirror
fi
# pip's index also serves an index that has pages only, which poetry cannot read by itself.
POETRY_PYPI_MIRROR_URL=$(.venv/bin/python -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)')
export POETRY_PYPI_MIRROR_URL

# Without CUDA's packages: which of them torch needs depends on the build of torch that the machine takes.
export_requirements() {
  $home/bin/poetry export --without-hashes -E torch -E train -E s3 -E transformer -E text -E openvino -E tracking --with dev >"$1.all"
  grep -vE '^(nvidia-|cuda-|triton)' "$1.all" >"$1"
  rm "$1.all"
}

if [ "${1:-}" != --check ]; then
  $home/bin/poetry lock
  export_requirements requirements.lock.txt.new
  mv requirements.lock.txt.new requirements.lock.txt
  exit 0
fi

$home/bin/poetry check --lock --quiet || {
  $home/bin/poetry check --lock >&2 || :
  echo "groovemark: poetry.lock is stale, pyproject.toml has changed since: run 'make lock' and commit both locks." >&2
  exit 1
}
fresh=$home/requirements.lock.txt
export_requirements "$fresh"
diff -u requirements.lock.txt "$fresh" >&2 || {
  echo "groovemark: requirements.lock.txt is stale (- as it is, + as poetry.lock has it): run 'make lock' and commit it." >&2
  exit 1
}
