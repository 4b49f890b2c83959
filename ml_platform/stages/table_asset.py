"""A Delta table written by a job, as a Dagster asset: its materialisations, data versions and checks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from dbx_jobs.contract import CheckReport, Expectation, PartitionReport, Severity, TableReport
from ml_platform.errors import LakeError
from ml_platform.gateways.jobs import links
from ml_platform.stages.attempts import FAILED_CHECKS, REFUSED, WHOLE, Attempt, record

ROWS_FIT, ROWS_ARE_DISTINCT, ROWS_ARE_NEW = "rows_fit", "rows_are_distinct", "rows_are_new"

Events = Iterator[dg.Output | dg.AssetCheckResult]


def check_specs(key: dg.AssetKey, expectations: Sequence[Expectation]) -> list[dg.AssetCheckSpec]:
    """One asset check an expectation; ERROR ones block what is downstream in the run."""
    return [
        dg.AssetCheckSpec(
            expectation.name,
            asset=key,
            blocking=expectation.severity == "ERROR",
            description=expectation.description or _sentence(expectation),
        )
        for expectation in expectations
    ]


def rows_fit_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of a table whose job sends what does not fit to a quarantine: it warns when there was any."""
    return dg.AssetCheckSpec(ROWS_FIT, asset=key, description="No row went to the quarantine.")


def landed_specs(key: dg.AssetKey, new_within_days: int) -> list[dg.AssetCheckSpec]:
    """The checks of what landed: that it fits, did not come twice, and is not that of an earlier day again."""
    fit = "No row went to the quarantine; ERROR when most rows did."
    distinct = "Fewer than half as many exact duplicates were dropped as rows are left."
    specs = [
        dg.AssetCheckSpec(ROWS_FIT, asset=key, blocking=True, description=fit),
        dg.AssetCheckSpec(ROWS_ARE_DISTINCT, asset=key, blocking=True, description=distinct),
    ]
    if new_within_days:
        new = f"Fewer than half of the rows are, but for their date, those of one of the {new_within_days} days before."
        specs.append(dg.AssetCheckSpec(ROWS_ARE_NEW, asset=key, blocking=True, description=new))
    return specs


def publish(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    report: TableReport,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    quarantine: str = "",
) -> Events:
    """Record what a job reported: one materialisation a partition, then the checks, then how each attempt ended.

    `inputs` has the digest of what each partition was made from, by partition key ("" for an unpartitioned table), and
    `metadata` adds entries; `quarantine` is the table of rows that did not fit, for assets with the check of
    `rows_fit_spec`. Raises LakeError, after everything is recorded, when the job refused a partition.
    """
    if quarantine and ROWS_FIT not in {check.name for check in report.checks}:
        report = replace(report, checks=[*report.checks, *map(rows_fit, report.partitions)])
    failed = _failed_checks(report.checks)
    shared = _table_metadata(report) | links(context) | ({"quarantine": quarantine} if quarantine else {})
    for partition in report.partitions:
        entries = {
            **shared,
            **_partition_metadata(partition),
            **(metadata or {}).get(partition.partition or "", {}),
        }
        # Each partition gets the version of its own content; an Output would give one version to the whole range.
        context.log_event(
            dg.AssetMaterialization(
                key, partition=partition.partition, metadata=entries, tags={DATA_VERSION_TAG: partition.data_version}
            )
        )
    yield from _check_results(key, report)
    for partition, end in _ends(report, failed, inputs).items():
        record(context, key, partition, *end)
    if report.refused:
        raise LakeError(f"{key.to_user_string()}: " + "; ".join(r.reason for r in report.refused[:20]))
    # Tells Dagster that the step is done without a second materialisation: the events above are the record.
    recorded = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
    yield dg.Output(None, output_name=key.to_python_identifier(), metadata=recorded)


def _ends(
    report: TableReport, failed: Mapping[str | None, list[str]], inputs: Mapping[str, str]
) -> dict[str, tuple[Attempt, dict[str, str]]]:
    """How the attempt at each partition ended, and why."""
    ends: dict[str, tuple[Attempt, dict[str, str]]] = {}
    for partition in (p.partition for p in report.partitions):
        names = failed.get(partition)
        why = {FAILED_CHECKS: ", ".join(names)} if names else {}
        digest = inputs[partition or WHOLE]
        ends[partition or WHOLE] = Attempt(digest, "failed" if names else "passed"), why
    for refused in report.refused:
        partition = refused.partition or WHOLE
        ends[partition] = Attempt(inputs[partition], "refused"), {REFUSED: refused.reason}
    return ends


def _table_metadata(report: TableReport) -> dict[str, Any]:
    columns = [dg.TableColumn(c.name, c.type, c.description or None) for c in report.columns]
    entries: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/uri": report.table_uri,
        "delta_version": report.table_version,
    }
    if lineage := _column_lineage(report):
        entries["dagster/column_lineage"] = dg.TableColumnLineage(lineage)
    return entries


def _column_lineage(report: TableReport) -> dict[str, list[dg.TableColumnDep]]:
    lineage: dict[str, list[dg.TableColumnDep]] = {}
    for column in report.columns:
        pairs = [source.split(".", 1) for source in column.sources]
        if pairs:
            lineage[column.name] = [dg.TableColumnDep(dg.AssetKey(["lake", table]), name) for table, name in pairs]
    return lineage


def landed_checks(partition: PartitionReport) -> list[CheckReport]:
    """What a landed partition is judged by, besides its expectations."""
    return [rows_fit(partition, most="ERROR"), rows_are_distinct(partition)]


def rows_fit(partition: PartitionReport, most: Severity = "WARN") -> CheckReport:
    """What went to the quarantine: a few rows are a warning, `most` says what it is when most rows did."""
    observed = f"{partition.quarantined} of {partition.rows + partition.quarantined} rows in quarantine"
    severity = most if partition.quarantined > partition.rows else "WARN"
    return CheckReport(ROWS_FIT, partition.quarantined == 0, severity, partition.partition, observed)


def rows_are_distinct(partition: PartitionReport) -> CheckReport:
    """Whether a partition came twice: its content is right, but whoever sent it must look."""
    observed = f"{partition.duplicates} exact duplicates of {partition.rows} rows were dropped"
    passed = 2 * partition.duplicates < max(partition.rows, 1)
    return CheckReport(ROWS_ARE_DISTINCT, passed, "ERROR", partition.partition, observed)


def _partition_metadata(partition: PartitionReport) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "dagster/partition_row_count" if partition.partition else "dagster/row_count": partition.rows,
        "changed": partition.changed,
    }
    if partition.files or partition.quarantined:
        entries |= {"files": partition.files, "quarantined": partition.quarantined, "duplicates": partition.duplicates}
    return entries


def _failed_checks(checks: Sequence[CheckReport]) -> dict[str | None, list[str]]:
    failed: dict[str | None, list[str]] = defaultdict(list)
    for check in checks:
        if not check.passed and check.severity == "ERROR":
            failed[check.partition].append(check.name)
    return failed


def _check_results(key: dg.AssetKey, report: TableReport) -> Iterator[dg.AssetCheckResult]:
    by_name: dict[str, list[CheckReport]] = defaultdict(list)
    for check in report.checks:
        by_name[check.name].append(check)
    for name, checks in by_name.items():
        failing = [check for check in checks if not check.passed]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=not failing,
            severity=_severity(failing or checks),
            description=_verdict(failing),
            metadata=_check_metadata(checks, failing),
        )


def _severity(checks: Sequence[CheckReport]) -> dg.AssetCheckSeverity:
    worst = "ERROR" if any(check.severity == "ERROR" for check in checks) else "WARN"
    return dg.AssetCheckSeverity(worst)


def _verdict(failing: Sequence[CheckReport]) -> str | None:
    if not failing:
        return None
    first = failing[0]
    where = ", ".join(check.partition for check in failing[:5] if check.partition)
    values = f"; failing values: {', '.join(first.failing[:5])}" if first.failing else ""
    return f"{where or 'table'}: {first.observed}{values}"


def _check_metadata(checks: Sequence[CheckReport], failing: Sequence[CheckReport]) -> dict[str, Any]:
    shown = failing or checks[-1:]
    records = [
        dg.TableRecord(
            {
                "partition": c.partition or "",
                "passed": c.passed,
                "observed": c.observed,
                "failing values": ", ".join(c.failing),
            }
        )
        for c in shown[:50]
    ]
    return (
        {"partitions": len(checks), "failed partitions": len(failing), "evaluations": dg.MetadataValue.table(records)}
        if records
        else {}
    )


def _sentence(expectation: Expectation) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in expectation.kwargs.items())
    return f"{expectation.type.replace('_', ' ')} ({arguments})" if arguments else expectation.type.replace("_", " ")
