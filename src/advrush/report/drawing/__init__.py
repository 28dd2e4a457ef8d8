"""Drawing without matplotlib state: SVG, plots, cells, heat maps, colors."""
