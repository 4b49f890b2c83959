"""One feature module a model product: pure functions from DataFrames to a DataFrame."""
