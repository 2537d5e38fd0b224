"""A whole scene mapped: read by windows, predicted, blended, written for a GIS."""
