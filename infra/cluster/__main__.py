"""What `pulumi up` runs in this folder: the inside of the cluster."""

import sys
from pathlib import Path

# The package is two folders above; nothing in this one is a module of it.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent.parent), *(path for path in sys.path if Path(path).resolve() != HERE)]

from infra.gitops import run  # noqa: E402

run()
