"""The command that lists the packaged models: models."""

from __future__ import annotations

import textwrap

from landslide_tf.cli.options import new_parser
from landslide_tf.console import say

EXAMPLES = """examples:
  landslide models                     the models that come with the package
  landslide models bijie-rgb           the card of one
  landslide map --model bijie-rgb --image scene.tif --out map
"""
# Entries of a card, and what `landslide models NAME` calls them.
ENTRIES = {
    "input": "input",
    "pixel": "pixel size",
    "data": "trained on",
    "terms": "terms of the data",
    "scores": "scores",
    "use": "good for",
    "not_for": "no good for",
    "recipe": "recipe",
}


def models_parser(commands):
    """Add the command `models`."""
    parser = new_parser(commands, "models", "List the models that come with it.", EXAMPLES)
    parser.add_argument("name", metavar="NAME", nargs="?", help="show the card of this model")
    parser.set_defaults(run=_models)


def _models(arguments) -> None:
    from landslide_tf.training.packaged import packaged_models, read_card

    if arguments.name is None:
        for name in packaged_models():
            say(f"{name}: {read_card(name)['title']}")
        say("'landslide models NAME' shows the card of one, 'landslide map --model NAME' uses it")
        return
    card = read_card(arguments.name)
    say(f"{arguments.name}: {card['title']}")
    for key, title in ENTRIES.items():
        text = card[key]
        for line in [text] if isinstance(text, str) else text:
            say(textwrap.fill(line, 98, initial_indent=f"  {title}: ", subsequent_indent="    "))
