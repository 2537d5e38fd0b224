"""Train and score one model: `python train.py --model unetpp --attention contextual`."""

import sys

from landslide_tf.cli import main
from landslide_tf.cli.cmd_model import train_parser

if __name__ == "__main__":
    sys.exit(main(parser=train_parser()))
