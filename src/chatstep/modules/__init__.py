"""One folder per outside service; they never import each other."""
