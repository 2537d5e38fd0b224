"""The command `study`: a comparison, from training to tables and figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from landslide_tf.checks import InputError, JobError
from landslide_tf.cli.options import (
    add_config_options,
    import_keras_quietly,
    new_parser,
    typed,
    typed_config,
)
from landslide_tf.config import option_fields
from landslide_tf.console import say
from landslide_tf.files import check_outputs

STUDY_EXAMPLES = """examples:
  landslide study --out runs/demo-study                      the demo terrain, about half an hour
  landslide study --data Bijie-landslide-dataset --out runs/bijie --seeds 3
  landslide study --data tiles --filters 16 --out runs/tiles --dry-run
  landslide study --out runs/tiles --jobs 2              go on, two runs at a time
  landslide study --out runs/tiles --only six                go on with the six models alone
  landslide study --out runs/tiles --report                  tables and figures from what is there
  landslide study --out runs/tiles --records results/tiles   keep what the report is made of
  landslide study --matrix dem --model unet --data tiles --out runs/dem --seeds 3

What a study runs is its --matrix:
  paper       the paper's six models, the other losses of its Table 1, and what the DEM is worth
  batch-norm  U-Net, ResUNet and U-Net++ with dropout at none, one and two of the deepest levels
  strong      what each part of the preset 'strong' gives (with --preset strong)
  dem         one recipe without the DEM, with it at the input, and in an encoder of its own
Stopped, it goes on where it was when the same command is given again. --only takes experiments
(unetpp-none-dice) and groups (of the paper's matrix: six, losses, ablation).
exit codes: 0 done, 2 bad input or option, 1 a run failed (the others were made)
"""


def study_parser(commands):
    """Add the command `study`."""
    parser = new_parser(
        commands,
        "study",
        "Run a comparison, the paper's or another; write its tables and figures.",
        STUDY_EXAMPLES,
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the study")
    parser.add_argument(
        "--matrix",
        metavar="NAME",
        help="what is compared: paper, batch-norm, strong or dem (default: paper)",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="K", help="runs an experiment, K seeds (default: 1)"
    )
    parser.add_argument(
        "--resplit",
        action="store_true",
        default=None,
        help="each seed has a split of its own (default: all have the first one's)",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this experiment or group alone"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="runs at one time, which share the cores: on a CPU more in all, each one slower "
        "(default: 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan and its time")
    parser.add_argument(
        "--report", action="store_true", help="run nothing; tables and figures only"
    )
    parser.add_argument(
        "--records",
        metavar="DIR",
        help="run nothing; write the report and what it is made of to DIR: scores, counts, "
        "histories and the split, without weights and paths",
    )
    parser.add_argument(
        "--show-tiles",
        action="store_true",
        help="with --records: also keep figures that show tiles, if their terms allow it",
    )
    add_config_options(parser)
    parser.set_defaults(run=_study)


def _study(arguments) -> None:
    from landslide_tf.study.experiments import check_runs, plan, write_study

    study = _choose_study(arguments)
    only = tuple(name for text in arguments.only for name in text.split(","))
    planned = plan(study, arguments.out, only)
    check_runs(planned, study)
    import_keras_quietly()
    from landslide_tf.study import keeping, planning, report, runner

    if arguments.dry_run:
        say(planning.format_plan(planned, planning.estimate_seconds(planned)))
        return
    if arguments.records:
        out, options = arguments.records, {"show_tiles": arguments.show_tiles}
        kept = keeping.keep_records(study, arguments.out, out, **options)
        say(f"report: {report.write_report(kept, out, with_tiles=False)}")
        for pdf in Path(out).glob("figures/*.pdf"):  # records keep each figure once, as PNG
            pdf.unlink()
        return
    written = ("study.json", "failures.json", "REPORT.md")
    inputs = (study.base.data, study.base.split_file)
    check_outputs([Path(arguments.out) / name for name in written], inputs)
    write_study(study, arguments.out)
    failures = {}
    if not arguments.report:
        try:
            failures = runner.run_all(study, planned, arguments.out, arguments.jobs)
        except KeyboardInterrupt:
            raise JobError(
                "interrupted; finished epochs are kept, give the same command to go on"
            ) from None
    say(f"report: {report.write_report(study, arguments.out)}")
    if failures:
        first, reason = next(iter(failures.items()))
        raise JobError(
            f"{len(failures)} of {len(planned)} runs failed; {first}: {reason}. Mend it and give "
            "the command again"
        )


def _choose_study(arguments):
    """The study in --out, or a new one from what was typed; `InputError` where they differ."""
    from landslide_tf.study.experiments import Study, read_study
    from landslide_tf.study.matrices import ARCHITECTURE, OF_ONE_RECIPE

    if arguments.show_tiles and not arguments.records:
        raise InputError("--show-tiles: is for --records; give that too")
    options = typed(arguments, option_fields())
    begun = read_study(arguments.out)
    matrix = arguments.matrix or (begun.matrix if begun else "paper")
    for name in ARCHITECTURE:
        if name in options and matrix not in OF_ONE_RECIPE:
            raise InputError(f"--{name}: the matrix '{matrix}' decides it; leave it out")
    if begun is None:
        if arguments.report or arguments.records:
            option = "--report" if arguments.report else "--records"
            raise InputError(f"{arguments.out}: holds no study; {option} needs one that was begun")
        return Study(typed_config(arguments), arguments.seeds or 1, bool(arguments.resplit), matrix)
    stored = begun.base.options()
    different = [
        f"--{name.replace('_', '-')} {stored[name]!r} there, {value!r} now"
        for name, value in options.items()
        if not _same(name, stored[name], value)
    ]
    if matrix != begun.matrix:
        different.append(f"--matrix {begun.matrix} there, {matrix} now")
    if arguments.seeds and arguments.seeds < begun.seeds:
        different.append(f"--seeds {begun.seeds} there, {arguments.seeds} now")
    if arguments.resplit and not begun.resplit and begun.seeds > 1:
        different.append("--resplit off there, on now")
    if different:
        raise InputError(
            f"{arguments.out}: holds a study with other options ({'; '.join(different)}); give the "
            "same or none, or another --out"
        )
    return dataclasses.replace(
        begun,
        seeds=arguments.seeds or begun.seeds,
        resplit=begun.resplit or bool(arguments.resplit),
    )


def _same(name: str, stored, typed) -> bool:
    """Whether two values of an option mean the same; a path may be written in several ways."""
    if name in ("data", "split") and stored and typed:
        return Path(stored).resolve() == Path(typed).resolve()
    return stored == typed
