"""The whole platform in the loopback cloud, with the Azure configuration unchanged."""
