"""Command line: ``daskml-kit train DATA --target COLUMN``, ``daskml-kit --help`` for the other commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from daskml_kit.cli.commands import Order, commands
from daskml_kit.cli.errors import JobError, one_line
from daskml_kit.cli.place import opened_place

BAD_USAGE, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0; 2 after one line on the standard error; 130 after Ctrl-C.

    Examples
    --------
    >>> main(["train", "no-such-file.csv", "--target", "price"])
    2
    """
    try:
        order = commands.main(None if argv is None else list(argv), prog_name="daskml-kit", standalone_mode=False)
        if not isinstance(order, Order):  # the code of --help
            return int(order or 0)
        with opened_place(order.options) as where:
            text = order.run(order.options, where)
    except click.ClickException as error:
        return _failed(error.format_message())
    except JobError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("daskml-kit: interrupted, nothing was saved", file=sys.stderr)
        return INTERRUPTED
    if not order.options.quiet:
        try:
            print(text, flush=True)
        except BrokenPipeError:  # the reader, as `head` does, has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _failed(message: str) -> int:
    print(f"daskml-kit: error: {one_line(ValueError(message))}", file=sys.stderr)
    return BAD_USAGE


if __name__ == "__main__":
    sys.exit(main())
