# Two images from one file: `docker build --target api .` (no torch) and `docker build --target worker .`.
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/app/.venv/bin:$PATH
RUN groupadd --gid 10001 groovemark \
 && useradd --uid 10001 --gid groovemark --no-create-home --shell /usr/sbin/nologin groovemark \
 && install -d -o groovemark -g groovemark /data /data/storage
WORKDIR /app

# Dependencies at their locked versions; this layer stays until pyproject.toml or the lock changes.
FROM base AS api-packages
RUN pip install --no-cache-dir 'uv>=0.9,<1' && python -m venv --without-pip .venv
COPY pyproject.toml requirements.lock.txt README.md ./
RUN uv pip install --python .venv/bin/python --no-cache --compile-bytecode \
      --constraint requirements.lock.txt --requirement pyproject.toml --extra s3

FROM api-packages AS worker-packages
# cpu, or the backend of your GPU's driver: cu126, cu128, cu130, rocm6.4, auto.
ARG TORCH_BACKEND=cpu
RUN uv pip install --python .venv/bin/python --no-cache --compile-bytecode --torch-backend=$TORCH_BACKEND \
      --constraint requirements.lock.txt --requirement pyproject.toml --extra s3 --extra torch --extra transformer

FROM api-packages AS api-built
COPY src src
RUN uv pip install --python .venv/bin/python --no-cache --no-deps --editable .

FROM worker-packages AS worker-built
COPY src src
RUN uv pip install --python .venv/bin/python --no-cache --no-deps --editable .

FROM base AS worker
# LightGBM's wheel takes OpenMP from the system.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=worker-built /app /app
COPY model model
USER 10001:10001
VOLUME /data/storage
# numba keeps compiled functions beside their source, which this user cannot write.
ENV NUMBA_CACHE_DIR=/data/numba \
    GROOVEMARK_HOME=/data STORAGE_PATH=/data/storage MODEL_PATH=/app/model LOG_FORMAT=json
STOPSIGNAL SIGTERM
ENTRYPOINT ["groovemark"]
CMD ["worker"]

# Last, so that a build without --target makes the API.
FROM base AS api
COPY --from=api-built /app /app
COPY migrations migrations
COPY model model
USER 10001:10001
VOLUME /data/storage
ENV HOST=0.0.0.0 PORT=5000 \
    GROOVEMARK_HOME=/data STORAGE_PATH=/data/storage MODEL_PATH=/app/model LOG_FORMAT=json
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/live', timeout=4)"]
ENTRYPOINT ["groovemark"]
CMD ["serve"]
