"""Statistics of comparison: tests, intervals and effect sizes from arrays, with numpy and scipy only."""
