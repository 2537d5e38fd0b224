"""The study's figures: the paper's six, and what it leaves out. PNG at 150 dpi, most with PDF."""
