"""Built-in demo data: seeded synthetic terrain with landslides, ready to train on.

The scenes are made so that the image alone does not solve them. Bare fields share the colours,
textures, outlines and shading of landslide scars but lie on gentle ground and leave no trace in
the elevation; landslides follow steep slopes downhill, with a hollow at the head and a deposit at
the toe. Telling the two apart takes the elevation model.

Landforms have a fixed size in pixels. Heights scale with the pixel size, so that slopes do not
depend on it.
"""

from landslide_tf.data.demo.scene import Scene, demo_scene
from landslide_tf.data.demo.write import demo_folder, write_demo, write_demo_scene, write_demo_tile

__all__ = [
    "Scene",
    "demo_folder",
    "demo_scene",
    "write_demo",
    "write_demo_scene",
    "write_demo_tile",
]
