"""From files on disk to arrays and batches."""
