"""C{pulp-dl completion}: what a shell has to run so that Tab completes our words."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

__all__ = ["complete_names_of_files", "completion"]

PROGRAM: Final = "pulp-dl"
VARIABLE: Final = "_PULP_DL_COMPLETE"


class _Path(click.types.StringParamType):
    """A str that a shell completes from the disk."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type=self._kind)]


_KINDS: Final = {"FILE": _Path("file"), "URL|FILE": _Path("file"), "DIR": _Path("dir")}


def complete_names_of_files(group: click.Group) -> None:
    """Whatever option says in its help that it wants a FILE or a DIR is completed from the disk."""
    for command in (group, *group.commands.values()):
        for param in command.params:
            if param.metavar in _KINDS and param.type is click.STRING:
                param.type = _KINDS[param.metavar]


_HOW: Final = """\b
bash, in ~/.bashrc:
  eval "$(pulp-dl completion bash)"
zsh, in ~/.zshrc:
  eval "$(pulp-dl completion zsh)"
fish, once:
  pulp-dl completion fish > ~/.config/fish/completions/pulp-dl.fish
"""


@click.command(short_help="Print what makes a shell complete the command.", epilog=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes subcommands, options and names of files."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
