"""What `pulumi up` runs."""

import sys
from pathlib import Path

# Pulumi runs this folder by itself: the package is found in the folder above, and its modules have no other names.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(path for path in sys.path if Path(path).resolve() != HERE)]

from infra.program import run  # noqa: E402

run()
