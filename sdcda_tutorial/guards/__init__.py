"""What guards the work of a user: one writer per folder, an orderly end, known origins, output without a reader."""
