"""How rows lie in blocks and blocks on workers, as numbers, text, HTML and pictures."""
