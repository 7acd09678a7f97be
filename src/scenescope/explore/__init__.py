"""What a network attends to."""
