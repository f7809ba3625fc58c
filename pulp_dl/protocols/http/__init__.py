"""HTTP/1.1 over treq and connections of our own."""
