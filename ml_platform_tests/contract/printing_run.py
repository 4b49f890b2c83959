"""One run on the instance of DAGSTER_HOME, whose step prints and logs: `python -m ...printing_run`, prints its id."""

import sys

import dagster as dg


@dg.asset
def printing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    print("printed by the step")
    print("printed as an error by the step", file=sys.stderr)
    context.log.info("logged by the step")
    return dg.MaterializeResult(metadata={"rows": 7})


def main() -> None:
    with dg.DagsterInstance.get() as instance:
        print(dg.materialize([printing], instance=instance).run_id)


if __name__ == "__main__":
    main()
