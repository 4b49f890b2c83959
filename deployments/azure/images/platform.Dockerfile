# Two images of one build: `--target code-location` (Dagster's web servers, daemon, code location and runs) and
# `--target training` (jobs of Azure ML). Build from the repository's root.
FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY constraints.txt pyproject.toml README.md ./
# setuptools of the tested version builds the project here, and the wheel for Databricks at run time.
RUN python -m venv /opt/venv && pip install --constraint constraints.txt setuptools
COPY ml_platform ml_platform
COPY dbx_jobs dbx_jobs
# Editable: the products' folder is found through pyproject.toml.
RUN pip install --constraint constraints.txt --no-build-isolation --editable '.[azure,redis,tracing]'

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS run
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib ML_PLATFORM_HOME=/tmp/ml_platform
# What LightGBM needs; its version is that of the base, which is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home platform
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY deployments/azure/databricks/new-cluster.yaml /app/deployments/azure/databricks/
WORKDIR /app

# Azure ML starts the program, and as the user that it chooses.
FROM run AS training
USER 10001
CMD ["python", "-m", "ml_platform.training.train"]

# The chart says what to start; alone it is the code location.
FROM run AS code-location
USER 10001
EXPOSE 3030
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s CMD ["dagster", "api", "grpc-health-check", "--port", "3030"]
CMD ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", "3030", "--module-name", "ml_platform.definitions"]
