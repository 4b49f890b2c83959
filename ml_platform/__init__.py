"""A Dagster asset-based data and ML platform: one declared model product becomes one lineage graph."""
