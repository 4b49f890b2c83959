"""The declared assets as data, so that a change can be shown as what it adds, removes and alters."""
