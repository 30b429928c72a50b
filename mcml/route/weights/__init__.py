"""Who gets how much: what was seen of each backend, judged and turned into weights. Pure values; `decide` is one turn of it."""
