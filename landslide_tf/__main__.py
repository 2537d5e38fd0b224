"""`python -m landslide_tf`."""

import sys

from landslide_tf.cli import main

if __name__ == "__main__":
    sys.exit(main())
