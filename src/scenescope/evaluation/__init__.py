"""Confusion matrix, scores and the one evaluator."""
