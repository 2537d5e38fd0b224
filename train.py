"""Train and score one model: `python train.py --model unetpp --attention contextual`."""

import sys

from landslide_tf.cli import main

if __name__ == "__main__":
    sys.exit(main(command="train"))
