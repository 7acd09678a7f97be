"""What papers and the demo need (ablations, published tables, submissions, generated scenes), and guesses at odd data.

Nothing else imports it: see ``lab_names``.
"""
