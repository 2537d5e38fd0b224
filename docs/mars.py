"""Draw docs/mars.png: python -m docs.mars RUN_DIR DATA_DIR.

RUN_DIR is a run on MMLSv2 with RGB and DEM, DATA_DIR the folder of its tiles;
`landslide data download mmls-v2` says where they are.
"""

import sys
from pathlib import Path

from PIL import Image

from landslide_tf import load_run, load_tiles
from landslide_tf.data.dataset import Part
from landslide_tf.training.evaluation import predict_part
from landslide_tf.training.figures import prediction_figure, save

COLOURS = Image.Quantize.MAXCOVERAGE  # keeps the rare ones

run = load_run(sys.argv[1])
tiles = load_tiles(sys.argv[2], run.config.input)
part = Part(tiles, tiles.indices(run.split["test"]), run.spec)
figure = prediction_figure(part, predict_part(run.predictor, part), run.threshold)
figure.suptitle(
    "Landslides in Valles Marineris, Mars, mapped by U-Net on ground that training never saw\n"
    "IoU, the overlap of prediction and truth, is "
    f"{run.metrics['test_chosen']['iou']:.2f} over all {len(part)} test tiles",
    fontsize=12,
)
credit = "Tiles of 30 km from MMLSv2\n(Paheding et al. 2026, MIT licence)"
figure.text(0.01, 0.005, credit, fontsize=8, color="0.4")
path = Path(__file__).with_name("mars.png")
save(figure, path)
Image.open(path).convert("RGB").quantize(256, COLOURS).save(path, optimize=True)  # less than half
