"""Nodes on actors of a Ray cluster. The one package that imports ray; imported only where used."""
