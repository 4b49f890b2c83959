"""Trained on January to September, tested on October to December: how good the model is, beside what needs none.

Peers, on the same holdout: the base rate of the training days, and the rate of each carrier and route in them.
"""

from collections import Counter
from datetime import date, timedelta

from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.year import PRODUCT, YEAR, Year, year
from ml_platform.core import keys
from ml_platform.core.product import SplitSpec
from ml_platform.gateways.lake import Lake

MATURED = "2013-12-30"
HOLDOUT = SplitSpec(validation_days=28, holdout_days=91)
AUC_FLOOR, LOG_LOSS_CEILING = 0.76, 0.45
SMOOTHING = 50
"""Rows of the base rate that a carrier's route is mixed with."""


def main() -> None:
    """Print the model's and its peers' figures; exits 1 when the model misses the bounds of the project."""
    with year(split=HOLDOUT) as run:
        run.build_tables()
        run.materialise(keys.candidate(PRODUCT))
        found = run.metadata(keys.candidate(PRODUCT))
        auc, loss = float(str(found["roc_auc"])), float(str(found["log_loss"]))
        rows = [("model", auc, loss), *peers(run)]
    base = rows[1][2]
    print(f"{'':<24}{'ROC AUC':>9}{'log loss':>10}{'of base rate':>14}")
    for name, a, b in rows:
        print(f"{name:<24}{a:>9.3f}{b:>10.3f}{b / base:>14.2f}")
    if auc < AUC_FLOOR or loss > LOG_LOSS_CEILING:
        raise SystemExit(f"below the bounds: ROC AUC {AUC_FLOOR}, log loss {LOG_LOSS_CEILING}")


def peers(run: Year) -> list[tuple[str, float, float]]:
    """(name, ROC AUC, log loss) of predictions that need no model."""
    first = date.fromisoformat(MATURED) - timedelta(days=HOLDOUT.holdout_days - 1)
    train, test = labelled(run, YEAR[0], str(first - timedelta(days=1))), labelled(run, str(first), MATURED)
    base = sum(late for _, late in train) / len(train)
    rows, lates = Counter(route for route, _ in train), Counter(route for route, late in train if late)
    rates = {route: (lates[route] + SMOOTHING * base) / (rows[route] + SMOOTHING) for route in rows}
    truth = [late for _, late in test]
    scores = {
        "base rate": [base] * len(test),
        "rate of carrier, route": [rates.get(route, base) for route, _ in test],
    }
    return [(name, float(roc_auc_score(truth, p)), float(log_loss(truth, p))) for name, p in scores.items()]


def labelled(run: Year, start: str, end: str) -> list[tuple[tuple[str, str], int]]:
    """((carrier, destination), delayed) of the flights that arrived."""
    rows = Lake(run.settings.lake_uri).rows(keys.features(PRODUCT), start, end)
    return [((row["carrier"], row["dest"]), row["delayed"]) for row in rows if row["delayed"] is not None]


if __name__ == "__main__":
    main()
