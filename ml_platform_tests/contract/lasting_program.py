"""A program that says in the file STARTED which process it is, and then works for ten minutes."""

import os
import time
from pathlib import Path

Path(os.environ["STARTED"]).write_text(str(os.getpid()))
time.sleep(600)
