"""Says what is to be watched in the terms of Azure ML: signals, bounds and the data that each one reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_platform.gateways.monitors.azureml_results import DATA_VERSION
from ml_platform.gateways.monitors.protocol import Reference, Watch
from ml_platform.gateways.workspace import ARM_ID, check_workspace
from ml_platform.scoring.container_contract import INFERENCE_LOG
from ml_platform.scoring.inference_log import INPUTS, OUTPUTS

if TYPE_CHECKING:
    from azure.ai.ml.entities import MonitorDefinition

PREPROCESSOR = "azureml://registries/azureml/components/model_data_collector_preprocessor/versions/0.4.31"
"""Reads what a data collector, or our server in its layout, has logged."""
SPARK = "3.4"
CORRELATION = "correlationid"
"""What the preprocessor calls the id of a logged row, which is our prediction_id."""
DOCUMENTS = "azureml_monitors"
"""The folder of the lake with the documents (MLTable) by which a monitor reads Delta tables."""


@dataclass(frozen=True)
class DataPaths:
    """Where a monitor finds its data: folders of the lake, by the `datastore` of a workspace that is the lake's."""

    workspace: str
    datastore: str
    lake: str

    def collections(self, wanted: Watch) -> Iterator[str]:
        """The collections of the log that the declared signals read."""
        if wanted.bounds.keys() & {"data_drift", "data_quality"}:
            yield INPUTS
        if wanted.bounds.keys() & {"prediction_drift", "performance"}:
            yield OUTPUTS

    def asset(self, endpoint: str, wanted: Watch, collection: str) -> str:
        """The name of the data asset of a collection."""
        return f"{endpoint}-{wanted.deployment}-{collection}"

    def logged(self, wanted: Watch, collection: str) -> str:
        """Where the deployment logs a collection."""
        return self._short(f"{INFERENCE_LOG}/{wanted.endpoint}/{wanted.deployment}/{collection}")

    def documents(self, wanted: Watch) -> dict[str, str]:
        """The documents by their paths in the lake."""
        found = {f"{self._folder(wanted, 'training')}/MLTable": self._training(wanted.reference)}
        if "performance" in wanted.bounds:
            found[f"{self._folder(wanted, 'truth')}/MLTable"] = self._mltable(wanted.truth, {}, [])
        return found

    def table(self, wanted: Watch, what: str) -> str:
        """The folder of a document, for a monitor."""
        return self._short(self._folder(wanted, what))

    def _folder(self, wanted: Watch, what: str) -> str:
        return f"{DOCUMENTS}/{wanted.endpoint}/{wanted.model_version}/{what}"

    def _training(self, reference: Reference) -> str:
        first, last = (date.fromisoformat(day) for day in (reference.first, reference.last))
        days = [f"col('day') {sign} datetime({day:%Y, %-m, %-d})" for sign, day in ((">=", first), ("<=", last))]
        return self._mltable(reference.table, {"version_as_of": reference.version}, [" and ".join(days)])

    def _mltable(self, table: str, version: dict[str, int], filters: list[str]) -> str:
        import yaml

        found = ARM_ID.fullmatch(check_workspace(self.workspace))
        assert found
        place = f"subscriptions/{found['subscription']}/resourcegroups/{found['group']}/workspaces/{found['workspace']}"
        path = table.removeprefix(f"{self.lake.rstrip('/')}/")
        folder = f"azureml://{place}/datastores/{self.datastore}/paths/{path}"
        steps: list[dict[str, Any]] = [{"read_delta_lake": version}, *({"filter": each} for each in filters)]
        return yaml.safe_dump({"type": "mltable", "paths": [{"folder": folder}], "transformations": steps}, width=200)

    def _short(self, path: str) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{path}"


def definition(wanted: Watch, endpoint: str, paths: DataPaths) -> "MonitorDefinition":
    """The monitor of a watch. A prediction is a probability, a number: for Azure ML that is a regression's."""
    from azure.ai.ml.entities import MonitorDefinition, MonitoringTarget, ServerlessSparkCompute

    return MonitorDefinition(
        compute=ServerlessSparkCompute(instance_type=wanted.machine, runtime_version=SPARK),
        monitoring_target=MonitoringTarget(
            ml_task="regression", endpoint_deployment_id=f"azureml:{endpoint}:{wanted.deployment}"
        ),
        monitoring_signals=dict(_signals(wanted, endpoint, paths)),
    )


def _signals(wanted: Watch, endpoint: str, paths: DataPaths) -> Iterator[tuple[str, Any]]:
    from azure.ai.ml.entities import (
        DataDriftMetricThreshold,
        DataDriftSignal,
        DataQualityMetricThreshold,
        DataQualitySignal,
        ModelPerformanceMetricThreshold,
        ModelPerformanceSignal,
        PredictionDriftMetricThreshold,
        PredictionDriftSignal,
    )
    from azure.ai.ml.entities._monitoring.thresholds import (
        CategoricalDriftMetrics,
        DataQualityMetricsCategorical,
        DataQualityMetricsNumerical,
        ModelPerformanceRegressionThresholds,
        NumericalDriftMetrics,
    )

    data, features = _Data(wanted, endpoint, paths), list(wanted.features)
    for signal, given in wanted.bounds.items():
        most: dict[str, Any] = dict(given)
        match signal:
            case "data_drift":
                numerical, categorical = NumericalDriftMetrics(**most), CategoricalDriftMetrics(**most)
                found: Any = DataDriftSignal(
                    production_data=data.logged(INPUTS),
                    reference_data=data.training(),
                    features=features,
                    metric_thresholds=DataDriftMetricThreshold(numerical=numerical, categorical=categorical),
                )
            case "prediction_drift":
                found = PredictionDriftSignal(
                    production_data=data.logged(OUTPUTS),
                    reference_data=data.before(),
                    metric_thresholds=PredictionDriftMetricThreshold(numerical=NumericalDriftMetrics(**most)),
                )
            case "data_quality":
                numbers, words = DataQualityMetricsNumerical(**most), DataQualityMetricsCategorical(**most)
                found = DataQualitySignal(
                    production_data=data.logged(INPUTS),
                    reference_data=data.training(),
                    features=features,
                    metric_thresholds=DataQualityMetricThreshold(numerical=numbers, categorical=words),
                )
            case "performance":
                found = ModelPerformanceSignal(
                    production_data=data.logged(OUTPUTS, target_column=wanted.output, join_column=CORRELATION),
                    reference_data=data.truth(),
                    metric_thresholds=ModelPerformanceMetricThreshold(
                        regression=ModelPerformanceRegressionThresholds(**most)
                    ),
                )
        yield signal, found


@dataclass(frozen=True)
class _Data:
    """The inputs of signals."""

    wanted: Watch
    endpoint: str
    paths: DataPaths

    def logged(self, collection: str, **columns: str) -> Any:
        """The last days of a collection."""
        from azure.ai.ml.entities import BaselineDataRange, ProductionData

        window = BaselineDataRange(lookback_window_size=f"P{self.wanted.days}D", lookback_window_offset="P0D")
        return ProductionData(
            input_data=self._collection(collection),
            data_context=self._context(collection),
            pre_processing_component=PREPROCESSOR,
            data_window=window,
            data_column_names=columns or None,
        )

    def before(self) -> Any:
        """The predictions of the days before the last ones: the training table has none."""
        from azure.ai.ml.entities import BaselineDataRange, ReferenceData

        days = f"P{self.wanted.days}D"
        return ReferenceData(
            input_data=self._collection(OUTPUTS),
            data_context=self._context(OUTPUTS),
            pre_processing_component=PREPROCESSOR,
            data_window=BaselineDataRange(lookback_window_size=days, lookback_window_offset=days),
        )

    def training(self) -> Any:
        """What the model has learnt from."""
        return self._table("training", "training", target_column=self.wanted.reference.label)

    def truth(self) -> Any:
        """The labels of predictions."""
        label = self.wanted.reference.label
        return self._table("truth", "ground_truth", target_column=label, join_column="prediction_id")

    def _table(self, what: str, context: str, **columns: str) -> Any:
        from azure.ai.ml import Input
        from azure.ai.ml.entities import ReferenceData

        table = Input(type="mltable", path=self.paths.table(self.wanted, what))
        return ReferenceData(input_data=table, data_context=self._context(context), data_column_names=columns)

    def _collection(self, collection: str) -> Any:
        from azure.ai.ml import Input

        name = self.paths.asset(self.endpoint, self.wanted, collection)
        return Input(type="uri_folder", path=f"azureml:{name}:{DATA_VERSION}")

    @staticmethod
    def _context(name: str) -> Any:
        from azure.ai.ml.constants import MonitorDatasetContext

        return MonitorDatasetContext(name)
