"""Who proves who we are, in ways that take more than one request: tokens, digests."""
