"""Names in the graph, derived from the specification: asset keys as tuples, groups, table names."""

GROUPS = ("lake", "features", "model", "endpoint", "monitoring")

AssetPath = tuple[str, ...]


def lake(source: str) -> AssetPath:
    """The table of one source."""
    return ("lake", source)


def features(product: str) -> AssetPath:
    """The feature table of a product."""
    return ("features", product)


def online_features(product: str) -> AssetPath:
    """The newest values of the feature table by key, in the online store."""
    return ("features", f"{product}_online")


def candidate(product: str) -> AssetPath:
    """The newest trained model version of a product."""
    return ("models", product, "candidate")


def champion(product: str) -> AssetPath:
    """The model version that serves."""
    return ("models", product, "champion")


def endpoint(product: str) -> AssetPath:
    """The real-time endpoint of a product."""
    return ("endpoints", product)


def retrain_decision(product: str) -> AssetPath:
    """The decision whether to train again."""
    return ("monitoring", product, "retrain_decision")


def monitoring(product: str, table: str) -> AssetPath:
    """A monitoring table of a product: inference_log, ground_truth, drift, performance or online_features."""
    return ("monitoring", product, table)
