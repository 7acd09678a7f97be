"""From an image to logits and label maps: whole, in windows, at several scales."""
