"""What one step leaves for the next: each file with its only writer and its only reader."""
