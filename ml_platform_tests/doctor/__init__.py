"""Tests of `ml-platform doctor`: over a laptop, and over the loopback cloud with faults switched on."""
