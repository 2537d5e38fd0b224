"""The study's figures: the paper's six, and what it leaves out. PNG at 200 dpi and PDF."""
