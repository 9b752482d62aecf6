"""Mass transfer: whole-rock tables of a protolith and altered rocks -> mass-change ratios."""
