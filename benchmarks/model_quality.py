"""Trained on January to September, tested on October to December: how good the model is, beside what needs none.

Peers, on the same holdout: the base rate of the training days, and the rate of each carrier and route in them.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.year import PRODUCT, Year, year
from ml_platform.core import keys
from ml_platform.core.product import SplitSpec

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
    from deltalake import DeltaTable

    path = f"{run.settings.lake_uri}/features/{PRODUCT}"
    rows = DeltaTable(path).to_pyarrow_table(columns=["day", "carrier", "dest", "delayed"])
    table = pd.DataFrame(rows.to_pydict()).dropna()
    last = pd.Timestamp(MATURED)
    first = (last - pd.Timedelta(days=HOLDOUT.holdout_days - 1)).date()
    train = table[table["day"] < first]
    test = table[(table["day"] >= first) & (table["day"] <= last.date())]
    base = train["delayed"].mean()
    rates = train.groupby(["carrier", "dest"], as_index=False).agg(late=("delayed", "sum"), rows=("delayed", "count"))
    rates["rate"] = (rates["late"] + SMOOTHING * base) / (rates["rows"] + SMOOTHING)
    route = test.merge(rates, on=["carrier", "dest"], how="left")["rate"].fillna(base).to_numpy()
    constant = np.full(len(test), base)
    return [
        (name, float(roc_auc_score(test["delayed"], scores)), float(log_loss(test["delayed"], scores)))
        for name, scores in (("base rate", constant), ("rate of carrier, route", route))
    ]


if __name__ == "__main__":
    main()
