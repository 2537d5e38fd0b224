"""What QGIS' plugin Deepness 0.6 does with a raster and an ONNX file, without QGIS."""

import json

import numpy as np
import onnxruntime
import rasterio


def metadata(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}


def deepness(model, raster):
    """The answer (H, W) for a whole layer; Deepness itself keeps where it reaches `seg_thresh`."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    facts, (source,) = metadata(model), session.get_inputs()
    channels, tile = source.shape[-3], facts["tile_size"]
    assert tuple(source.shape[-2:]) == (tile, tile)
    mean, std = (np.float32(facts[f"standardization_{name}"]) for name in ("mean", "std"))
    with rasterio.open(raster) as file:
        bands = np.moveaxis(file.read(list(range(1, channels + 1))), 0, -1)
        outside = 0 if file.nodata is None else file.nodata
    height, width = bands.shape[:2]
    shared = round(tile * facts["tiles_overlap"] / 100)
    stride = tile - shared
    # filled up to whole strides, to the north and to the east
    missing = [max(tile - n, 0) or -(n - tile) % stride for n in (height, width)]
    padding = ((missing[0], 0), (0, missing[1]), (0, 0))
    bands = np.pad(bands, padding, constant_values=outside)
    result = np.full(bands.shape[:2], np.nan, "float32")
    tops, lefts = (range(0, n - tile + 1, stride) for n in bands.shape[:2])
    for top in tops:
        for left in lefts:
            x = np.float32(bands[None, top : top + tile, left : left + tile] * 1.0 / 255.0)
            x = np.transpose((x - mean) / std, (0, 3, 1, 2))
            (answer,) = session.run(None, {source.name: x})
            # the middle of each tile is kept, at the rim all of it
            y0 = 0 if top == tops[0] else shared // 2
            x0 = 0 if left == lefts[0] else shared // 2
            y1 = tile if top == tops[-1] else tile - shared // 2
            x1 = tile if left == lefts[-1] else tile - shared // 2
            result[top + y0 : top + y1, left + x0 : left + x1] = answer[0, 0, y0:y1, x0:x1]
    return result[missing[0] :, :width]
