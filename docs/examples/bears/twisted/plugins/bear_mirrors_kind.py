from pulp_dl import MirrorsKind

bears = MirrorsKind("bears", "bear_mirrors.BearMirrors")
