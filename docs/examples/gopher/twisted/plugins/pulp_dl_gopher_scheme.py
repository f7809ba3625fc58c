from pulp_dl import Scheme

gopher = Scheme("gopher", "pulp_dl_gopher.GopherFetcher")
