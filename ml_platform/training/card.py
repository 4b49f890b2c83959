"""The model card (Mitchell et al. 2019) of one version, in Markdown."""

from collections.abc import Sequence

from ml_platform.core.gate import Interval
from ml_platform.training.contract import Calibration, Part, SliceMetric, TrainingRequest


def model_card(
    request: TrainingRequest,
    parts: dict[str, Part],
    metrics: dict[str, Interval],
    slices: list[SliceMetric],
    calibration: Calibration,
    parameters: dict[str, object],
    features: list[str],
    fingerprint: str,
) -> str:
    """What the model is, what it saw, how well it does and where it should not be trusted."""
    kept = "Platt scaling, fitted on the validation days" if calibration.kept else "none: it did not help on later days"
    metric = request.metric.name
    sections = [
        f"# {request.product}",
        f"Predicts the probability of `{request.features.roles.label}` at `{request.features.roles.prediction_time}`, "
        f"for each `{', '.join(request.features.roles.primary_key)}`.",
        "## Data",
        f"Feature table `{request.features.uri}`, Delta version **{request.features.version}**; "
        f"code revision `{request.code_revision}`; fingerprint `{fingerprint}`.",
        _table(
            ("part", "days", "labelled rows", "positives"),
            [
                (n, f"{p.days.start} to {p.days.end}", f"{p.rows:,}", f"{p.positives / p.rows:.1%}")
                for n, p in parts.items()
            ],
        ),
        "## Model",
        f"`{request.estimator}` on {len(features)} features; calibration: {kept}. Searched {request.trials} settings "
        f"for the best {metric} on the validation days, then fitted on train and validation.",
        _table(
            ("parameter", "value"),
            [
                (f"`{name}`", f"{value:.6g}" if isinstance(value, float) else value)
                for name, value in parameters.items()
            ],
        ),
        "## Holdout",
        "95 % intervals: whole days resampled.",
        _table(("metric", "value", "interval"), [(name, *_cells(value)) for name, value in metrics.items()]),
    ]
    if slices:
        rows = [(s.name, f"{s.rows:,}", f"{s.positives:,}", *_cells(s.metric)) for s in slices]
        sections += [f"## Slices ({metric})", _table(("slice", "rows", "positives", "value", "interval"), rows)]
    return "\n\n".join([*sections, "## Limits", _limits(parts, slices)]) + "\n"


def _limits(parts: dict[str, Part], slices: list[SliceMetric]) -> str:
    holdout, train = parts["holdout"].days, parts["train"].days
    small = [item.name for item in slices if item.rows < 200]
    lines = [
        f"Learned from {train.start} to {parts['validation'].days.end}, judged on {holdout.start} to {holdout.end} "
        "only: other seasons are unproven.",
        "Rows that never got a label are in no part: the probability is conditional on the outcome becoming known.",
        "A category that the training window lacks is treated as missing.",
        "Associations, not causes: it tells what to expect, not what to change.",
    ]
    if small:
        lines.append(f"Too few holdout rows to judge: {', '.join(small)}.")
    return "\n".join(f"- {line}" for line in lines)


def _cells(value: Interval) -> tuple[str, str]:
    return f"{value.point:.4f}", f"{value.lower:.4f} to {value.upper:.4f}"


def _table(header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
