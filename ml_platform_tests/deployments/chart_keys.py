"""The keys of the values of Dagster's official Helm chart that this project sets.

The chart is in no registry that tests reach. This is its schema (github.com/dagster-io/dagster, helm/dagster/schema),
written down as far as it is used: a key that is not here is not known to be one. A value is of a type, or one of a set;
what stands below `...` is checked elsewhere, as what Dagster or Kubernetes makes of it.
"""

from typing import Any

REST: Any = ...
PULL = frozenset({"Always", "IfNotPresent", "Never"})
IMAGE = {"repository": str, "tag": str, "pullPolicy": PULL}
POD = {
    "env": REST,
    "envConfigMaps": REST,
    "envSecrets": REST,
    "labels": REST,
    "podSecurityContext": REST,
    "securityContext": REST,
    "resources": REST,
    "volumes": REST,
    "volumeMounts": REST,
    "startupProbe": REST,
    "livenessProbe": REST,
    "readinessProbe": REST,
}
ACCOUNT = {"create": bool, "name": str, "annotations": REST}
WORKERS = {"useThreads": bool, "numWorkers": int}

VALUES: dict[str, Any] = {
    "global": {"postgresqlAuthWifEnabled": bool, "dagsterHome": str},
    "serviceAccount": ACCOUNT,
    "generatePostgresqlPasswordSecret": bool,
    "postgresql": {
        "enabled": bool,
        "postgresqlHost": str,
        "postgresqlUsername": str,
        "postgresqlDatabase": str,
        "postgresqlParams": REST,
        "postgresqlScheme": str,
        "authProvider": {"type": str, "azureScope": str},
        "image": IMAGE,
    },
    "busybox": {"image": IMAGE},
    "rabbitmq": {"enabled": bool},
    "redis": {"enabled": bool},
    "flower": {"enabled": bool},
    "telemetry": {"enabled": bool},
    "ingress": {"enabled": bool},
    "dagsterWebserver": {
        **POD,
        "replicaCount": int,
        "image": IMAGE,
        "service": {"type": str, "port": int},
        "enableReadOnly": bool,
        "dbStatementTimeout": int,
        "dbPoolRecycle": int,
    },
    "dagsterDaemon": {
        **POD,
        "enabled": bool,
        "image": IMAGE,
        "heartbeatTolerance": int,
        "runCoordinator": {
            "enabled": bool,
            "type": str,
            "config": {
                "queuedRunCoordinator": {
                    "dequeueIntervalSeconds": int,
                    "dequeueUseThreads": bool,
                    "dequeueNumWorkers": int,
                }
            },
        },
        "runMonitoring": {
            "enabled": bool,
            "pollIntervalSeconds": int,
            "startTimeoutSeconds": int,
            "cancelTimeoutSeconds": int,
            "maxResumeRunAttempts": int,
            "freeSlotsAfterRunEndSeconds": int,
        },
        "runRetries": {"enabled": bool, "maxRetries": int, "retryOnAssetOrOpFailure": bool},
        "sensors": WORKERS,
        "schedules": WORKERS,
    },
    "concurrency": {
        "enabled": bool,
        "pools": {"defaultLimit": int, "granularity": frozenset({"op", "run"})},
        "runs": {"maxConcurrentRuns": int, "tagConcurrencyLimits": REST},
    },
    "retention": {
        "enabled": bool,
        "sensor": {"purgeAfterDays": REST},
        "schedule": {"purgeAfterDays": REST},
        "autoMaterialize": {"purgeAfterDays": REST},
    },
    "computeLogManager": {
        "type": str,
        "config": {
            "azureBlobComputeLogManager": {
                "storageAccount": str,
                "container": str,
                "prefix": str,
                "localDir": str,
                "uploadInterval": int,
                "defaultAzureCredential": REST,
            }
        },
    },
    "runLauncher": {
        "type": str,
        "config": {
            "k8sRunLauncher": {
                "imagePullPolicy": PULL,
                "loadInclusterConfig": bool,
                "failPodOnRunFailure": bool,
                "envConfigMaps": REST,
                "envSecrets": REST,
                "envVars": REST,
                "labels": REST,
                "resources": REST,
                "volumes": REST,
                "volumeMounts": REST,
                "securityContext": REST,
                "runK8sConfig": {
                    "containerConfig": REST,
                    "podSpecConfig": REST,
                    "podTemplateSpecMetadata": REST,
                    "jobSpecConfig": REST,
                },
            }
        },
    },
    "dagster-user-deployments": {
        "enabled": bool,
        "enableSubchart": bool,
        "serviceAccount": ACCOUNT,
        "deployments": [
            {
                **POD,
                "name": str,
                "image": IMAGE,
                "dagsterApiGrpcArgs": REST,
                "port": int,
                "includeConfigInLaunchedRuns": {"enabled": bool},
                "deploymentStrategy": REST,
            }
        ],
    },
}
