"""Run the notebooks from top to bottom and keep what they show: `python colab/store_outputs.py`.

Names as arguments choose some of them. They run in the checkout's root with the parameters they are
stored with, but for `SHORTER`, and leave their results in runs/colab. Pictures are made small,
progress bars and movable maps are left out. Needs nbclient and Pillow, which requirements-dev.txt
brings.
"""

import base64
import io
import sys
import time
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

HERE = Path(__file__).parent
WIDTH, QUALITY = 760, 85  # of a stored picture
LONGEST = 4000  # characters of a printed text that are kept
PARAMETERS = 2  # the number of the cell
SHORTER = {"reproduce_paper": {"FILTERS": 8, "EPOCHS": 10}}  # with 64 filters it takes hours


def small(png: str) -> str:
    """A picture as JPEG in base64, no wider than WIDTH."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, image.height * WIDTH // image.width), Image.LANCZOS)
    file = io.BytesIO()
    image.save(file, "jpeg", quality=QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def kept(output):
    """The output as it is stored, or None."""
    if output.output_type == "stream":
        text = "\n".join(line.split("\r")[-1] for line in output.text.split("\n"))
        text = text.replace(str(Path.home()), "~")
        output.text = text if len(text) <= LONGEST else text[:LONGEST] + "\n[...]\n"
        return output if output.name == "stdout" and text.strip() else None
    data = output.get("data", {})
    if "image/png" in data:
        data["image/jpeg"] = small(data.pop("image/png"))
    if len(data.get("text/html", "")) > 20_000:  # a movable map holds all of its polygons
        data.pop("text/html")
    return output


def main(names) -> None:
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        begin = time.time()
        notebook = nbformat.read(path, as_version=4)
        kernel = notebook.metadata.pop("kernelspec", None)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        cell = notebook.cells[PARAMETERS]
        source, changed = cell.source, SHORTER.get(path.stem, {})
        for name, value in changed.items():
            cell.source += f"\n{name} = {value}\nprint('{name} of the run shown here: {value}')"
        place = {"metadata": {"path": str(HERE.parent)}}
        nbclient.NotebookClient(notebook, timeout=None, resources=place).execute()
        cell.source = source
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [o for o in map(kept, cell.outputs) if o is not None]
        if kernel:
            notebook.metadata["kernelspec"] = kernel
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.time() - begin:.0f} s, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
