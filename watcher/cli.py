"""The commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from watcher import doctor as consultation
from watcher import layout, logs, reports
from watcher import verify as comparison
from watcher.clocks import real_clocks
from watcher.daemon import Daemon
from watcher.errors import Fatal, WatcherError
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.progress import Progress
from watcher.settings import Settings, environment, load

log = structlog.get_logger()

SOME_FAILED = 1
"""Exit code: some images failed, or something differs."""

app = typer.Typer(
    name="matricula-watcher",
    help="Reads the plates on photos dropped into a folder, and never loses a photo.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The configuration to use.")]
AsJson = Annotated[bool, typer.Option("--json", help="One compact JSON object a line.")]
Name = Annotated[str, typer.Argument(help="A photo's name in uploads, or its path in the inbox.")]


class _Context:
    """What every command starts from: the settings, read once, whether --config came before or after the command."""

    def __init__(self) -> None:
        self.config: Path | None = None
        self.environment = environment()

    def settings(self, config: Path | None) -> Settings:
        """Read the settings.

        Raises:
            SettingsInvalid: They cannot be used.

        """
        self.config = config or self.config
        return load(config=self.config, environment=self.environment)

    def quiet(self, config: Path | None) -> Settings:
        """Read the settings for a command that answers on standard output and logs only trouble."""
        settings = self.settings(config)
        self._log(settings, level="warning")
        return settings

    def loud(self, config: Path | None) -> Settings:
        """Read the settings for a command whose log is what people watch."""
        settings = self.settings(config)
        self._log(settings, level=settings.logs.level)
        return settings

    def _log(self, settings: Settings, *, level: str) -> None:
        logs.configure(
            format=settings.logs.format,
            level=level,
            plates=settings.logs.plates,
            stream=sys.stderr,
            environment=self.environment,
        )


@app.callback()
def _options(
    context: typer.Context,
    config: Config = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    context.obj = _Context()
    context.obj.config = config
    if show_version:
        typer.echo(f"matricula-watcher {version('matricula-watcher')}")
        raise typer.Exit


@app.command()
def run(context: typer.Context, config: Config = None) -> None:
    """Watch the inbox until told to stop: the daemon, in the foreground."""
    settings = context.obj.loud(config)
    folders = settings.folders
    typer.echo(f"Drop photos into {folders.inbox}/ and see them become rows in {folders.data}/registros.csv.")
    Daemon(
        settings,
        clocks=real_clocks(),
        environment=context.obj.environment,
        again=lambda: context.obj.settings(None),
    ).run()


@app.command()
def once(context: typer.Context, config: Config = None) -> None:
    """Do what is there, then leave. Exit 1 if photos are incomplete or something has to wait."""
    settings = context.obj.loud(config)
    before = reports.status_facts(settings, now=real_clocks().wall())
    with Progress(before["waiting"]) as progress:
        Daemon(
            settings,
            clocks=real_clocks(),
            environment=context.obj.environment,
            again=lambda: context.obj.settings(None),
            until_idle=True,
            watch=progress.show,
        ).run()
    after = reports.status_facts(settings, now=real_clocks().wall())
    left = after["waiting"] + sum(after["owed"].values()) + sum(after["parked"].values())
    typer.echo(
        f"{after['recorded'] - before['recorded']} photos registered; {after['waiting']} still in the inbox,"
        f" {sum(after['owed'].values())} acts owed, {sum(after['parked'].values())} parked.",
        err=True,
    )
    raise typer.Exit(SOME_FAILED if left else 0)


@app.command()
def read(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="Photos to read.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print what the engines read on each photo; record nothing."""
    settings = context.obj.quiet(config)
    failed = False
    for answer in reports.readings(settings, images):
        failed = failed or "error" in answer
        _show(answer, as_json=as_json, line=layout.reading_line)
    raise typer.Exit(SOME_FAILED if failed else 0)


@app.command()
def status(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Say how things stand: waiting, owed, parked, quarantined, registered."""
    settings = context.obj.quiet(config)
    _show(reports.status_facts(settings, now=real_clocks().wall()), as_json=as_json, line=layout.status_lines)


@app.command()
def records(
    context: typer.Context,
    config: Config = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Only the last so many.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Only those a person should look at.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rows that were registered, with all that is known of each."""
    settings = context.obj.quiet(config)
    facts = reports.records(settings, last=last, review=review)
    for fact in facts:
        _show(fact, as_json=as_json, line=layout.record_line)


@app.command()
def explain(context: typer.Context, name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """Tell the story of one photo: where it came from, what was done, what is owed and why."""
    settings = context.obj.quiet(config)
    facts = reports.story(settings, name, now=real_clocks().wall())
    if facts is None:
        typer.echo(f"The journal knows no photo {name!r}. See `records`, and the log for what never became a record.")
        raise typer.Exit(SOME_FAILED)
    _show(facts, as_json=as_json, line=layout.story_lines)


@app.command()
def retry(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this photo; without it, all.")] = None,
    config: Config = None,
) -> None:
    """Do parked and waiting acts again now; a running daemon notices within a second."""
    settings = context.obj.quiet(config)
    if not (settings.folders.data / "journal.sqlite3").exists():
        typer.echo("There is no journal yet, so nothing waits.")
        return
    connection = Connection(settings.folders.data)
    try:
        number = Journal(connection).release(name)
    finally:
        connection.close()
    typer.echo(f"{number} acts will be tried again.")


@app.command()
def verify(
    context: typer.Context,
    config: Config = None,
    repair: Annotated[bool, typer.Option("--repair", help="Write missing rows again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare journal, register and photos. Exit 1 on any difference."""
    settings = context.obj.quiet(config)
    differences = list(comparison.compare(settings))
    for difference in differences:
        _show(comparison.facts(difference), as_json=as_json, line=layout.difference_line)
    if repair:
        typer.echo(comparison.repair(settings, differences, real_clocks()), err=True)
    elif not differences and not as_json:
        typer.echo("Journal, register and photos agree.")
    raise typer.Exit(SOME_FAILED if differences else 0)


@app.command()
def doctor(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Look at settings, folders, rights, limits and engines. Exit 1 if something is wrong."""
    settings = context.obj.quiet(config)
    wrong = False
    for finding in consultation.examine(settings):
        wrong = wrong or finding.level == "error"
        _show(reports.finding_facts(finding), as_json=as_json, line=layout.finding_line)
    raise typer.Exit(SOME_FAILED if wrong else 0)


@app.command()
def demo() -> None:
    """Draw three photos, drop them, and show the rows they become, in a temporary folder."""
    os.execv(sys.executable, [sys.executable, "-m", "watcher.demo"])  # noqa: S606 (fixed words, no shell)


# Output


def _json(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=True, separators=(",", ":")))


def _show(facts: Mapping[str, Any], *, as_json: bool, line: Callable[[Mapping[str, Any]], str]) -> None:
    if as_json:
        _json(facts)
    else:
        typer.echo(line(facts))


def main() -> None:
    """Run a command; a known trouble ends in a sentence, a remedy and its exit code."""
    try:
        app()
    except WatcherError as error:
        log.critical("daemon.failed", code=error.code, reason=error.reason, hint=error.hint)
        if not structlog.is_configured() or sys.stderr.isatty():
            typer.echo(str(error), err=True)
        sys.exit(error.exit_code if isinstance(error, Fatal) else SOME_FAILED)


if __name__ == "__main__":
    main()
