"""Metrics of a binary classifier and their analytic intervals, from sums over the scored rows."""

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Estimate:
    """A metric with its two-sided interval; what cannot be computed is None."""

    value: float | None
    low: float | None = None
    high: float | None = None


UNKNOWN = Estimate(None)


@dataclass(frozen=True)
class RankSums:
    """What the ROC curve needs: m `positives`, n `negatives`, and sums over rows of the placement of each.

    A positive's placement is twice the number of negatives that score below it, equal scores counted half; a negative's
    is twice the number of positives that score above it. Both kinds have the sum 2 m n AUC; `*_squares` are the sums of
    their squares. All are whole numbers, so that they are exact whatever the order of the rows.
    """

    positives: int
    negatives: int
    placements: int
    positive_squares: int
    negative_squares: int


def roc_auc(sums: RankSums, confidence: float) -> Estimate:
    """Area under the ROC curve with DeLong's interval, cut to 0 and 1; none with one class only.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988; computed from placements, Sun and Xu, IEEE Signal
    Processing Letters 21(11), 2014. The interval needs two rows of each class and a variance above 0.
    """
    m, n = sums.positives, sums.negatives
    if not m or not n:
        return UNKNOWN
    auc = sums.placements / (2 * m * n)
    if m < 2 or n < 2:
        return Estimate(auc)
    # Sample variances in whole numbers as far as possible: the squares are large and nearly cancel.
    of_positives = (m * sums.positive_squares - sums.placements**2) / (4 * n**2 * m * (m - 1))
    of_negatives = (n * sums.negative_squares - sums.placements**2) / (4 * m**2 * n * (n - 1))
    variance = of_positives / m + of_negatives / n
    return _cut(auc, math.sqrt(variance), confidence) if variance > 0 else Estimate(auc)


def average_precision(total: float, positives: int, confidence: float) -> Estimate:
    """Average precision, `total` being the sum over positives of the precision at their score; none without positives.

    The logit interval of Boyd, Eng and Page, Area under the precision-recall curve, ECML PKDD 2013.
    """
    if not positives:
        return UNKNOWN
    value = total / positives
    if not 0 < value < 1:
        return Estimate(value)
    logit, half = math.log(value / (1 - value)), _z(confidence) / math.sqrt(positives * value * (1 - value))
    return Estimate(value, *(1 / (1 + math.exp(-bound)) for bound in (logit - half, logit + half)))


def mean(total: float, squares: float, rows: int, confidence: float) -> Estimate:
    """The mean of values with sum `total` and sum of squares `squares`, with the normal interval; none without rows."""
    if not rows:
        return UNKNOWN
    value = total / rows
    if rows < 2:
        return Estimate(value)
    error = math.sqrt(max(0.0, squares - rows * value**2) / (rows - 1) / rows)
    return Estimate(value, value - _z(confidence) * error, value + _z(confidence) * error)


def share(hits: int, rows: int, confidence: float) -> Estimate:
    """The share of `hits` with Wilson's score interval (JASA 22, 1927), which holds for few hits too."""
    if not rows:
        return UNKNOWN
    z, p = _z(confidence), hits / rows
    centre, scale = p + z**2 / (2 * rows), 1 + z**2 / rows
    half = z * math.sqrt(p * (1 - p) / rows + z**2 / (4 * rows**2))
    return Estimate(p, (centre - half) / scale, (centre + half) / scale)


def _cut(value: float, error: float, confidence: float) -> Estimate:
    half = _z(confidence) * error
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
