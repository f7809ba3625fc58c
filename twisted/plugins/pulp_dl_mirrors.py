"""The kinds of mirrors that come with pulp_dl."""

from __future__ import annotations

from pulp_dl.engine.kinds import MirrorsKind

mirrorlist = MirrorsKind("mirrorlist", "pulp_dl.mirrors.list.list_of")
metalink = MirrorsKind("metalink", "pulp_dl.mirrors.metalink.metalink_of")
