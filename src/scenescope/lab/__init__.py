"""What only papers and the demo need: ablations, published tables, submissions, generated scenes, guesses of labels."""
