"""Commands that list what there is: tasks, models, metrics."""

from clirbench.cli.app import app


@app.command()
def tasks() -> None:
    """List the tasks, with their licences and sizes."""
    from clirbench.catalogue import task_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(task_list())


@app.command()
def models() -> None:
    """List the bundled models."""
    from clirbench.catalogue import model_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(model_list())


@app.command()
def metrics() -> None:
    """List the metrics, with what each one says and where it comes from."""
    from clirbench.catalogue import metric_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(metric_list())
