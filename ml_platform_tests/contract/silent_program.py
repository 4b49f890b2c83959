"""A program that ends well and never opens Dagster Pipes."""
