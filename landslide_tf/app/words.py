"""What the page says, as HTML in which every text of a user is escaped."""

from __future__ import annotations

from html import escape

from landslide_tf.app.jobs import STAGES, MapJob

SCORES = (("iou", "IoU"), ("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))


def sentence(text: str, kind: str = "note") -> str:
    """A sentence in a box: `kind` is note, warning or error.

    >>> sentence("<b>.tif: is no TIFF", "error")
    '<p class="says error" role="alert">&lt;b&gt;.tif: is no TIFF</p>'
    """
    role = "alert" if kind == "error" else "status"
    return f'<p class="says {kind}" role="{role}">{escape(text)}</p>'


def facts(rows, warnings=()) -> str:
    """A list of (title, text), and warnings below it."""
    items = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in rows)
    return f'<dl class="facts">{items}</dl>' + "".join(sentence(w, "warning") for w in warnings)


def table(caption: str, head, rows) -> str:
    """A table of texts."""
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table class="plain"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def duration(seconds: float) -> str:
    """A rounded duration in words.

    >>> [duration(s) for s in (0.4, 42, 140, 7000)]
    ['1 s', '42 s', '2 min', '1 h 57 min']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def progress(job: MapJob, ahead: int) -> str:
    """Where a map is: its turn, its stage, the time left, or how it ended."""
    name = job.image.name
    if job.state == "waiting":
        turn = f"{ahead} map{'s' * (ahead > 1)} before it" if ahead else "it is next"
        return sentence(f"{name} waits its turn: {turn}. You may close this page.")
    if job.state == "running":
        return _running(job, name)
    if job.state == "stopped":
        return sentence(f"{name}: cancelled. What is computed is kept.")
    if job.state == "failed":
        return sentence(job.message, "error")
    return sentence(f"{name}: the map is ready, made by {job.model.name}.")


def _running(job: MapJob, name: str) -> str:
    stage, done, total = job.stage
    text = STAGES.get(stage, "Reading the files")
    if stage == "windows":
        text += f": {done:,} of {total:,} windows"
    left = job.seconds_left()
    if left is not None and done < total:
        text += f", about {duration(left)} left"
    value = f'value="{done}" max="{total}"' if total else ""
    return (
        f'<div class="says note" role="status"><label>{escape(name)}. {escape(text)}'
        f"<progress {value}></progress></label></div>"
    )


def link(job: MapJob) -> str:
    """A link that leads back to the map while the server runs."""
    return (
        f'<p class="small"><a href="?job={escape(job.id)}">Link to this map</a>. It works until '
        "the server ends, also after this page was closed. Who has it sees the map.</p>"
    )


def found(about: dict) -> str:
    """What a map found, and its scores where there is a reference."""
    text = (
        f"{about['landslides']:,} landslides at threshold {about['threshold']:.2f}: "
        f"{about['area_km2']:.3g} of {about['mapped_km2']:.3g} km². Found by a model; nobody has "
        "looked."
    )
    if "scores" not in about:
        return sentence(text)
    pixels, objects = about["scores"]["pixels"]["map"], about["scores"]["landslides"]
    values = [pixels.get(key) for key, _ in SCORES]
    values = ["–" if v is None or v != v else f"{v:.3f}" for v in values]
    loose = objects["any_overlap"]
    head = (*(title for _, title in SCORES), "Found", "False alarms")
    row = [
        *values, f"{loose['found']} of {objects['reference']} landslides",
        f"{loose['false_alarms']} of {objects['mapped']} mapped ones",
    ]  # fmt: skip
    return sentence(text) + table("Against the reference", head, [row])
