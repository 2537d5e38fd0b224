"""Imports go down only, and TensorFlow is named only where its own features are used."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "landslide_tf"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# The rooms, from the ground up; a row holds rooms that do not know each other.
LEVELS = (
    ("checks",),
    ("console", "files"),
    ("fields",),
    ("inputs",),
    ("config",),
    ("losses", "metrics", "models", "data"),
    ("training",),
    ("runs",),
    ("geo", "export"),
    ("study", "app"),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LIGHT = ("checks", "console", "config", "fields", "files", "geo.settings",
         "geo.vector_formats", "inputs", "inputs.spec", "cli", "__init__", "__main__")  # fmt: skip
BATCHES = ("data.augment", "data.dataset")  # written in keras.ops; the rest only reads
# What only TensorFlow has: tf.data, devices and strategies, gradients, SavedModel.
TENSORFLOW_IN = (
    "data.dataset",
    "export.formats",
    "inputs.traced",
    "models.normalisation",
    "models.probability",
    "runs.gradcam",
    "study.benchmark",
    "training.batch_norm",
    "training.environment",
    "training.fit",
    "training.recorder",
)


def room(module: str) -> str:
    return module.split(".")[0]


@functools.cache
def imports(module: str) -> list[tuple[str, bool]]:
    """(imported module, at the top level of the file?) for each name that a module imports."""
    tree = ast.parse(MODULES[module].read_text())
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        or (isinstance(function, ast.If) and ast.unparse(function.test) == "TYPE_CHECKING")
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                # `from package import module` imports the module
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("landslide_tf.") in MODULES
                found.append((whole if is_module else node.module, node not in inside))
    return found


def own_imports(module: str, *, at_top: bool = False) -> set[str]:
    """Modules of this package that a module imports, without the package's name."""
    return {
        name.removeprefix("landslide_tf.")
        for name, top in imports(module)
        if name.startswith("landslide_tf.") and (top or not at_top)
    }


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__"])
def test_imports_go_down(module):
    for other in own_imports(module):
        below = LEVEL[room(other)] < LEVEL[room(module)]
        assert below or room(other) == room(module), f"{module} imports {other}"


def test_the_package_root_is_small():
    assert len([m for m in MODULES if "." not in m and not m.startswith("__")]) <= 8 + len(
        {room(m) for m in MODULES if "." in m}
    )


def test_no_two_modules_have_one_name():
    names = [path.name for path in MODULES.values() if path.name != "__init__.py"]
    assert len(names) == len(set(names))


def test_no_import_cycles():
    below = {module: own_imports(module) & MODULES.keys() for module in MODULES}
    while free := [module for module, others in below.items() if not others]:
        below = {m: others - set(free) for m, others in below.items() if m not in free}
    assert not below, "these import each other"


def test_tensorflow_is_imported_where_it_is_used():
    found = set()
    for module in MODULES:
        for name, top in imports(module):
            if name.split(".")[0] == "tensorflow":
                assert not top, f"{module} imports TensorFlow at its top"
                found.add(module)
    assert found == set(TENSORFLOW_IN)


@pytest.mark.parametrize("module", [m for m in MODULES if m in LIGHT or m.startswith("cli.")])
def test_light_modules_import_the_standard_library_alone(module):
    for name, top in imports(module):
        first, _, rest = name.partition(".")
        light = first == "landslide_tf" and (not rest or rest in LIGHT or room(rest) == "cli")
        assert not top or light or first in sys.stdlib_module_names, f"{module} imports {name}"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.startswith("data.") and m not in BATCHES]
)
def test_reading_data_needs_no_keras(module):
    assert not [name for name, top in imports(module) if top and name.split(".")[0] == "keras"]


def test_the_command_line_starts_without_heavy_imports():
    code = (
        "import sys\n"
        "from landslide_tf.cli import main\n"
        "heavy = {'numpy', 'keras', 'tensorflow', 'rasterio', 'cv2', 'scipy', 'matplotlib'}\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "--attention" in run.stdout
