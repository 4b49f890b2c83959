"""ml-platform doctor: looks at each dependency of the chosen deployment and says what to do for each that fails.

check.py, running.py     what a check is, and all of them at once, each with its own time
chosen.py                settings to checks: the only place here that chooses between worlds
report.py, secrets.py    what is shown, and what never is
the others               one dependency each; they raise CheckFailed with the remedy, or CheckSkipped
"""
