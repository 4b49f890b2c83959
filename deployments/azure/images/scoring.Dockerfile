# The scoring server in a container of its own: only what the extra `scoring` names, no Dagster, no MLflow. Build from the
# repository's root. The front end of a managed endpoint asks the readiness route; elsewhere the health check does.
FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY constraints.txt pyproject.toml README.md deployments/azure/images/scoring.txt ./
RUN python -m venv /opt/venv && pip install --constraint constraints.txt setuptools --requirement scoring.txt
COPY ml_platform ml_platform
COPY dbx_jobs dbx_jobs
RUN pip install --constraint constraints.txt --no-build-isolation --no-deps .

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp ML_PLATFORM_SCORING_PORT=5001
RUN useradd --system --uid 10001 --no-create-home scoring
COPY --from=build /opt/venv /opt/venv
WORKDIR /tmp
USER 10001
EXPOSE 5001
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5001/health/ready', timeout=2)"]
CMD ["python", "-m", "ml_platform.scoring", "--container"]
