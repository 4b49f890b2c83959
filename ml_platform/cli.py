"""ml-platform: the command line of the platform."""

from datetime import date, datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ml_platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dagster import DagsterInstance

    from ml_platform.core.product import ProductSpec
    from ml_platform.explanations import Line
    from ml_platform.gateways.registry import Registry

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Day = Annotated[str, typer.Option(metavar="YYYY-MM-DD")]


@app.command()
def land(start: Day = "2013-01-01", end: Day = "2013-12-31") -> None:
    """Play the upstream: drop the files of nycflights13 from START to END into the landing folders of the lake."""
    from ml_platform.settings import Settings
    from ml_platform.upstream import land as drop

    files = drop(Settings().lake_uri, date.fromisoformat(start), date.fromisoformat(end))
    typer.echo(f"{files} files landed in {Settings().lake_uri}/landing")


@app.command()
def up() -> None:
    """Start Dagster's UI and daemon and MLflow's UI on this machine, and keep them up until Ctrl-C.

    MLflow's UI is not started where a server keeps what it shows, such as a workspace of Azure ML.
    """
    from ml_platform.services import keep_up, prepare_home, user_interfaces
    from ml_platform.settings import Settings

    settings = Settings()
    prepare_home(settings)
    with user_interfaces(settings) as pages:
        console = Console(highlight=False)
        for page in pages:
            console.print(f"{page.name:<12} {page.url}", soft_wrap=True)
        keep_up(console)


@app.command()
def demo(
    keep: Annotated[
        bool | None, typer.Option("--keep/--exit", help="Keep the services up, or exit; default: keep on a terminal.")
    ] = None,
) -> None:
    """Run the main job on real flights: land, backfill, train, deploy, replay a week, measure drift and performance."""
    from ml_platform.demo import run_demo

    run_demo(keep)


@app.command()
def replay(
    product: str,
    start: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First day that is lived through.")],
    end: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last day.")],
    home: Annotated[
        Path | None, typer.Option(help="Where it keeps its things; default: replay/PRODUCT below the platform's home.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove what an earlier replay left and begin anew.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Copy the report's picture (PNG) to this file.")] = None,
) -> None:
    """Live through past days on the real graph and report what it was worth; the same command again goes on."""
    from ml_platform.replay.command import run_replay

    run_replay(product, date.fromisoformat(start), date.fromisoformat(end), home, fresh, picture)


@app.command("check-assets")
def check_assets_command(
    select: Annotated[str, typer.Option(help="Assets in Dagster's selection syntax; default: all.")] = "",
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day to check.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day to check.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit file here as well.", dir_okay=False)] = None,
) -> None:
    """Evaluate the asset checks over the lake as it stands, writing nothing to it or to Dagster.

    Exits 1 when an ERROR check fails or a check cannot be evaluated, 2 when the question makes no sense.
    """
    from ml_platform.asset_checks.command import check

    ends = (first.date().isoformat() if first else None, last.date().isoformat() if last else None)
    if not check(Console(), select, ends, junit):
        raise typer.Exit(1)


@app.command()
def assets(
    as_json: Annotated[bool, typer.Option("--json", help="All that is declared of each, for diff-assets.")] = False,
) -> None:
    """List the declared assets."""
    from ml_platform.asset_list.command import show_list

    show_list(Console(), as_json)


@app.command("diff-assets")
def diff_assets(base: Path, head: Path) -> None:
    """Show, as Markdown, the assets that HEAD adds to, removes from and alters in BASE: files of `assets --json`."""
    from ml_platform.asset_list.command import show_changes

    show_changes(base, head)


@app.command()
def why(
    product: str,
    version: Annotated[str | None, typer.Option(help="A model version; default: the champion.")] = None,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="A day: all that was decided about it.")] = None,
) -> None:
    """Tell the chain of decisions that led to a version of PRODUCT, or what was decided about a day."""
    from ml_platform.explanations import why_day, why_version

    instance, registry, spec = _recorded(product)
    _tell(why_day(instance, spec, day) if day else why_version(instance, registry, spec, version))


@app.command("why-not")
def why_not(product: str) -> None:
    """Tell what of PRODUCT is not made, trained or served at present, and the condition that holds it."""
    from ml_platform import explanations

    instance, registry, spec = _recorded(product)
    _tell(explanations.why_not(instance, registry, spec))


@app.command()
def approve(
    product: str,
    by: Annotated[str, typer.Option(help="Who approves; default: who is logged in.")] = "",
) -> None:
    """Let the new version of PRODUCT, whose roll-out waits for a person, answer requests; watch it take over."""
    from ml_platform.rollouts import approve_waiting

    approve_waiting(Console(highlight=False), product, by or getuser())


@app.command()
def rollback(
    product: str,
    by: Annotated[str, typer.Option(help="Who goes back; default: who is logged in.")] = "",
) -> None:
    """Put the version of PRODUCT that served before back in its place, at once, and make it the champion again."""
    from ml_platform.rollouts import go_back

    typer.echo(go_back(product, by or getuser()))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines to read.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Most that each check may take.")] = 60,
) -> None:
    """Check what this deployment depends on and say what to do for each thing that fails; exit 1 when one does."""
    from ml_platform.doctor.command import diagnose

    if not diagnose(Console(highlight=False), as_json, timeout):
        raise typer.Exit(1)


def _recorded(product: str) -> "tuple[DagsterInstance, Registry, ProductSpec]":
    from ml_platform.components.declared import declared_product
    from ml_platform.gateways.registry import Registry
    from ml_platform.services import open_instance
    from ml_platform.settings import Settings
    from ml_platform.training.mlflow_store import mlflow_client

    settings = Settings()
    instance = open_instance(settings)
    registry = Registry(mlflow_client(settings.mlflow_tracking_uri), settings.home / "models")
    return instance, registry, declared_product(product)


def _tell(lines: "Iterable[Line]") -> None:
    for line in lines:
        typer.echo("  " * line.depth + line.text)


def main() -> None:
    """Run the command line; an error that the platform raised on purpose is a sentence, not a stack trace."""
    try:
        app()
    except PlatformError as error:
        Console(stderr=True).print(f"[bold red]{type(error).__name__}[/] {error}", soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
