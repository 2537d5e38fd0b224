"""What lies over a scene comes onto its pixels whole: DEMs, masks and polygons of any kind."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window

from conftest import write_raster
from landslide_tf.checks import InputError
from landslide_tf.data.raster import open_raster
from landslide_tf.geo.cut import cut_scene
from landslide_tf.geo.notes import dem_note
from landslide_tf.geo.overlay import Grid, open_dem, open_labels
from landslide_tf.geo.settings import CutOptions
from landslide_tf.geo.source import open_scene
from landslide_tf.inputs import InputSpec

PX = 48
UTM = "EPSG:32647"
FINE, COARSE = from_origin(470_000, 3_445_000, 10, 10), from_origin(470_000, 3_445_000, 30, 30)
WHOLE = Window(0, 0, PX, PX)
LOCAL = 'LOCAL_CS["Local Coordinates (m)",UNIT["{}",{}],AXIS["X",EAST],AXIS["Y",NORTH]]'


def grid_of(path, crs=UTM, transform=FINE, shape=(PX, PX, 3)):
    values = np.random.default_rng(0).integers(1, 256, shape).astype("uint8")
    write_raster(path, values, crs=crs, transform=transform)
    with open_raster(path) as scene:
        return Grid(scene)


def plane(transform, height, width, dtype="float64"):
    """Elevation 1000 + x + 2 y, in pixels of 10 m from the scene's corner."""
    y, x = np.mgrid[:height, :width] + 0.5
    step = transform.a / 10
    return (1000 + step * x + 2 * step * y).astype(dtype)


# ---- no data before arithmetic -----------------------------------------------------------------


@pytest.mark.parametrize(
    "tag, nodata",
    [
        (-9999, -32768),
        (-9999, (-32768, 0)),
        (None, (-9999, -32768, 0)),
        (0, (-9999, -32768)),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_every_mark_of_no_data_is_left_out_before_interpolation(tag, nodata, dtype, tmp_path):
    dem = plane(COARSE, 16, 16, dtype)
    marks = [-9999, -32768] + ([0] if 0 in np.atleast_1d(nodata) or tag == 0 else [])
    for i, mark in enumerate(marks):
        dem[4 * i : 4 * i + 2, 8:10] = mark
    path = write_raster(tmp_path / "d.tif", dem, crs=UTM, transform=COARSE, nodata=tag)
    found = open_dem(path, grid_of(tmp_path / "s.tif"), nodata)(WHOLE)
    exact = plane(FINE, PX, PX)
    assert found.valid.mean() > 0.9
    # the outermost half pixel of 30 m has nothing to interpolate with: 15 m and 30 m of the plane
    apart = np.abs(found.values[..., 0] - exact)[found.valid]
    assert apart.max() <= 5
    for i in range(len(marks)):  # 3 pixels of the scene for each
        assert not found.valid[12 * i : 12 * i + 6, 24:30].any()


def test_a_mask_within_a_dem_counts_before_interpolation(tmp_path):
    dem = plane(COARSE, 16, 16, "float32")
    dem[4:6, 8:10] = -32768
    path = write_raster(tmp_path / "d.tif", dem, crs=UTM, transform=COARSE)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(dem > 0)
    found = open_dem(path, grid_of(tmp_path / "s.tif"))(WHOLE)
    assert found.values[found.valid].min() > 990 and not found.valid[12:18, 24:30].any()


# ---- metres ------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform, size", [(FINE, PX), (COARSE, PX // 3)])
@pytest.mark.parametrize("by", ["band", "crs"])
def test_feet_become_metres_on_any_grid(by, transform, size, tmp_path):
    feet = 1200 / 3937
    crs = CRS.from_string("EPSG:32647+6360" if by == "crs" else UTM)
    values = plane(transform, size, size) / feet
    path = write_raster(tmp_path / "d.tif", values, crs=crs, transform=transform)
    if by == "band":
        with rasterio.open(path, "r+") as file:
            file.units = ("US survey foot",)
    found = open_dem(path, grid_of(tmp_path / "s.tif"))(WHOLE)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(found.values[inner][..., 0], plane(FINE, PX, PX)[inner], rtol=1e-9)
    scene = open_scene(tmp_path / "s.tif", path, InputSpec(tile_px=16))
    assert "are converted to metres" in dem_note(scene)


def test_a_scale_tag_is_applied_after_interpolation(tmp_path):
    values = np.round(10 * plane(COARSE, 16, 16)).astype("int16")
    values[4:6, 8:10] = -1
    path = write_raster(tmp_path / "d.tif", values, crs=UTM, transform=COARSE, nodata=-1)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (50.0,)
    found = open_dem(path, grid_of(tmp_path / "s.tif"), nodata=-32768)(WHOLE)
    inner = np.zeros((PX, PX), bool)
    inner[2:10, 2:-2] = True
    np.testing.assert_allclose(
        found.values[..., 0][inner], 50 + plane(FINE, PX, PX)[inner], atol=0.02
    )
    assert not found.valid[12:18, 24:30].any()


# ---- the 180th meridian ------------------------------------------------------------------------

STEP = 0.01  # degrees


def lon_lat_dem(path, west, width, seam=None):
    """A DEM of 1000 + 10 x longitude (0 to 360), rows from 10.5 N down to 9.5 N."""
    lon = (west + STEP * (np.arange(width) + 0.5)) % 360
    values = np.tile(1000 + 10 * lon, (100, 1))
    return write_raster(
        path, values, crs="EPSG:4326", transform=from_origin(west, 10.5, STEP, STEP)
    )


@pytest.mark.parametrize("west, width", [(-180, 36000), (0, 36000), (179, 200), (-181, 200)])
@pytest.mark.parametrize("scene", ["degrees east", "degrees west", "utm"])
def test_a_scene_across_180_degrees_keeps_its_dem(scene, west, width, tmp_path):
    dem = lon_lat_dem(tmp_path / "d.tif", west, width)
    if scene == "utm":  # zone 60: 180 degrees lie at x = 829 000 there
        grid = grid_of(tmp_path / "s.tif", "EPSG:32660", from_origin(824_000, 1_106_000, 200, 200))
    else:
        left = 179.76 if scene == "degrees east" else -180.24
        grid = grid_of(tmp_path / "s.tif", "EPSG:4326", from_origin(left, 10.2, 0.01, 0.01))
    found = open_dem(dem, grid)(WHOLE)
    assert found.valid.all()
    x, y = np.meshgrid(np.arange(PX) + 0.5, np.arange(PX) + 0.5)
    t = grid.transform
    lon = t.c + t.a * x
    if scene == "utm":
        import pyproj

        lon, _ = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(
            t.c + t.a * x, t.f + t.e * y
        )
        assert lon.min() < -179 and lon.max() > 179
    # within half a pixel of the seam the nearest centre counts
    np.testing.assert_allclose(found.values[..., 0], 1000 + 10 * (lon % 360), atol=10 * STEP)
    open_scene(grid.path, dem, InputSpec(tile_px=16))  # they overlap


def test_a_mask_and_polygons_across_180_degrees(tmp_path):
    grid = grid_of(tmp_path / "s.tif", "EPSG:4326", from_origin(179.76, 10.2, 0.01, 0.01))
    # the scene is 0.48 degrees wide, 180 lies at its pixel 24
    mask = np.zeros((100, 36000), "uint8")
    mask[40:50, :6] = mask[40:50, -3:] = 1  # three pixels west, six east of it, rows 10 to 20
    path = write_raster(
        tmp_path / "m.tif", mask, crs="EPSG:4326", transform=from_origin(-180, 10.5, STEP, STEP)
    )
    expected = np.zeros((PX, PX), int)
    expected[10:20, 21:30] = 1
    found = open_labels(path, grid)(WHOLE)
    assert found.valid.all() and (found.values[..., 0] == expected).all()
    boxes = [shapely.box(179.97, 10.0, 180, 10.1), shapely.box(-180, 10.0, -179.94, 10.1)]
    geopandas.GeoSeries(boxes, crs="EPSG:4326").to_file(tmp_path / "p.gpkg")
    found = open_labels(tmp_path / "p.gpkg", grid)(WHOLE)
    assert (found.values[..., 0] == expected).all()
    # one polygon across, in metres of zone 60
    one = geopandas.GeoSeries([shapely.box(179.97, 10.0, 180.06, 10.1)], crs="EPSG:4326")
    one.to_crs("EPSG:32660").to_file(tmp_path / "u.gpkg")
    found = open_labels(tmp_path / "u.gpkg", grid)(WHOLE)
    assert np.abs(found.values[..., 0].astype(int) - expected).sum() <= 19  # its sides are curves


def test_a_dem_of_the_whole_earth_fits_a_scene_in_metres(tmp_path):
    y, _ = np.mgrid[:180, :360]
    dem = write_raster(
        tmp_path / "d.tif", 5.0 * y, crs="EPSG:4326", transform=from_origin(-180, 90, 1, 1)
    )
    grid = grid_of(tmp_path / "s.tif")
    open_scene(grid.path, dem, InputSpec(tile_px=16))
    assert open_dem(dem, grid)(WHOLE).valid.all()


# ---- CRS and georeference ----------------------------------------------------------------------


def test_local_coordinates_work_in_their_unit(tmp_path):
    place = from_origin(0, 10.0 * PX, 10, 10)
    for unit, metres in (("metre", 1), ("foot", 0.3048)):
        crs = LOCAL.format(unit, metres)
        grid = grid_of(tmp_path / "s.tif", crs, place)
        dem = write_raster(
            tmp_path / "d.tif", plane(COARSE, 16, 16), crs=crs,
            transform=from_origin(0, 10.0 * PX, 30, 30),
        )  # fmt: skip
        scene = open_scene(grid.path, dem, InputSpec(tile_px=16))
        assert scene.resolution_m == pytest.approx((10 * metres, 10 * metres))
        found = open_dem(dem, grid)(WHOLE)
        np.testing.assert_allclose(
            found.values[3:-3, 3:-3, 0], plane(FINE, PX, PX)[3:-3, 3:-3], rtol=1e-9
        )
    box = shapely.box(100, 100, 200, 200)
    geopandas.GeoSeries([box], crs=crs).to_file(tmp_path / "p.gpkg")
    assert open_labels(tmp_path / "p.gpkg", grid)(WHOLE).values.sum() == 100
    counts = cut_scene(
        grid.path, tmp_path / "p.gpkg", tmp_path / "t", CutOptions(tile_px=16), dem=dem
    )
    assert counts["landslide_px"] == 100
    box = geopandas.GeoSeries([shapely.box(100, 30, 101, 31)], crs="EPSG:4326")
    box.to_file(tmp_path / "world.gpkg")
    with pytest.raises(InputError, match="world.gpkg.*one is local; .*ogr2ogr -a_srs"):
        open_labels(tmp_path / "world.gpkg", grid)
    far = write_raster(tmp_path / "far.tif", np.ones((4, 4)), crs=UTM, transform=FINE)
    with pytest.raises(InputError, match="far.tif.*cannot be brought.*gdalwarp"):
        open_scene(grid.path, far, InputSpec(tile_px=16))


def test_a_crs_without_a_unit_of_length_is_refused_before_the_work(tmp_path):
    crs = LOCAL.format("degree", 0.0174532925199433)
    grid = grid_of(tmp_path / "s.tif", crs, from_origin(0, 10, 0.1, 0.1))
    with pytest.raises(InputError, match="s.tif.*no unit of length.*gdal_edit"):
        open_scene(grid.path, None, InputSpec(tile_px=16, fusion="rgb"))


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:32647+5773",
        "+proj=utm +zone=47 +ellps=WGS84 +units=m",
        "+proj=utm +zone=47 +datum=WGS84 +units=m",
    ],
)
def test_spellings_of_the_crs_do_not_resample(crs, tmp_path):
    grid = grid_of(tmp_path / "s.tif")
    crs = CRS.from_string(crs)
    dem = write_raster(tmp_path / "d.tif", plane(FINE, PX, PX), crs=crs, transform=FINE)
    assert dem_note(open_scene(grid.path, dem, InputSpec(tile_px=16))) == "on the image's grid"
    np.testing.assert_array_equal(open_dem(dem, grid)(WHOLE).values[..., 0], plane(FINE, PX, PX))


def test_advice_for_a_place_by_control_points(tmp_path):
    points = [GroundControlPoint(r, c, 100 + c / 100, 30 - r / 100) for r, c in
              ((0, 0), (0, PX), (PX, 0), (PX, PX))]  # fmt: skip
    path = write_raster(tmp_path / "g.tif", np.ones((PX, PX, 3), "uint8"))
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, CRS.from_epsg(4326))
    with pytest.raises(InputError, match="control points only.*gdalwarp"), open_raster(path) as f:
        Grid(f)
    path = write_raster(tmp_path / "n.tif", np.ones((PX, PX, 3), "uint8"), transform=FINE)
    with pytest.raises(InputError, match=r"no CRS\).*gdal_edit -a_srs"), open_raster(path) as f:
        Grid(f)
    flat = from_origin(0, 0, 1, 0)
    path = write_raster(tmp_path / "z.tif", np.ones((4, 4)), crs=UTM, transform=flat)
    with pytest.raises(InputError, match="no size"), open_raster(path) as f:
        Grid(f)


# ---- raster or vector by what opens it ---------------------------------------------------------


def mask_and_grid(tmp_path):
    mask = np.zeros((PX, PX), "uint8")
    mask[5:9, 7:20] = 1
    return mask, grid_of(tmp_path / "s.tif")


@pytest.mark.parametrize("name, driver", [("m.img", "HFA"), ("m.dat", "GTiff"), ("m", "GTiff"),
                                          ("m.bil", "EHdr"), ("m.gpkg", "GTiff")])  # fmt: skip
def test_a_mask_is_a_raster_because_it_opens_as_one(name, driver, tmp_path):
    mask, grid = mask_and_grid(tmp_path)
    path = write_raster(tmp_path / "r" / name, mask, crs=UTM, transform=FINE, driver=driver)
    found = open_labels(path, grid)(WHOLE)
    assert (found.values[..., 0] == mask).all() and found.valid.all()


def test_a_colour_table_of_a_scene_mask_is_judged_over_all_of_it(tmp_path):
    mask, grid = mask_and_grid(tmp_path)
    path = write_raster(tmp_path / "m.tif", 1 - mask, crs=UTM, transform=FINE)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (255, 255, 255), 1: (0, 0, 0)})
    read = open_labels(path, grid)
    assert (read(WHOLE).values[..., 0] == mask).all()
    assert not read(Window(30, 30, 8, 8)).values.any()  # all black there
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (255, 255, 255), 1: (200, 0, 0)})
    with pytest.raises(InputError, match="m.tif: its colour table"):
        open_labels(path, grid)


@pytest.mark.parametrize("tag", [0, 1])
def test_a_tagged_label_of_a_scene_mask(tag, tmp_path):
    mask, grid = mask_and_grid(tmp_path)
    path = write_raster(tmp_path / "m.tif", mask, crs=UTM, transform=FINE, nodata=tag)
    with pytest.raises(InputError, match=f"says that {tag} is no data"):
        open_labels(path, grid)


# ---- polygons ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cpg", ["UTF-8", "GBK", None])
@pytest.mark.parametrize("where", ["values", "names"])
def test_attributes_of_any_encoding_are_not_read(where, cpg, tmp_path):
    grid = grid_of(tmp_path / "s.tif")
    box = shapely.box(470_100, 3_444_800, 470_200, 3_444_900)
    frame = geopandas.GeoDataFrame({"NNNN": ["VVVV"]}, geometry=[box], crs=UTM)
    frame.to_file(tmp_path / "p.shp")
    old, new = (b"VVVV", "滑坡") if where == "values" else (b"NNNN", "名称")
    table = tmp_path / "p.dbf"
    table.write_bytes(table.read_bytes().replace(old, new.encode("gbk")))
    if cpg:
        (tmp_path / "p.cpg").write_text(cpg)
    else:
        (tmp_path / "p.cpg").unlink()
    assert open_labels(tmp_path / "p.shp", grid)(WHOLE).values.sum() == 100


@pytest.mark.parametrize("name", ["p.gpkg", "p.shp", "p.geojson", "p.fgb"])
def test_a_vector_file_cut_off_anywhere_is_one_line(name, tmp_path):
    grid = grid_of(tmp_path / "s.tif")
    box = shapely.box(470_100, 3_444_800, 470_200, 3_444_900)
    shapes = geopandas.GeoSeries([box], crs=UTM)
    (shapes.to_crs(4326) if name.endswith("json") else shapes).to_file(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for share in np.linspace(0, 0.99, 25):
        (tmp_path / name).write_bytes(content[: int(share * len(content))])
        try:
            open_labels(tmp_path / name, grid)
        except InputError as error:
            assert str(tmp_path / name) in str(error) and "\n" not in str(error)


# ---- images with tags --------------------------------------------------------------------------


def test_a_scene_with_a_colour_table_is_read_in_its_colours(tmp_path):
    index = np.arange(PX * PX, dtype="uint8").reshape(PX, PX)
    path = write_raster(tmp_path / "s.tif", index, crs=UTM, transform=FINE)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (i, 255 - i, 7) for i in range(256)})
    scene = open_scene(path, None, InputSpec(tile_px=16, fusion="rgb"))
    from landslide_tf.geo.reader import Reader

    image = Reader(scene).image((0, 0, PX, PX)).values
    np.testing.assert_array_equal(image[..., 0], index)
    np.testing.assert_array_equal(image[..., 1], 255 - index)


def test_tiles_of_a_scaled_scene_have_nan_for_no_data(tmp_path):
    values = np.full((32, 32, 3), 3000, "uint16")
    values[:4] = 0
    path = write_raster(tmp_path / "s.tif", values, crs=UTM, transform=FINE, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 3, (0.1,) * 3
    box = shapely.box(470_050, 3_444_800, 470_100, 3_444_900)
    geopandas.GeoSeries([box], crs=UTM).to_file(tmp_path / "p.gpkg")
    cut_scene(path, tmp_path / "p.gpkg", tmp_path / "t", CutOptions(tile_px=32))
    with rasterio.open(next((tmp_path / "t/landslide/image").glob("*.tif"))) as file:
        tile = file.read()
    np.testing.assert_allclose(tile[:, 4:], 0.4, rtol=1e-6)
    assert np.isnan(tile[:, :4]).all()
