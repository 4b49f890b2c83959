"""What the candidate and the gate show on their assets."""

from typing import Any

import dagster as dg

from ml_platform.core.gate import Decision, Interval
from ml_platform.training.contract import TrainingReport, Trial


def candidate_metadata(report: TrainingReport, run_page: str) -> dict[str, Any]:
    """Version, metrics with intervals, slices, model card and plots of a training."""
    window = report.parts
    return {
        "version": report.version,
        "mlflow_run": dg.MetadataValue.url(run_page),
        "card": dg.MetadataValue.md(report.card),
        "plots": _pictures(report.plots),
        **{name: interval.point for name, interval in report.metrics.items()},
        "metrics": _table([{"metric": name, **_interval(interval)} for name, interval in report.metrics.items()]),
        "slices": _table([{"slice": s.name, "rows": s.rows, **_interval(s.metric)} for s in report.slices]),
        "windows": _table(
            [
                {"part": n, "from": p.days.start, "to": p.days.end, "rows": p.rows, "positives": p.positives}
                for n, p in window.items()
            ]
        ),
        "trials": _table([_trial(trial) for trial in report.trials]),
        "onnx_parity": report.parity,
        "fingerprint": report.fingerprint,
        "reused": report.reused,
    }


def decision_metadata(decision: Decision, plots: dict[str, str]) -> dict[str, Any]:
    """Verdict, reasons and evidence of the gate."""
    evidence = decision.evidence
    names = sorted(set(evidence.challenger) | set(evidence.champion))
    entries: dict[str, Any] = {
        "verdict": decision.verdict,
        "reasons": "; ".join(decision.reasons),
        "challenger": evidence.challenger_version,
        "champion": evidence.champion_version or "none",
        "window": f"{evidence.window[0]} to {evidence.window[-1]}" if evidence.window else "empty",
        "rows": evidence.rows,
        "positives": evidence.positives,
        "metrics": _table(
            [
                {
                    "metric": name,
                    "challenger": _rounded(evidence.challenger.get(name)),
                    "champion": _rounded(evidence.champion.get(name)),
                }
                for name in names
            ]
        ),
        "slices": _table(
            [
                {
                    "slice": s.name,
                    "rows": s.rows,
                    "challenger": _rounded(s.challenger),
                    "champion": _rounded(s.champion),
                }
                for s in evidence.slices
            ]
        ),
        "plots": _pictures(plots),
    }
    if evidence.difference:
        entries["difference"] = str(_interval(evidence.difference))
    return entries


def _pictures(plots: dict[str, str]) -> dg.MarkdownMetadataValue:
    # All in one entry, since the UI shows an entry of Markdown only on a click.
    return dg.MetadataValue.md("\n\n".join(f"![{name}](data:image/png;base64,{png})" for name, png in plots.items()))


def _trial(trial: Trial) -> dict[str, Any]:
    parameters = ", ".join(f"{name} {_short(value)}" for name, value in trial.parameters.items())
    return {
        "trial": trial.number + 1,
        "value": _rounded(trial.value),
        "state": trial.state,
        "parameters": parameters,
        "run": trial.run_id,
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _interval(interval: Interval) -> dict[str, float]:
    return {"value": round(interval.point, 4), "low": round(interval.lower, 4), "high": round(interval.upper, 4)}


def _table(rows: list[dict[str, Any]]) -> dg.TableMetadataValue | str:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) if rows else "none"
