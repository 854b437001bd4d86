"""The commands."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from watcher import doctor as consultation
from watcher import layout, reports, tryout
from watcher import verify as comparison
from watcher.clocks import real_clocks
from watcher.daemon import exit_code
from watcher.errors import WatcherError
from watcher.progress import Progress
from watcher.session import Session
from watcher.settings import Settings, environment

log = structlog.get_logger()

SOME_FAILED = 1
"""Exit code: some images failed, or something differs."""

app = typer.Typer(
    name="matricula-watcher",
    help="Reads the plates on photos that are dropped into a folder, and never loses a photo.",
    epilog="Exit codes: 0 fine, 1 some photos failed or something differs, 2 wrong usage, 70 the line broke,"
    " 74 a file or disk cannot be used, 75 already running, 78 the settings are wrong.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The settings; without it config/watcher.toml or /etc/matricula-watcher/watcher.toml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one compact JSON object a line.")]
Name = typer.Argument(metavar="NAME", help="A photo, by its name in uploads or its path in the inbox.")
Drawing = typer.Option("--annotate", metavar="OUT.png", help="Draw what is read on the photo, in this new file.")
Facts = Mapping[str, Any]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (as the library calls it)
    if wanted:
        typer.echo(f"matricula-watcher {metadata.version('matricula-watcher')}")
        raise typer.Exit


Version = typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")


@app.callback()
def _options(context: typer.Context, config: Config = None, version: Annotated[bool, Version] = False) -> None:
    del version
    context.obj.config = config


@app.command()
def run(context: typer.Context, config: Config = None) -> None:
    """Watch the inbox until told to stop."""
    session: Session = context.obj
    settings = session.settings(config)
    session.listen(settings, sys.stderr)
    if sys.stdout.isatty():
        typer.echo(layout.welcome(settings.folders.inbox, settings.folders.data))
    session.daemon(settings, sys.stderr, real_clocks()).run()


@app.command()
def once(context: typer.Context, config: Config = None) -> None:
    """Do what is there, then leave.

    Exit code 1 if any photo is left, has to wait or was set aside.
    """
    session: Session = context.obj
    settings = session.settings(config)
    before = _status(settings)
    with Progress(before["waiting"]) as progress:
        # Only now, so that on a terminal the lines of the log come above the bar.
        session.listen(settings, sys.stderr)
        session.daemon(settings, sys.stderr, real_clocks(), until_idle=True, watch=progress.show).run()
    outcome = reports.outcome(before, _status(settings))
    typer.echo(layout.outcome_line(outcome), err=True)
    _leave(failed=outcome["failed"])


@app.command()
def read(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos to read.")],
    config: Config = None,
    annotate: Annotated[Path | None, Drawing] = None,
    as_json: AsJson = False,
) -> None:
    """Read photos and record nothing.

    Prints what the engines see on each. Exit code 1 if any cannot be read.
    """
    if annotate is not None and len(images) > 1:
        raise typer.BadParameter("It is for one photo at a time.", param_hint="--annotate")
    answers = tryout.readings(context.obj.quiet(config, sys.stderr), images, real_clocks(), drawing=annotate)
    _leave(failed=_show(answers, layout.reading_line, as_json=as_json, fails=tryout.is_failed))


@app.command()
def status(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Say how things stand, now.

    Photos that wait, acts that are owed or were set aside, files in the quarantine, rows. Exit code 1 if something
    keeps photos in the inbox.
    """
    facts = _status(context.obj.quiet(config, sys.stderr))
    _show([facts], layout.status_lines, as_json=as_json)
    _leave(failed=bool(facts["obstacles"]))


@app.command()
def records(
    context: typer.Context,
    config: Config = None,
    last: Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Only those that a person should look at.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rows, with all that is known of each."""
    settings = context.obj.quiet(config, sys.stderr)
    _show(reports.records(settings, last=last, review=review), layout.record_line, as_json=as_json)


@app.command()
def explain(context: typer.Context, name: Annotated[str, Name], config: Config = None, as_json: AsJson = False) -> None:
    """Tell the story of one photo.

    Where it came from, what was done, what is owed and why.
    """
    settings = context.obj.quiet(config, sys.stderr)
    _show([reports.story(settings, name, now=real_clocks().wall())], layout.story_lines, as_json=as_json)


@app.command()
def retry(context: typer.Context, name: Annotated[str | None, Name] = None, config: Config = None) -> None:
    """Try what waits or was set aside again, now.

    Of one photo or of all. A running daemon notices within a second; else it is done at the next start.
    """
    settings = context.obj.quiet(config, sys.stderr)
    typer.echo(layout.retried(reports.release(settings, name)))


@app.command()
def verify(
    context: typer.Context,
    config: Config = None,
    repair: Annotated[bool, typer.Option("--repair", help="Write missing rows again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare journal, register and photos.

    Exit code 1 if anything differs, or still does after --repair.
    """
    settings = context.obj.quiet(config, sys.stderr)
    differences = list(comparison.compare(settings))
    _show(map(comparison.facts, differences), layout.difference_line, as_json=as_json)
    if repair and differences:
        comparison.repair(settings, differences, real_clocks())
        left = list(comparison.compare(settings))
        typer.echo(layout.repaired(len(differences), len(left)), err=True)
        differences = left
    if not as_json and not differences:
        typer.echo("Journal, register and photos agree.")
    _leave(failed=bool(differences))


@app.command()
def doctor(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Look at all that may be set up wrongly.

    Settings, folders, rights, limits, register, journal, engines and receivers. Exit code 1 if something is wrong.
    """
    settings = context.obj.quiet(config, sys.stderr)
    findings = map(reports.finding_facts, consultation.examine(settings, real_clocks()))
    failed = _show(findings, layout.finding_line, as_json=as_json, fails=lambda facts: facts["level"] == "error")
    _leave(failed=failed)


@app.command()
def demo() -> None:
    """Show what it does with three photos.

    Draws them, drops them into an inbox in a temporary folder, and shows the rows they become.
    """
    os.execv(sys.executable, [sys.executable, "-m", "watcher.demo"])  # noqa: S606 (fixed words, no shell)


def _status(settings: Settings) -> dict[str, Any]:
    return reports.status_facts(settings, now=real_clocks().wall())


def _show(
    facts: Iterable[Facts],
    line: Callable[[Facts], str],
    *,
    as_json: bool,
    fails: Callable[[Facts], bool] = lambda _: False,
) -> bool:
    """Print each of *facts* as soon as it is known; return whether any of them *fails*."""
    failed = False
    for fact in facts:
        typer.echo(json.dumps(fact, ensure_ascii=True, separators=(",", ":")) if as_json else line(fact))
        failed = failed or fails(fact)
    return failed


def _leave(*, failed: bool) -> None:
    raise typer.Exit(SOME_FAILED if failed else 0)


def main() -> None:
    """Run a command; a known trouble ends in a sentence, a remedy and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to fail
    os.umask(0o027)  # plates are personal data: what is written is for this user and the group
    session = Session(environment())
    try:
        app(prog_name="matricula-watcher", obj=session)
    except WatcherError as error:
        if session.loud:
            log.critical("daemon.failed", code=error.code, reason=error.reason, hint=error.hint)
        else:
            typer.echo("\n".join(map(layout.plain, str(error).splitlines())), err=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
